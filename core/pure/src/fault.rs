//! A panic is a fault of this library: it is told, and costs the work at hand alone.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Remember what a panic says instead of printing it: whoever guards the work tells it.
///
/// Only of the program, or of the dynamic library, that this library is a part of.
pub fn remember() {
    std::panic::set_hook(Box::new(|panic| LAST.with(|last| *last.borrow_mut() = panic.to_string())));
}

/// What `work` gives, or what its panic says.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        let told = LAST.with(|last| std::mem::take(&mut *last.borrow_mut()));
        if told.is_empty() { "a panic".into() } else { told }
    })
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_becomes_a_value() {
        let numbers: Vec<usize> = Vec::new();
        assert!(guarded(|| numbers[std::hint::black_box(3)]).is_err());
        assert_eq!(guarded(|| 7), Ok(7));
        let most = std::hint::black_box(usize::MAX);
        assert!(guarded(|| most + 1).is_err(), "sums are checked");
    }
}
