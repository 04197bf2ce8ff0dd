//! Frames of a socket in; what was taken of them out, with events whose fields are read when they are looked at.

use crate::market::Books;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::collections::HashMap;
use tidelog_pure::market::books::{Purpose, Span};
use tidelog_pure::market::records;
use tidelog_pure::market::scan::{Level, Update};
use tidelog_pure::market::{v1, v2};

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

struct Named {
    symbol: Py<PyString>,
    call: u64,   // the last in which it was seen ...
    slot: usize, // ... and where it is in what that one gives
}

/// Takes frames of a feed as they came from its socket.
#[pyclass(module = "tidelog_core")]
pub struct Frames {
    contract: Py<Contract>,
    heartbeat: Py<PyAny>,
    scan: for<'f> fn(&'f [u8], &mut Vec<Level>) -> Option<Update<'f>>,
    names: HashMap<Vec<u8>, Named>, // as frames have them
    levels: Vec<Level>,
    packed: Vec<u8>,
    calls: u64,
}

#[pymethods]
impl Frames {
    /// Args:
    ///     protocol: whose frames are read.
    ///     kind: Python's class of a book's updates.
    ///     decode: reads one frame, by itself.
    ///     time: reads a time.
    ///     heartbeat: the event of that name.
    #[new]
    fn new(
        py: Python<'_>,
        protocol: &str,
        kind: Py<PyAny>,
        decode: Py<PyAny>,
        time: Py<PyAny>,
        heartbeat: Py<PyAny>,
    ) -> PyResult<Frames> {
        let scan = match protocol {
            "kraken-v1" => v1::update,
            "kraken-v2" => v2::update,
            _ => return Err(PyValueError::new_err(format!("a protocol that is not known: {protocol}"))),
        };
        let contract = Py::new(py, Contract { kind, decode, time })?;
        let (names, levels, packed) = (HashMap::new(), Vec::new(), Vec::new());
        Ok(Frames { contract, heartbeat, scan, names, levels, packed, calls: 0 })
    }

    /// Make events of a book known: its name in frames, and in events.
    fn name(&mut self, name: &str, symbol: Bound<'_, PyString>) {
        self.names.insert(name.as_bytes().to_vec(), Named { symbol: symbol.unbind(), call: 0, slot: 0 });
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
        at_us: u64,
        run: u64,
        first: u64,
        room: usize,
        record_bytes: usize,
        encode: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let frames: Vec<Bound<'py, PyBytes>> =
            frames.iter().skip(begin).take(frames_max).map(|frame| frame.cast_into()).collect::<Result<_, _>>()?;
        self.packed.clear();
        let (mut size, mut admitted) = (0, 0);
        for frame in &frames {
            if size >= room {
                break;
            }
            records::write(&mut self.packed, records::IN, at_us, frame.as_bytes());
            size += frame.as_bytes().len() + record_bytes;
            admitted += 1;
        }
        let span = Span {
            packed: &self.packed,
            begin: 0,
            run,
            first,
            last: first + admitted,
            floor_us: 0,
            purpose: Purpose::Events,
            encode,
        };
        let taken = books.0.take(&span);
        let count = taken.records as usize;
        size = frames.iter().take(count).map(|frame| frame.as_bytes().len() + record_bytes).sum();
        self.calls += 1;
        let (mut events, mut last) = (Vec::with_capacity(count), Vec::<(Py<PyString>, u32)>::new());
        for frame in frames.into_iter().take(count) {
            events.push(self.event(py, frame, &mut last)?);
        }
        let packed = PyBytes::new(py, self.packed.get(..taken.end).unwrap_or_default());
        let counts = (taken.updates, taken.heartbeats);
        let encoded = PyBytes::new(py, &taken.encoded);
        let events = PyTuple::new(py, events)?;
        (count, packed, size, counts.0, counts.1, events, last, encoded, taken.fault).into_pyobject(py)
    }
}

impl Frames {
    fn event<'py>(
        &mut self,
        py: Python<'py>,
        frame: Bound<'py, PyBytes>,
        last: &mut Vec<(Py<PyString>, u32)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(update) = (self.scan)(frame.as_bytes(), &mut self.levels) else {
            return Ok(self.heartbeat.bind(py).clone());
        };
        let unnamed = || PyValueError::new_err("a book that was lent without its name");
        let named = self.names.get_mut(update.symbol).ok_or_else(unnamed)?;
        let (symbol, checksum) = (named.symbol.clone_ref(py), update.checksum);
        if named.call == self.calls {
            last[named.slot].1 = checksum;
        } else {
            (named.call, named.slot) = (self.calls, last.len());
            last.push((symbol.clone_ref(py), checksum));
        }
        let stamped = update.stamp_us.is_some();
        let (contract, made) = (self.contract.clone_ref(py), PyOnceLock::new());
        let event = BookDelta { contract, frame: frame.unbind(), symbol, checksum, stamped, made };
        Ok(Bound::new(py, event)?.into_any())
    }
}
