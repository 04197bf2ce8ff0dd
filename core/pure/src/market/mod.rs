//! Frames of a market feed that say nothing but that all is well: updates of books, proven, heartbeats, tickers, and
//! trades whose ids follow on each other.
//!
//! Taken is what leaves a book proven, and what a reader has said that nothing else follows from. Everything else is
//! declined and has changed nothing: refusals, a checksum that differs, what is written in an unusual way. Then the Python
//! path decides.

pub mod book;
pub mod books;
pub mod canonical;
pub mod digits;
pub mod records;
pub mod samples;
pub mod scan;
pub mod time;
pub mod trades;
pub mod v1;
pub mod v2;
