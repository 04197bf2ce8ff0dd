//! Whatever frames come, each is taken or declined, and nothing panics; and what was taken leaves books that are sound.
//!
//! The first byte says the protocol, what trades are taken for, and whether events are encoded. Frames follow, each
//! behind the two bytes of its length. The checksum is what a search cannot guess, so that the corpus has frames of a
//! book that begins as this one does.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::market::book::Content;
use tidelog_pure::market::books::{Books, NEVER, Purpose, Span, Terms};

const RUN: u64 = 3;

/// Frames as a journal's block has them.
fn packed(mut data: &[u8]) -> Vec<u8> {
    let mut packed = vec![0xdd, 0, 0, 0, 0];
    let mut at_us = 0u8;
    while let [low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (frame, after) = rest.split_at(length);
        at_us = at_us.wrapping_add(1) & 0x7f;
        packed.extend_from_slice(&[0x93, 0, at_us, 0xc5]);
        packed.extend_from_slice(&(length as u16).to_be_bytes());
        packed.extend_from_slice(frame);
        data = after;
    }
    packed
}

fuzz_target!(|data: &[u8]| {
    let [how, frames @ ..] = data else { return };
    let (protocol, name) = if how & 1 == 0 { ("kraken-v1", "XBT/USD") } else { ("kraken-v2", "BTC/USD") };
    let purpose = [Purpose::Events, Purpose::Rows, Purpose::Books][usize::from(how >> 1) % 3];
    let Some(mut books) = Books::new(protocol) else { return };
    let content = Content {
        depth: 10,
        scales: if how & 1 == 0 { (5, 8) } else { (1, 8) },
        stamp_us: None,
        bids: (1..=10).map(|n| (300_000 - n, n)).collect(),
        asks: (1..=10).map(|n| (300_000 + n, n)).collect(),
    };
    let place = books.lend(name.as_bytes(), b"BTC/USD", &content, NEVER, None, true);
    for is_ticker in [false, true] {
        assert!(books.follow(name.as_bytes(), b"BTC/USD", is_ticker, None, NEVER).is_some());
    }
    let packed = packed(frames);
    let (mut begin, mut first) = (5, 1);
    while begin < packed.len() {
        let terms = Terms { run: RUN, first, floor_us: 0, purpose, encode: how >> 7 == 0 };
        let span = Span { packed: &packed, begin, last: u64::MAX, terms };
        let taken = books.take(&span);
        assert_eq!(taken.fault, None);
        let counted = taken.updates + taken.snapshots + taken.heartbeats + taken.trades + taken.tickers;
        assert_eq!(counted, taken.records);
        if let Some((_, next)) = tidelog_pure::market::records::read(&packed, taken.end) {
            (begin, first) = (next, first + taken.records + 1); // the one that was declined
        } else {
            break;
        }
    }
    let book = place.and_then(|place| books.recall(place));
    assert!(book.is_some_and(|book| book.is_sound() && book.content().bids.len() <= content.depth));
});
