//! A strict scanner of the JSON that nodes send, one pass. What is unusual is declined, not judged.

use super::decline::{Outcome, Reason, declined};
use super::hex::{self, Digits, Words};

const DEPTH_MAX: u32 = 16; // of values that are only kept as text
pub(super) const NAMES_MAX: usize = 64; // of one such object: each is compared with all before it
const DIGITS_MAX: usize = 18; // of a plain number: what surely is below 2^60

/// The field that a name is none of.
pub const UNKNOWN: u8 = 255;

#[inline(always)]
fn is_plain(c: u8) -> bool {
    (0x20..0x7f).contains(&c) && c != b'\\' && c != b'"'
}

#[cold]
fn odd_json<T>(what: &'static str) -> Outcome<T> {
    declined(Reason::Json, what)
}

#[cold]
fn shape<T>(what: &'static str) -> Outcome<T> {
    declined(Reason::Shape, what)
}

/// A text, and how far it was read; `D` is how its digits are read.
pub struct Scanner<'a, D = Words> {
    pub text: &'a [u8],
    pub at: usize,
    digits: D,
}

/// How a field begins: the character before it, its name and the colon, in one vector.
struct Opening {
    text: [u64; OPENING / 8],
    mask: [u64; OPENING / 8],
    size: usize,
    field: u8, // what its name was looked up as
}

const OPENING: usize = 32; // bytes: longer names are looked up each time

impl Opening {
    /// None if it is too long.
    fn of(text: &[u8], field: u8) -> Option<Opening> {
        let (mut padded, mut mask) = ([0u8; OPENING], [0u8; OPENING]);
        padded.get_mut(..text.len())?.copy_from_slice(text);
        mask[..text.len()].fill(0xff);
        Some(Opening { text: words(&padded), mask: words(&mask), size: text.len(), field })
    }
}

#[inline(always)]
fn words(text: &[u8; OPENING]) -> [u64; OPENING / 8] {
    let mut words = [0; OPENING / 8];
    for (word, eight) in words.iter_mut().zip(text.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

/// How objects of a kind go on: which field came behind which one, the last two times that it was another one.
#[derive(Default)]
pub struct Habit {
    openings: Vec<[Option<Opening>; 2]>,
    before: usize, // 0 at the beginning of an object, else 1 more than the field before, or `UNKNOWN_BEFORE`
}

const UNKNOWN_BEFORE: usize = 64;

impl Habit {
    #[inline(always)]
    fn passed(&mut self, field: u8) {
        self.before = usize::from(field.min(UNKNOWN_BEFORE as u8 - 1)) + 1;
    }

    fn learn(&mut self, opening: Option<Opening>) {
        if self.openings.len() <= self.before {
            self.openings.resize_with(self.before + 1, Default::default);
        }
        let [last, earlier] = &mut self.openings[self.before];
        *earlier = std::mem::replace(last, opening);
    }
}

/// A hash that was read, and its text.
pub struct Last {
    text: [u8; HASH_TEXT],
    hash: [u8; 32],
}

const HASH_TEXT: usize = 68; // 64 digits, the prefix and both quotes

impl Default for Last {
    fn default() -> Self {
        Last { text: [0; HASH_TEXT], hash: [0; 32] }
    }
}

/// None for null, else what `read` gives.
macro_rules! optional {
    ($scanner:expr, $read:expr) => {
        if $scanner.null()? { None } else { Some($read) }
    };
}
pub(super) use optional;

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Scanner::with(text, Words)
    }
}

impl<'a, D: Digits> Scanner<'a, D> {
    #[inline(always)]
    pub fn with(text: &'a [u8], digits: D) -> Self {
        let mut scanner = Scanner { text, at: 0, digits };
        scanner.space();
        scanner
    }

    /// The next character; 0, which no JSON holds, behind the end.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        if self.at < self.text.len() { self.text[self.at] } else { 0 }
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn eat(&mut self, c: u8) -> Outcome<()> {
        if self.peek() == c {
            self.at += 1;
            Ok(())
        } else {
            shape("another kind of value")
        }
    }

    #[inline(always)]
    fn next<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.text.get(self.at..)?.first_chunk()
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Outcome<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { odd_json("something behind the value") }
    }

    #[inline(always)]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> Outcome<()> {
        if self.next() == Some(word) {
            self.at += N;
            Ok(())
        } else {
            odd_json("no literal")
        }
    }

    /// A string of plain ASCII, as its text.
    #[inline(always)]
    pub fn string(&mut self) -> Outcome<&'a [u8]> {
        self.eat(b'"')?;
        let rest = &self.text[self.at..];
        let Some(size) = Words.quote(rest) else { return odd_json("a string without an end") };
        let text = &rest[..size];
        if !text.iter().fold(true, |plain, &c| plain & is_plain(c)) {
            return odd_json("a string with escapes, or beyond ASCII");
        }
        self.at += size + 1;
        Ok(text)
    }

    /// Begin an object, whose fields are then read one by one.
    #[inline(always)]
    pub fn object(&self, habit: &mut Habit) {
        habit.before = 0;
    }

    /// The next field of the object: what `lookup` made of its name, and the name; None behind the last one.
    #[inline(always)]
    pub fn field(&mut self, habit: &mut Habit, lookup: fn(&[u8]) -> u8) -> Outcome<Option<(u8, &'a [u8])>> {
        for opening in habit.openings.get(habit.before).into_iter().flatten().flatten() {
            if self.begins_with(opening) {
                let (field, name) = (opening.field, &self.text[self.at + 2..self.at + opening.size - 2]);
                self.at += opening.size;
                habit.passed(field);
                self.space();
                return Ok(Some((field, name)));
            }
        }
        if habit.before > 0 && self.peek() == b'}' {
            self.at += 1;
            return Ok(None);
        }
        self.unusual_field(habit, lookup)
    }

    #[inline(always)]
    fn begins_with(&self, opening: &Opening) -> bool {
        let Some(text) = self.next::<OPENING>() else { return false };
        let pairs = words(text).into_iter().zip(opening.text).zip(opening.mask);
        pairs.fold(0, |differing, ((word, expected), mask)| differing | ((word & mask) ^ expected)) == 0
    }

    /// The same by its name alone.
    #[inline(never)]
    fn unusual_field(&mut self, habit: &mut Habit, lookup: fn(&[u8]) -> u8) -> Outcome<Option<(u8, &'a [u8])>> {
        let begins = habit.before == 0;
        if !begins {
            self.space();
        }
        let start = self.at;
        match (begins, self.peek()) {
            (true, b'{') | (false, b',') => self.at += 1,
            (false, b'}') => {
                self.at += 1;
                return Ok(None);
            }
            (true, _) => return shape("another kind of value"),
            (false, _) => return odd_json("an object without an end"),
        }
        self.space();
        if begins && self.peek() == b'}' {
            self.at += 1;
            return Ok(None);
        }
        let name = self.string()?;
        self.space();
        self.eat(b':')?;
        let field = lookup(name);
        // one with white space in it is not expected again: what is compared has none
        let compact = self.at - start == name.len() + 4;
        habit.learn(if compact { Opening::of(&self.text[start..self.at], field) } else { None });
        habit.passed(field);
        self.space();
        Ok(Some((field, name)))
    }

    /// Whether an array has a further item, which is read next; `first` says that none was read yet.
    #[inline(always)]
    pub fn item(&mut self, first: &mut bool) -> Outcome<bool> {
        if std::mem::take(first) {
            self.eat(b'[')?;
            self.space();
            if self.peek() == b']' {
                self.at += 1;
                return Ok(false);
            }
            return Ok(true);
        }
        self.space();
        match self.peek() {
            b',' => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            b']' => {
                self.at += 1;
                Ok(false)
            }
            _ => odd_json("an array without an end"),
        }
    }

    /// Whether a value is null, which is then read.
    #[inline(always)]
    pub fn null(&mut self) -> Outcome<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.word(b"null")?;
        Ok(true)
    }

    #[inline(always)]
    pub fn boolean(&mut self) -> Outcome<bool> {
        if self.peek() == b't' {
            self.word(b"true")?;
            return Ok(true);
        }
        self.word(b"false")?;
        Ok(false)
    }

    /// `"0x..."` of exactly N bytes.
    #[inline(always)]
    pub fn fixed<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let size = 2 * N + 4; // the digits, the prefix and both quotes
        let Some(text) = self.text.get(self.at..self.at + size) else { return shape("the text ends in a hex value") };
        let mut out = [0u8; N];
        let good = self.digits.decode(&text[3..size - 1], &mut out);
        if good & text.starts_with(b"\"0x") & (text[size - 1] == b'"') {
            self.at += size;
            Ok(out)
        } else {
            shape("no hex of its length")
        }
    }

    /// As `fixed`, of a hash that mostly is the one that was read before.
    #[inline(always)]
    pub fn repeated(&mut self, last: &mut Last) -> Outcome<[u8; 32]> {
        let Some(text) = self.next::<HASH_TEXT>() else { return shape("the text ends in a hash") };
        if *text == last.text {
            self.at += HASH_TEXT;
            return Ok(last.hash);
        }
        let hash = self.fixed::<32>()?;
        *last = Last { text: *text, hash };
        Ok(hash)
    }

    /// A quantity of up to 15 digits, if it is one.
    #[inline(always)]
    fn short(&mut self) -> Option<u64> {
        let text = self.next::<19>()?;
        let (value, digits) = hex::short(text.last_chunk()?)?;
        if !text.starts_with(b"\"0x") {
            return None;
        }
        self.at += 4 + digits;
        Some(value)
    }

    /// A quantity of up to 64 bits.
    #[inline(always)]
    pub fn uint64(&mut self) -> Outcome<u64> {
        match self.short() {
            Some(value) => Ok(value),
            None => self.long_uint64(),
        }
    }

    #[inline(never)]
    fn long_uint64(&mut self) -> Outcome<u64> {
        if !self.text[self.at..].starts_with(b"\"0x") {
            return shape("no 0x");
        }
        let mut value = 0u64;
        for (count, &c) in self.text[self.at + 3..].iter().enumerate() {
            let digit = hex::NIBBLE[c as usize];
            if digit < 16 {
                if value >> 60 != 0 {
                    return shape("beyond 64 bits");
                }
                value = value << 4 | u64::from(digit);
            } else if c == b'"' {
                self.at += 4 + count;
                return Ok(value);
            } else {
                return shape("no hex");
            }
        }
        shape("the text ends in a quantity")
    }

    /// A quantity of up to 63 bits: a number of a block, or a place.
    #[inline(always)]
    pub fn integer(&mut self) -> Outcome<u64> {
        let value = self.uint64()?;
        if value >> 63 == 0 { Ok(value) } else { shape("beyond 63 bits") }
    }

    /// A quantity of up to 256 bits, as 32 bytes big-endian.
    #[inline(always)]
    pub fn uint256(&mut self) -> Outcome<[u8; 32]> {
        if let Some(value) = self.short() {
            let mut out = [0; 32];
            out[24..].copy_from_slice(&value.to_be_bytes());
            return Ok(out);
        }
        // one of 64 digits, as r and s mostly are
        if self.text.get(self.at + 67) == Some(&b'"')
            && let Ok(value) = self.fixed::<32>()
        {
            return Ok(value);
        }
        self.long_uint256()
    }

    #[inline(never)]
    fn long_uint256(&mut self) -> Outcome<[u8; 32]> {
        if self.next() != Some(b"\"0x") {
            return shape("no 0x");
        }
        let rest = &self.text[self.at + 3..];
        let Some(size) = self.digits.quote(rest) else { return shape("the text ends in a quantity") };
        self.at += 4 + size;
        uint256_of(&rest[..size])
    }

    /// Bytes of any length, appended to `out`; where they stand there.
    #[inline(always)]
    pub fn data(&mut self, out: &mut Vec<u8>) -> Outcome<(u32, u32)> {
        if self.next() != Some(b"\"0x") {
            return shape("no 0x");
        }
        let rest = &self.text[self.at + 3..];
        let Some(size) = self.digits.quote(rest) else { return odd_json("a string without an end") };
        let start = out.len();
        out.resize(start + size / 2, 0);
        if size % 2 != 0 || !self.digits.decode(&rest[..size], &mut out[start..]) {
            return shape("no hex");
        }
        self.at += 4 + size;
        Ok((start as u32, out.len() as u32))
    }

    /// Any value, which is not kept.
    #[inline(always)]
    pub fn skip(&mut self) -> Outcome<()> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b't' | b'f' => self.boolean().map(|_| ()),
            _ => self.any(&mut None),
        }
    }

    /// Any value. Its text without white space is appended to `out`, if there is one.
    #[inline(never)]
    pub fn any(&mut self, out: &mut Option<&mut Vec<u8>>) -> Outcome<()> {
        self.nested(out, 0)
    }

    fn nested(&mut self, out: &mut Option<&mut Vec<u8>>, depth: u32) -> Outcome<()> {
        if depth > DEPTH_MAX {
            return odd_json("nested deeply");
        }
        let start = self.at;
        match self.peek() {
            b'"' => {
                self.string()?;
            }
            b'n' => self.word(b"null")?,
            b't' | b'f' => {
                self.boolean()?;
            }
            b'0'..=b'9' => self.number()?,
            b'{' => return self.nested_object(out, depth),
            b'[' => return self.nested_array(out, depth),
            _ => return odd_json("no value, or a number with a sign"),
        }
        put(out, &self.text[start..self.at]);
        Ok(())
    }

    fn number(&mut self) -> Outcome<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        let size = self.at - start;
        let padded = size > 1 && self.text[start] == b'0';
        if size > DIGITS_MAX || padded || matches!(self.peek(), b'.' | b'e' | b'E') {
            return odd_json("a number that is no short integer");
        }
        Ok(())
    }

    fn nested_object(&mut self, out: &mut Option<&mut Vec<u8>>, depth: u32) -> Outcome<()> {
        let mut names: Vec<&[u8]> = Vec::new();
        put(out, b"{");
        self.at += 1;
        self.space();
        while self.peek() != b'}' || !names.is_empty() {
            let start = self.at;
            let name = self.string()?;
            if names.contains(&name) || names.len() > NAMES_MAX {
                return odd_json("a field twice, or very many");
            }
            names.push(name);
            put(out, &self.text[start..self.at]);
            self.space();
            self.eat(b':')?;
            put(out, b":");
            self.space();
            self.nested(out, depth + 1)?;
            self.space();
            match self.peek() {
                b',' => put(out, b","),
                b'}' => break,
                _ => return odd_json("an object without an end"),
            }
            self.at += 1;
            self.space();
        }
        self.at += 1;
        put(out, b"}");
        Ok(())
    }

    fn nested_array(&mut self, out: &mut Option<&mut Vec<u8>>, depth: u32) -> Outcome<()> {
        put(out, b"[");
        let (mut first, mut is_first) = (true, true);
        while self.item(&mut first)? {
            if !std::mem::take(&mut is_first) {
                put(out, b",");
            }
            self.nested(out, depth + 1)?;
        }
        put(out, b"]");
        Ok(())
    }
}

fn put(out: &mut Option<&mut Vec<u8>>, text: &[u8]) {
    if let Some(out) = out {
        out.extend_from_slice(text);
    }
}

/// Hex digits, of which zeros may lead, as 32 bytes big-endian.
pub fn uint256_of(digits: &[u8]) -> Outcome<[u8; 32]> {
    let zeros = digits.iter().take_while(|&&c| c == b'0').count();
    let digits = &digits[zeros..];
    if digits.len() > 64 {
        return shape("beyond 256 bits");
    }
    let (mut padded, mut out) = ([b'0'; 64], [0u8; 32]);
    padded[64 - digits.len()..].copy_from_slice(digits);
    if Words.decode(&padded, &mut out) { Ok(out) } else { shape("no hex") }
}

#[cfg(test)]
mod tests {
    use super::{Habit, Scanner};

    fn kept(text: &str) -> Option<String> {
        let mut out = Vec::new();
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.any(&mut Some(&mut out)).ok()?;
        scanner.end().ok()?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn values_lose_their_white_space_and_nothing_else() {
        assert_eq!(
            kept(r#" { "b" : [ 1 , "x y" , null ] , "a" : { } , "c" : [ ] , "d": true } "#).as_deref(),
            Some(r#"{"b":[1,"x y",null],"a":{},"c":[],"d":true}"#)
        );
        assert_eq!(kept("0").as_deref(), Some("0"));
    }

    #[test]
    fn what_is_unusual_is_declined() {
        for text in [
            r#""a\n""#,
            "\"\u{e9}\"",
            "\"\u{7f}\"",
            "-1",
            "1.5",
            "1e3",
            "01",
            "1234567890123456789",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "{,}",
            "[1 2]",
            "{\"a\" 1}",
            "nul",
            "tru",
            "\"a",
            "{",
            "[",
            "",
            "1 1",
            "{1:2}",
            &"[".repeat(40),
            "\"a\tb\"",
            "+1",
            "NaN",
        ] {
            assert_eq!(kept(text), None, "{text}");
        }
    }

    #[test]
    fn quantities() {
        let uint64 = |text: &str| Scanner::new(text.as_bytes()).uint64().ok();
        assert_eq!(uint64("\"0x\""), Some(0));
        assert_eq!(uint64("\"0x00ff\""), Some(255));
        assert_eq!(uint64("\"0xffffffffffffffff\""), Some(u64::MAX));
        assert_eq!(uint64("\"0x0000000000000000000000000000000000000001\""), Some(1));
        for text in
            ["\"0x10000000000000000\"", "\"0xg\"", "\"1\"", "1", "\"0X1\"", "\"0x1", "\"0x-1\"", "\"0x1_0\"", ""]
        {
            assert_eq!(uint64(text), None, "{text}");
        }
        let integer = |text: &str| Scanner::new(text.as_bytes()).integer().ok();
        assert_eq!(integer("\"0x7fffffffffffffff\""), Some(i64::MAX as u64));
        assert_eq!(integer("\"0x8000000000000000\""), None);
        let uint256 =
            |text: &str| Scanner::new(text.as_bytes()).uint256().ok().map(|wide| (wide[0], wide[30], wide[31]));
        assert_eq!(uint256("\"0x\""), Some((0, 0, 0)));
        assert_eq!(uint256("\"0x123\""), Some((0, 1, 0x23)));
        assert_eq!(uint256(&format!("\"0x{}\"", "f".repeat(64))), Some((255, 255, 255)));
        assert_eq!(uint256(&format!("\"0x00{}\"", "f".repeat(64))), Some((255, 255, 255)));
        assert_eq!(uint256(&format!("\"0x1{}\"", "0".repeat(64))), None);
        assert_eq!(uint256(&format!("\"0x{}g\"", "f".repeat(63))), None);
        assert_eq!(uint256("\"0x1\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""), Some((0, 0, 1)));
    }

    #[test]
    fn bytes() {
        let data = |text: &str| {
            let mut out = vec![9];
            let span = Scanner::new(text.as_bytes()).data(&mut out).ok()?;
            Some((span, out))
        };
        assert_eq!(data("\"0x\""), Some(((1, 1), vec![9])));
        assert_eq!(data("\"0x0aFf\""), Some(((1, 3), vec![9, 10, 255])));
        for text in ["\"0xa\"", "\"0xag\"", "\"0x0a", "null", "\"\"", "\"0x0a 0\""] {
            assert_eq!(data(text), None, "{text}");
        }
        assert_eq!(Scanner::new(b"\"0x0102\"").fixed::<2>().ok(), Some([1, 2]));
        for text in ["\"0x01\"", "\"0x010203\"", "\"0x010g\"", "\"1x0102\"", "\"0x0102", "\"0x0102 "] {
            assert_eq!(Scanner::new(text.as_bytes()).fixed::<2>().ok(), None, "{text}");
        }
    }

    /// A habit is a guess: objects of other fields are read all the same.
    #[test]
    fn objects_of_changing_fields() {
        fn lookup(name: &[u8]) -> u8 {
            name[0] - b'a'
        }
        let mut scanner = Scanner::new(br#"[{"a":1,"b":2},{"a":3,"b":4},{"b":5},{"a" :6,"c":7},{},{"aa":8}]"#);
        let (mut habit, mut seen) = (Habit::default(), Vec::new());
        let mut first = true;
        while scanner.item(&mut first).unwrap_or_default() {
            scanner.object(&mut habit);
            while let Ok(Some((id, name))) = scanner.field(&mut habit, lookup) {
                seen.push((id, name.len(), scanner.peek() - b'0'));
                assert!(scanner.any(&mut None).is_ok());
            }
        }
        assert!(scanner.end().is_ok());
        assert_eq!(seen, [(0, 1, 1), (1, 1, 2), (0, 1, 3), (1, 1, 4), (1, 1, 5), (0, 1, 6), (2, 1, 7), (0, 2, 8)]);
    }
}
