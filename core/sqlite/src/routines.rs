//! What SQLite and an extension hand to each other: SQLite's functions, by their places in `sqlite3_api_routines`
//! (sqlite3ext.h), and the records of virtual tables (sqlite3.h). Both only ever grow at their ends.

use std::ffi::{c_char, c_double, c_int, c_uchar, c_void};
use std::mem::{offset_of, size_of};

pub const OK: c_int = 0;
pub const ERROR: c_int = 1;
pub const NOMEM: c_int = 7;
pub const TOO_BIG: c_int = 18;
pub const CONSTRAINT: c_int = 19; // of xBestIndex: not this way

pub const INTEGER: c_int = 1; // what value_type says
pub const TEXT: c_int = 3;
pub const BLOB: c_int = 4;
pub const NULL: c_int = 5;
pub const EQUAL: c_uchar = 2; // SQLITE_INDEX_CONSTRAINT_EQ
pub const DIRECT_ONLY: c_int = 3; // SQLITE_VTAB_DIRECTONLY: not from within triggers and views
pub const OF_ANY_COUNT: c_int = -1; // of arguments
pub const UTF8_AND_DIRECT_ONLY: c_int = 0x8_0001; // SQLITE_UTF8 | SQLITE_DIRECTONLY, of a function

/// In the place of a destructor: SQLite copies what it is given before the call returns.
pub const TRANSIENT: isize = -1;

pub enum Database {}
pub enum Context {}
pub enum Value {}

type Slot = usize;

/// `sqlite3_api_routines`, as far as it is used here.
#[repr(C)]
pub struct Routines {
    pub aggregate_context: unsafe extern "C" fn(*mut Context, c_int) -> *mut c_void,
    _1: [Slot; 44],
    pub create_function: unsafe extern "C" fn(
        *mut Database,
        *const c_char,
        c_int,
        c_int,
        *mut c_void,
        Never,
        Option<Step>,
        Option<End>,
    ) -> c_int,
    _46: [Slot; 1],
    pub create_module: unsafe extern "C" fn(*mut Database, *const c_char, *const Module, *mut c_void) -> c_int,
    _48: [Slot; 2],
    pub declare_vtab: unsafe extern "C" fn(*mut Database, *const c_char) -> c_int,
    _51: [Slot; 16],
    pub libversion_number: unsafe extern "C" fn() -> c_int,
    pub malloc: unsafe extern "C" fn(c_int) -> *mut c_void,
    _69: [Slot; 9],
    pub result_blob: unsafe extern "C" fn(*mut Context, *const c_void, c_int, isize),
    _79: [Slot; 1],
    pub result_error: unsafe extern "C" fn(*mut Context, *const c_char, c_int),
    _81: [Slot; 2],
    pub result_int64: unsafe extern "C" fn(*mut Context, i64),
    _84: [Slot; 1],
    pub result_text: unsafe extern "C" fn(*mut Context, *const c_char, c_int, isize),
    _86: [Slot; 16],
    pub value_blob: unsafe extern "C" fn(*mut Value) -> *const c_void,
    pub value_bytes: unsafe extern "C" fn(*mut Value) -> c_int,
    _104: [Slot; 3],
    pub value_int64: unsafe extern "C" fn(*mut Value) -> i64,
    _108: [Slot; 1],
    pub value_text: unsafe extern "C" fn(*mut Value) -> *const c_uchar,
    _110: [Slot; 3],
    pub value_type: unsafe extern "C" fn(*mut Value) -> c_int,
    _114: [Slot; 63],
    pub vtab_config: unsafe extern "C" fn(*mut Database, c_int, ...) -> c_int,
}

const _: () = {
    const fn stands(offset: usize, place: usize) {
        assert!(offset == place * size_of::<Slot>());
    }
    stands(offset_of!(Routines, aggregate_context), 0);
    stands(offset_of!(Routines, create_function), 45);
    stands(offset_of!(Routines, create_module), 47);
    stands(offset_of!(Routines, declare_vtab), 50);
    stands(offset_of!(Routines, libversion_number), 67);
    stands(offset_of!(Routines, malloc), 68);
    stands(offset_of!(Routines, result_blob), 78);
    stands(offset_of!(Routines, result_error), 80);
    stands(offset_of!(Routines, result_int64), 83);
    stands(offset_of!(Routines, result_text), 85);
    stands(offset_of!(Routines, value_blob), 102);
    stands(offset_of!(Routines, value_bytes), 103);
    stands(offset_of!(Routines, value_int64), 107);
    stands(offset_of!(Routines, value_text), 109);
    stands(offset_of!(Routines, value_type), 113);
    stands(offset_of!(Routines, vtab_config), 177);
};

type Never = Option<unsafe extern "C" fn()>; // a method that this table, or function, has not
pub type Step = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);
pub type End = unsafe extern "C" fn(*mut Context);

/// `sqlite3_module`, version 1.
#[repr(C)]
pub struct Module {
    pub version: c_int,
    pub create: Never, // none: the table is there without CREATE VIRTUAL TABLE
    pub connect: unsafe extern "C" fn(
        *mut Database,
        *mut c_void,
        c_int,
        *const *const c_char,
        *mut *mut Table,
        *mut *mut c_char,
    ) -> c_int,
    pub best_index: unsafe extern "C" fn(*mut Table, *mut IndexInfo) -> c_int,
    pub disconnect: unsafe extern "C" fn(*mut Table) -> c_int,
    pub destroy: unsafe extern "C" fn(*mut Table) -> c_int,
    pub open: unsafe extern "C" fn(*mut Table, *mut *mut Cursor) -> c_int,
    pub close: unsafe extern "C" fn(*mut Cursor) -> c_int,
    pub filter: unsafe extern "C" fn(*mut Cursor, c_int, *const c_char, c_int, *mut *mut Value) -> c_int,
    pub next: unsafe extern "C" fn(*mut Cursor) -> c_int,
    pub eof: unsafe extern "C" fn(*mut Cursor) -> c_int,
    pub column: unsafe extern "C" fn(*mut Cursor, *mut Context, c_int) -> c_int,
    pub rowid: unsafe extern "C" fn(*mut Cursor, *mut i64) -> c_int,
    pub others: [Never; 7], // xUpdate to xRename: it is read only, and has no transactions
}

/// `sqlite3_vtab`.
#[repr(C)]
pub struct Table {
    pub module: *const Module,
    pub cursors: c_int,
    pub message: *mut c_char, // of SQLite's allocator; SQLite takes it after a method that failed
}

/// `sqlite3_vtab_cursor`.
#[repr(C)]
pub struct Cursor {
    pub table: *mut Table,
}

/// `sqlite3_index_constraint`.
#[repr(C)]
pub struct Constraint {
    pub column: c_int,
    pub operator: c_uchar,
    pub usable: c_uchar,
    pub term: c_int,
}

/// `sqlite3_index_constraint_usage`.
#[repr(C)]
pub struct Usage {
    pub argument: c_int, // its place in what xFilter is given, from 1 on
    pub omit: c_uchar,
}

/// `sqlite3_index_info`, up to what 3.8.2 has.
#[repr(C)]
pub struct IndexInfo {
    pub constraint_count: c_int,
    pub constraints: *const Constraint,
    pub order_count: c_int,
    pub orders: *const c_void,
    pub usages: *mut Usage,
    pub number: c_int,
    pub text: *mut c_char,
    pub frees_text: c_int,
    pub is_ordered: c_int,
    pub cost: c_double,
    pub rows: i64,
}
