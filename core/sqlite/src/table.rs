//! The virtual table: SQLite's calls, each handed to safe code.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::slice;

use tidelog_pure::fault::guarded;
use tidelog_pure::packed::{Cell, Malformed, Rows};

use crate::routines::{
    BLOB, CONSTRAINT, Context, Cursor, DIRECT_ONLY, Database, EQUAL, ERROR, IndexInfo, Module, NOMEM, OK, Routines,
    TOO_BIG, TRANSIENT, Table, Value,
};

pub const NAME: &CStr = c"tidelog_rows";
const SCHEMA: &CStr = c"CREATE TABLE rows(\
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, \
    c16, c17, c18, c19, c20, c21, c22, c23, c24, c25, c26, c27, c28, c29, c30, c31, \
    c32, c33, c34, c35, c36, c37, c38, c39, c40, c41, c42, c43, c44, c45, c46, c47, \
    c48, c49, c50, c51, c52, c53, c54, c55, c56, c57, c58, c59, c60, c61, c62, c63, \
    packed HIDDEN, width HIDDEN)";
const WIDTH_MAX: usize = 64;
const PACKED: c_int = 64; // the column of the first argument, behind all others
const WIDTH: c_int = 65; // ... and of the second
const ROWS_EXPECTED: i64 = 10_000; // for the planner, which has no choice

pub static MODULE: Module = Module {
    version: 1,
    create: None,
    connect,
    best_index,
    disconnect,
    destroy: disconnect,
    open,
    close,
    filter,
    next,
    eof,
    column,
    rowid,
    others: [None; 7],
};

/// The table of a connection. `base` stands first: it is what SQLite's pointer points to.
#[repr(C)]
struct Own {
    base: Table,
    routines: &'static Routines,
}

/// A walk through the rows of one value. `base` stands first here too.
#[repr(C)]
struct Walk {
    base: Cursor,
    rows: Option<Rows>, // None: before the first row, behind the last one, or after an error
    number: i64,
}

impl Walk {
    fn routines(&self) -> &'static Routines {
        // SAFETY: what connect gave; a table outlives its cursors.
        unsafe { (*self.base.table.cast::<Own>()).routines }
    }

    /// Go on to the next row.
    fn advance(&mut self) -> c_int {
        let Some(rows) = &mut self.rows else { return OK };
        match guarded(|| rows.advance()) {
            Ok(Ok(true)) => {
                self.number = self.number.wrapping_add(1);
                OK
            }
            Ok(Ok(false)) => {
                self.rows = None;
                OK
            }
            Ok(Err(Malformed)) => self.failed("tidelog_rows: no row of this width"),
            Err(panic) => self.failed(&panic),
        }
    }

    /// An error of the statement, in words.
    fn failed(&mut self, what: &str) -> c_int {
        self.rows = None;
        let Ok(size) = c_int::try_from(what.len() + 1) else { return ERROR };
        // SAFETY: any size may be asked for.
        let place = unsafe { (self.routines().malloc)(size) }.cast::<u8>();
        if place.is_null() {
            return NOMEM;
        }
        // SAFETY: there is room for the text and a zero, and nobody else knows the place.
        let text = unsafe { slice::from_raw_parts_mut(place.cast::<std::mem::MaybeUninit<u8>>(), what.len() + 1) };
        for (place, byte) in text.iter_mut().zip(what.bytes().chain([0])) {
            place.write(byte);
        }
        let table = self.base.table;
        // SAFETY: what connect gave; SQLite has taken the message before, and frees this one.
        unsafe { (*table).message = place.cast() };
        ERROR
    }
}

unsafe extern "C" fn connect(
    database: *mut Database,
    given: *mut c_void,
    _count: c_int,
    _arguments: *const *const c_char,
    made: *mut *mut Table,
    _message: *mut *mut c_char,
) -> c_int {
    // SAFETY: what the module was made with: the functions of the library, which are static.
    let routines: &'static Routines = unsafe { &*given.cast::<Routines>() };
    // SAFETY: it is called from within connect, as it has to be.
    let declared = unsafe { (routines.declare_vtab)(database, SCHEMA.as_ptr()) };
    if declared != OK {
        return declared;
    }
    // SAFETY: as above; this option takes no further argument.
    let configured = unsafe { (routines.vtab_config)(database, DIRECT_ONLY) };
    if configured != OK {
        return configured;
    }
    let base = Table { module: &MODULE, cursors: 0, message: null_mut() };
    let own = Box::into_raw(Box::new(Own { base, routines }));
    // SAFETY: SQLite gives the place for the pointer.
    unsafe { made.write(own.cast()) };
    OK
}

unsafe extern "C" fn disconnect(table: *mut Table) -> c_int {
    // SAFETY: what connect gave, and SQLite gives it back once.
    drop(unsafe { Box::from_raw(table.cast::<Own>()) });
    OK
}

unsafe extern "C" fn best_index(_table: *mut Table, info: *mut IndexInfo) -> c_int {
    // SAFETY: SQLite's record of this call, which nobody else changes meanwhile.
    let info = unsafe { &mut *info };
    let count = usize::try_from(info.constraint_count).unwrap_or(0);
    if count == 0 {
        return CONSTRAINT; // both arguments are wanted
    }
    // SAFETY: SQLite gives so many constraints, aligned and not null where there are any.
    let constraints = unsafe { slice::from_raw_parts(info.constraints, count) };
    // SAFETY: ... and so many places for what is to be done with them.
    let usages = unsafe { slice::from_raw_parts_mut(info.usages, count) };
    let mut arguments = 0;
    for (constraint, usage) in constraints.iter().zip(usages) {
        let argument = match constraint.column {
            PACKED => 1,
            WIDTH => 2,
            _ => continue,
        };
        if constraint.operator == EQUAL && constraint.usable != 0 && arguments & argument == 0 {
            usage.argument = argument;
            usage.omit = 1;
            arguments |= argument;
        }
    }
    if arguments != 3 {
        return CONSTRAINT;
    }
    info.cost = 1.0;
    info.rows = ROWS_EXPECTED;
    OK
}

unsafe extern "C" fn open(table: *mut Table, made: *mut *mut Cursor) -> c_int {
    let walk = Box::into_raw(Box::new(Walk { base: Cursor { table }, rows: None, number: 0 }));
    // SAFETY: SQLite gives the place for the pointer.
    unsafe { made.write(walk.cast()) };
    OK
}

unsafe extern "C" fn close(cursor: *mut Cursor) -> c_int {
    // SAFETY: what open gave, and SQLite gives it back once.
    drop(unsafe { Box::from_raw(cursor.cast::<Walk>()) });
    OK
}

unsafe extern "C" fn filter(
    cursor: *mut Cursor,
    _number: c_int,
    _text: *const c_char,
    count: c_int,
    values: *mut *mut Value,
) -> c_int {
    // SAFETY: what open gave; SQLite uses a cursor in one call at a time.
    let walk = unsafe { &mut *cursor.cast::<Walk>() };
    let routines = walk.routines();
    walk.rows = None;
    walk.number = 0;
    if count != 2 {
        return walk.failed("tidelog_rows: two arguments are wanted");
    }
    // SAFETY: SQLite gives so many values.
    let values = unsafe { slice::from_raw_parts(values, 2) };
    let (packed, width) = (values[0], values[1]);
    // SAFETY: a value of this call.
    let width = usize::try_from(unsafe { (routines.value_int64)(width) }).unwrap_or(0);
    // SAFETY: as above.
    if unsafe { (routines.value_type)(packed) } != BLOB || !(1..=WIDTH_MAX).contains(&width) {
        return walk.failed("tidelog_rows: packed rows and the count of their columns are wanted");
    }
    // SAFETY: as above; the bytes are asked for before their count, as SQLite wants it.
    let start = unsafe { (routines.value_blob)(packed) };
    // SAFETY: as above.
    let size = usize::try_from(unsafe { (routines.value_bytes)(packed) }).unwrap_or(0);
    if start.is_null() || size == 0 {
        return OK; // no rows
    }
    // SAFETY: SQLite has so many bytes there, until this call returns.
    let bytes = unsafe { slice::from_raw_parts(start.cast::<u8>(), size) };
    walk.rows = Some(Rows::new(bytes.to_vec(), width));
    walk.advance()
}

unsafe extern "C" fn next(cursor: *mut Cursor) -> c_int {
    // SAFETY: what open gave; SQLite uses a cursor in one call at a time.
    unsafe { &mut *cursor.cast::<Walk>() }.advance()
}

unsafe extern "C" fn eof(cursor: *mut Cursor) -> c_int {
    // SAFETY: as above.
    c_int::from(unsafe { &*cursor.cast::<Walk>() }.rows.is_none())
}

unsafe extern "C" fn rowid(cursor: *mut Cursor, place: *mut i64) -> c_int {
    // SAFETY: as above.
    let number = unsafe { &*cursor.cast::<Walk>() }.number;
    // SAFETY: SQLite gives the place for the number.
    unsafe { place.write(number) };
    OK
}

unsafe extern "C" fn column(cursor: *mut Cursor, context: *mut Context, place: c_int) -> c_int {
    // SAFETY: as above.
    let walk = unsafe { &*cursor.cast::<Walk>() };
    let routines = walk.routines();
    let Some(rows) = &walk.rows else { return OK };
    let Ok(place) = usize::try_from(place) else { return OK };
    match rows.cell(place) {
        Cell::Null => {} // what a column is that was not set
        // SAFETY: the context is of this call.
        Cell::Int(value) => unsafe { (routines.result_int64)(context, value) },
        Cell::Bytes(bytes) => {
            let Ok(size) = c_int::try_from(bytes.len()) else { return TOO_BIG };
            // SAFETY: so many bytes are there, and SQLite copies them.
            unsafe { (routines.result_blob)(context, bytes.as_ptr().cast(), size, TRANSIENT) }
        }
        Cell::Text(text) => {
            let Ok(size) = c_int::try_from(text.len()) else { return TOO_BIG };
            // SAFETY: so many bytes of UTF-8 are there, and SQLite copies them.
            unsafe { (routines.result_text)(context, text.as_ptr().cast(), size, TRANSIENT) }
        }
    }
    OK
}
