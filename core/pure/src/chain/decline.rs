//! Why a block is left to the Python path. No error words: those are the Python path's.

use std::borrow::Cow;

/// What a count of declined blocks is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// JSON that is valid perhaps, but unusual: escapes, text beyond ASCII, names twice, deep nesting.
    Json,
    /// A field is missing, or is written in other words than the specification's.
    Shape,
    /// Read all the same by the Python path, which counts such answers.
    Odd,
    /// A transaction of a type whose forms only the Python path knows.
    Type,
    /// What was answered differs from what its header commits to.
    Differs,
    /// Another block than the one asked for.
    Asked,
    /// Fields of the endpoint's own that are large, or that say something which must not be stored.
    Extra,
    /// The rules want something that is not computed here.
    Rules,
    /// A panic: a fault of this library.
    Fault,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Json => "json",
            Reason::Shape => "shape",
            Reason::Odd => "odd",
            Reason::Type => "type",
            Reason::Differs => "differs",
            Reason::Asked => "asked",
            Reason::Extra => "extra",
            Reason::Rules => "rules",
            Reason::Fault => "fault",
        }
    }
}

/// A block that is not taken; `what` is for who debugs this library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    pub reason: Reason,
    pub what: Cow<'static, str>,
}

pub type Outcome<T> = Result<T, Declined>;

pub fn declined<T>(reason: Reason, what: &'static str) -> Outcome<T> {
    Err(Declined { reason, what: Cow::Borrowed(what) })
}

/// Decline unless a comparison holds.
#[inline(always)]
pub fn holds(equal: bool, what: &'static str) -> Outcome<()> {
    if equal { Ok(()) } else { declined(Reason::Differs, what) }
}
