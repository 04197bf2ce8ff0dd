//! Rows for SQLite and from it, many in one value. The table-valued function `tidelog_rows(packed, width)` gives those that
//! `tidelog_pure::packed` reads, in columns c0, c1 and so on; the aggregate `tidelog_packed(wide, ..)` packs rows.
//!
//! With it, a commit adds the rows of a table by one statement, `INSERT INTO .. SELECT .. FROM tidelog_rows(?, ?)`, which
//! runs without the interpreter's lock and opens each index once; and a read of whole rows makes no objects. It works in the SQLite that loads it, by the functions
//! which that one hands over: a second copy of SQLite in a process would break the first one's locks.
//!
//! This is the only unsafe code of tidelog: what SQLite's interface for extensions needs. Rows are read by the safe code
//! of the other crate; a value that holds no such rows is an error of the statement.

mod aggregate;
mod routines;
mod table;

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{from_ref, null_mut};

use routines::{Database, ERROR, OF_ANY_COUNT, OK, Routines, UTF8_AND_DIRECT_ONLY};

const OLDEST: c_int = 3_031_000; // the first with DIRECT_ONLY; all functions that are used here are older

/// SQLite calls it when it loads the extension.
///
/// # Safety
/// As SQLite calls it: with an open database, and the functions of the library that has opened it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_tidelog_init(
    database: *mut Database,
    _message: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: SQLite hands over its functions; every version that loads extensions has this one.
    let version = unsafe { (*routines).libversion_number };
    // SAFETY: it takes nothing.
    if unsafe { version() } < OLDEST {
        return ERROR;
    }
    // SAFETY: they are a static of the library, and of this version no place is empty that is declared.
    let routines: &'static Routines = unsafe { &*routines };
    if !aggregate::works_with(routines) {
        return ERROR;
    }
    let given = from_ref(routines).cast_mut().cast::<c_void>();
    let (step, end) = (Some(aggregate::step as _), Some(aggregate::end as _));
    let (name, kind) = (aggregate::NAME.as_ptr(), UTF8_AND_DIRECT_ONLY);
    // SAFETY: the database is open, and SQLite copies the name.
    let made = unsafe { (routines.create_function)(database, name, OF_ANY_COUNT, kind, null_mut(), None, step, end) };
    if made != OK {
        return made;
    }
    // SAFETY: the database is open; name and module are static, and so is what connect is given.
    unsafe { (routines.create_module)(database, table::NAME.as_ptr(), &table::MODULE, given) }
}
