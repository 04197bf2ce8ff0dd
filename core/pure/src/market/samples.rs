//! The best levels of a book as a row of the store has them: msgpack, `[[[price, quantity], ...] of bids, of asks]`.

use super::book::Book;
use super::records;

const LEVELS: usize = 25; // of each side; `tidelog.market.projection.rows` says why

/// What is stored of a book, as it was behind one message.
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    pub place: usize, // of the book
    pub seq: u64,     // of the message
    pub at_us: i64,
    pub stamp_us: Option<i64>, // the exchange's time in the message
    pub levels: Vec<u8>,
}

impl Sample {
    #[cold]
    pub fn of(book: &Book, place: usize, seq: u64, at_us: i64, stamp_us: Option<i64>) -> Sample {
        let (bids, asks) = book.top(LEVELS);
        let mut levels = Vec::new();
        records::write_array(&mut levels, 2);
        for side in [bids, asks] {
            records::write_array(&mut levels, side.len());
            for (price, qty) in side {
                records::write_array(&mut levels, 2);
                records::write_uint(&mut levels, price);
                records::write_uint(&mut levels, qty);
            }
        }
        Sample { place, seq, at_us, stamp_us, levels }
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, LEVELS, Sample};
    use crate::market::book::Content;

    #[test]
    fn the_best_levels_are_written_as_msgpack() {
        let asks = (0..30).map(|n| (200 + n, u64::MAX)).collect();
        let content = Content { depth: 100, scales: (1, 8), stamp_us: None, bids: vec![(127, 70_000)], asks };
        let Some(book) = Book::new(&content) else { panic!("it is sound") };
        let sample = Sample::of(&book, 3, 7, 5, Some(2));
        let mut expected = b"\x92\x91\x92\x7f\xce\x00\x01\x11\x70\xdc\x00\x19".to_vec();
        for n in 0..LEVELS as u8 {
            expected.extend_from_slice(&[0x92, 0xcc, 200 + n]);
            expected.extend_from_slice(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
        }
        assert_eq!(sample, Sample { place: 3, seq: 7, at_us: 5, stamp_us: Some(2), levels: expected });
    }
}
