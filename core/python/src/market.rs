//! Books that are lent to the core, and blocks of a journal in; what was taken of them out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tidelog_pure::fault::guarded;
use tidelog_pure::market::book::{Book, Content};
use tidelog_pure::market::books::{self, NEVER, Noted, Prints, Purpose, Span, Terms, Watch};
use tidelog_pure::market::records;
use tidelog_pure::market::samples::Sample;
use tidelog_pure::market::trades::Trade;

/// Prices, and for each the digits of the price and then of the quantity, best level first.
type Side = (Vec<u64>, Vec<String>);

fn levels((prices, fragments): Side) -> Option<Vec<(u64, u64)>> {
    let level = |(price, fragment): (u64, String)| {
        let digits = fragment.strip_prefix(price.to_string().as_str())?;
        Some((price, digits.parse().ok()?))
    };
    prices.into_iter().zip(fragments).map(level).collect()
}

fn side(levels: Vec<(u64, u64)>) -> Side {
    levels.into_iter().map(|(price, qty)| (price, format!("{price}{qty}"))).unzip()
}

/// The books of a feed that were lent to the core. It takes what leaves a book proven, and nothing else.
#[pyclass(module = "tidelog_core")]
pub struct Books(pub(crate) books::Books);

#[pymethods]
impl Books {
    /// Args:
    ///     protocol: whose frames are read.
    #[new]
    fn new(protocol: &str) -> PyResult<Books> {
        books::Books::new(protocol).map(Books).ok_or_else(|| unknown(protocol))
    }

    /// Take a book over.
    ///
    /// Args:
    ///     name: the symbol as frames have it.
    ///     symbol: as events have it.
    ///     due_us: updates at this time or later are not taken; None: all are.
    ///     sample_us: for rows they are, and from then on a sample is given this often. None: none is.
    ///     takes_snapshots: take those that prove the book, too.
    ///
    /// Returns:
    ///     Its place, for good; None if it has to stay where it is, be it because of a fault.
    #[pyo3(signature = (name, symbol, *, depth, scales, stamp_us, bids, asks, due_us, sample_us, takes_snapshots))]
    #[allow(clippy::too_many_arguments)]
    fn lend(
        &mut self,
        name: &str,
        symbol: &str,
        depth: usize,
        scales: (u8, u8),
        stamp_us: Option<i64>,
        bids: Side,
        asks: Side,
        due_us: Option<i64>,
        sample_us: Option<i64>,
        takes_snapshots: bool,
    ) -> Option<usize> {
        let content = Content { depth, scales, stamp_us, bids: levels(bids)?, asks: levels(asks)? };
        let (books, due_us) = (&mut self.0, due_us.unwrap_or(NEVER));
        guarded(|| books.lend(name.as_bytes(), symbol.as_bytes(), &content, due_us, sample_us, takes_snapshots)).ok()?
    }

    /// Watch a book that was lent from now on: take what its session need not see by itself, and the next that it has to.
    ///
    /// Args:
    ///     moved_us: when its last update came; 0: none did.
    ///     pauses_left: so many pauses between updates need not be seen; None: any.
    ///     due_us: ... that end before this time; None: at any.
    fn watch(&mut self, place: usize, moved_us: i64, pauses_left: Option<u64>, due_us: Option<i64>) {
        let (pauses_left, due_us) = (pauses_left.unwrap_or(u64::MAX), due_us.unwrap_or(NEVER));
        self.0.watch(place, Watch { moved_us, pauses_left, due_us });
    }

    /// What came of a book that is watched since this was asked last, if anything did: how many pauses between updates,
    /// when the first of them ended, the longest; when the last update came, the last message, and that one's checksum.
    fn noted(&mut self, place: usize) -> Option<Note> {
        self.0.noted(place).map(note)
    }

    /// When the last message came that `noted` would tell of; None: it would tell of none.
    fn noted_us(&self, place: usize) -> Option<i64> {
        self.0.noted_us(place)
    }

    /// What `noted` says, of all books, each with its place.
    fn all_noted(&mut self) -> Vec<(usize, Note)> {
        self.0.all_noted().into_iter().map(|(place, noted)| (place, note(noted))).collect()
    }

    /// Take a symbol's trades, or its tickers, from now on.
    ///
    /// Args:
    ///     name, symbol, due_us: as for `lend`.
    ///     last: the id of its last trade, where others have to follow on it.
    ///
    /// Returns:
    ///     A place, for good; None if they are not taken.
    #[pyo3(signature = (name, symbol, *, is_ticker, last=None, due_us=None))]
    fn follow(
        &mut self,
        name: &str,
        symbol: &str,
        is_ticker: bool,
        last: Option<u64>,
        due_us: Option<i64>,
    ) -> Option<usize> {
        self.0.follow(name.as_bytes(), symbol.as_bytes(), is_ticker, last, due_us.unwrap_or(NEVER))
    }

    /// Leave all trades and tickers, until they are followed again.
    fn forget(&mut self) {
        self.0.forget();
    }

    /// Leave all snapshots, each book's until it is lent again.
    fn leave_snapshots(&mut self) {
        self.0.leave_snapshots();
    }

    /// Give a book back: bids and asks, its stamp, and how many removals named no level. It must be here, and sound.
    fn recall(&mut self, place: usize) -> PyResult<(Side, Side, Option<i64>, u64)> {
        let book: Book = self.0.recall(place).ok_or_else(absent)?;
        let content = book.content();
        Ok((side(content.bids), side(content.asks), content.stamp_us, book.unknown_removals))
    }

    /// Take records of a journal's block in order, with the interpreter's lock released, as far as all is well.
    ///
    /// Args:
    ///     packed: the block, unpacked: msgpack.
    ///     begin: where the first record is, 0 for that of the block.
    ///     first, last: its number, and that of the last that may be taken.
    ///     floor_us: times before are held here.
    ///     purpose: what trades and tickers are taken for: events or rows, of those that are followed; books, as if they
    ///         were none, of all.
    ///     encode: give the events' encoding, for a digest.
    ///
    /// Returns:
    ///     Where the next record is; how many records, and of them updates and snapshots of books, heartbeats, frames of
    ///     trades and tickers, were taken; the time of the first event and of the last; of each book its place, messages,
    ///     first and last time; of trades that are followed by id each place and the last id; the frames of trades, for
    ///     rows: place, number, time, and of each trade time, price, quantity, whether it was a buyer's, type of order,
    ///     decimals of price and quantity, id; the samples, for rows, too: place of the book, number, time, the exchange's
    ///     time, levels; the encoding; and what a panic at the next record says.
    #[pyo3(signature = (packed, *, begin, run, first, last, floor_us=0, purpose="events", encode=false))]
    #[allow(clippy::too_many_arguments)]
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        packed: &Bound<'py, PyBytes>,
        begin: usize,
        run: u64,
        first: u64,
        last: u64,
        floor_us: i64,
        purpose: &str,
        encode: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let packed = packed.as_bytes();
        let begin = if begin == 0 { records::begin(packed).unwrap_or(packed.len()) } else { begin };
        let purpose = match purpose {
            "events" => Purpose::Events,
            "rows" => Purpose::Rows,
            "books" => Purpose::Books,
            _ => return Err(PyValueError::new_err(format!("a purpose that is not known: {purpose}"))),
        };
        let span = Span { packed, begin, last, terms: Terms { run, first, floor_us, purpose, encode } };
        let books = &mut self.0;
        let taken = py.detach(|| books.take(&span));
        let seen: Vec<(usize, u64, i64, i64)> = taken
            .books
            .iter()
            .map(|(place, seen)| (*place, seen.updates + seen.snapshots, seen.first_us, seen.last_us))
            .collect();
        let counts = (taken.records, taken.updates, taken.snapshots, taken.heartbeats, taken.trades, taken.tickers);
        let times = (taken.first_us, taken.last_us);
        let prints: Vec<_> = taken.prints.into_iter().map(print).collect();
        let sample =
            |one: &Sample| (one.place, one.seq, one.at_us, one.stamp_us, PyBytes::new(py, &one.levels).unbind());
        let samples: Vec<_> = taken.samples.iter().map(sample).collect();
        let encoded = PyBytes::new(py, &taken.encoded);
        books.reuse(taken.encoded);
        let followed = taken.followed.into_iter().filter_map(|(place, last)| Some((place, last?)));
        let followed: Vec<(usize, u64)> = followed.collect();
        (taken.end, counts, times, seen, followed, prints, samples, encoded, taken.fault).into_pyobject(py)
    }
}

type Note = (u64, i64, i64, i64, i64, u32);

fn note(noted: Noted) -> Note {
    (noted.pauses, noted.first_us, noted.longest_us, noted.moved_us, noted.at_us, noted.checksum)
}

type Print = (i64, u64, u64, bool, String, u8, u8, Option<u64>);

fn print(prints: Prints) -> (usize, u64, i64, Vec<Print>) {
    let of = |(trade, ord_type): (Trade, Vec<u8>)| {
        let (price, qty) = (trade.price, trade.qty);
        let ord_type = String::from_utf8_lossy(&ord_type).into_owned();
        (trade.time_us, price.value, qty.value, trade.is_buy, ord_type, price.decimals, qty.decimals, trade.id)
    };
    (prints.place, prints.seq, prints.at_us, prints.trades.into_iter().map(of).collect())
}

pub fn unknown(protocol: &str) -> PyErr {
    PyValueError::new_err(format!("a protocol that is not known: {protocol}"))
}

fn absent() -> PyErr {
    PyValueError::new_err("the book was not lent, or a fault has damaged it")
}

/// The record of a block at a place: its kind, time and payload, and where the next one is; None: it is no such place.
#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn record_at<'py>(
    py: Python<'py>,
    packed: &Bound<'py, PyBytes>,
    at: usize,
) -> Option<(u8, i64, Bound<'py, PyBytes>, usize)> {
    let packed = packed.as_bytes();
    let at = if at == 0 { records::begin(packed)? } else { at };
    let (record, next) = records::read(packed, at)?;
    Some((record.kind, record.at_us, PyBytes::new(py, record.payload), next))
}
