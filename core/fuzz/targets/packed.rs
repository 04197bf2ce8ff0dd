//! Any bytes are packed rows of a width, or are refused: never read beyond their end, and always to an end.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::packed::{Cell, Rows};

fuzz_target!(|data: &[u8]| {
    let Some((width, packed)) = data.split_first() else { return };
    let width = usize::from(*width);
    let mut rows = Rows::new(packed.to_vec(), width);
    let (mut count, mut size) = (0, 0);
    while rows.advance() == Ok(true) {
        count += 1;
        size += 1; // of its head, at least
        for column in 0..width {
            size += match rows.cell(column) {
                Cell::Null | Cell::Int(_) => 1,
                Cell::Text(text) => 1 + text.len(),
                Cell::Bytes(bytes) => 1 + bytes.len(),
            };
        }
        assert_eq!(rows.cell(width), Cell::Null, "a value behind the last one");
        assert!(size <= packed.len(), "more was read than there is");
    }
    assert!(count <= packed.len());
});
