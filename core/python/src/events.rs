//! Events of frames that the core has taken. They are made when they are looked at, and so are their fields.

use crate::alike::named;
use crate::levels::{Span, Spans, side};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDateTime, PyDict, PySlice, PyString, PyTuple, PyTzInfo};
use std::sync::Arc;
use tidelog_pure::market::books::{Kind, Messages};
use tidelog_pure::market::scan::Level;
use tidelog_pure::market::{time, v2};

/// What Python knows of events, shared by all of a feed.
#[pyclass(frozen, module = "tidelog_core")]
pub struct Contract {
    pub kinds: Kinds,
    pub decode: Py<PyAny>,    // a frame to an event
    pub heartbeat: Py<PyAny>, // the event of that name
    pub level_is_text: bool,  // the class of levels is made of the numbers' texts; else they stay in the frame
    pub messages: Messages,
}

const LEVELS_USUAL: usize = 8; // of an update

type Sides = (Py<PyTuple>, Py<PyTuple>);

/// Classes of `tidelog.market.events`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Kinds {
    pub book_delta: Py<PyAny>,
    pub book_snapshot: Py<PyAny>,
    pub trades: Py<PyAny>,
    pub tickers: Py<PyAny>,
    pub level: Py<PyAny>, // the protocol's, of a book's messages
    pub scaled_level: Py<PyAny>,
}

/// What is made when it is first looked at, and then kept.
struct Once<T>(PyOnceLock<T>);

impl<T> Once<T> {
    fn new() -> Once<T> {
        Once(PyOnceLock::new())
    }

    /// `PyOnceLock` itself lets go of the interpreter's lock to make it, which costs more than most of what is made.
    fn get(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<&T> {
        if self.0.get(py).is_none() {
            let _ = self.0.set(py, make()?); // where another thread was first, what it made stays
        }
        self.0.get(py).ok_or_else(|| PyValueError::new_err("nothing was made"))
    }
}

/// What a frame says, read when it is looked at.
struct Lazy {
    contract: Py<Contract>,
    frame: Py<PyBytes>,    // its own: nothing else is kept by an event that is kept
    made: Once<Py<PyAny>>, // of Python's own class
}

impl Lazy {
    fn made<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let made = self.made.get(py, || self.contract.get().decode.call1(py, (&self.frame,)))?;
        Ok(made.bind(py))
    }
}

/// The levels of a message that has many: bids and asks.
fn sides(py: Python<'_>, lazy: &Lazy) -> PyResult<Sides> {
    let (contract, frame) = (&lazy.contract, &lazy.frame);
    let mut levels = Vec::with_capacity(LEVELS_USUAL);
    let message = contract.get().messages.read(frame.as_bytes(py), &mut levels);
    let message = message.ok_or_else(|| PyValueError::new_err("an event whose frame cannot be read"))?;
    let levels = levels.iter().map(Span::of).collect::<Vec<_>>();
    let (bids, asks) = levels.split_at(message.bids);
    Ok((side(py, contract, frame, bids, true)?, side(py, contract, frame, asks, false)?))
}

/// A time in Python's class.
fn moment<'py>(py: Python<'py>, at: &time::Civil) -> PyResult<Bound<'py, PyDateTime>> {
    let (year, utc) = (at.year.into(), PyTzInfo::utc(py)?);
    PyDateTime::new(py, year, at.month, at.day, at.hour, at.minute, at.second, at.micros, Some(&utc))
}

/// An event that is one of Python's class to who asks for its class, and in all that it does. The class is a member: the
/// interpreter reads it without a call, whenever it is asked what an event is.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($known:tt)* }, $fields:expr, { $($getters:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "tidelog_core")]
        pub struct $name {
            #[pyo3(get, name = "__class__")]
            class: Py<PyAny>,
            lazy: Lazy,
            $($known)*
        }

        #[pymethods]
        impl $name {
            /// For msgspec, which encodes these fields by their names.
            #[classattr]
            #[pyo3(name = "__dataclass_fields__")]
            fn fields(py: Python<'_>) -> PyResult<Py<PyDict>> {
                named(py, &$fields)
            }

            $($getters)*

            #[pyo3(name = "_made")]
            fn made<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.lazy.made(py).cloned()
            }

            fn __richcmp__<'py>(&self, other: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Bound<'py, PyAny>> {
                let py = other.py();
                let made = self.lazy.made(py)?;
                match other.cast::<$name>() {
                    Ok(other) => made.rich_compare(other.get().lazy.made(py)?, op),
                    Err(_) => made.rich_compare(other, op),
                }
            }

            fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
                self.lazy.made(py)?.hash()
            }

            fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
                self.lazy.made(py)?.repr()
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.lazy.made(py)?.call_method0("__reduce__")
            }
        }
    };
}

/// ... of a book, proven. A symbol is a member: the interpreter reads it without a call.
macro_rules! book_event {
    ($(#[$doc:meta])* $name:ident) => {
        event! {
            $(#[$doc])*
            $name {
                #[pyo3(get)]
                symbol: Py<PyString>,
                checksum: u32,
                is_stamped: bool,
                spans: Spans,
                sides: Once<Sides>, // of many levels: few are made as quickly as they are kept
            }, ["symbol", "bids", "asks", "checksum", "timestamp", "sequence"], {
                #[getter]
                fn bids(&self, py: Python<'_>) -> PyResult<Py<PyTuple>> {
                    match self.spans.of_side(true) {
                        Some(bids) => side(py, &self.lazy.contract, &self.lazy.frame, bids, true),
                        None => Ok(self.sides.get(py, || sides(py, &self.lazy))?.0.clone_ref(py)),
                    }
                }

                #[getter]
                fn asks(&self, py: Python<'_>) -> PyResult<Py<PyTuple>> {
                    match self.spans.of_side(false) {
                        Some(asks) => side(py, &self.lazy.contract, &self.lazy.frame, asks, false),
                        None => Ok(self.sides.get(py, || sides(py, &self.lazy))?.1.clone_ref(py)),
                    }
                }

                #[getter]
                fn checksum(&self) -> u32 {
                    self.checksum
                }

                #[getter]
                fn timestamp<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                    if !self.is_stamped {
                        return Ok(None);
                    }
                    match v2::stamp_text(self.lazy.frame.as_bytes(py)) {
                        Some(text) => Ok(Some(moment(py, &time::civil(text))?.into_any())),
                        None => Ok(Some(self.lazy.made(py)?.getattr("timestamp")?)),
                    }
                }
            }
        }
    };
}

book_event! {
    /// An update of a book.
    BookDelta
}

book_event! {
    /// A whole book.
    BookSnapshot
}

event! {
    /// The trades of a frame.
    Trades {}, ["trades", "snapshot"], {}
}

event! {
    /// A ticker.
    Tickers {}, ["tickers"], {}
}

/// The names of events' types, by what a frame was.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Update { .. } => "BookDelta",
        Kind::Snapshot { .. } => "BookSnapshot",
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
    spans: Spans,
}

impl Frame {
    /// `levels` are those of the message, where it is one of a book.
    pub fn new(kind: Kind, levels: &[Level], begin: usize, end: usize) -> Frame {
        let spans = match kind {
            Kind::Update { bids, .. } | Kind::Snapshot { bids, .. } => Spans::of(levels, bids),
            Kind::Heartbeat | Kind::Trades | Kind::Ticker => Spans::Many,
        };
        Frame { kind, begin, end, spans }
    }
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
        let lazy = || Lazy {
            contract: self.contract.clone_ref(py),
            frame: PyBytes::new(py, &self.packed.as_bytes(py)[frame.begin..frame.end]).unbind(),
            made: Once::new(),
        };
        let symbol = |place: usize| match self.symbols.get(place) {
            Some(symbol) => Ok(symbol.clone_ref(py)),
            None => Err(PyIndexError::new_err("a book without a name")),
        };
        let (contract, spans, sides) = (self.contract.get(), frame.spans, Once::new());
        let (kinds, class) = (&contract.kinds, |kind: &Py<PyAny>| kind.clone_ref(py));
        Ok(match frame.kind {
            Kind::Heartbeat => contract.heartbeat.bind(py).clone(),
            Kind::Update { place, checksum, is_stamped, .. } => {
                let (class, lazy, symbol) = (class(&kinds.book_delta), lazy(), symbol(place)?);
                Bound::new(py, BookDelta { class, lazy, symbol, checksum, is_stamped, spans, sides })?.into_any()
            }
            Kind::Snapshot { place, checksum, is_stamped, .. } => {
                let (class, lazy, symbol) = (class(&kinds.book_snapshot), lazy(), symbol(place)?);
                Bound::new(py, BookSnapshot { class, lazy, symbol, checksum, is_stamped, spans, sides })?.into_any()
            }
            Kind::Trades => Bound::new(py, Trades { class: class(&kinds.trades), lazy: lazy() })?.into_any(),
            Kind::Ticker => Bound::new(py, Tickers { class: class(&kinds.tickers), lazy: lazy() })?.into_any(),
        })
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
