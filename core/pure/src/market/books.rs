//! The books of a feed, and a block of its journal taken record by record, as far as all is well.

use super::book::{Book, Content, Levels};
use super::canonical;
use super::records;
use super::samples::Sample;
use super::scan::{Level, ReadUpdate, Update};
use super::trades::{Ticker, Trade, follow_on};
use super::{v1, v2};
use crate::fault::guarded;
use std::collections::HashMap;

pub const NEVER: i64 = i64::MAX;

/// How the frames of a protocol are read.
struct Scanner {
    update: ReadUpdate,
    snapshot: ReadUpdate,
    trades: for<'f> fn(&'f [u8], &mut Vec<Trade>) -> Option<&'f [u8]>,
    ticker: for<'f> fn(&'f [u8]) -> Option<Ticker<'f>>,
    heartbeat: &'static [u8],
}

const V1: Scanner = Scanner {
    update: v1::update,
    snapshot: v1::snapshot,
    trades: v1::trades,
    ticker: v1::ticker,
    heartbeat: v1::HEARTBEAT,
};
const V2: Scanner = Scanner {
    update: v2::update,
    snapshot: v2::snapshot,
    trades: v2::trades,
    ticker: v2::ticker,
    heartbeat: v2::HEARTBEAT,
};

fn scanner_of(protocol: &str) -> Option<&'static Scanner> {
    match protocol {
        "kraken-v1" => Some(&V1),
        "kraken-v2" => Some(&V2),
        _ => None,
    }
}

/// How the messages of a protocol's books are read.
#[derive(Clone, Copy)]
pub struct Messages(&'static Scanner);

impl Messages {
    /// None: it is not known here.
    pub fn of(protocol: &str) -> Option<Messages> {
        scanner_of(protocol).map(Messages)
    }

    /// An update or a snapshot, its levels in `levels`; None: not by me.
    pub fn read<'f>(&self, frame: &'f [u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
        (self.0.update)(frame, levels).or_else(|| (self.0.snapshot)(frame, levels))
    }
}

/// What trades and tickers are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Events, // those that are followed, for their events
    Rows,   // trades that are followed, for what rows are made of; all tickers
    Books,  // all, for nothing
}

/// A symbol's trades, or its tickers, of which nothing follows but what is in them.
struct Followed {
    symbol: Vec<u8>,   // its name in events
    last: Option<u64>, // the id on which others have to follow; None: any may come
    due_us: i64,
    is_followed: bool,
    is_seen: bool, // in what is being taken
}

impl Followed {
    /// Note that some were taken.
    fn note(&mut self, place: usize, taken: &mut Taken) {
        if !self.is_seen {
            self.is_seen = true;
            taken.followed.push((place, None));
        }
    }
}

/// The trades of a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Prints {
    pub place: usize, // of what is followed
    pub seq: u64,
    pub at_us: i64,
    pub trades: Vec<(Trade, Vec<u8>)>, // each with the order's type
}

/// How far a session need not see a book's messages one by one: until a pause between updates that it learns from.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub moved_us: i64,    // when the last update came; 0: none did
    pub pauses_left: u64, // so many are alike
    pub due_us: i64,      // ... that end before this time
}

/// What came of a book that is watched, for its session: messages that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    pub pauses: u64,     // between updates
    pub first_us: i64,   // when the first of them ended
    pub longest_us: i64, // how long the longest was
    pub moved_us: i64,   // when the last update came; 0: none did
    pub at_us: i64,      // ... and the last message
    pub checksum: u32,   // of that
}

struct Watched {
    watch: Watch,
    noted: Option<Noted>, // since that was asked for
}

impl Watched {
    /// Note a message; false: it is one that the session has to see, and is not noted.
    #[inline(always)]
    fn note(&mut self, at_us: i64, checksum: u32, is_update: bool) -> bool {
        let moved_us = self.watch.moved_us;
        let watch = &mut self.watch;
        let pauses = is_update && 0 < moved_us && moved_us < at_us;
        if is_update {
            watch.moved_us = at_us;
        }
        if pauses {
            if watch.pauses_left == 0 || at_us >= watch.due_us {
                return false;
            }
            watch.pauses_left -= 1;
        }
        let none = Noted { pauses: 0, first_us: at_us, longest_us: 0, moved_us: 0, at_us, checksum };
        let noted = self.noted.get_or_insert(none);
        if pauses {
            if noted.pauses == 0 {
                noted.first_us = at_us;
            }
            noted.pauses += 1;
            noted.longest_us = noted.longest_us.max(at_us - moved_us);
        }
        if is_update {
            noted.moved_us = at_us;
        }
        noted.at_us = at_us;
        noted.checksum = checksum;
        true
    }
}

struct Lent {
    symbol: Vec<u8>, // its name in events
    book: Option<Book>,
    due_us: i64,
    watched: Option<Watched>, // None: nobody asks
    is_doubted: bool,         // until its next message, which proves it
    sample_us: Option<i64>,   // for rows: how often its best levels are stored, first when it is due
    takes_snapshots: bool,
    seen: Seen,
}

impl Lent {
    /// Whether a message at this time makes a row of its own; None: it is not by me.
    #[inline(always)]
    fn is_due(&self, at_us: i64, purpose: Purpose) -> Option<bool> {
        match at_us >= self.due_us {
            true if purpose == Purpose::Rows && self.sample_us.is_some() => Some(true),
            is_due => (!is_due).then_some(false),
        }
    }

    /// Note a sample: the next one is due in the next interval.
    #[cold]
    fn note_sample(&mut self, sample: Sample, taken: &mut Taken) {
        if let Some(sample_us) = self.sample_us {
            let begun_us = sample.at_us - sample.at_us.rem_euclid(sample_us);
            self.due_us = begun_us.saturating_add(sample_us);
        }
        taken.samples.push(sample);
    }

    /// Note that one more message is being taken, which is counted then.
    #[inline(always)]
    fn note(&mut self, place: usize, at_us: i64, checksum: u32, is_update: bool, taken: &mut Taken) {
        let seen = &mut self.seen;
        if seen.updates + seen.snapshots == 0 {
            seen.first_us = at_us;
            taken.books.push((place, Seen::default()));
        }
        seen.last_us = at_us;
        if let Some(watched) = &mut self.watched
            && !watched.note(at_us, checksum, is_update)
        {
            taken.to_see = Some((place, checksum));
        }
    }
}

/// What was taken of one book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub updates: u64,
    pub snapshots: u64,
    pub first_us: i64,
    pub last_us: i64,
}

/// How records are taken.
#[derive(Clone, Copy)]
pub struct Terms {
    pub run: u64,
    pub first: u64,    // the number of the first
    pub floor_us: i64, // times before are held here
    pub purpose: Purpose,
    pub encode: bool, // the events, for a digest
}

/// Which records of a block may be taken.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    pub packed: &'a [u8],
    pub begin: usize, // where the first of them is
    pub last: u64,    // the number of the last that may be taken
    pub terms: Terms,
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Heartbeat,
    Update { place: usize, bids: usize, checksum: u32, is_stamped: bool },
    Snapshot { place: usize, bids: usize, checksum: u32, is_stamped: bool },
    Trades,
    Ticker,
}

/// What was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub end: usize, // where the next record is
    pub records: u64,
    pub updates: u64,
    pub snapshots: u64,
    pub heartbeats: u64,
    pub trades: u64, // frames
    pub tickers: u64,
    pub first_us: i64, // of the events
    pub last_us: i64,
    pub books: Vec<(usize, Seen)>,
    pub to_see: Option<(usize, u32)>, // of the last record: a book whose session has to see that, and the checksum
    pub proven: Vec<usize>,           // books that were doubted before
    pub followed: Vec<(usize, Option<u64>)>, // for events: the last id of trades that are followed by id
    pub prints: Vec<Prints>,          // where they are for rows
    pub samples: Vec<Sample>,         // ... too
    pub encoded: Vec<u8>,
    sound: usize,              // as far as that is of records which were taken
    pub fault: Option<String>, // what a panic at the record behind them says
}

/// The books that were lent to this side.
pub struct Books {
    scanner: &'static Scanner,
    lent: Vec<Lent>,                  // a book keeps its place for good
    by_name: HashMap<Vec<u8>, usize>, // as frames have it
    recent: (Vec<u8>, Option<usize>), // the name of the last one, and its place; None: there was none
    levels: Vec<Level>,
    followed: Vec<Followed>, // each keeps its place for good
    trades_by_name: HashMap<Vec<u8>, usize>,
    tickers_by_name: HashMap<Vec<u8>, usize>,
    trades: Vec<Trade>,
    ids: Vec<u64>,
    encoded: Vec<u8>, // room for the next block's
}

const ENCODED_KEPT_MAX: usize = 4 << 20; // bytes of room: a block's usual encoding is one megabyte
const FOLLOWED_MAX: usize = 16_384; // an exchange lists some 1,500; the bound is against names that it makes up

impl Books {
    /// None: a protocol that is not known here.
    pub fn new(protocol: &str) -> Option<Books> {
        Some(Books {
            scanner: scanner_of(protocol)?,
            lent: Vec::new(),
            by_name: HashMap::new(),
            recent: (Vec::new(), None),
            levels: Vec::new(),
            followed: Vec::new(),
            trades_by_name: HashMap::new(),
            tickers_by_name: HashMap::new(),
            trades: Vec::new(),
            ids: Vec::new(),
            encoded: Vec::new(),
        })
    }

    /// Take a symbol's trades, or its tickers, from now on; the place. None: not by me.
    ///
    /// `last` is the id of its last trade, if others are to follow on it; names and `due_us` are as those of `lend`.
    pub fn follow(
        &mut self,
        name: &[u8],
        symbol: &[u8],
        is_ticker: bool,
        last: Option<u64>,
        due_us: i64,
    ) -> Option<usize> {
        let by_name = if is_ticker { &mut self.tickers_by_name } else { &mut self.trades_by_name };
        if !is_plain(symbol) || (self.followed.len() >= FOLLOWED_MAX && !by_name.contains_key(name)) {
            return None;
        }
        let place = *by_name.entry(name.to_vec()).or_insert(self.followed.len());
        let followed = Followed { symbol: symbol.to_vec(), last, due_us, is_followed: true, is_seen: false };
        match self.followed.get_mut(place) {
            Some(before) => *before = followed,
            None => self.followed.push(followed),
        }
        Some(place)
    }

    /// Leave all trades and tickers, until they are followed again.
    pub fn forget(&mut self) {
        self.followed.iter_mut().for_each(|one| one.is_followed = false);
    }

    /// Leave all snapshots, each book's until it is lent again.
    pub fn leave_snapshots(&mut self) {
        self.lent.iter_mut().for_each(|lent| lent.takes_snapshots = false);
    }

    /// Take a book over; its place. None: not by me.
    ///
    /// `name` is the symbol as it stands in frames, `symbol` as it stands in events. Updates at `due_us` or
    /// later are not taken: the book is to be looked at then; or, for rows, a sample is taken so often from then on,
    /// in microseconds. Nor are snapshots taken, unless they mean nothing more.
    pub fn lend(
        &mut self,
        name: &[u8],
        symbol: &[u8],
        content: &Content,
        due_us: i64,
        sample_us: Option<i64>,
        takes_snapshots: bool,
    ) -> Option<usize> {
        if !is_plain(symbol) {
            return None;
        }
        let book = Some(Book::new(content)?);
        let sample_us = sample_us.filter(|sample_us| *sample_us > 0);
        let (symbol, seen) = (symbol.to_vec(), Seen::default());
        let lent = Lent { symbol, book, due_us, sample_us, watched: None, is_doubted: true, takes_snapshots, seen };
        let place = *self.by_name.entry(name.to_vec()).or_insert(self.lent.len());
        match self.lent.get_mut(place) {
            Some(before) => *before = lent,
            None => self.lent.push(lent),
        }
        Some(place)
    }

    /// Watch a book that was lent from now on, and say of the next message that it proves it.
    pub fn watch(&mut self, place: usize, watch: Watch) {
        if let Some(lent) = self.lent.get_mut(place) {
            let noted = lent.watched.as_ref().and_then(|watched| watched.noted);
            lent.watched = Some(Watched { watch, noted });
            lent.is_doubted = true;
        }
    }

    /// What came of a book since this was asked last.
    pub fn noted(&mut self, place: usize) -> Option<Noted> {
        self.lent.get_mut(place)?.watched.as_mut()?.noted.take()
    }

    /// When the last message of that came; None: none did.
    pub fn noted_us(&self, place: usize) -> Option<i64> {
        Some(self.lent.get(place)?.watched.as_ref()?.noted?.at_us)
    }

    /// What came of all books since this was asked of each last, with their places.
    pub fn all_noted(&mut self) -> Vec<(usize, Noted)> {
        let noted = |(place, lent): (usize, &mut Lent)| Some((place, lent.watched.as_mut()?.noted.take()?));
        self.lent.iter_mut().enumerate().filter_map(noted).collect()
    }

    /// Give a book back; None: it is not here, or not what it was.
    pub fn recall(&mut self, place: usize) -> Option<Book> {
        self.lent.get_mut(place)?.book.take().filter(Book::is_sound)
    }

    /// The best levels of a book, bids and asks; None: it is not here.
    pub fn top(&self, place: usize, levels: usize) -> Option<(Levels, Levels)> {
        Some(self.lent.get(place)?.book.as_ref()?.top(levels))
    }

    #[inline(always)]
    fn find(&mut self, name: &[u8]) -> Option<usize> {
        if self.recent.1.is_none() || self.recent.0 != name {
            let place = *self.by_name.get(name)?;
            self.recent.0.clear();
            self.recent.0.extend_from_slice(name);
            self.recent.1 = Some(place);
        }
        self.recent.1
    }

    /// Read an update of a book that is here, or was, by itself; None: it is none, or not in the usual form.
    pub fn read(&mut self, frame: &[u8]) -> Option<Kind> {
        let update = (self.scanner.update)(frame, &mut self.levels)?;
        let (bids, checksum, is_stamped) = (update.bids, update.checksum, update.stamp_us.is_some());
        Some(Kind::Update { place: self.find(update.symbol)?, bids, checksum, is_stamped })
    }

    /// The levels of the message of a book that was read last: bids first, as many as its `Kind` says.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Take records in order, up to the first that is not for this side. A panic is a fault at that record, which
    /// has changed nothing then.
    pub fn take(&mut self, span: &Span<'_>) -> Taken {
        let encoded = std::mem::take(&mut self.encoded);
        let mut taken = Taken { end: span.begin, encoded, ..Taken::default() };
        let done = guarded(|| {
            while let Some((record, next)) = records::read(span.packed, taken.end) {
                let is_mine = span.terms.first + taken.records <= span.last && record.kind == records::IN;
                if !is_mine || self.take_one(record.payload, record.at_us, &span.terms, &mut taken).is_none() {
                    break;
                }
                taken.end = next;
            }
        });
        self.end(taken, done.err())
    }

    /// Keep the room of an encoding for the next one: new room costs a page fault for every four kilobytes.
    pub fn reuse(&mut self, mut encoded: Vec<u8>) {
        if encoded.capacity() <= ENCODED_KEPT_MAX {
            encoded.clear();
            self.encoded = encoded;
        }
    }

    /// Take one frame that came at that time; None: not by me, and nothing has changed. What it did counts by `end`.
    #[inline(always)]
    pub fn take_one(&mut self, frame: &[u8], at_us: i64, terms: &Terms, taken: &mut Taken) -> Option<Kind> {
        let kind = self.take_frame(frame, at_us, terms, taken)?;
        taken.records += 1;
        taken.sound = taken.encoded.len();
        Some(kind)
    }

    /// All that was taken, and the fault that ended it.
    pub fn end(&mut self, mut taken: Taken, fault: Option<String>) -> Taken {
        taken.fault = fault;
        taken.encoded.truncate(taken.sound);
        if taken.fault.is_some() {
            self.lent.iter_mut().filter_map(|lent| lent.book.as_mut()).for_each(Book::undo);
        }
        for (place, seen) in &mut taken.books {
            let lent = &mut self.lent[*place];
            *seen = std::mem::take(&mut lent.seen);
            if std::mem::take(&mut lent.is_doubted) {
                taken.proven.push(*place);
            }
        }
        for (place, last) in &mut taken.followed {
            let one = &mut self.followed[*place];
            one.is_seen = false;
            *last = one.last;
        }
        taken
    }

    /// None: not by me. What can panic comes first, and what is noted of the record last.
    #[inline(always)]
    fn take_frame(&mut self, frame: &[u8], at_us: i64, terms: &Terms, taken: &mut Taken) -> Option<Kind> {
        let floor_us = if terms.purpose == Purpose::Rows { terms.floor_us.max(taken.last_us) } else { terms.floor_us };
        let (at_us, id) = (at_us.max(floor_us), (terms.run, terms.first + taken.records));
        let kind = if frame == self.scanner.heartbeat {
            if terms.encode {
                canonical::write_heartbeat(&mut taken.encoded, id);
            }
            taken.heartbeats += 1;
            Kind::Heartbeat
        } else if let Some(update) = (self.scanner.update)(frame, &mut self.levels) {
            let place = self.find(update.symbol)?;
            let lent = &mut self.lent[place];
            let is_due = lent.is_due(at_us, terms.purpose)?;
            let (bids, asks) = self.levels.split_at(update.bids);
            let book = lent.book.as_mut()?;
            let put = book.put(bids, asks, update.checksum, update.stamp_us)?;
            let sample = is_due.then(|| Sample::of(book, place, id.1, at_us, update.stamp_us));
            if terms.encode {
                canonical::write_update(
                    &mut taken.encoded,
                    id,
                    b"BookDelta",
                    frame,
                    &lent.symbol,
                    &update,
                    &self.levels,
                );
            }
            book.keep(put);
            if let Some(sample) = sample {
                lent.note_sample(sample, taken);
            }
            lent.note(place, at_us, update.checksum, true, taken);
            lent.seen.updates += 1;
            taken.updates += 1;
            let (bids, checksum, is_stamped) = (update.bids, update.checksum, update.stamp_us.is_some());
            Kind::Update { place, bids, checksum, is_stamped }
        } else if let Some(snapshot) = (self.scanner.snapshot)(frame, &mut self.levels) {
            let place = self.find(snapshot.symbol)?;
            let lent = &mut self.lent[place];
            let is_due = lent.is_due(at_us, terms.purpose)?;
            if !lent.takes_snapshots {
                return None;
            }
            let (bids, asks) = self.levels.split_at(snapshot.bids);
            let book = lent.book.as_ref()?.begun_again(bids, asks, snapshot.checksum, snapshot.stamp_us)?;
            if terms.encode {
                let (name, into) = (b"BookSnapshot", &mut taken.encoded);
                canonical::write_update(into, id, name, frame, &lent.symbol, &snapshot, &self.levels);
            }
            let sample = is_due.then(|| Sample::of(&book, place, id.1, at_us, snapshot.stamp_us));
            lent.book = Some(book);
            if let Some(sample) = sample {
                lent.note_sample(sample, taken);
            }
            lent.note(place, at_us, snapshot.checksum, false, taken);
            lent.seen.snapshots += 1;
            taken.snapshots += 1;
            let (bids, checksum, is_stamped) = (snapshot.bids, snapshot.checksum, snapshot.stamp_us.is_some());
            Kind::Snapshot { place, bids, checksum, is_stamped }
        } else if let Some(name) = (self.scanner.trades)(frame, &mut self.trades) {
            self.take_trades(name, frame, at_us, id, terms, taken)?;
            taken.trades += 1;
            Kind::Trades
        } else {
            let ticker = (self.scanner.ticker)(frame)?;
            if terms.purpose == Purpose::Events {
                let place = *self.tickers_by_name.get(ticker.symbol)?;
                let followed = &mut self.followed[place];
                if !followed.is_followed || at_us >= followed.due_us {
                    return None;
                }
                if terms.encode {
                    canonical::write_ticker(&mut taken.encoded, id, frame, &followed.symbol, &ticker);
                }
                followed.note(place, taken);
            }
            taken.tickers += 1;
            Kind::Ticker
        };
        if taken.records == 0 {
            taken.first_us = at_us;
        }
        taken.last_us = at_us;
        Some(kind)
    }

    /// Take the trades that were read; None: not by me.
    fn take_trades(
        &mut self,
        name: &[u8],
        frame: &[u8],
        at_us: i64,
        id: (u64, u64),
        terms: &Terms,
        taken: &mut Taken,
    ) -> Option<()> {
        if terms.purpose == Purpose::Books {
            return Some(());
        }
        let place = *self.trades_by_name.get(name)?;
        let followed = &mut self.followed[place];
        if !followed.is_followed || at_us >= followed.due_us {
            return None;
        }
        let mut last = None;
        if let Some(before) = followed.last {
            self.ids.clear();
            self.ids.extend(self.trades.iter().filter_map(|trade| trade.id));
            if self.ids.len() != self.trades.len() || !follow_on(before, &mut self.ids) {
                return None;
            }
            last = self.ids.last().copied();
        }
        if terms.encode {
            canonical::write_trades(&mut taken.encoded, id, frame, &followed.symbol, &self.trades);
        }
        if terms.purpose == Purpose::Rows {
            if !self.trades.iter().all(Trade::fits_a_row) {
                return None;
            }
            let trades = self.trades.iter().map(|trade| (*trade, trade.ord_type.text(frame).to_vec())).collect();
            taken.prints.push(Prints { place, seq: id.1, at_us, trades });
        }
        if last.is_some() {
            followed.last = last;
        }
        followed.note(place, taken);
        Some(())
    }
}

/// Whether it stands in JSON as it is.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::{Books, Purpose, Span, Terms};

    #[test]
    fn a_panic_is_a_fault_at_its_record_and_what_was_taken_before_it_stays_taken() {
        let mut packed = vec![0x92];
        for _ in 0..2 {
            packed.extend_from_slice(b"\x93\x00\x01\xc4\x15{\"event\":\"heartbeat\"}");
        }
        let Some(mut books) = Books::new("kraken-v1") else { panic!("it is known") };
        // no number follows on this one
        let terms = Terms { run: 1, first: u64::MAX, floor_us: 0, purpose: Purpose::Events, encode: true };
        let span = Span { packed: &packed, begin: 1, last: u64::MAX, terms };
        let taken = books.take(&span);
        assert!(taken.fault.is_some_and(|what| !what.is_empty()));
        assert_eq!((taken.records, taken.heartbeats, taken.end), (1, 1, 27));
        assert_eq!(taken.encoded, b"[[1,18446744073709551615],\"Heartbeat\",{},null]");
    }

    #[test]
    fn a_book_without_a_name_is_none_that_was_lent() {
        let frame = b"[336,{\"b\":[[\"1.0\",\"1.0\",\"1.5\"]],\"c\":\"7\"},\"book-10\",\"\"]";
        let mut packed = vec![0x91, 0x93, 0x00, 0x01, 0xc4, frame.len() as u8];
        packed.extend_from_slice(frame);
        let Some(mut books) = Books::new("kraken-v1") else { panic!("it is known") };
        let terms = Terms { run: 1, first: 1, floor_us: 0, purpose: Purpose::Events, encode: true };
        let span = Span { packed: &packed, begin: 1, last: 1, terms };
        let taken = books.take(&span);
        assert_eq!((taken.records, taken.fault), (0, None));
    }
}
