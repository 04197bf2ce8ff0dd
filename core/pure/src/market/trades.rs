//! What a frame says of trades, or of one ticker. Its texts stay in the frame.

use super::scan::Number;

/// A word of a frame, or one that stands for it in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    In { begin: u32, end: u32 },
    Is(&'static [u8]),
}

impl Word {
    pub fn text<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        match *self {
            Word::In { begin, end } => &frame[begin as usize..end as usize],
            Word::Is(text) => text,
        }
    }
}

/// A trade. All of a frame are of one symbol here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    pub is_buy: bool, // of the taker
    pub price: Number,
    pub qty: Number,
    pub time_us: i64, // Unix
    pub ord_type: Word,
    pub id: Option<u64>, // None: the protocol has none
}

const SCALE_MAX: u8 = 15; // with more decimals, or beyond 63 bits, a row's numbers are written otherwise

impl Trade {
    /// Whether a row holds its numbers as they are written.
    pub fn fits_a_row(&self) -> bool {
        [self.price, self.qty]
            .iter()
            .all(|number| (1..=i64::MAX as u64).contains(&number.value) && number.decimals <= SCALE_MAX)
    }
}

pub const NUMBERS: usize = 11; // of a ticker, in the order of events: the last two are in one protocol alone

/// A ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker<'f> {
    pub symbol: &'f [u8], // as the frame has it
    pub numbers: [Option<Number>; NUMBERS],
    pub stamp_us: Option<i64>, // Unix
}

/// Whether ids are, in some order, those that follow on `last`.
pub fn follow_on(last: u64, ids: &mut [u64]) -> bool {
    ids.sort_unstable();
    ids.iter().zip(1..).all(|(id, more)| id.checked_sub(last) == Some(more))
}

#[cfg(test)]
mod tests {
    use super::follow_on;

    #[test]
    fn ids_follow_on_where_none_is_missing_or_there_twice() {
        for (ids, meant) in [
            (&mut [8][..], true),
            (&mut [10, 8, 9], true),
            (&mut [9], false),
            (&mut [8, 8], false),
            (&mut [7, 8], false),
            (&mut [8, 10], false),
        ] {
            assert_eq!(follow_on(7, ids), meant, "{ids:?}");
        }
    }
}
