//! Frames of a socket in; what was taken of them out, with events whose fields are read when they are looked at.

use crate::market::Books;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use tidelog_pure::fault::guarded;
use tidelog_pure::market::books::{Kind, Purpose, Taken, Terms};
use tidelog_pure::market::{records, v2};

/// What Python knows of events, shared by all of a feed.
#[pyclass(frozen, module = "tidelog_core")]
pub struct Contract {
    kind: Py<PyAny>,   // `tidelog.market.events.BookDelta`
    decode: Py<PyAny>, // a frame to an event
    time: Py<PyAny>,   // ISO 8601 to a time
}

/// An update of a book, proven, as its frame has it. `BookDelta` to who asks for its class, and in all that it does.
#[pyclass(frozen, module = "tidelog_core")]
pub struct BookDelta {
    contract: Py<Contract>,
    frame: Py<PyBytes>, // its own: nothing else is kept by an event that is kept
    symbol: Py<PyString>,
    checksum: u32,
    stamped: bool,
    made: PyOnceLock<Py<PyAny>>, // of Python's own class
}

impl BookDelta {
    fn made<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let made = self.made.get_or_try_init(py, || self.contract.get().decode.call1(py, (&self.frame,)))?;
        Ok(made.bind(py))
    }
}

#[pymethods]
impl BookDelta {
    /// For msgspec, which encodes these fields by their names.
    #[classattr]
    #[pyo3(name = "__dataclass_fields__")]
    fn fields(py: Python<'_>) -> PyResult<Py<PyDict>> {
        let fields = PyDict::new(py);
        for name in ["symbol", "bids", "asks", "checksum", "timestamp", "sequence"] {
            fields.set_item(name, py.None())?;
        }
        Ok(fields.unbind())
    }

    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> Py<PyAny> {
        self.contract.get().kind.clone_ref(py)
    }

    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.symbol.clone_ref(py)
    }

    #[getter]
    fn checksum(&self) -> u32 {
        self.checksum
    }

    #[getter]
    fn timestamp(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if !self.stamped {
            return Ok(py.None());
        }
        match v2::stamp_text(self.frame.as_bytes(py)) {
            Some(text) => self.contract.get().time.call1(py, (text,)),
            None => Ok(self.made(py)?.getattr("timestamp")?.unbind()),
        }
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.made(py)?.getattr(name)
    }

    fn __richcmp__<'py>(&self, other: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let made = self.made(py)?;
        match other.cast::<BookDelta>() {
            Ok(other) => made.rich_compare(other.get().made(py)?, op),
            Err(_) => made.rich_compare(other, op),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.made(py)?.hash()
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.made(py)?.repr()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.made(py)?.call_method0("__reduce__")
    }
}

const ONE_BY_ONE: usize = 16; // frames, before it is known that more will be taken
const DETACHED: usize = 256; // ... that are taken with the interpreter's lock released: a journal's thread waits for it

/// Takes frames of a feed as they came from its socket.
#[pyclass(module = "tidelog_core")]
pub struct Frames {
    contract: Py<Contract>,
    heartbeat: Py<PyAny>,
    symbols: Vec<Py<PyString>>, // by place
    packed: Vec<u8>,
}

#[pymethods]
impl Frames {
    /// Args:
    ///     kind: Python's class of a book's updates.
    ///     decode: reads one frame, by itself.
    ///     time: reads a time.
    ///     heartbeat: the event of that name.
    #[new]
    fn new(
        py: Python<'_>,
        kind: Py<PyAny>,
        decode: Py<PyAny>,
        time: Py<PyAny>,
        heartbeat: Py<PyAny>,
    ) -> PyResult<Frames> {
        let contract = Py::new(py, Contract { kind, decode, time })?;
        Ok(Frames { contract, heartbeat, symbols: Vec::new(), packed: Vec::new() })
    }

    /// Name the book at a place as events do. Places come in order.
    fn name(&mut self, place: usize, symbol: Bound<'_, PyString>) {
        if place == self.symbols.len() {
            self.symbols.push(symbol.unbind());
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
    ///     begin: the first frame's place in `frames`, of which so many are looked at.
    ///     at_us: when they came.
    ///     run, first: the id of the first.
    ///     room: bytes, at which no further frame is taken; each counts as `record_bytes` more than it has.
    ///     encode: give the events' encoding, for a digest.
    ///
    /// Returns:
    ///     How many were taken; packed as a journal has them, and their bytes as `room` counts them; how many are updates and
    ///     heartbeats; their events; of each book its symbol and the checksum of its last update; the encoding; and what a panic at the next frame says.
    #[pyo3(signature = (books, frames, *, begin, frames_max, at_us, run, first, room, record_bytes, encode))]
    #[allow(clippy::too_many_arguments)]
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        mut books: PyRefMut<'py, Books>,
        frames: &Bound<'py, PyList>,
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
        let (mut taken, mut events, mut kinds) = (Taken::default(), Vec::new(), Vec::new());
        let (mut size, mut next, mut many) = (0, begin, ONE_BY_ONE);
        let end = frames.len().min(begin + frames_max);
        let (books, mut packed) = (&mut books.0, std::mem::take(&mut self.packed));
        packed.clear();
        let fault = loop {
            let held = (next..end.min(next + many)).map(|at| Ok(frames.get_item(at)?.cast_into::<PyBytes>()?));
            let held = held.collect::<PyResult<Vec<_>>>()?;
            let payloads: Vec<&[u8]> = held.iter().map(|frame| frame.as_bytes()).collect();
            kinds.clear();
            let mut work = || {
                guarded(|| {
                    for payload in &payloads {
                        let is_full = size >= room;
                        let kind = if is_full { None } else { books.take_one(payload, at_us, &terms, &mut taken) };
                        let Some(kind) = kind else { break };
                        records::write(&mut packed, records::IN, at_us as u64, payload);
                        size += payload.len() + record_bytes;
                        kinds.push(kind);
                    }
                })
            };
            let fault = if many < DETACHED { work() } else { py.detach(work) }.err();
            next += kinds.len();
            let is_over = fault.is_some() || kinds.len() < held.len() || next == end;
            for (frame, kind) in held.into_iter().zip(&kinds) {
                events.push(self.event(py, frame, *kind)?);
            }
            if is_over {
                break fault;
            }
            many = DETACHED;
        };
        let taken = books.end(taken, fault);
        let mut last = Vec::with_capacity(taken.books.len());
        for (place, seen) in &taken.books {
            last.push((self.symbol(*place)?.clone_ref(py), seen.checksum));
        }
        self.packed = packed;
        let packed = PyBytes::new(py, &self.packed);
        let counts = (taken.updates, taken.heartbeats);
        let encoded = PyBytes::new(py, &taken.encoded);
        let events = PyTuple::new(py, events)?;
        (taken.records, packed, size, counts.0, counts.1, events, last, encoded, taken.fault).into_pyobject(py)
    }
}

impl Frames {
    fn symbol(&self, place: usize) -> PyResult<&Py<PyString>> {
        self.symbols.get(place).ok_or_else(|| PyValueError::new_err("a book that was lent without its name"))
    }

    fn event<'py>(&self, py: Python<'py>, frame: Bound<'py, PyBytes>, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
        let Kind::Update { place, checksum, is_stamped } = kind else {
            return Ok(self.heartbeat.bind(py).clone());
        };
        let (contract, symbol) = (self.contract.clone_ref(py), self.symbol(place)?.clone_ref(py));
        let made = PyOnceLock::new();
        let event = BookDelta { contract, frame: frame.unbind(), symbol, checksum, stamped: is_stamped, made };
        Ok(Bound::new(py, event)?.into_any())
    }
}
