//! Events of frames that the core has taken. They are made when they are looked at: lazily, or whole for who looks into
//! them.

use crate::alike::{Fielded, made_once, named};
use crate::levels::{Span, Spans, side};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDateTime, PyDict, PySlice, PyString, PyTzInfo};
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
    pub level_is_text: bool,  // the class of levels is made of the numbers' texts
    pub messages: Messages,
}

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

/// A message of a book, whose numbers are in its frame.
#[derive(Clone, Copy)]
struct Message {
    place: usize, // of its book
    checksum: u32,
    is_stamped: bool,
    spans: Spans,
}

const LEVELS_USUAL: usize = 8; // of an update

impl Message {
    /// It as Python's own class has it.
    fn whole<'py>(
        &self,
        contract: &Contract,
        class: &Bound<'py, PyAny>,
        symbol: &Py<PyString>,
        frame: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, mut many) = (class.py(), Vec::new());
        let (bids, asks) = match self.spans.sides() {
            Some(sides) => sides,
            None => {
                let mut levels = Vec::with_capacity(LEVELS_USUAL);
                let message = contract.messages.read(frame, &mut levels);
                let message = message.ok_or_else(unreadable)?;
                many.extend(levels.iter().map(Span::of));
                many.split_at(message.bids)
            }
        };
        let (bids, asks) = (side(py, contract, frame, bids)?, side(py, contract, frame, asks)?);
        if !self.is_stamped {
            return class.call1((symbol, bids, asks, self.checksum));
        }
        let stamp = time::civil(v2::stamp_text(frame).ok_or_else(unreadable)?);
        class.call1((symbol, bids, asks, self.checksum, moment(py, &stamp)?))
    }
}

#[cold]
fn unreadable() -> PyErr {
    PyValueError::new_err("an event whose frame cannot be read")
}

/// A time in Python's class.
fn moment<'py>(py: Python<'py>, at: &time::Civil) -> PyResult<Bound<'py, PyDateTime>> {
    let (year, utc) = (at.year.into(), PyTzInfo::utc(py)?);
    PyDateTime::new(py, year, at.month, at.day, at.hour, at.minute, at.second, at.micros, Some(&utc))
}

const FEW_BYTES: usize = 4096;

/// A few frames in a row, apart from all others: an event that is kept keeps no more than these.
struct Few {
    bytes: Py<PyBytes>,
    begin: usize, // where these are among all
    end: usize,
}

/// A frame, and the object of Python's own class that says the same, made when it is first asked for.
struct Lazy {
    contract: Py<Contract>,
    bytes: Py<PyBytes>, // few frames, and where among them this one is
    begin: usize,
    end: usize,
    made: PyOnceLock<Py<PyAny>>,
}

impl Lazy {
    fn frame(&self, py: Python<'_>) -> &[u8] {
        &self.bytes.as_bytes(py)[self.begin..self.end]
    }

    /// The frame as a codec reads it.
    fn decoded<'py>(&self, py: Python<'py>, contract: &Contract) -> PyResult<Bound<'py, PyAny>> {
        contract.decode.bind(py).call1((PyBytes::new(py, self.frame(py)),))
    }
}

/// An event that is one of Python's class to who asks for its class, and in all that it does. The class is a member: the
/// interpreter reads it without a call, whenever it is asked what an event is.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($known:tt)* }, $fields:expr, $make:expr, { $($getters:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, extends = Fielded, module = "tidelog_core")]
        pub struct $name {
            #[pyo3(get, name = "__class__")]
            class: Py<PyAny>,
            lazy: Lazy,
            $($known)*
        }

        impl $name {
            fn made<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
                let make: fn(&$name, Python<'py>, &Contract) -> PyResult<Bound<'py, PyAny>> = $make;
                made_once(py, &self.lazy.made, || make(self, py, self.lazy.contract.get()))
            }
        }

        #[pymethods]
        impl $name {
            /// For msgspec, which encodes these fields by their names.
            #[classattr]
            #[pyo3(name = "_fields_shown")]
            fn fields(py: Python<'_>) -> PyResult<Py<PyDict>> {
                named(py, &$fields)
            }

            $($getters)*

            #[pyo3(name = "_made")]
            fn of_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.made(py).cloned()
            }

            fn __richcmp__<'py>(&self, other: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Bound<'py, PyAny>> {
                let py = other.py();
                let made = self.made(py)?;
                match other.cast::<$name>() {
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
    };
}

/// ... of a book, proven. A symbol is a member, too: many consumers look at nothing else.
macro_rules! book_event {
    ($(#[$doc:meta])* $name:ident) => {
        event! {
            $(#[$doc])*
            $name {
                #[pyo3(get)]
                symbol: Py<PyString>,
                message: Message,
            },
            ["symbol", "bids", "asks", "checksum", "timestamp", "sequence"],
            |event, py, contract| {
                event.message.whole(contract, event.class.bind(py), &event.symbol, event.lazy.frame(py))
            },
            {
                #[getter]
                fn bids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    self.made(py)?.getattr(intern!(py, "bids"))
                }

                #[getter]
                fn asks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    self.made(py)?.getattr(intern!(py, "asks"))
                }

                #[getter]
                fn checksum<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    match self.lazy.made.get(py) {
                        Some(made) => made.bind(py).getattr(intern!(py, "checksum")), // which it holds, see `Fielded`
                        None => Ok(self.message.checksum.into_pyobject(py)?.into_any()),
                    }
                }

                #[getter]
                fn timestamp<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    self.made(py)?.getattr(intern!(py, "timestamp"))
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
    Trades {}, ["trades", "snapshot"], |event, py, contract| event.lazy.decoded(py, contract), {}
}

event! {
    /// A ticker.
    Tickers {}, ["tickers"], |event, py, contract| event.lazy.decoded(py, contract), {}
}

/// What a frame was.
#[derive(Clone, Copy)]
enum What {
    Heartbeat,
    Update(Message),
    Snapshot(Message),
    Trades,
    Ticker,
}

impl What {
    /// The name of its event's class.
    fn name(&self) -> &'static str {
        match self {
            What::Update(_) => "BookDelta",
            What::Snapshot(_) => "BookSnapshot",
            What::Heartbeat => "Heartbeat",
            What::Trades => "Trades",
            What::Ticker => "Tickers",
        }
    }
}

/// A frame among others.
#[derive(Clone, Copy)]
pub struct Frame {
    what: What,
    begin: usize,
    end: usize,
}

impl Frame {
    /// `levels` are those of the message, where it is one of a book.
    pub fn new(kind: Kind, levels: &[Level], begin: usize, end: usize) -> Frame {
        let message = |place, bids, checksum, is_stamped| {
            let spans = Spans::of(levels, bids);
            Message { place, checksum, is_stamped, spans }
        };
        let what = match kind {
            Kind::Heartbeat => What::Heartbeat,
            Kind::Update { place, bids, checksum, is_stamped } => {
                What::Update(message(place, bids, checksum, is_stamped))
            }
            Kind::Snapshot { place, bids, checksum, is_stamped } => {
                What::Snapshot(message(place, bids, checksum, is_stamped))
            }
            Kind::Trades => What::Trades,
            Kind::Ticker => What::Ticker,
        };
        Frame { what, begin, end }
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

    fn symbol(&self, message: &Message) -> PyResult<&Py<PyString>> {
        self.symbols.get(message.place).ok_or_else(|| PyIndexError::new_err("a book without a name"))
    }

    /// A frame, and those of these behind it that are few with it.
    fn few(&self, py: Python<'_>, frame: &Frame, behind: &[Frame]) -> Few {
        let (begin, mut end) = (frame.begin, frame.end);
        for next in behind.iter().take_while(|next| next.end - begin <= FEW_BYTES) {
            end = next.end;
        }
        Few { bytes: PyBytes::new(py, &self.packed.as_bytes(py)[begin..end]).unbind(), begin, end }
    }

    fn lazy(&self, py: Python<'_>, frame: &Frame, few: &Few) -> Lazy {
        let (contract, bytes) = (self.contract.clone_ref(py), few.bytes.clone_ref(py));
        Lazy { contract, bytes, begin: frame.begin - few.begin, end: frame.end - few.begin, made: PyOnceLock::new() }
    }

    /// An update as Python's own class has it.
    fn whole_update<'py>(&self, py: Python<'py>, frame: &Frame, message: &Message) -> PyResult<Bound<'py, PyAny>> {
        let contract = self.contract.get();
        let class = contract.kinds.book_delta.bind(py);
        message.whole(contract, class, self.symbol(message)?, &self.packed.as_bytes(py)[frame.begin..frame.end])
    }

    fn event<'py>(&self, py: Python<'py>, frame: &Frame, few: &Few) -> PyResult<Bound<'py, PyAny>> {
        let kinds = &self.contract.get().kinds;
        Ok(match frame.what {
            What::Heartbeat => self.contract.get().heartbeat.bind(py).clone(),
            What::Update(message) => {
                let class = kinds.book_delta.clone_ref(py);
                let symbol = self.symbol(&message)?.clone_ref(py);
                Bound::new(py, (BookDelta { class, lazy: self.lazy(py, frame, few), symbol, message }, Fielded))?
                    .into_any()
            }
            What::Snapshot(message) => {
                let class = kinds.book_snapshot.clone_ref(py);
                let symbol = self.symbol(&message)?.clone_ref(py);
                Bound::new(py, (BookSnapshot { class, lazy: self.lazy(py, frame, few), symbol, message }, Fielded))?
                    .into_any()
            }
            What::Trades => {
                let class = kinds.trades.clone_ref(py);
                Bound::new(py, (Trades { class, lazy: self.lazy(py, frame, few) }, Fielded))?.into_any()
            }
            What::Ticker => {
                let class = kinds.tickers.clone_ref(py);
                Bound::new(py, (Tickers { class, lazy: self.lazy(py, frame, few) }, Fielded))?.into_any()
            }
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
        self.event(py, frame, &self.few(py, frame, &[]))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> EventsIterator {
        EventsIterator { events: slf.into(), place: 0, few: None, last: None, whole: 0, row: 0 }
    }

    fn __repr__(&self) -> String {
        format!("<{} events>", self.frames.len())
    }

    /// Those of some types, by the names of these: which of all they are, a byte for each, and they; None: all.
    fn of_kinds<'py>(&self, py: Python<'py>, names: Vec<String>) -> Option<(Bound<'py, PyBytes>, Events)> {
        let is_wanted = |frame: &Frame| names.iter().any(|wanted| wanted == frame.what.name());
        let wanted: Vec<u8> = self.frames.iter().map(|frame| is_wanted(frame).into()).collect();
        if !wanted.contains(&0) {
            return None;
        }
        let frames = self.frames.iter().zip(&wanted).filter(|(_, wanted)| **wanted == 1).map(|(frame, _)| *frame);
        Some((PyBytes::new(py, &wanted), self.only(py, frames.collect())))
    }
}

const WHOLE: u8 = 15; // updates in a row, at first
const WHOLE_MAX: u8 = 240;

/// Goes through events once. Behind an update that was looked into, some are made whole: who reads fields of each has
/// them sooner from Python's own objects. If the next one behind these is looked into as well, twice as many are.
#[pyclass(module = "tidelog_core")]
pub struct EventsIterator {
    events: Py<Events>,
    place: usize,
    few: Option<Few>,            // frames of which some are still to come
    last: Option<Py<BookDelta>>, // the event before, if it is an update that was made lazily
    whole: u8,                   // so many of the next are made whole
    row: u8,                     // so many were, the last time
}

#[pymethods]
impl EventsIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let events = self.events.get();
        let Some((frame, behind)) = events.frames.get(self.place..).and_then(<[Frame]>::split_first) else {
            return Ok(None);
        };
        self.place += 1;
        if let Some(last) = self.last.take() {
            let is_seen = last.get().lazy.made.get(py).is_some();
            self.row = if is_seen { self.row.saturating_mul(2).clamp(WHOLE, WHOLE_MAX) } else { 0 };
            self.whole = self.row;
        }
        if self.whole > 0
            && let What::Update(message) = &frame.what
        {
            self.whole -= 1;
            return events.whole_update(py, frame, message).map(Some);
        }
        self.few.take_if(|few| few.end < frame.end);
        let few = self.few.get_or_insert_with(|| events.few(py, frame, behind));
        let event = events.event(py, frame, few)?;
        self.last = event.cast::<BookDelta>().ok().map(|update| update.clone().unbind());
        Ok(Some(event))
    }
}
