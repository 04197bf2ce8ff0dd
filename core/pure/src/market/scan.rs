//! Reading a frame from left to right, in exactly the shape that the exchange writes. Nothing is copied.

use super::digits;
use super::trades::Word;

/// A number as it is written: its digits as an integer, and where its text is in the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    pub value: u64, // of all digits, without the point
    pub decimals: u8,
    begin: u32,
    end: u32,
}

const DIGITS_MAX: usize = 19; // any so many fit into 64 bits
const EXPONENT_MAX: u64 = 99;

impl Number {
    /// In units of 10**-scale; None if it has more decimals than that, or is beyond 64 bits.
    pub fn scaled(&self, scale: u8) -> Option<u64> {
        let more = scale.checked_sub(self.decimals)?;
        if more == 0 { Some(self.value) } else { self.value.checked_mul(10u64.checked_pow(more.into())?) }
    }

    pub fn text<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        &frame[self.begin as usize..self.end as usize]
    }

    /// Where its text is in its frame.
    pub fn span(&self) -> (u32, u32) {
        (self.begin, self.end)
    }
}

/// A price and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub price: Number,
    pub qty: Number,
}

/// An update of one book. Its levels are in a list that the scanner was given: bids first, asks behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'f> {
    pub symbol: &'f [u8], // as the frame has it
    pub bids: usize,      // how many of the levels
    pub checksum: u32,
    pub stamp_us: Option<i64>, // the exchange's time, Unix
    pub shown: Shown<'f>,
}

/// Reads an update of one book, its levels into the list; None: not by me.
pub type ReadUpdate = for<'f> fn(&'f [u8], &mut Vec<Level>) -> Option<Update<'f>>;

/// How an update's content is encoded, as far as its frame has it so already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'f> {
    /// The content in parts, the second of which follows on the first.
    Parts(&'f [u8], &'static [u8]),
    /// It has to be made of the levels.
    Levels,
}

/// How far a frame was read. Every method gives None where something else stands than is asked for.
pub struct Cursor<'f> {
    pub frame: &'f [u8],
    pub at: usize,
}

impl<'f> Cursor<'f> {
    pub fn new(frame: &'f [u8]) -> Cursor<'f> {
        Cursor { frame, at: 0 }
    }

    #[inline(always)]
    pub fn eat(&mut self, what: &[u8]) -> Option<()> {
        let end = self.at + what.len();
        if self.frame.get(self.at..end)? != what {
            return None;
        }
        self.at = end;
        Some(())
    }

    #[inline(always)]
    pub fn next_is(&self, byte: u8) -> bool {
        self.frame.get(self.at) == Some(&byte)
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.frame.len()
    }

    /// Text up to the quote, without anything that JSON or an encoder would treat in a special way.
    #[inline(always)]
    pub fn plain(&mut self) -> Option<&'f [u8]> {
        let begin = self.at;
        loop {
            match *self.frame.get(self.at)? {
                b'"' => break,
                b'\\' => return None,
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
        self.at += 1;
        Some(&self.frame[begin..self.at - 1])
    }

    /// The same, as a word.
    #[inline(always)]
    pub fn word(&mut self) -> Option<Word> {
        let begin = self.at as u32;
        self.plain()?;
        Some(Word::In { begin, end: self.at as u32 - 1 })
    }

    /// A sequence of digits, appended to a value; how many there were.
    #[inline(always)]
    fn digits(&mut self, value: &mut u64) -> Option<usize> {
        let begin = self.at;
        loop {
            let digit = self.frame.get(self.at)?.wrapping_sub(b'0');
            if digit > 9 {
                return Some(self.at - begin);
            }
            *value = value.wrapping_mul(10).wrapping_add(digit.into()); // too many are told by their count
            self.at += 1;
        }
    }

    /// Eight digits, if so many follow, appended to a value; how many there were.
    #[inline(always)]
    fn eight(&mut self, value: &mut u64) -> usize {
        let Some(read) = self.frame.get(self.at..).and_then(|rest| rest.first_chunk()).copied().and_then(digits::eight)
        else {
            return 0;
        };
        *value = value.wrapping_mul(100_000_000).wrapping_add(read);
        self.at += 8;
        8
    }

    /// A whole number as JSON writes one.
    #[inline(always)]
    pub fn whole(&mut self) -> Option<u64> {
        let (begin, mut value) = (self.at, 0);
        let count = self.digits(&mut value)?;
        let usual = count > 0 && count <= DIGITS_MAX && (count == 1 || self.frame[begin] != b'0');
        usual.then_some(value)
    }

    /// A number that is not negative, as JSON writes one.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        let mut number = self.decimal()?;
        if self.next_is(b'E') || self.next_is(b'e') {
            self.at += 1;
            let (value, decimals) = self.exponent(number.value, number.decimals.into())?;
            number = Number { value, decimals: decimals as u8, end: self.at as u32, ..number };
        }
        Some(number)
    }

    /// The same with a sign, which is in its text alone, and without an exponent. Not less than nothing by nothing.
    #[inline(always)]
    pub fn signed(&mut self) -> Option<Number> {
        let begin = self.at as u32;
        let is_negative = self.next_is(b'-');
        if is_negative {
            self.at += 1;
        }
        let number = Number { begin, ..self.decimal()? };
        (!is_negative || number.value > 0).then_some(number)
    }

    /// A number that is not negative, as JSON writes one without an exponent.
    #[inline(always)]
    pub fn decimal(&mut self) -> Option<Number> {
        let (begin, mut value) = (self.at, 0);
        let whole = self.digits(&mut value)?;
        if whole == 0 || (whole > 1 && self.frame[begin] == b'0') {
            return None;
        }
        let mut decimals = 0;
        if self.next_is(b'.') {
            self.at += 1;
            decimals = self.eight(&mut value) + self.digits(&mut value)?;
            if decimals == 0 {
                return None;
            }
        }
        if whole + decimals > DIGITS_MAX {
            return None;
        }
        Some(Number { value, decimals: decimals as u8, begin: begin as u32, end: self.at as u32 })
    }

    #[cold]
    fn exponent(&mut self, value: u64, decimals: usize) -> Option<(u64, usize)> {
        let down = self.next_is(b'-');
        if down || self.next_is(b'+') {
            self.at += 1;
        }
        let mut exponent = 0;
        if !(1..=3).contains(&self.digits(&mut exponent)?) || exponent > EXPONENT_MAX {
            return None;
        }
        let exponent = exponent as usize;
        if down {
            return Some((value, decimals + exponent));
        }
        let more = exponent.saturating_sub(decimals) as u32;
        Some((value.checked_mul(10u64.checked_pow(more)?)?, decimals.saturating_sub(exponent)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Number};

    fn read(text: &str) -> Option<(u64, u8)> {
        let padded = format!("{text},");
        let mut cursor = Cursor::new(padded.as_bytes());
        let Number { value, decimals, .. } = cursor.number()?;
        (cursor.at == text.len()).then_some((value, decimals))
    }

    #[test]
    fn numbers_keep_all_of_their_digits() {
        for (text, meant) in [
            ("0", (0, 0)),
            ("0.00000000", (0, 8)),
            ("29430.20", (2_943_020, 2)),
            ("9999999999999999999", (9_999_999_999_999_999_999, 0)),
            ("9.30E-6", (930, 8)),
            ("1e2", (100, 0)),
            ("1.25e+1", (125, 1)),
            ("1.5E2", (150, 0)),
        ] {
            assert_eq!(read(text), Some(meant), "{text}");
        }
    }

    #[test]
    fn what_is_no_usual_number_is_declined() {
        for text in ["", "-1", "00", "01.5", ".5", "5.", "1.2.3", "1E", "1E-", "1E1000", "12345678901234567890", "1E20"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_scaled_exactly_or_not_at_all() {
        let number = |text: &str| Cursor::new(text.as_bytes()).number().unwrap_or_default();
        assert_eq!(number("1.5,").scaled(3), Some(1500));
        assert_eq!(number("1.5,").scaled(1), Some(15));
        assert_eq!(number("1.50,").scaled(1), None);
        assert_eq!(number("1.5,").scaled(30), None);
        assert_eq!(number("1.5,").text(b"1.5,"), b"1.5");
    }
}
