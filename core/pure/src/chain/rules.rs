//! What blocks are proven by: the rules of `tidelog.chain.verify`, and the profile of their chain by ranges of blocks.

use super::blocks::Hash;

/// The names of the checks, in the order of a proof's text. `senders` is never made here.
pub const CHECKS: [&str; 9] =
    ["hash", "parent", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals", "senders"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Check {
    Hash,
    Parent,
    Uncles,
    Transactions,
    Receipts,
    Derived,
    Bloom,
    Withdrawals,
}

/// Some of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checks(u16);

impl Checks {
    pub fn has(self, check: Check) -> bool {
        self.at(check as usize)
    }

    /// Whether the check at a place of `CHECKS` is among them.
    pub fn at(self, place: usize) -> bool {
        self.0 >> place & 1 != 0
    }

    /// None for a name that is none of a check.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Checks> {
        let mut found = Checks::default();
        for name in names {
            let place = CHECKS.iter().position(|known| *known == name)?;
            found.0 |= 1 << place;
        }
        Some(found)
    }
}

/// The rules from block `first` on.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub first: u64,
    pub checks: Checks,
    pub accepted: Checks, // not made, because the user said so
    pub foreign: Checks,  // whose root is of another kind
    pub state_sync: bool,
    pub storage_withdrawals_root: bool,
    pub bloom_superset: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub chain_id: u64,
    pub name: String, // of the profile
    pub opaque_types: Vec<u8>,
    pub ranges: Vec<Range>, // ascending, the first from block 0
    pub anchor: Option<Hash>,
}

impl Rules {
    pub fn at(&self, number: u64) -> Option<&Range> {
        self.ranges.iter().rev().find(|range| range.first <= number)
    }
}
