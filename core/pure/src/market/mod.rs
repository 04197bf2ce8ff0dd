//! Frames of a market feed that say nothing but that all is well: updates of books, proven, and heartbeats.
//!
//! Taken is what leaves a book proven. Everything else is declined and has changed nothing: snapshots, refusals, a
//! checksum that differs, what is written in an unusual way. Then the Python path decides.

pub mod book;
pub mod books;
pub mod canonical;
pub mod records;
pub mod scan;
pub mod time;
pub mod v1;
pub mod v2;
