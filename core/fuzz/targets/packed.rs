//! Any bytes are packed rows of a width, or are refused: never read beyond their end, and always to an end. What is packed
//! again is in its canonical encoding, and only that is taken for rows of the chain.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::chain::rows::Rows as Canonical;
use tidelog_pure::packed::{Cell, Packer, Rows};

fuzz_target!(|data: &[u8]| {
    let Some((width, packed)) = data.split_first() else { return };
    let width = usize::from(*width);
    let mut rows = Rows::new(packed.to_vec(), width);
    let (mut count, mut size) = (0, 0);
    let mut packer = Packer::default();
    let mut has_form = true;
    while rows.advance() == Ok(true) {
        count += 1;
        size += 1; // of its head, at least
        for column in 0..width {
            size += match rows.cell(column) {
                Cell::Null | Cell::Int(_) => 1,
                Cell::Text(text) => 1 + text.len(),
                Cell::Bytes(bytes) => 1 + bytes.len(),
            };
        }
        has_form &= packer.row(width, (0..width).map(|column| Some((rows.cell(column), false)))).is_some();
        assert_eq!(rows.cell(width), Cell::Null, "a value behind the last one");
        assert!(size <= packed.len(), "more was read than there is");
    }
    assert!(count <= packed.len());
    if has_form {
        let again = Canonical::read(packer.packed().to_vec(), width).expect("packed here");
        assert_eq!((again.len(), again.packed()), (count, packer.packed()));
    }
    if let Some(canonical) = Canonical::read(packed.to_vec(), width) {
        assert!((0..canonical.len()).all(|place| canonical.values(place).is_some_and(|row| row.count() == width)));
        let mut rows = Rows::new(packed.to_vec(), width);
        if (0..canonical.len()).all(|_| rows.advance() == Ok(true)) {
            assert_eq!(packer.packed(), packed, "another encoding than the canonical one");
        } // else one of its integers is beyond SQLite's
    }
});
