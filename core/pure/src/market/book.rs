//! A book in exact integers, as far as it is proven: it takes what proves it again, or stays as it was.

use super::digits;
use super::scan::Level;
use std::collections::VecDeque;

const CHECKED: usize = 10; // levels of each side that the checksum covers
const NEAR: usize = 8; // most of what comes is about the best levels
const DIGITS_MAX: usize = 40; // of a price and a quantity in 64 bits each
const ONE_BY_ONE_MAX: usize = 4096; // levels of a side: each insertion moves others; Python takes more at once

/// What a level has under the checksum: the digits of its price, then those of its quantity.
#[derive(Clone, Copy)]
struct Digits {
    text: [u8; DIGITS_MAX],
    length: usize,
}

impl Digits {
    const NONE: Digits = Digits { text: [0; DIGITS_MAX], length: 0 };

    #[inline(always)]
    fn write(&mut self, price: u64, qty: u64) {
        let price_digits = digits::write(price, &mut self.text, 0);
        self.length = digits::write(qty, &mut self.text, price_digits);
    }
}

/// The text of a side under the checksum, and the digits of each of its best levels, from which it is made. What is
/// behind a side's levels means nothing.
struct Text {
    slots: [Digits; CHECKED],
    order: [u8; CHECKED], // the slots by level
    bytes: [u8; CHECKED * DIGITS_MAX],
    ends: [usize; CHECKED + 1], // in the bytes: where a level begins, and the one before it ends
    written: usize,             // so many levels stand in the bytes as they are
}

impl Text {
    fn new() -> Text {
        Text {
            slots: [Digits::NONE; CHECKED],
            order: std::array::from_fn(|at| at as u8),
            bytes: [0; CHECKED * DIGITS_MAX],
            ends: [0; CHECKED + 1],
            written: 0,
        }
    }

    /// The digits of a level, to be written anew.
    #[inline(always)]
    fn slot(&mut self, at: usize) -> &mut Digits {
        self.written = self.written.min(at);
        &mut self.slots[usize::from(self.order[at])]
    }

    /// Make room for a level before the one at a place.
    #[inline(always)]
    fn insert(&mut self, at: usize) {
        let last = self.order[CHECKED - 1];
        self.order.copy_within(at..CHECKED - 1, at + 1);
        self.order[at] = last;
    }

    /// Leave a level out: what stands for the last one now is not its own.
    #[inline(always)]
    fn remove(&mut self, at: usize) {
        self.written = self.written.min(at);
        let removed = self.order[at];
        self.order.copy_within(at + 1.., at);
        self.order[CHECKED - 1] = removed;
    }

    /// Let the bytes be those of so many levels.
    #[inline(always)]
    fn write(&mut self, levels: usize) {
        for at in self.written..levels {
            let (slot, begin) = (&self.slots[usize::from(self.order[at])], self.ends[at]);
            // all of it, and the next one over what is too much: a copy whose size is known is a few instructions
            self.bytes[begin..begin + DIGITS_MAX].copy_from_slice(&slot.text);
            self.ends[at + 1] = begin + slot.length;
        }
        self.written = levels;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.ends[self.written]]
    }
}

/// What a message did to a side, so that it can be undone.
enum Step {
    Inserted(usize),
    Replaced(usize, u64),
    Removed(usize, u64, u64),
    Cut(u64, u64),
}

/// One side, best level first. Keys ascend: a price for asks, its complement for bids.
struct Side {
    mask: u64, // of a price to its key
    keys: VecDeque<u64>,
    quantities: VecDeque<u64>, // in step with `keys`
    text: Text,
    has_digits: bool, // the text has the digits of all levels that it is made of
    changed: bool,    // the levels under the checksum are not those of the text any more
    steps: Vec<Step>, // of the message that is being taken
}

impl Side {
    #[inline(always)]
    fn find(&self, key: u64) -> Result<usize, usize> {
        for (at, other) in self.keys.iter().take(NEAR).enumerate() {
            if *other >= key {
                return if *other == key { Ok(at) } else { Err(at) };
            }
        }
        self.keys.binary_search(&key)
    }

    /// Apply levels in order, then cut to the depth. Gives how many removals named no level; None: not by me.
    #[inline(always)]
    fn put(&mut self, levels: &[Level], scales: (u8, u8), depth: usize) -> Option<u64> {
        let mut misses = 0;
        if levels.len() > ONE_BY_ONE_MAX {
            return None;
        }
        for level in levels {
            let (price, qty) = (level.price.scaled(scales.0)?, level.qty.scaled(scales.1)?);
            if price == 0 {
                return None;
            }
            let key = price ^ self.mask;
            let found = self.find(key);
            let (Ok(at) | Err(at)) = found;
            match (found, qty) {
                (Err(_), 0) => {
                    misses += 1;
                    continue;
                }
                (Err(_), _) => {
                    self.keys.insert(at, key);
                    self.quantities.insert(at, qty);
                    self.steps.push(Step::Inserted(at));
                    if at < CHECKED {
                        self.text.insert(at);
                        self.text.slot(at).write(price, qty);
                    }
                }
                (Ok(_), 0) => {
                    self.keys.remove(at);
                    let qty = self.quantities.remove(at)?;
                    self.steps.push(Step::Removed(at, key, qty));
                    if at < CHECKED {
                        self.text.remove(at);
                        self.write_digits(CHECKED - 1);
                    }
                }
                (Ok(_), _) => {
                    let before = std::mem::replace(&mut self.quantities[at], qty);
                    self.steps.push(Step::Replaced(at, before));
                    if at < CHECKED {
                        self.text.slot(at).write(price, qty);
                    }
                }
            }
            self.changed |= at < CHECKED;
        }
        while self.keys.len() > depth {
            let (key, qty) = (self.keys.pop_back()?, self.quantities.pop_back()?);
            self.steps.push(Step::Cut(key, qty));
        }
        Some(misses)
    }

    fn undo(&mut self) {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Inserted(at) => {
                    self.keys.remove(at);
                    self.quantities.remove(at);
                }
                Step::Replaced(at, qty) => self.quantities[at] = qty,
                Step::Removed(at, key, qty) => {
                    self.keys.insert(at, key);
                    self.quantities.insert(at, qty);
                }
                Step::Cut(key, qty) => {
                    self.keys.push_back(key);
                    self.quantities.push_back(qty);
                }
            }
            (self.has_digits, self.changed) = (false, true);
        }
    }

    /// Write the digits of a level, if there is one.
    fn write_digits(&mut self, at: usize) {
        if let (Some(key), Some(qty)) = (self.keys.get(at), self.quantities.get(at)) {
            self.text.slot(at).write(key ^ self.mask, *qty);
        }
    }

    #[inline(always)]
    fn write_text(&mut self) {
        if !self.has_digits {
            (0..CHECKED).for_each(|at| self.write_digits(at));
            self.has_digits = true;
        }
        self.text.write(self.keys.len().min(CHECKED));
        self.changed = false;
    }

    fn fill(levels: &[(u64, u64)], mask: u64) -> Option<Side> {
        let keys: VecDeque<u64> = levels.iter().map(|(price, _)| price ^ mask).collect();
        let sound = levels.iter().all(|(price, qty)| *price > 0 && *qty > 0)
            && keys.iter().zip(keys.iter().skip(1)).all(|(one, next)| one < next);
        let (quantities, text, steps) = (levels.iter().map(|(_, qty)| *qty).collect(), Text::new(), Vec::new());
        sound.then_some(Side { mask, keys, quantities, text, has_digits: false, changed: true, steps })
    }

    fn top(&self, levels: usize) -> Levels {
        let all = self.keys.iter().zip(&self.quantities);
        all.take(levels).map(|(key, qty)| (key ^ self.mask, *qty)).collect()
    }
}

const BIDS: u64 = u64::MAX; // a mask that turns the order of prices round
const ASKS: u64 = 0;

/// Prices and quantities, best level first.
pub type Levels = Vec<(u64, u64)>;

/// What a book is made of: integers in units of its scales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub depth: usize,
    pub scales: (u8, u8),      // decimals of prices and of quantities
    pub stamp_us: Option<i64>, // the latest of the exchange's times
    pub bids: Levels,
    pub asks: Levels,
}

/// What is to be known of an update that was put.
pub struct Put {
    misses: u64, // removals that named no level
    stamp_us: Option<i64>,
}

/// The book of one symbol.
pub struct Book {
    depth: usize,
    scales: (u8, u8),
    stamp_us: Option<i64>,
    bids: Side,
    asks: Side,
    asks_crc: u32, // the checksum runs over the asks first
    pub unknown_removals: u64,
}

impl Book {
    /// None: not by me.
    pub fn new(content: &Content) -> Option<Book> {
        Some(Book {
            depth: content.depth,
            scales: content.scales,
            stamp_us: content.stamp_us,
            bids: Side::fill(&content.bids, BIDS)?,
            asks: Side::fill(&content.asks, ASKS)?,
            asks_crc: 0,
            unknown_removals: 0,
        })
    }

    /// The best levels: bids and asks.
    pub fn top(&self, levels: usize) -> (Levels, Levels) {
        (self.bids.top(levels), self.asks.top(levels))
    }

    pub fn content(&self) -> Content {
        let (bids, asks) = self.top(usize::MAX);
        Content { depth: self.depth, scales: self.scales, stamp_us: self.stamp_us, bids, asks }
    }

    /// Apply an update that leaves the book proven and uncrossed, until `keep` or `undo`; None, and it is as it was.
    #[inline(always)]
    pub fn put(&mut self, bids: &[Level], asks: &[Level], checksum: u32, stamp_us: Option<i64>) -> Option<Put> {
        if stamp_us.is_some() && stamp_us < self.stamp_us {
            return None;
        }
        // an empty book takes its scales from what is written next
        let is_empty = self.bids.keys.is_empty() && self.asks.keys.is_empty();
        let misses = if is_empty { None } else { self.apply(bids, asks, checksum) };
        if misses.is_none() {
            self.undo();
        }
        Some(Put { misses: misses?, stamp_us: stamp_us.or(self.stamp_us) })
    }

    /// What the book is after a snapshot that proves it; None: not by me. Its numbers have the decimals that the book has.
    #[cold]
    pub fn begun_again(&self, bids: &[Level], asks: &[Level], checksum: u32, stamp_us: Option<i64>) -> Option<Book> {
        let most = |decimals: fn(&Level) -> u8| bids.iter().chain(asks).map(decimals).max().unwrap_or(0);
        let is_late = stamp_us.is_some() && stamp_us < self.stamp_us;
        let is_written_alike = self.scales == (most(|level| level.price.decimals), most(|level| level.qty.decimals));
        if is_late || !is_written_alike || bids.len().max(asks.len()) > self.depth {
            return None;
        }
        let scaled = |levels: &[Level]| -> Option<Levels> {
            let level = |level: &Level| Some((level.price.scaled(self.scales.0)?, level.qty.scaled(self.scales.1)?));
            levels.iter().map(level).collect()
        };
        let (bids, asks, stamp_us) = (scaled(bids)?, scaled(asks)?, stamp_us.or(self.stamp_us));
        let mut book = Book::new(&Content { depth: self.depth, scales: self.scales, stamp_us, bids, asks })?;
        book.unknown_removals = self.unknown_removals;
        book.apply(&[], &[], checksum)?;
        Some(book)
    }

    /// Keep what was put.
    #[inline(always)]
    pub fn keep(&mut self, put: Put) {
        self.bids.steps.clear();
        self.asks.steps.clear();
        self.unknown_removals += put.misses;
        self.stamp_us = put.stamp_us;
    }

    /// Let the book be as it was before what was put and not kept.
    #[cold]
    pub fn undo(&mut self) {
        self.bids.undo();
        self.asks.undo();
    }

    /// Whether it can be what it says; false is a fault of this library.
    pub fn is_sound(&self) -> bool {
        [&self.bids, &self.asks].iter().all(|side| {
            let ascends = side.keys.iter().zip(side.keys.iter().skip(1)).all(|(one, next)| one < next);
            ascends && side.keys.len() == side.quantities.len() && side.steps.is_empty()
        })
    }

    #[inline(always)]
    fn apply(&mut self, bids: &[Level], asks: &[Level], checksum: u32) -> Option<u64> {
        let misses = self.bids.put(bids, self.scales, self.depth)? + self.asks.put(asks, self.scales, self.depth)?;
        if self.asks.changed {
            self.asks.write_text();
            self.asks_crc = crc32fast::hash(self.asks.text.as_bytes());
        }
        if self.bids.changed {
            self.bids.write_text();
        }
        let mut hasher = crc32fast::Hasher::new_with_initial(self.asks_crc);
        hasher.update(self.bids.text.as_bytes());
        let crossed = match (self.bids.keys.front(), self.asks.keys.front()) {
            (Some(bid), Some(ask)) => bid ^ BIDS >= *ask,
            _ => false,
        };
        (hasher.finalize() == checksum && !crossed).then_some(misses)
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, Content};
    use crate::market::scan::{Cursor, Level};

    fn level(price: &str, qty: &str) -> Level {
        let number = |text: &str| Cursor::new(format!("{text},").as_bytes()).number().unwrap_or_default();
        Level { price: number(price), qty: number(qty) }
    }

    fn book() -> (Content, Book) {
        let bids = (1..=3).map(|n| (100 - n, n)).collect();
        let asks = (1..=3).map(|n| (100 + n, n)).collect();
        let content = Content { depth: 3, scales: (1, 0), stamp_us: Some(5), bids, asks };
        let made = Book::new(&content);
        (content, made.unwrap_or_else(|| panic!("a sound book is taken")))
    }

    fn take(book: &mut Book, bids: &[Level], asks: &[Level], checksum: u32, stamp_us: Option<i64>) -> bool {
        let put = book.put(bids, asks, checksum, stamp_us);
        put.map(|put| book.keep(put)).is_some()
    }

    #[test]
    fn what_matches_is_taken_in_order_and_cut_to_the_depth() {
        let (before, mut book) = book();
        let asks = [level("10.05", "1"), level("10.3", "0"), level("10.7", "0"), level("10", "7")];
        assert!(!take(&mut book, &[], &asks, 0, Some(6)), "more decimals than the book has");
        assert_eq!(book.content(), before);
        let asks = &asks[1..];
        let crc = crc32fast::hash(b"100710111022991982973");
        assert!(take(&mut book, &[], asks, crc, Some(6)));
        assert_eq!(book.content().asks, [(100, 7), (101, 1), (102, 2)]);
        assert_eq!((book.unknown_removals, book.content().stamp_us), (1, Some(6)));
    }

    #[test]
    fn a_message_of_very_many_levels_is_declined() {
        let (before, mut book) = book();
        let mut bids = vec![level("9.9", "1"); super::ONE_BY_ONE_MAX];
        let crc = crc32fast::hash(b"101110221033991982973");
        assert!(take(&mut book, &bids, &[], crc, None));
        bids.push(level("9.9", "1"));
        assert!(!take(&mut book, &bids, &[], crc, None));
        assert_eq!(book.content(), before);
    }

    #[test]
    fn what_is_declined_has_changed_nothing() {
        let (before, mut book) = book();
        let many = [level("9.8", "0"), level("9.9", "4"), level("9.95", "1")];
        for (bids, stamp) in [(&many[..], Some(6)), (&many[..2], Some(6)), (&many[1..2], Some(4)), (&[], None)] {
            assert!(!take(&mut book, bids, &[level("9.6", "2"), level("10.1", "0")], 7, stamp));
            assert_eq!(book.content(), before);
        }
    }

    #[test]
    fn a_snapshot_that_proves_the_book_is_taken_and_no_other() {
        let (before, book) = book();
        let (bids, asks) = ([level("9.5", "3"), level("9.4", "1")], [level("9.6", "2")]);
        let crc = crc32fast::hash(b"962953941");
        let content = Content { stamp_us: Some(7), bids: vec![(95, 3), (94, 1)], asks: vec![(96, 2)], ..before };
        assert_eq!(book.begun_again(&bids, &asks, crc, Some(7)).map(|book| book.content()), Some(content));
        assert!(book.begun_again(&bids, &asks, crc + 1, Some(7)).is_none(), "it proves another one");
        assert!(book.begun_again(&bids, &asks, crc, Some(4)).is_none(), "it is older");
        assert!(book.begun_again(&bids, &bids[..1], crc32fast::hash(b"953953941"), None).is_none(), "it is crossed");
        for other in [[level("9.4", "1"), level("9.5", "3")], [level("9.5", "3"), level("9.5", "3")]] {
            assert!(book.begun_again(&other, &[], crc, None).is_none(), "it is not in order");
        }
        let finer = [level("9.50", "3")];
        assert!(book.begun_again(&finer, &[], crc32fast::hash(b"9503"), None).is_none(), "it has other decimals");
        let deep = [level("9.5", "1"), level("9.4", "1"), level("9.3", "1"), level("9.2", "1")];
        assert!(book.begun_again(&deep, &[], crc32fast::hash(b"951941931921"), None).is_none(), "it is too deep");
    }

    #[test]
    fn what_was_put_is_undone_until_it_is_kept() {
        let (before, mut book) = book();
        let asks = [level("10.1", "0"), level("10", "7"), level("10.2", "9")];
        assert!(book.put(&[], &asks, crc32fast::hash(b"100710291033991982973"), Some(9)).is_some());
        assert_ne!(book.content(), before);
        book.undo();
        assert!(book.is_sound());
        assert_eq!(book.content(), before);
    }

    /// What the checksum of these levels covers, best first.
    fn checked(content: &Content) -> u32 {
        let text = |levels: &[(u64, u64)]| {
            levels.iter().take(super::CHECKED).map(|(price, qty)| format!("{price}{qty}")).collect::<String>()
        };
        crc32fast::hash((text(&content.asks) + &text(&content.bids)).as_bytes())
    }

    #[test]
    fn every_change_of_a_deep_book_is_under_its_checksum() {
        let side = |sign: i64| (1..=15).map(|n| ((1_000 + sign * 10 * n) as u64, n as u64)).collect();
        let mut content = Content { depth: 16, scales: (0, 0), stamp_us: None, bids: side(-1), asks: side(1) };
        let Some(mut book) = Book::new(&content) else { panic!("a sound book is taken") };
        let mut random = 1_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for step in 0..20_000 {
            let (is_bid, ticks, qty) = (below(2) == 0, 1 + below(200), below(3) * (1 + below(5_000)));
            let price = if is_bid { 1_000 - ticks } else { 1_000 + ticks };
            let number = level(&price.to_string(), &qty.to_string());
            let levels = if is_bid { &mut content.bids } else { &mut content.asks };
            levels.retain(|(other, _)| *other != price);
            if qty > 0 {
                levels.push((price, qty));
            }
            levels.sort_by_key(|(other, _)| if is_bid { u64::MAX - other } else { *other });
            levels.truncate(content.depth);
            let (bids, asks) = if is_bid { ([number].to_vec(), vec![]) } else { (vec![], [number].to_vec()) };
            if step % 7 == 0 {
                assert!(!take(&mut book, &bids, &asks, checked(&content) ^ 1, None), "it proves another one");
            }
            assert!(take(&mut book, &bids, &asks, checked(&content), None), "step {step}");
            assert_eq!(book.content(), content);
        }
    }

    #[test]
    fn a_book_that_is_not_in_order_is_not_taken_over() {
        let (content, _) = book();
        for bids in [vec![(98, 1), (99, 1)], vec![(99, 1), (99, 1)], vec![(99, 0)], vec![(0, 1)]] {
            assert!(Book::new(&Content { bids, ..content.clone() }).is_none());
        }
    }
}
