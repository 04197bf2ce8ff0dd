//! The compiled core of tidelog: pure functions of what a peer answered, and of the rules that hold.
//!
//! It takes the usual exactly and declines everything else; then the Python path decides, and gives the words of the
//! error. So there is one property to hold: what is taken here, the Python path takes too, with equal rows, digest and
//! proof. No Python, no I/O, no clock, no threads of its own.

pub mod chain;
pub mod copy;
pub mod fault;
pub mod fingerprints;
pub mod market;
pub mod packed;
pub mod websocket;
