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

#[cfg(test)]
mod tests {
    use super::{Record, begin, read};

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
