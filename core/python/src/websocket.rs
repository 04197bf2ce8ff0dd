//! Bytes of a connection in, messages out.

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};
use tidelog_pure::websocket::Texts;

/// Where a message is.
#[derive(Clone, Copy)]
struct Place {
    part: usize,
    begin: usize,
    end: usize,
}

/// Messages of a connection, in order. They stay in what it sent: one becomes an object when it is looked at.
#[pyclass(module = "tidelog_core", sequence)]
#[derive(Default)]
pub struct Messages {
    parts: Vec<Py<PyBytes>>,
    places: Vec<Place>, // in the order of their parts
}

impl Messages {
    /// So many messages at most, from one on.
    pub fn payloads<'a>(&'a self, py: Python<'a>, begin: usize, many: usize) -> Vec<&'a [u8]> {
        let end = self.places.len().min(begin.saturating_add(many));
        let places = self.places.get(begin..end).unwrap_or_default();
        places.iter().map(|place| &self.parts[place.part].as_bytes(py)[place.begin..place.end]).collect()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn bytes<'py>(&self, py: Python<'py>, place: Place) -> Bound<'py, PyBytes> {
        let part = self.parts[place.part].bind(py);
        match &part.as_bytes()[place.begin..place.end] {
            whole if whole.len() == part.as_bytes().len() => part.clone(),
            message => PyBytes::new(py, message),
        }
    }

    fn range(&self, py: Python<'_>, begin: usize, end: usize) -> Messages {
        let places = &self.places[begin..end];
        let (Some(first), Some(last)) = (places.first(), places.last()) else { return Messages::default() };
        let parts = self.parts[first.part..=last.part].iter().map(|part| part.clone_ref(py)).collect();
        let moved = |place: &Place| Place { part: place.part - first.part, ..*place };
        Messages { parts, places: places.iter().map(moved).collect() }
    }
}

#[pymethods]
impl Messages {
    #[new]
    fn new() -> Messages {
        Messages::default()
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    /// A message; or some in a row, as others of these.
    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(slice) = index.cast::<PySlice>() {
            let found = slice.indices(self.len() as isize)?;
            if found.step != 1 {
                return Err(PyIndexError::new_err("messages are taken in a row"));
            }
            let (begin, end) = (found.start as usize, found.stop.max(found.start) as usize);
            return Ok(Bound::new(py, self.range(py, begin, end))?.into_any());
        }
        let index: isize = index.extract()?;
        let at = if index < 0 { self.len().checked_add_signed(index) } else { usize::try_from(index).ok() };
        let place = at.and_then(|at| self.places.get(at)).ok_or_else(|| PyIndexError::new_err("no such message"))?;
        Ok(self.bytes(py, *place).into_any())
    }

    /// Add one to the end.
    fn append(&mut self, message: Bound<'_, PyBytes>) {
        self.places.push(Place { part: self.parts.len(), begin: 0, end: message.as_bytes().len() });
        self.parts.push(message.unbind());
    }

    /// Add others to the end.
    fn __iadd__(&mut self, others: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(others) = others.cast::<Messages>() {
            let (py, others, before) = (others.py(), others.try_borrow()?, self.parts.len());
            self.parts.extend(others.parts.iter().map(|part| part.clone_ref(py)));
            self.places.extend(others.places.iter().map(|place| Place { part: place.part + before, ..*place }));
            return Ok(());
        }
        for message in others.try_iter()? {
            self.append(message?.cast_into::<PyBytes>()?);
        }
        Ok(())
    }

    /// The bytes of all of them.
    #[getter]
    fn size(&self) -> usize {
        self.places.iter().map(|place| place.end - place.begin).sum()
    }
}

/// Text messages at the head of what a server sent, each in a frame of its own that is here as a whole.
///
/// Args:
///     sent: what the server sent.
///     begin: where the first frame begins.
///     size_max: bytes of a message.
///
/// Returns:
///     The messages; all their bytes; and where the first frame begins that is anything else, or is not here as a whole.
#[pyfunction]
pub fn texts(sent: Bound<'_, PyBytes>, begin: usize, size_max: usize) -> (Messages, usize, usize) {
    let (mut places, mut size) = (Vec::new(), 0);
    let mut texts = Texts::new(sent.as_bytes(), begin, size_max);
    while let Some(text) = texts.next() {
        size += text.len();
        places.push(Place { part: 0, begin: texts.at - text.len(), end: texts.at });
    }
    let end = texts.at;
    if places.is_empty() {
        return (Messages::default(), 0, end);
    }
    let mut kept = sent.clone();
    if size < sent.as_bytes().len() / 2 {
        // little of it: what waits must not keep much more than itself
        kept = PyBytes::new(sent.py(), &sent.as_bytes()[begin..end]);
        places.iter_mut().for_each(|place| (place.begin, place.end) = (place.begin - begin, place.end - begin));
    }
    (Messages { parts: vec![kept.unbind()], places }, size, end)
}
