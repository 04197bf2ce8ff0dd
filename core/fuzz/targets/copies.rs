//! Any bytes are the stream of a binary COPY, or are refused: never read beyond their end. What is taken are rows in their
//! canonical encoding, each in the piece of its height.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::chain::rows::{Rows, Value};
use tidelog_pure::copy::{Column, read};

const COLUMNS: [Column; 5] = [Column::Int, Column::Wide, Column::Numeric, Column::Text, Column::Bytes];

fuzz_target!(|data: &[u8]| {
    let Some(pieces) = read(data, &COLUMNS, 0) else { return };
    assert!(pieces.is_sorted_by(|below, above| below.height < above.height), "a height twice");
    for piece in pieces {
        let again = Rows::read(piece.rows.packed().to_vec(), COLUMNS.len()).expect("the canonical encoding");
        assert_eq!((again.len(), again.packed()), (piece.rows.len(), piece.rows.packed()));
        let heights = (0..again.len()).map(|place| again.values(place).and_then(|mut row| row.next()));
        assert!(!again.is_empty() && heights.into_iter().all(|height| height == Some(Value::Int(piece.height))));
    }
});
