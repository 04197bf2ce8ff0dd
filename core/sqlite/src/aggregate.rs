//! The aggregate function `tidelog_packed(wide, value, ..)`: the rows of a group as one value, in the order in which they
//! come. Bit n of `wide` says that the value at place n is an integer, kept as bytes where it is beyond SQLite's own.

use std::ffi::{CStr, c_int};
use std::mem::size_of;
use std::slice;
use std::sync::OnceLock;

use tidelog_pure::fault::guarded;
use tidelog_pure::packed::{Cell, Packer};

use crate::routines::{BLOB, Context, INTEGER, NULL, Routines, TEXT, TRANSIENT, Value};

pub const NAME: &CStr = c"tidelog_packed";
const REFUSED: &CStr = c"tidelog_packed: a value that no row has, or too many of them";

/// What SQLite keeps of a group: null at first.
type Kept = *mut Packer;

/// SQLite's functions: a function of SQL is called without them.
static ROUTINES: OnceLock<&'static Routines> = OnceLock::new();

/// Whether functions are those of the library that has loaded this before, if one has: there is to be one in a process.
pub fn works_with(routines: &'static Routines) -> bool {
    std::ptr::eq(*ROUTINES.get_or_init(|| routines), routines)
}

pub unsafe extern "C" fn step(context: *mut Context, count: c_int, values: *mut *mut Value) {
    let Some(routines) = ROUTINES.get() else { return };
    let Ok(count @ 1..) = usize::try_from(count) else { return refuse(routines, context) };
    // SAFETY: SQLite gives so many values.
    let values = unsafe { slice::from_raw_parts(values, count) };
    // SAFETY: the context is of this call; what SQLite gives is aligned for a pointer, and zero at first.
    let kept = unsafe { (routines.aggregate_context)(context, size_of::<Kept>() as c_int) }.cast::<Kept>();
    if kept.is_null() {
        return refuse(routines, context);
    }
    // SAFETY: it is ours, until `end` is called.
    let kept = unsafe { &mut *kept };
    if kept.is_null() {
        *kept = Box::into_raw(Box::default());
    }
    // SAFETY: made here, freed in `end` alone; SQLite makes one call at a time.
    let packer = unsafe { &mut **kept };
    let packed = guarded(|| {
        // SAFETY: a value of this call.
        let wide = unsafe { (routines.value_int64)(values[0]) };
        let cells = values[1..].iter().enumerate().map(|(place, value)| {
            let is_wide = place < 64 && wide >> place & 1 == 1;
            // SAFETY: as above.
            unsafe { cell(routines, *value) }.map(|cell| (cell, is_wide))
        });
        packer.row(count - 1, cells)
    });
    if !matches!(packed, Ok(Some(()))) {
        refuse(routines, context);
    }
}

/// A value as a row has it; None for one that no row has.
///
/// # Safety
/// The value is of the call that is under way, and so is the cell.
unsafe fn cell<'a>(routines: &Routines, value: *mut Value) -> Option<Cell<'a>> {
    // SAFETY: the value is of this call; its bytes are asked for before their count, as SQLite wants it.
    unsafe {
        let (start, is_text) = match (routines.value_type)(value) {
            INTEGER => return Some(Cell::Int((routines.value_int64)(value))),
            NULL => return Some(Cell::Null),
            TEXT => ((routines.value_text)(value), true),
            BLOB => ((routines.value_blob)(value).cast::<u8>(), false),
            _ => return None,
        };
        let size = usize::try_from((routines.value_bytes)(value)).ok()?;
        let bytes = if start.is_null() || size == 0 { &[][..] } else { slice::from_raw_parts(start, size) };
        if is_text { std::str::from_utf8(bytes).ok().map(Cell::Text) } else { Some(Cell::Bytes(bytes)) }
    }
}

fn refuse(routines: &Routines, context: *mut Context) {
    // SAFETY: the context is of the call that is under way; SQLite copies the text.
    unsafe { (routines.result_error)(context, REFUSED.as_ptr(), REFUSED.count_bytes() as c_int) }
}

pub unsafe extern "C" fn end(context: *mut Context) {
    let Some(routines) = ROUTINES.get() else { return };
    // SAFETY: the context is of this call; null where there was no row.
    let kept = unsafe { (routines.aggregate_context)(context, 0) }.cast::<Kept>();
    if kept.is_null() {
        return;
    }
    // SAFETY: what `step` has kept there.
    let kept = unsafe { std::mem::replace(&mut *kept, std::ptr::null_mut()) };
    if kept.is_null() {
        return;
    }
    // SAFETY: made by `step`, and taken from its place.
    let packer = unsafe { Box::from_raw(kept) };
    let packed = packer.packed();
    match c_int::try_from(packed.len()) {
        // SAFETY: the context is of this call; so many bytes are there, and SQLite copies them.
        Ok(size) => unsafe { (routines.result_blob)(context, packed.as_ptr().cast(), size, TRANSIENT) },
        Err(_) => refuse(routines, context),
    }
}
