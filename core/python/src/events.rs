//! Events of frames that the core has taken. They are made when they are looked at, and so are their fields.

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PySlice, PyString};
use std::sync::Arc;
use tidelog_pure::market::books::Kind;
use tidelog_pure::market::v2;

/// What Python knows of events, shared by all of a feed.
#[pyclass(frozen, module = "tidelog_core")]
pub struct Contract {
    pub kind: Py<PyAny>,      // `tidelog.market.events.BookDelta`
    pub decode: Py<PyAny>,    // a frame to an event
    pub time: Py<PyAny>,      // ISO 8601 to a time
    pub heartbeat: Py<PyAny>, // the event of that name
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

/// The names of events' types, by what a frame was.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Update { .. } => "BookDelta",
        Kind::Heartbeat => "Heartbeat",
        Kind::Trades => "Trades",
        Kind::Ticker => "Tickers",
    }
}

/// A frame among others.
#[derive(Clone, Copy)]
pub struct Frame {
    pub kind: Kind,
    pub begin: usize,
    pub end: usize,
}

/// Symbols as events have them, by the places of their books.
pub type Symbols = Arc<Vec<Py<PyString>>>;

/// The events of frames in a row. Each is made when it is looked at, every time anew.
#[pyclass(frozen, module = "tidelog_core", sequence)]
pub struct Events {
    contract: Py<Contract>,
    symbols: Symbols,
    packed: Py<PyBytes>, // has the frames
    frames: Vec<Frame>,
}

impl Events {
    /// Of frames that are in `packed`, and their symbols in `symbols`.
    pub fn new(contract: Py<Contract>, symbols: Symbols, packed: Py<PyBytes>, frames: Vec<Frame>) -> Events {
        Events { contract, symbols, packed, frames }
    }

    fn event<'py>(&self, py: Python<'py>, frame: &Frame) -> PyResult<Bound<'py, PyAny>> {
        let Kind::Update { place, checksum, is_stamped } = frame.kind else {
            return Ok(self.contract.get().heartbeat.bind(py).clone());
        };
        let symbol = self.symbols.get(place).ok_or_else(|| PyIndexError::new_err("a book without a name"))?;
        let event = BookDelta {
            contract: self.contract.clone_ref(py),
            frame: PyBytes::new(py, &self.packed.as_bytes(py)[frame.begin..frame.end]).unbind(),
            symbol: symbol.clone_ref(py),
            checksum,
            stamped: is_stamped,
            made: PyOnceLock::new(),
        };
        Ok(Bound::new(py, event)?.into_any())
    }

    /// Those of these frames alone. Where they are little of what is here, the rest is not kept by them.
    fn only(&self, py: Python<'_>, mut frames: Vec<Frame>) -> Events {
        let packed = self.packed.as_bytes(py);
        let size: usize = frames.iter().map(|frame| frame.end - frame.begin).sum();
        let mut kept = self.packed.clone_ref(py);
        if size < packed.len() / 2 {
            let mut own = Vec::with_capacity(size);
            for frame in &mut frames {
                let begin = own.len();
                own.extend_from_slice(&packed[frame.begin..frame.end]);
                *frame = Frame { begin, end: own.len(), ..*frame };
            }
            kept = PyBytes::new(py, &own).unbind();
        }
        Events::new(self.contract.clone_ref(py), self.symbols.clone(), kept, frames)
    }
}

#[pymethods]
impl Events {
    fn __len__(&self) -> usize {
        self.frames.len()
    }

    /// An event; or some in a row, as others of these.
    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.frames.len();
        if let Ok(slice) = index.cast::<PySlice>() {
            let found = slice.indices(count as isize)?;
            if found.step != 1 {
                return Err(PyIndexError::new_err("events are taken in a row"));
            }
            let (begin, end) = (found.start as usize, found.stop.max(found.start) as usize);
            return Ok(Bound::new(py, self.only(py, self.frames[begin..end].to_vec()))?.into_any());
        }
        let index: isize = index.extract()?;
        let at = if index < 0 { count.checked_add_signed(index) } else { usize::try_from(index).ok() };
        let frame = at.and_then(|at| self.frames.get(at)).ok_or_else(|| PyIndexError::new_err("no such event"))?;
        self.event(py, frame)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> EventsIterator {
        EventsIterator { events: slf.into(), place: 0 }
    }

    fn __repr__(&self) -> String {
        format!("<{} events>", self.frames.len())
    }

    /// Those of some types, by the names of these: which of all they are, a byte for each, and they; None: all.
    fn of_kinds<'py>(&self, py: Python<'py>, names: Vec<String>) -> Option<(Bound<'py, PyBytes>, Events)> {
        let is_wanted = |frame: &Frame| names.iter().any(|wanted| wanted == name(frame.kind));
        let wanted: Vec<u8> = self.frames.iter().map(|frame| is_wanted(frame).into()).collect();
        if !wanted.contains(&0) {
            return None;
        }
        let frames = self.frames.iter().zip(&wanted).filter(|(_, wanted)| **wanted == 1).map(|(frame, _)| *frame);
        Some((PyBytes::new(py, &wanted), self.only(py, frames.collect())))
    }
}

/// Goes through events once.
#[pyclass(module = "tidelog_core")]
pub struct EventsIterator {
    events: Py<Events>,
    place: usize,
}

#[pymethods]
impl EventsIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let events = self.events.get();
        let Some(frame) = events.frames.get(self.place) else { return Ok(None) };
        self.place += 1;
        events.event(py, frame).map(Some)
    }
}
