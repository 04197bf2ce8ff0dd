//! Records of a journal's block as they are packed: msgpack, `[[kind, at_us, payload], ...]`.

/// One record. Kinds are the journal's: see `tidelog.market.records`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: u8,
    pub at_us: i64,
    pub payload: &'a [u8],
}

pub const IN: u8 = 0; // a frame as it was received

/// Where the first record begins.
pub fn begin(packed: &[u8]) -> Option<usize> {
    match *packed.first()? {
        0x90..=0x9f => Some(1),
        0xdc => Some(3),
        0xdd => Some(5),
        _ => None,
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The record that begins at `at`, and where the next one does.
#[inline(always)]
pub fn read(packed: &[u8], at: usize) -> Option<(Record<'_>, usize)> {
    let head = packed.get(at..)?;
    let &[0x93, kind @ 0..=0x7f, form, ..] = head else { return None };
    let mut next = 3;
    let at_us = match form {
        0..=0x7f => u64::from(form),
        0xcc..=0xcf => {
            let size = 1 << (form - 0xcc);
            next += size;
            big_endian(head.get(3..next)?)
        }
        _ => return None,
    };
    let size = match *head.get(next)? {
        0xc4 => 1,
        0xc5 => 2,
        0xc6 => 4,
        _ => return None,
    };
    let begin = next + 1 + size;
    let end = begin + usize::try_from(big_endian(head.get(next + 1..begin)?)).ok()?;
    let record = Record { kind, at_us: i64::try_from(at_us).ok()?, payload: head.get(begin..end)? };
    Some((record, at + end))
}

/// Append a record.
pub fn write(into: &mut Vec<u8>, kind: u8, at_us: u64, payload: &[u8]) {
    into.extend_from_slice(&[0x93, kind]);
    write_uint(into, at_us);
    match payload.len() {
        length @ 0..=0xff => into.extend_from_slice(&[0xc4, length as u8]),
        length @ 0x100..=0xffff => write_sized(into, 0xc5, &(length as u16).to_be_bytes()),
        length => write_sized(into, 0xc6, &(length as u32).to_be_bytes()),
    }
    into.extend_from_slice(payload);
}

/// Append a number that is not negative.
pub fn write_uint(into: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => into.push(number as u8),
        0x80..=0xff => into.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => write_sized(into, 0xcd, &(number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => write_sized(into, 0xce, &(number as u32).to_be_bytes()),
        _ => write_sized(into, 0xcf, &number.to_be_bytes()),
    }
}

/// Append what begins an array of so many, of 65,535 at most.
pub fn write_array(into: &mut Vec<u8>, count: usize) {
    match count {
        0..=0xf => into.push(0x90 | count as u8),
        _ => write_sized(into, 0xdc, &(count as u16).to_be_bytes()),
    }
}

fn write_sized(into: &mut Vec<u8>, form: u8, number: &[u8]) {
    into.push(form);
    into.extend_from_slice(number);
}

#[cfg(test)]
mod tests {
    use super::{IN, Record, begin, read, write};

    #[test]
    fn what_is_written_is_read_again() {
        let long = vec![7; 70_000];
        for at_us in [0, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, 1_700_000_000_000_000] {
            for payload in [&long[..0], &long[..255], &long[..256], &long[..65_535], &long[..65_536]] {
                let mut packed = Vec::new();
                write(&mut packed, IN, at_us, payload);
                let record = Record { kind: IN, at_us: at_us as i64, payload };
                assert_eq!(read(&packed, 0), Some((record, packed.len())));
            }
        }
    }

    #[test]
    fn records_of_every_size() {
        let packed = b"\x92\x93\x00\xcf\x00\x06\x00\x00\x00\x00\x00\x01\xc4\x02ab\x93\x02\x07\xc5\x00\x01c";
        let at = begin(packed).unwrap_or_default();
        let (first, at) = read(packed, at).unwrap_or((Record { kind: 9, at_us: 0, payload: b"" }, 0));
        assert_eq!(first, Record { kind: 0, at_us: 0x0006_0000_0000_0001, payload: b"ab" });
        let second = read(packed, at);
        assert_eq!(second, Some((Record { kind: 2, at_us: 7, payload: b"c" }, packed.len())));
        assert_eq!(read(packed, packed.len()), None);
        assert_eq!(read(&packed[..packed.len() - 1], at), None);
    }
}
