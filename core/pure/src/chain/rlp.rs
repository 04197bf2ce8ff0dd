//! Recursive Length Prefix encoding (Yellow Paper, appendix B), appended to a buffer; and stored items read back.

/// The prefix of 32 bytes, and of 20.
pub const HASH: u8 = 0xa0;
pub const ADDRESS: u8 = 0x94;
pub const EMPTY: u8 = 0x80;
pub const EMPTY_LIST: u8 = 0xc0;

pub fn bytes(out: &mut Vec<u8>, data: &[u8]) {
    if data.len() == 1 && data[0] < 0x80 {
        out.push(data[0]);
        return;
    }
    prefix(out, EMPTY, data.len());
    out.extend_from_slice(data);
}

/// An integer, minimal big-endian.
pub fn integer(out: &mut Vec<u8>, value: u64) {
    wide(out, &value.to_be_bytes());
}

/// An integer given as bytes, big-endian.
pub fn wide(out: &mut Vec<u8>, value: &[u8]) {
    let zeros = value.iter().take_while(|&&byte| byte == 0).count();
    bytes(out, &value[zeros..]);
}

pub fn hash(out: &mut Vec<u8>, hash: &[u8; 32]) {
    out.push(HASH);
    out.extend_from_slice(hash);
}

pub fn address(out: &mut Vec<u8>, address: &[u8; 20]) {
    out.push(ADDRESS);
    out.extend_from_slice(address);
}

/// The prefix of an item of `size` bytes; `short` is `EMPTY` for strings, `EMPTY_LIST` for lists.
pub fn prefix(out: &mut Vec<u8>, short: u8, size: usize) {
    let (head, width) = prefix_of(short, size);
    out.extend_from_slice(&head[..width]);
}

#[inline(always)]
fn prefix_of(short: u8, size: usize) -> ([u8; 9], usize) {
    let mut head = [0u8; 9];
    if size < 56 {
        head[0] = short + size as u8;
        return (head, 1);
    }
    let length = (size as u64).to_be_bytes();
    let zeros = length.iter().take_while(|&&byte| byte == 0).count();
    let width = 8 - zeros;
    head[0] = short + 55 + width as u8;
    head[1..=width].copy_from_slice(&length[zeros..]);
    (head, 1 + width)
}

/// Make a list of everything from `start` on.
pub fn wrap(out: &mut Vec<u8>, start: usize) {
    let size = out.len() - start;
    let (head, width) = prefix_of(EMPTY_LIST, size);
    out.extend_from_slice(&head[..width]);
    out.copy_within(start..start + size, start + width);
    out[start..start + width].copy_from_slice(&head[..width]);
}

/// What was encoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Bytes(&'a [u8]),
    List(Vec<Item<'a>>),
}

const DEPTH_MAX: u32 = 4; // an access list is three deep

/// The one item that fills `data`; None for anything that is not canonical.
pub fn item(data: &[u8]) -> Option<Item<'_>> {
    let (item, rest) = split(data, 0)?;
    rest.is_empty().then_some(item)
}

/// The first item, and what is behind it.
fn split(data: &[u8], depth: u32) -> Option<(Item<'_>, &[u8])> {
    let (&first, behind) = data.split_first()?;
    if first < EMPTY {
        return Some((Item::Bytes(&data[..1]), behind));
    }
    let is_list = first >= EMPTY_LIST;
    let short = usize::from(first - if is_list { EMPTY_LIST } else { EMPTY });
    let (size, behind) = if short < 56 { (short, behind) } else { long_size(behind, short - 55)? };
    let (content, rest) = behind.split_at_checked(size)?;
    if !is_list {
        let padded = size == 1 && content[0] < EMPTY;
        return (!padded).then_some((Item::Bytes(content), rest));
    }
    if depth == DEPTH_MAX {
        return None;
    }
    let (mut items, mut inner) = (Vec::new(), content);
    while !inner.is_empty() {
        let (item, others) = split(inner, depth + 1)?;
        items.push(item);
        inner = others;
    }
    Some((Item::List(items), rest))
}

fn long_size(data: &[u8], width: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = data.split_at_checked(width)?;
    let size = length.iter().try_fold(0usize, |size, &byte| size.checked_mul(256)?.checked_add(usize::from(byte)))?;
    (length[0] != 0 && size >= 56).then_some((size, rest))
}

#[cfg(test)]
mod tests {
    use super::{Item, bytes, integer, item, wide, wrap};

    fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    /// The examples of the Yellow Paper and of Ethereum's documentation.
    #[test]
    fn known_encodings() {
        assert_eq!(encoded(|out| bytes(out, b"dog")), b"\x83dog");
        assert_eq!(encoded(|out| bytes(out, b"")), b"\x80");
        assert_eq!(encoded(|out| bytes(out, b"\x00")), b"\x00");
        assert_eq!(encoded(|out| bytes(out, b"\x80")), b"\x81\x80");
        assert_eq!(encoded(|out| integer(out, 0)), b"\x80");
        assert_eq!(encoded(|out| integer(out, 15)), b"\x0f");
        assert_eq!(encoded(|out| integer(out, 1024)), b"\x82\x04\x00");
        assert_eq!(encoded(|out| wide(out, &[0; 32])), b"\x80");
        assert_eq!(encoded(|out| bytes(out, &[7; 55]))[..2], [0xb7, 7]);
        assert_eq!(encoded(|out| bytes(out, &[7; 56]))[..3], [0xb8, 56, 7]);
        assert_eq!(encoded(|out| bytes(out, &[7; 1024]))[..4], [0xb9, 4, 0, 7]);
        let list = |size: usize| {
            encoded(|out| {
                out.extend_from_slice(&[9; 3]);
                out.resize(3 + size, 1);
                wrap(out, 3);
            })
        };
        assert_eq!(list(0), [9, 9, 9, 0xc0]);
        assert_eq!(list(55)[3..5], [0xf7, 1]);
        assert_eq!(list(56)[3..6], [0xf8, 56, 1]);
        assert_eq!(list(300)[3..], [&[0xf9, 1, 44][..], &[1; 300]].concat());
    }
    #[test]
    fn what_was_encoded_is_read_back() {
        for size in [0, 1, 2, 55, 56, 255, 256, 70_000] {
            let data = vec![0x80; size];
            let encoded = encoded(|out| bytes(out, &data));
            assert_eq!(item(&encoded), Some(Item::Bytes(&data)), "{size}");
            let mut list = encoded.repeat(2);
            wrap(&mut list, 0);
            assert_eq!(item(&list), Some(Item::List(vec![Item::Bytes(&data), Item::Bytes(&data)])), "{size}");
            assert_eq!(item(&list[..list.len() - 1]), None, "{size}");
            list.push(0);
            assert_eq!(item(&list), None, "{size}");
        }
        assert_eq!(item(&[5]), Some(Item::Bytes(&[5])));
    }

    #[test]
    fn what_is_not_canonical_is_no_item() {
        let short_as_long = [&[0xb8, 55][..], &[7; 55]].concat();
        let padded_length = [&[0xb9, 0, 56][..], &[7; 56]].concat();
        for data in [
            &[][..],
            &[0x81, 0x7f],
            &[0x82, 1],
            &[0xb8],
            &short_as_long,
            &padded_length,
            &[0xbf, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xc2, 0x83, 1],
            &[0xc5, 0xc4, 0xc3, 0xc2, 0xc1, 0xc0],
        ] {
            assert_eq!(item(data), None, "{data:?}");
        }
    }
}
