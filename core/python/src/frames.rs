//! Frames of a socket in; what was taken of them out.

use crate::alike::complete;
use crate::events::{BookDelta, BookSnapshot, Contract, Events, Frame, Kinds, Symbols, Tickers, Trades};
use crate::levels::{Level, Shown};
use crate::market::{Books, unknown};
use crate::websocket::Messages;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;
use tidelog_pure::fault::guarded;
use tidelog_pure::market::books::{self, Purpose, Taken, Terms};
use tidelog_pure::market::records;

const ONE_BY_ONE: usize = 16; // frames, before it is known that more will be taken
const DETACHED: usize = 256; // ... that are taken with the interpreter's lock released: a journal's thread waits for it

/// Frames as they came: by a list, or where a connection's reader has put them.
enum Source<'py> {
    List(Bound<'py, PyList>),
    Messages(PyRef<'py, Messages>),
}

impl<'py> Source<'py> {
    fn of(frames: &Bound<'py, PyAny>) -> PyResult<Source<'py>> {
        Ok(match frames.cast::<Messages>() {
            Ok(messages) => Source::Messages(messages.try_borrow()?),
            Err(_) => Source::List(frames.cast::<PyList>()?.clone()),
        })
    }

    fn len(&self) -> usize {
        match self {
            Source::List(frames) => frames.len(),
            Source::Messages(messages) => messages.len(),
        }
    }

    /// Some in a row, held by Python for as long as they are read.
    fn held(&self, begin: usize, end: usize) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        match self {
            Source::List(frames) => (begin..end).map(|at| Ok(frames.get_item(at)?.cast_into::<PyBytes>()?)).collect(),
            Source::Messages(_) => Ok(Vec::new()),
        }
    }

    fn payloads<'a>(&'a self, held: &'a [Bound<'py, PyBytes>], begin: usize, end: usize) -> Vec<&'a [u8]> {
        match self {
            Source::List(_) => held.iter().map(|frame| frame.as_bytes()).collect(),
            Source::Messages(messages) => messages.payloads(messages.py(), begin, end - begin),
        }
    }
}

// Once for all feeds: to look through the attributes of these classes takes longer than a hundred frames.
static COMPLETED: PyOnceLock<()> = PyOnceLock::new();
static COMPLETED_LEVEL: PyOnceLock<()> = PyOnceLock::new();

/// Give the classes of events what Python's have beside.
fn complete_events(py: Python<'_>, kinds: &Kinds, unset: &Bound<'_, PyAny>) -> PyResult<()> {
    let (update, snapshot) = (py.get_type::<BookDelta>(), py.get_type::<BookSnapshot>());
    for (class, python) in [(&update, &kinds.book_delta), (&snapshot, &kinds.book_snapshot)] {
        class.setattr("sequence", unset)?;
        complete(class, python.bind(py))?;
    }
    complete(&py.get_type::<Trades>(), kinds.trades.bind(py))?;
    complete(&py.get_type::<Tickers>(), kinds.tickers.bind(py))
}

/// Takes frames of a feed as they came from its socket.
#[pyclass(module = "tidelog_core")]
pub struct Frames {
    contract: Py<Contract>,
    symbols: Symbols,
    packed: Vec<u8>,
    shown: HashMap<usize, [Shown; 2]>, // bids and asks, by the places of their books
}

#[pymethods]
impl Frames {
    /// Args:
    ///     protocol: whose frames they are.
    ///     kinds: Python's classes of events and of levels, by name.
    ///     decode: reads one frame, by itself.
    ///     heartbeat: the event of that name.
    ///     unset: the sequence of a message that has none.
    ///     level_is_text: the class of levels is made of the texts of its numbers; else by its `of_texts`, when that is
    ///         asked for.
    #[new]
    #[pyo3(signature = (protocol, kinds, *, decode, heartbeat, unset, level_is_text))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        protocol: &str,
        kinds: Kinds,
        decode: Py<PyAny>,
        heartbeat: Py<PyAny>,
        unset: &Bound<'_, PyAny>,
        level_is_text: bool,
    ) -> PyResult<Frames> {
        let messages = books::Messages::of(protocol).ok_or_else(|| unknown(protocol))?;
        COMPLETED.get_or_try_init(py, || complete_events(py, &kinds, unset))?;
        if !level_is_text {
            COMPLETED_LEVEL.get_or_try_init(py, || complete(&py.get_type::<Level>(), kinds.level.bind(py)))?;
        }
        let contract = Contract { kinds, decode, heartbeat, level_is_text, messages };
        let contract = Py::new(py, contract)?;
        Ok(Frames { contract, symbols: Symbols::default(), packed: Vec::new(), shown: HashMap::new() })
    }

    /// Read updates of books, which are not applied, as far as they are in the usual form.
    ///
    /// Args:
    ///     books: where the books of these symbols are, or were.
    fn read(&self, py: Python<'_>, mut books: PyRefMut<'_, Books>, frames: Vec<Bound<'_, PyBytes>>) -> Events {
        let mut packed = Vec::with_capacity(frames.iter().map(|frame| frame.as_bytes().len()).sum());
        let mut kinds = Vec::with_capacity(frames.len());
        for frame in &frames {
            let frame = frame.as_bytes();
            let Some(kind) = books.0.read(frame) else { break };
            packed.extend_from_slice(frame);
            kinds.push(Frame::new(kind, books.0.levels(), packed.len() - frame.len(), packed.len()));
        }
        Events::new(self.contract.clone_ref(py), self.symbols.clone(), PyBytes::new(py, &packed).unbind(), kinds)
    }

    /// Name the book at a place as events do. Places come in order.
    fn name(&mut self, py: Python<'_>, place: usize, symbol: Bound<'_, PyString>) {
        if place != self.symbols.len() {
            return;
        }
        match Arc::get_mut(&mut self.symbols) {
            Some(symbols) => symbols.push(symbol.unbind()),
            None => {
                let held = self.symbols.iter().map(|held| held.clone_ref(py));
                self.symbols = Arc::new(held.chain([symbol.unbind()]).collect());
            }
        }
    }

    /// The best levels of a book that was lent, bids and asks; None: it is not lent.
    #[allow(clippy::type_complexity)]
    fn top(
        &mut self,
        py: Python<'_>,
        books: PyRef<'_, Books>,
        place: usize,
        levels: usize,
    ) -> PyResult<Option<(Py<PyTuple>, Py<PyTuple>)>> {
        let Some((bids, asks)) = books.0.top(place, levels) else { return Ok(None) };
        let scaled = self.contract.get().kinds.scaled_level.bind(py);
        let [shown_bids, shown_asks] = self.shown.entry(place).or_default();
        Ok(Some((shown_bids.show(scaled, bids)?, shown_asks.show(scaled, asks)?)))
    }

    /// Take frames in order, as far as all is well.
    ///
    /// Args:
    ///     books: those that were lent.
    ///     frames: a list, or `Messages`.
    ///     begin: the first frame's place in `frames`, of which so many are looked at.
    ///     at_us: when they came.
    ///     run, first: the id of the first.
    ///     room: bytes, at which no further frame is taken; each counts as `record_bytes` more than it has.
    ///     encode: give the events' encoding, for a digest.
    ///
    /// Returns:
    ///     How many were taken; packed as a journal has them, and their bytes as `room` counts them; how many are updates,
    ///     snapshots, heartbeats, and frames of trades and tickers; their events; the places of books that were proven
    ///     after they were doubted; the place of a book whose session has to see the last frame, and its checksum; of
    ///     what is followed each place, and the last id of trades that are followed by it; the encoding; and what a panic
    ///     at the next frame says.
    #[pyo3(signature = (books, frames, *, begin, frames_max, at_us, run, first, room, record_bytes, encode))]
    #[allow(clippy::too_many_arguments)]
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        mut books: PyRefMut<'py, Books>,
        frames: &Bound<'py, PyAny>,
        begin: usize,
        frames_max: usize,
        at_us: i64,
        run: u64,
        first: u64,
        room: usize,
        record_bytes: usize,
        encode: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let terms = Terms { run, first, floor_us: 0, purpose: Purpose::Events, encode };
        let source = Source::of(frames)?;
        let end = source.len().min(begin.saturating_add(frames_max));
        let (mut taken, mut kinds) = (Taken::default(), Vec::with_capacity(end.saturating_sub(begin).min(DETACHED)));
        let (mut size, mut next, mut many) = (0, begin, ONE_BY_ONE);
        let (books, mut packed) = (&mut books.0, std::mem::take(&mut self.packed));
        packed.clear();
        let fault = loop {
            let until = end.min(next.saturating_add(many)).max(next);
            let held = source.held(next, until)?;
            let payloads = source.payloads(&held, next, until);
            let mut work = || {
                guarded(|| {
                    for payload in &payloads {
                        let is_full = size >= room || taken.to_see.is_some();
                        let kind = if is_full { None } else { books.take_one(payload, at_us, &terms, &mut taken) };
                        let Some(kind) = kind else { break };
                        records::write(&mut packed, records::IN, at_us as u64, payload);
                        size += payload.len() + record_bytes;
                        let begin = packed.len() - payload.len();
                        kinds.push(Frame::new(kind, books.levels(), begin, packed.len()));
                    }
                })
            };
            let fault = if many < DETACHED { work() } else { py.detach(work) }.err();
            next = begin + kinds.len();
            if fault.is_some() || next < until || next >= end {
                break fault;
            }
            many = DETACHED;
        };
        let taken = books.end(taken, fault);
        let bytes = PyBytes::new(py, &packed);
        self.packed = packed;
        let counts = (taken.updates, taken.snapshots, taken.heartbeats, taken.trades, taken.tickers);
        let encoded = PyBytes::new(py, &taken.encoded);
        let events = Events::new(self.contract.clone_ref(py), self.symbols.clone(), bytes.clone().unbind(), kinds);
        let books = (taken.proven, taken.to_see);
        (taken.records, bytes, size, counts, events, books, taken.followed, encoded, taken.fault).into_pyobject(py)
    }
}
