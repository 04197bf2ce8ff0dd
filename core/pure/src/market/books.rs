//! The books of a feed, and a block of its journal taken record by record, as far as all is well.

use super::book::{Book, Content};
use super::canonical;
use super::records::{self, Record};
use super::scan::{Level, Update};
use super::{v1, v2};
use crate::fault::guarded;
use std::collections::HashMap;

pub const NEVER: i64 = i64::MAX;

type Scanner = for<'f> fn(&'f [u8], &mut Vec<Level>) -> Option<Update<'f>>;

struct Lent {
    symbol: Vec<u8>, // its name in events
    book: Option<Book>,
    due_us: i64,
    seen: Seen,
}

/// What was taken of one book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub updates: u64,
    pub first_us: i64,
    pub last_us: i64,
}

/// Which records may be taken.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    pub packed: &'a [u8],
    pub begin: usize, // where the first of them is
    pub run: u64,
    pub first: u64,    // its number
    pub last: u64,     // the last that may be taken
    pub floor_us: i64, // times before are held here
    pub encode: bool,  // the events, for a digest
}

/// What was taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub end: usize, // where the next record is
    pub records: u64,
    pub updates: u64,
    pub heartbeats: u64,
    pub first_us: i64, // of the events
    pub last_us: i64,
    pub books: Vec<(usize, Seen)>,
    pub encoded: Vec<u8>,
    sound: usize,              // as far as that is of records which were taken
    pub fault: Option<String>, // what a panic at the record behind them says
}

/// The books that were lent to this side.
pub struct Books {
    scan: Scanner,
    heartbeat: &'static [u8],
    lent: Vec<Lent>,                  // a book keeps its place for good
    by_name: HashMap<Vec<u8>, usize>, // as frames have it
    recent: (Vec<u8>, usize),
    levels: Vec<Level>,
}

impl Books {
    /// None: a protocol that is not known here.
    pub fn new(protocol: &str) -> Option<Books> {
        let (scan, heartbeat): (Scanner, _) = match protocol {
            "kraken-v1" => (v1::update, v1::HEARTBEAT),
            "kraken-v2" => (v2::update, v2::HEARTBEAT),
            _ => return None,
        };
        let recent = (Vec::new(), usize::MAX);
        Some(Books { scan, heartbeat, lent: Vec::new(), by_name: HashMap::new(), recent, levels: Vec::new() })
    }

    /// Take a book over; its place. None: not by me.
    ///
    /// `name` is the symbol as it stands in frames, `symbol` as it stands in events. Updates at `due_us` or
    /// later are not taken: the book is to be looked at then.
    pub fn lend(&mut self, name: &[u8], symbol: &[u8], content: &Content, due_us: i64) -> Option<usize> {
        if !symbol.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            return None;
        }
        let book = Some(Book::new(content)?);
        let lent = Lent { symbol: symbol.to_vec(), book, due_us, seen: Seen::default() };
        let place = *self.by_name.entry(name.to_vec()).or_insert(self.lent.len());
        match self.lent.get_mut(place) {
            Some(before) => *before = lent,
            None => self.lent.push(lent),
        }
        Some(place)
    }

    /// Give a book back; None: it is not here, or not what it was.
    pub fn recall(&mut self, place: usize) -> Option<Book> {
        self.lent.get_mut(place)?.book.take().filter(Book::is_sound)
    }

    #[inline(always)]
    fn find(&mut self, name: &[u8]) -> Option<usize> {
        if self.recent.0 != name {
            let place = *self.by_name.get(name)?;
            self.recent.0.clear();
            self.recent.0.extend_from_slice(name);
            self.recent.1 = place;
        }
        Some(self.recent.1)
    }

    /// Take records in order, up to the first that is not for this side. A panic is a fault at that record, which
    /// has changed nothing then.
    pub fn take(&mut self, span: &Span<'_>) -> Taken {
        let mut taken = Taken {
            end: span.begin,
            records: 0,
            updates: 0,
            heartbeats: 0,
            first_us: 0,
            last_us: 0,
            books: Vec::new(),
            encoded: Vec::new(),
            sound: 0,
            fault: None,
        };
        taken.fault = guarded(|| self.take_records(span, &mut taken)).err();
        if taken.fault.is_some() {
            taken.encoded.truncate(taken.sound);
            self.lent.iter_mut().filter_map(|lent| lent.book.as_mut()).for_each(Book::undo);
        }
        for (place, seen) in &mut taken.books {
            *seen = std::mem::take(&mut self.lent[*place].seen);
        }
        taken
    }

    fn take_records(&mut self, span: &Span<'_>, taken: &mut Taken) {
        while let Some((record, next)) = records::read(span.packed, taken.end) {
            let seq = span.first + taken.records;
            let is_mine = seq <= span.last && record.kind == records::IN;
            if !is_mine || self.take_frame(&record, seq, span, taken).is_none() {
                break;
            }
            taken.end = next;
            taken.records += 1;
            taken.sound = taken.encoded.len();
        }
    }

    /// None: not by me. What can panic comes first, and what is noted of the record last.
    #[inline(always)]
    fn take_frame(&mut self, record: &Record<'_>, seq: u64, span: &Span<'_>, taken: &mut Taken) -> Option<()> {
        let (frame, at_us, id) = (record.payload, record.at_us.max(span.floor_us), (span.run, seq));
        if frame == self.heartbeat {
            if span.encode {
                canonical::write_heartbeat(&mut taken.encoded, id);
            }
            taken.heartbeats += 1;
        } else {
            let update = (self.scan)(frame, &mut self.levels)?;
            let place = self.find(update.symbol)?;
            let lent = &mut self.lent[place];
            if at_us >= lent.due_us {
                return None;
            }
            let (bids, asks) = self.levels.split_at(update.bids);
            let book = lent.book.as_mut()?;
            let put = book.put(bids, asks, update.checksum, update.stamp_us)?;
            if span.encode {
                canonical::write_update(&mut taken.encoded, id, frame, &lent.symbol, &update, &self.levels);
            }
            book.keep(put);
            if lent.seen.updates == 0 {
                lent.seen.first_us = at_us;
                taken.books.push((place, Seen::default()));
            }
            lent.seen.updates += 1;
            lent.seen.last_us = at_us;
            taken.updates += 1;
        }
        if taken.updates + taken.heartbeats == 1 {
            taken.first_us = at_us;
        }
        taken.last_us = at_us;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Books, Span};

    #[test]
    fn a_panic_is_a_fault_at_its_record_and_what_was_taken_before_it_stays_taken() {
        let mut packed = vec![0x92];
        for _ in 0..2 {
            packed.extend_from_slice(b"\x93\x00\x01\xc4\x15{\"event\":\"heartbeat\"}");
        }
        let Some(mut books) = Books::new("kraken-v1") else { panic!("it is known") };
        // no number follows on this one
        let span = Span { packed: &packed, begin: 1, run: 1, first: u64::MAX, last: u64::MAX, floor_us: 0, encode: true };
        let taken = books.take(&span);
        assert!(taken.fault.is_some_and(|what| !what.is_empty()));
        assert_eq!((taken.records, taken.heartbeats, taken.end), (1, 1, 27));
        assert_eq!(taken.encoded, b"[[1,18446744073709551615],\"Heartbeat\",{},null]");
    }
}
