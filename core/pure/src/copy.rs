//! Rows as PostgreSQL's binary COPY takes them, and gives them.
//!
//! A stream is a head, then each row as the count of its fields and each field as its length and its bytes, then an end.
//! A NUMERIC is `numeric_send`'s: the count of its digits in base 10,000, the power of the first one, sign and scale,
//! then the digits, without zeros at the end.

use crate::chain::rows::{Rows, Value, encode_bytes, encode_head, encode_int, encode_null, encode_text};
use std::str::from_utf8;

const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"; // the signature, no flags, no extension
const END: [u8; 2] = (-1i16).to_be_bytes();
const BASE: u64 = 10_000;
const DIGITS_MAX: usize = 20; // of 2^256 - 1

/// A stream that grows row by row.
pub struct Copy {
    out: Vec<u8>,
    fields: [u8; 2],
    last: Option<i32>,
}

impl Copy {
    /// A stream of rows of so many fields; and one more, an INTEGER that is the same of all, if there is a `last`.
    pub fn new(fields: u16, last: Option<i32>) -> Self {
        let fields = fields + u16::from(last.is_some());
        Copy { out: HEAD.to_vec(), fields: fields.to_be_bytes(), last }
    }

    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The next row begins; its fields follow.
    pub fn row(&mut self) {
        self.out.extend_from_slice(&self.fields);
    }

    /// Behind the fields of a row.
    pub fn row_end(&mut self) {
        if let Some(last) = self.last {
            self.field(&last.to_be_bytes());
        }
    }

    pub fn null(&mut self) {
        self.out.extend_from_slice(&(-1i32).to_be_bytes());
    }

    pub fn int8(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    /// BYTEA, or TEXT in UTF-8. False if a field cannot be so long.
    pub fn bytes(&mut self, value: &[u8]) -> bool {
        let fits = i32::try_from(value.len()).is_ok();
        if fits {
            self.field(value);
        }
        fits
    }

    fn field(&mut self, value: &[u8]) {
        self.out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.out.extend_from_slice(value);
    }

    pub fn numeric(&mut self, value: u64) {
        let mut wide = [0; 32];
        wide[24..].copy_from_slice(&value.to_be_bytes());
        self.numeric256(&wide);
    }

    /// A NUMERIC of 256 bits, big-endian.
    pub fn numeric256(&mut self, value: &[u8; 32]) {
        let mut digits = [0u16; DIGITS_MAX]; // the lowest first
        let count = base_10_000(value, &mut digits);
        let low = digits[..count].iter().take_while(|digit| **digit == 0).count();
        let words = (count - low) as u16;
        let weight = count.saturating_sub(1) as u16;
        self.out.extend_from_slice(&(8 + 2 * u32::from(words)).to_be_bytes());
        for word in [words, weight, 0, 0].iter().chain(digits[low..count].iter().rev()) {
            self.out.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// The whole stream.
    pub fn end(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&END);
        self.out
    }
}

/// The digits of a number, the lowest first; how many there are.
fn base_10_000(value: &[u8; 32], digits: &mut [u16; DIGITS_MAX]) -> usize {
    let mut limbs = [0u64; 8]; // of 32 bits, the highest first
    for (limb, bytes) in limbs.iter_mut().zip(value.chunks_exact(4)) {
        *limb = bytes.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    }
    let (mut first, mut count) = (0, 0);
    loop {
        while first < limbs.len() && limbs[first] == 0 {
            first += 1;
        }
        if first == limbs.len() {
            return count;
        }
        let mut rest = 0;
        for limb in &mut limbs[first..] {
            let whole = rest << 32 | *limb;
            *limb = whole / (BASE * BASE);
            rest = whole % (BASE * BASE);
        }
        for digit in [rest % BASE, rest / BASE] {
            if count < DIGITS_MAX {
                digits[count] = digit as u16;
                count += 1;
            }
        }
        if limbs[first..].iter().all(|limb| *limb == 0) && digits[count - 1] == 0 {
            return count - 1;
        }
    }
}

/// What a column is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Int,
    /// NUMERIC, of an integer of 64 bits without a sign.
    Wide,
    /// NUMERIC, of 256 bits.
    Numeric,
    Text,
    Bytes,
}

impl Column {
    /// By the letter that stands for it.
    pub fn of(letter: u8) -> Option<Column> {
        Some(match letter {
            b'i' => Column::Int,
            b'w' => Column::Wide,
            b'n' => Column::Numeric,
            b't' => Column::Text,
            b'b' => Column::Bytes,
            _ => return None,
        })
    }

    /// A field as the value of a row; a number of 256 bits is written to `wide`. None if there is no such value.
    fn read<'a>(self, field: &'a [u8], wide: &'a mut [u8; 32]) -> Option<Value<'a>> {
        Some(match self {
            Column::Int => Value::Int(u64::try_from(i64::from_be_bytes(field.try_into().ok()?)).ok()?),
            Column::Wide => {
                let number = read_numeric(field)?;
                let (high, low) = number.split_last_chunk::<8>()?;
                high.iter().all(|byte| *byte == 0).then_some(Value::Int(u64::from_be_bytes(*low)))?
            }
            Column::Numeric => {
                *wide = read_numeric(field)?;
                Value::Number(wide)
            }
            Column::Text => Value::Text(from_utf8(field).ok()?),
            Column::Bytes => Value::Bytes(field),
        })
    }
}

/// An integer of 256 bits without a sign, big-endian; None for any other NUMERIC.
fn read_numeric(field: &[u8]) -> Option<[u8; 32]> {
    let (head, digits) = field.split_first_chunk::<8>()?;
    let [count, weight, sign, scale] = [0, 2, 4, 6].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
    let (digits, rest) = digits.as_chunks::<2>();
    let zeros = if count == 0 { 0 } else { (usize::from(weight) + 1).checked_sub(digits.len())? };
    if !rest.is_empty() || digits.len() != usize::from(count) || sign != 0 || scale != 0 || zeros > DIGITS_MAX {
        return None;
    }
    let mut limbs = [0u64; 4]; // the lowest first
    for digit in digits.iter().map(|digit| u16::from_be_bytes(*digit)).chain(std::iter::repeat_n(0, zeros)) {
        let mut carry = u128::from(digit);
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(BASE) + carry;
            (*limb, carry) = (product as u64, product >> 64);
        }
        if carry != 0 || u64::from(digit) >= BASE {
            return None;
        }
    }
    let mut out = [0u8; 32];
    for (bytes, limb) in out.as_chunks_mut::<8>().0.iter_mut().zip(limbs.iter().rev()) {
        *bytes = limb.to_be_bytes();
    }
    Some(out)
}

/// Rows of one height.
pub struct Piece {
    pub height: u64,
    pub rows: Rows,
}

/// The rows of a stream by their heights, which stand in the column at `height` and ascend.
///
/// None for a stream that is no COPY of such columns, and for one with a value that no row of the chain has.
pub fn read(stream: &[u8], columns: &[Column], height: usize) -> Option<Vec<Piece>> {
    let fields = u16::try_from(columns.len()).ok()?;
    let (mut left, mut pieces) = (stream.strip_prefix(HEAD)?, Vec::new());
    let (mut encoded, mut ends, mut current) = (Vec::new(), Vec::new(), None);
    while left != END {
        left = left.strip_prefix(&fields.to_be_bytes())?;
        let begins = encoded.len();
        encode_head(&mut encoded, fields);
        let mut found = None;
        for (place, column) in columns.iter().enumerate() {
            let (size, behind) = left.split_first_chunk::<4>()?;
            let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) else {
                encode_null(&mut encoded);
                left = behind;
                continue;
            };
            let (field, behind) = behind.split_at_checked(size)?;
            left = behind;
            let mut wide = [0u8; 32];
            match column.read(field, &mut wide)? {
                Value::Int(value) => {
                    encode_int(&mut encoded, value);
                    if place == height {
                        found = Some(value);
                    }
                }
                Value::Text(text) => encode_text(&mut encoded, text),
                Value::Bytes(bytes) | Value::Number(bytes) => encode_bytes(&mut encoded, bytes),
                Value::Null => encode_null(&mut encoded),
            }
        }
        let found = found?;
        match current {
            Some(height) if height != found => {
                let next = encoded.split_off(begins);
                let rows = Rows::packed_at(std::mem::replace(&mut encoded, next), std::mem::take(&mut ends))?;
                pieces.push(Piece { height, rows });
                if found < height {
                    return None;
                }
            }
            _ => {}
        }
        current = Some(found);
        ends.push(encoded.len());
    }
    if let Some(height) = current {
        pieces.push(Piece { height, rows: Rows::packed_at(encoded, ends)? });
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::{Column, Copy, HEAD, Piece, read};
    use crate::chain::rows::Value;

    fn numeric(value: &[u8; 32]) -> Vec<u8> {
        let mut copy = Copy::new(1, None);
        copy.numeric256(value);
        copy.end()[HEAD.len() + 4..].to_vec()
    }

    fn small(value: u64) -> Vec<u16> {
        let mut copy = Copy::new(1, None);
        copy.numeric(value);
        let stream = copy.end();
        let words = &stream[HEAD.len() + 4..stream.len() - 2];
        words.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect()
    }

    #[test]
    fn numbers() {
        assert_eq!(small(0), [0, 0, 0, 0]);
        assert_eq!(small(1), [1, 0, 0, 0, 1]);
        assert_eq!(small(9_999), [1, 0, 0, 0, 9_999]);
        assert_eq!(small(10_000), [1, 1, 0, 0, 1]);
        assert_eq!(small(10_001), [2, 1, 0, 0, 1, 1]);
        assert_eq!(small(100_000_000), [1, 2, 0, 0, 1]);
        assert_eq!(small(100_000_000_000_000_000), [1, 4, 0, 0, 10]);
        assert_eq!(small(u64::MAX), [5, 4, 0, 0, 1844, 6744, 737, 955, 1615]);
        assert_eq!(numeric(&[0xff; 32]).len(), 8 + 2 * 20 + 2);
        assert_eq!(numeric(&[0xff; 32])[8..12], [0, 11, 0x16, 0xa0]); // 11, 5792 ..
    }

    type Row<'a> = (i64, Option<&'a [u8; 32]>, &'a str, &'a [u8]);

    fn written(rows: &[Row<'_>]) -> Vec<u8> {
        let mut copy = Copy::new(4, None);
        for (height, number, text, bytes) in rows {
            copy.row();
            copy.int8(*height);
            match number {
                Some(number) => copy.numeric256(number),
                None => copy.null(),
            }
            assert!(copy.bytes(text.as_bytes()) && copy.bytes(bytes));
        }
        copy.end()
    }

    const COLUMNS: [Column; 4] = [Column::Int, Column::Numeric, Column::Text, Column::Bytes];

    #[test]
    fn what_was_written_is_read_back_height_by_height() {
        let (mut round, mut small) = ([0u8; 32], [0u8; 32]);
        (round[29], round[30], round[31], small[31]) = (0x98, 0x96, 0x80, 7); // 10,000,000: its last digits are zeros
        let most = [0xff; 32];
        let given: [Row<'_>; 5] = [
            (3, Some(&most), "a", b"x"),
            (3, Some(&round), "", b""),
            (4, None, "b", b"y"),
            (300, Some(&small), "c", &[0xff; 300]),
            (300, Some(&[0; 32]), "d", b"z"),
        ];
        let pieces = read(&written(&given), &COLUMNS, 0).expect("a stream");
        assert_eq!(
            pieces.iter().map(|piece| (piece.height, piece.rows.len())).collect::<Vec<_>>(),
            [(3, 2), (4, 1), (300, 2)]
        );
        let rows = pieces.iter().flat_map(|Piece { rows, .. }| (0..rows.len()).filter_map(|place| rows.values(place)));
        for ((height, number, text, bytes), row) in given.iter().zip(rows) {
            let number = number.map_or(Value::Null, |number| Value::Bytes(number));
            let wanted = [Value::Int(*height as u64), number, Value::Text(text), Value::Bytes(bytes)];
            assert_eq!(row.collect::<Vec<_>>(), wanted);
        }
        assert_eq!(read(&written(&[]), &COLUMNS, 0).map(|pieces| pieces.len()), Some(0));
    }

    #[test]
    fn what_is_no_such_stream_is_refused() {
        let whole = written(&[(3, Some(&[1; 32]), "a", b"x"), (4, None, "b", b"y")]);
        for size in 0..whole.len() {
            assert!(read(&whole[..size], &COLUMNS, 0).is_none(), "{size}");
        }
        let [int, _, text, bytes] = COLUMNS;
        assert!(read(&whole, &[int, int, text, bytes], 0).is_none(), "a number as an integer");
        assert!(read(&whole, &[int, Column::Wide, text, bytes], 0).is_none(), "beyond 64 bits");
        assert!(read(&whole, &COLUMNS[..3], 0).is_none(), "fewer columns");
        assert!(read(&whole, &COLUMNS, 2).is_none(), "no height");
        assert!(read(&written(&[(4, None, "", b""), (3, None, "", b"")]), &COLUMNS, 0).is_none(), "out of order");
        assert!(read(&written(&[(-1, None, "", b"")]), &COLUMNS, 0).is_none(), "below zero");
        let numeric = |words: [u16; 5]| {
            let field: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let mut copy = Copy::new(2, None);
            copy.row();
            copy.int8(1);
            assert!(copy.bytes(&field));
            let pieces = read(&copy.end(), &[Column::Int, Column::Wide], 0)?;
            if let Some(Value::Int(number)) = pieces[0].rows.values(0)?.nth(1) { Some(number) } else { None }
        };
        assert_eq!(numeric([1, 1, 0, 0, 12]), Some(120_000));
        for (words, why) in [
            ([1, 0, 0x4000, 0, 1], "a sign"),
            ([1, 0, 0xc000, 0, 1], "no number"),
            ([1, 0, 0, 2, 1], "decimals"),
            ([1, 0xffff, 0, 0, 1], "below one"),
            ([2, 1, 0, 0, 1], "a digit is missing"),
            ([1, 0, 0, 0, 10_000], "no digit"),
            ([1, 30, 0, 0, 1], "beyond 256 bits"),
        ] {
            assert!(numeric(words).is_none(), "{why}");
        }
    }

    #[test]
    fn a_stream() {
        let mut copy = Copy::new(3, None);
        copy.row();
        copy.int8(-1);
        copy.null();
        assert!(copy.bytes(b"ab"));
        assert_eq!(copy.size(), HEAD.len() + 2 + 12 + 4 + 6);
        let mut wanted = HEAD.to_vec();
        wanted.extend([0, 3, 0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
        wanted.extend([0, 0, 0, 2, 97, 98, 255, 255]);
        assert_eq!(copy.end(), wanted);
        assert_eq!(HEAD.len(), 19);
    }
}
