//! Fingerprints of values, four bytes each, as `tidelog.store.fingerprints` keeps them.

/// Each once and in order, by the first byte. None: they are not four bytes each.
pub fn parted(found: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let (values, []) = found.as_chunks() else { return None };
    let mut values: Vec<u32> = values.iter().map(|value| u32::from_be_bytes(*value)).collect();
    values.sort_unstable();
    values.dedup();
    let first = |value: &u32| (value >> 24) as u8;
    let parts = values.chunk_by(|one, next| first(one) == first(next));
    Some(parts.map(|part| (first(&part[0]), part.iter().flat_map(|value| value.to_be_bytes()).collect())).collect())
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn each_stands_once_and_in_order_under_its_first_byte() {
        let found = b"\x02aaa\xff\0\0\0\x02\0\0\x01\x02aaa\0\0\0\0";
        let parts =
            vec![(0, b"\0\0\0\0".to_vec()), (2, b"\x02\0\0\x01\x02aaa".to_vec()), (255, b"\xff\0\0\0".to_vec())];
        assert_eq!(parted(found), Some(parts));
        assert_eq!(parted(b""), Some(Vec::new()));
        assert_eq!(parted(b"\0\0\0"), None);
    }
}
