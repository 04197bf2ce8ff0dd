//! Many rows in one piece of bytes: their canonical encodings, one behind the other; read back, and packed.
//!
//! The canonical encoding of a row is a msgpack array (`tidelog.batch`). Here it is read back: null, integers of 64 bits
//! with a sign, text, bytes. Everything else is no row of this kind: an integer beyond, a boolean, a map. Whether an
//! encoding is the shortest one is not asked, as the values are the same.

use std::ops::Range;

use crate::chain::rows::{encode_bytes, encode_head, encode_int, encode_null, encode_text};

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// The same, by where it stands.
#[derive(Clone, Debug)]
enum Place {
    Null,
    Int(i64),
    Text(Range<usize>),
    Bytes(Range<usize>),
}

/// What was given is no row of so many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Packed rows, read one by one.
pub struct Rows {
    packed: Vec<u8>,
    width: usize,
    at: usize,
    row: Vec<Place>,
}

impl Rows {
    /// Before the first of rows that have `width` values each.
    pub fn new(packed: Vec<u8>, width: usize) -> Rows {
        Rows { packed, width, at: 0, row: Vec::with_capacity(width) }
    }

    /// Read the next row; whether there was one.
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        self.row.clear();
        if self.at == self.packed.len() {
            return Ok(false);
        }
        let read = self.read();
        if read.is_none() {
            self.row.clear();
        }
        read.map(|()| true).ok_or(Malformed)
    }

    /// A value of the row that was read last; null where it has none.
    #[inline]
    pub fn cell(&self, column: usize) -> Cell<'_> {
        let bytes = |place: &Range<usize>| self.packed.get(place.clone()).unwrap_or_default();
        match self.row.get(column) {
            None | Some(Place::Null) => Cell::Null,
            Some(Place::Int(value)) => Cell::Int(*value),
            Some(Place::Bytes(place)) => Cell::Bytes(bytes(place)),
            Some(Place::Text(place)) => Cell::Text(std::str::from_utf8(bytes(place)).unwrap_or_default()),
        }
    }

    fn read(&mut self) -> Option<()> {
        let count = match self.byte()? {
            head @ 0x90..=0x9f => usize::from(head & 0x0f),
            0xdc => usize::from(u16::from_be_bytes(self.fixed()?)),
            _ => return None,
        };
        if count != self.width {
            return None;
        }
        for _ in 0..count {
            let place = self.place()?;
            self.row.push(place);
        }
        Some(())
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.packed.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.packed.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(bytes)
    }

    #[inline]
    fn bytes(&mut self, size: usize) -> Option<Range<usize>> {
        let place = self.at..self.at.checked_add(size)?;
        self.packed.get(place.clone())?;
        self.at = place.end;
        Some(place)
    }

    fn text(&mut self, size: usize) -> Option<Place> {
        let place = self.bytes(size)?;
        std::str::from_utf8(self.packed.get(place.clone())?).ok()?;
        Some(Place::Text(place))
    }

    #[inline]
    fn place(&mut self) -> Option<Place> {
        Some(match self.byte()? {
            0xc0 => Place::Null,
            value @ 0..=0x7f => Place::Int(i64::from(value)),
            value @ 0xe0..=0xff => Place::Int(i64::from(i8::from_be_bytes([value]))),
            0xcc => Place::Int(i64::from(self.byte()?)),
            0xcd => Place::Int(i64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Place::Int(i64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => Place::Int(i64::try_from(u64::from_be_bytes(self.fixed()?)).ok()?),
            0xd0 => Place::Int(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => Place::Int(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => Place::Int(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => Place::Int(i64::from_be_bytes(self.fixed()?)),
            0xc4 => {
                let size = usize::from(self.byte()?);
                Place::Bytes(self.bytes(size)?)
            }
            0xc5 => {
                let size = usize::from(u16::from_be_bytes(self.fixed()?));
                Place::Bytes(self.bytes(size)?)
            }
            0xc6 => {
                let size = usize::try_from(u32::from_be_bytes(self.fixed()?)).ok()?;
                Place::Bytes(self.bytes(size)?)
            }
            head @ 0xa0..=0xbf => self.text(usize::from(head & 0x1f))?,
            0xd9 => {
                let size = usize::from(self.byte()?);
                self.text(size)?
            }
            0xda => {
                let size = usize::from(u16::from_be_bytes(self.fixed()?));
                self.text(size)?
            }
            0xdb => {
                let size = usize::try_from(u32::from_be_bytes(self.fixed()?)).ok()?;
                self.text(size)?
            }
            _ => return None,
        })
    }
}

/// Rows that are packed one by one.
#[derive(Debug, Default)]
pub struct Packer {
    out: Vec<u8>,
}

impl Packer {
    /// Pack a row of `width` values; each says whether it is an integer that may be kept as bytes.
    ///
    /// None if one of them has no form here: an integer below zero or beyond 64 bits, or what the iterator gives as None.
    pub fn row<'a>(&mut self, width: usize, cells: impl Iterator<Item = Option<(Cell<'a>, bool)>>) -> Option<()> {
        encode_head(&mut self.out, u16::try_from(width).ok()?);
        for cell in cells {
            match cell? {
                (Cell::Null, _) => encode_null(&mut self.out),
                (Cell::Int(value), _) => encode_int(&mut self.out, u64::try_from(value).ok()?),
                (Cell::Text(text), _) => encode_text(&mut self.out, text),
                (Cell::Bytes(bytes), false) => encode_bytes(&mut self.out, bytes),
                (Cell::Bytes(bytes), true) => encode_int(&mut self.out, narrow(bytes)?),
            }
        }
        Some(())
    }

    /// All of them, one behind the other.
    pub fn packed(&self) -> &[u8] {
        &self.out
    }
}

/// An integer kept as bytes, big-endian; None beyond 64 bits.
fn narrow(bytes: &[u8]) -> Option<u64> {
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
    let is_narrow = high.iter().all(|byte| *byte == 0);
    is_narrow.then(|| low.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::{Cell, Malformed, Packer, Rows, narrow};

    /// The one value of one row, or nothing if it is none.
    fn is_read(value: &[u8], expected: Option<Cell<'_>>) {
        let mut rows = Rows::new([&[0x91], value].concat(), 1);
        match expected {
            None => assert_eq!(rows.advance(), Err(Malformed), "{value:x?}"),
            Some(expected) => {
                assert_eq!(rows.advance(), Ok(true), "{value:x?}");
                assert_eq!(rows.cell(0), expected);
                assert_eq!(rows.advance(), Ok(false), "nothing is behind it");
            }
        }
        assert_eq!(rows.cell(1), Cell::Null);
    }

    /// msgpack's specification, on both sides of every limit.
    #[test]
    fn values_of_every_form() {
        let sized: [(&[u8], usize); 9] = [
            (&[0xc4, 0], 0),
            (&[0xc4, 255], 255),
            (&[0xc5, 1, 0], 256),
            (&[0xc6, 0, 1, 0, 0], 65_536),
            (&[0xa0], 0),
            (&[0xbf], 31),
            (&[0xd9, 32], 32),
            (&[0xda, 1, 0], 256),
            (&[0xdb, 0, 1, 0, 0], 65_536),
        ];
        for (head, size) in sized {
            let body = vec![b'x'; size];
            let whole = [head, &body].concat();
            let text = std::str::from_utf8(&body).expect("letters");
            let is_bytes = (0xc4..=0xc6).contains(&head[0]);
            is_read(&whole, Some(if is_bytes { Cell::Bytes(&body) } else { Cell::Text(text) }));
            is_read(&whole[..whole.len() - 1], None);
        }
        let numbers: [(&[u8], i64); 12] = [
            (&[0], 0),
            (&[0x7f], 127),
            (&[0xff], -1),
            (&[0xe0], -32),
            (&[0xcc, 0x80], 128),
            (&[0xcd, 1, 0], 256),
            (&[0xce, 0xff, 0xff, 0xff, 0xff], 4_294_967_295),
            (&[0xcf, 0x7f, 255, 255, 255, 255, 255, 255, 255], i64::MAX),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0x80, 0], -32_768),
            (&[0xd2, 0x80, 0, 0, 0], -2_147_483_648),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        ];
        for (given, value) in numbers {
            is_read(given, Some(Cell::Int(value)));
            is_read(&given[..given.len() - 1], None);
        }
        is_read(&[0xc0], Some(Cell::Null));
        for other in [&[0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0xc2], &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], &[0xa1, 0xff]] {
            is_read(other, None);
        }
    }

    #[test]
    fn what_was_packed_is_read_back_and_what_has_no_form_is_refused() {
        let wide = [&[0; 24][..], &[0xff; 8]].concat();
        let cells = [Cell::Null, Cell::Int(300), Cell::Text("x"), Cell::Bytes(b"y")];
        let mut packer = Packer::default();
        assert_eq!(packer.row(4, cells.iter().map(|cell| Some((*cell, false)))), Some(()));
        assert_eq!(packer.row(1, [Some((Cell::Bytes(&wide[16..]), true))].into_iter()), Some(()));
        assert_eq!(
            packer.packed(),
            [&[0x94, 0xc0, 0xcd, 1, 44, 0xa1, b'x', 0xc4, 1, b'y', 0x91, 0xcf][..], &[0xff; 8]].concat()
        );
        for (bytes, value) in [(&[][..], 0), (&[7], 7), (&wide, u64::MAX)] {
            assert_eq!(narrow(bytes), Some(value));
        }
        assert_eq!(narrow(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        for refused in [Some((Cell::Int(-1), true)), Some((Cell::Bytes(&[1; 9]), true)), None] {
            assert_eq!(Packer::default().row(1, [refused].into_iter()), None);
        }
    }

    #[test]
    fn rows_one_behind_the_other_up_to_what_is_none() {
        assert_eq!(Rows::new(Vec::new(), 3).advance(), Ok(false));
        let mut rows = Rows::new(vec![0x92, 1, 2, 0xdc, 0, 2, 3, 0xc0, 0x92, 5], 2);
        assert_eq!((rows.advance(), rows.cell(0), rows.cell(1)), (Ok(true), Cell::Int(1), Cell::Int(2)));
        assert_eq!((rows.advance(), rows.cell(0), rows.cell(1)), (Ok(true), Cell::Int(3), Cell::Null));
        assert_eq!((rows.advance(), rows.cell(0)), (Err(Malformed), Cell::Null), "a row that is cut");
        for other in [&[0x91, 1][..], &[0x93, 1, 2, 3], &[0x82, 1, 2, 3, 4], &[7]] {
            assert_eq!(Rows::new(other.to_vec(), 2).advance(), Err(Malformed), "{other:?}");
        }
    }
}
