//! Frames of a socket in; what was taken of them out.

use crate::events::{Contract, Events, Frame, Kinds, Symbols};
use crate::market::Books;
use crate::websocket::Messages;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::sync::Arc;
use tidelog_pure::fault::guarded;
use tidelog_pure::market::books::{Purpose, Taken, Terms};
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

/// Takes frames of a feed as they came from its socket.
#[pyclass(module = "tidelog_core")]
pub struct Frames {
    contract: Py<Contract>,
    symbols: Symbols,
    packed: Vec<u8>,
}

#[pymethods]
impl Frames {
    /// Args:
    ///     kinds: Python's classes of events, by name.
    ///     decode: reads one frame, by itself.
    ///     time: reads a time.
    ///     heartbeat: the event of that name.
    #[new]
    fn new(py: Python<'_>, kinds: Kinds, decode: Py<PyAny>, time: Py<PyAny>, heartbeat: Py<PyAny>) -> PyResult<Frames> {
        let contract = Py::new(py, Contract { kinds, decode, time, heartbeat })?;
        Ok(Frames { contract, symbols: Symbols::default(), packed: Vec::new() })
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

    /// The best levels of a book that was lent: bids and asks, each as price and quantity.
    #[allow(clippy::type_complexity)]
    fn top(&self, books: PyRef<'_, Books>, place: usize, levels: usize) -> Option<(Vec<(u64, u64)>, Vec<(u64, u64)>)> {
        books.0.top(place, levels)
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
    ///     snapshots, heartbeats, and frames of trades and tickers; their events; of each book its symbol, the checksum of
    ///     its last message, and whether there were updates; of what is followed each place, and the last id of trades that
    ///     are followed by it; the encoding; and what a panic at the next frame says.
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
        let (mut taken, mut kinds) = (Taken::default(), Vec::new());
        let (mut size, mut next, mut many) = (0, begin, ONE_BY_ONE);
        let end = source.len().min(begin.saturating_add(frames_max));
        let (books, mut packed) = (&mut books.0, std::mem::take(&mut self.packed));
        packed.clear();
        let fault = loop {
            let until = end.min(next.saturating_add(many)).max(next);
            let held = source.held(next, until)?;
            let payloads = source.payloads(&held, next, until);
            let mut work = || {
                guarded(|| {
                    for payload in &payloads {
                        let is_full = size >= room;
                        let kind = if is_full { None } else { books.take_one(payload, at_us, &terms, &mut taken) };
                        let Some(kind) = kind else { break };
                        records::write(&mut packed, records::IN, at_us as u64, payload);
                        size += payload.len() + record_bytes;
                        kinds.push(Frame { kind, begin: packed.len() - payload.len(), end: packed.len() });
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
        let mut last = Vec::with_capacity(taken.books.len());
        for (place, seen) in &taken.books {
            let symbol = self.symbols.get(*place).ok_or_else(|| PyIndexError::new_err("a book without a name"))?;
            last.push((symbol.clone_ref(py), seen.checksum, seen.updates > 0));
        }
        let bytes = PyBytes::new(py, &packed);
        self.packed = packed;
        let counts = (taken.updates, taken.snapshots, taken.heartbeats, taken.trades, taken.tickers);
        let encoded = PyBytes::new(py, &taken.encoded);
        let events = Events::new(self.contract.clone_ref(py), self.symbols.clone(), bytes.clone().unbind(), kinds);
        (taken.records, bytes, size, counts, events, last, taken.followed, encoded, taken.fault).into_pyobject(py)
    }
}
