//! Levels of books: those of an update, as its frame has them, and the best of a book, as it is looked at.

use crate::alike::{Fielded, made_once, named};
use crate::events::Contract;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};
use tidelog_pure::market::book::Levels;
use tidelog_pure::market::scan::{self, Number};

/// Where a number is in its frame.
#[derive(Clone, Copy, Default)]
struct Text {
    begin: u32,
    end: u32,
}

impl Text {
    fn of(number: &Number) -> Text {
        let (begin, end) = number.span();
        Text { begin, end }
    }

    fn read<'py>(&self, py: Python<'py>, frame: &[u8]) -> PyResult<Bound<'py, PyString>> {
        PyString::from_bytes(py, &frame[self.begin as usize..self.end as usize])
    }
}

/// Where a level is in its frame.
#[derive(Clone, Copy, Default)]
pub struct Span {
    price: Text,
    qty: Text,
}

impl Span {
    pub fn of(level: &scan::Level) -> Span {
        Span { price: Text::of(&level.price), qty: Text::of(&level.qty) }
    }
}

const FEW: usize = 2; // levels: 95 of 100 updates that were recorded have no more

/// Where the levels of a message are in its frame: bids first.
#[derive(Clone, Copy)]
pub enum Spans {
    Few { levels: [Span; FEW], count: u8, bids: u8 },
    Many, // they have to be looked for
}

impl Spans {
    pub fn of(levels: &[scan::Level], bids: usize) -> Spans {
        if levels.len() > FEW {
            return Spans::Many;
        }
        let mut few = [Span::default(); FEW];
        for (span, level) in few.iter_mut().zip(levels) {
            *span = Span::of(level);
        }
        Spans::Few { levels: few, count: levels.len() as u8, bids: bids as u8 }
    }

    /// Bids and asks; None: they have to be looked for.
    pub fn sides(&self) -> Option<(&[Span], &[Span])> {
        let Spans::Few { levels, count, bids } = self else { return None };
        Some(levels[..(*count).into()].split_at((*bids).into()))
    }
}

/// A level by its numbers' texts. The protocol's class to who asks for its class, and in all that it does.
#[pyclass(frozen, extends = Fielded, module = "tidelog_core")]
pub struct Level {
    #[pyo3(get, name = "__class__")]
    class: Py<PyAny>,
    #[pyo3(get)]
    price_text: Py<PyString>,
    #[pyo3(get)]
    qty_text: Py<PyString>,
    made: PyOnceLock<Py<PyAny>>, // Python's own, when it is first asked for
}

impl Level {
    fn made<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        made_once(py, &self.made, || self.class.bind(py).call_method1("of_texts", (&self.price_text, &self.qty_text)))
    }
}

#[pymethods]
impl Level {
    /// For msgspec, which encodes these fields by their names.
    #[classattr]
    #[pyo3(name = "_fields_shown")]
    fn fields(py: Python<'_>) -> PyResult<Py<PyDict>> {
        named(py, &["price", "qty"])
    }

    #[pyo3(name = "_made")]
    fn of_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.made(py).cloned()
    }

    fn __richcmp__<'py>(&self, other: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Bound<'py, PyAny>> {
        let made = self.made(other.py())?;
        match other.cast::<Level>() {
            Ok(other) => made.rich_compare(other.get().made(other.py())?, op),
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

/// A side of a message, whose frame has these levels.
pub fn side<'py>(py: Python<'py>, contract: &Contract, frame: &[u8], levels: &[Span]) -> PyResult<Bound<'py, PyTuple>> {
    let class = &contract.kinds.level;
    let level = |span: &Span| {
        let (price_text, qty_text) = (span.price.read(py, frame)?, span.qty.read(py, frame)?);
        if contract.level_is_text {
            return class.bind(py).call1((price_text, qty_text));
        }
        let (price_text, qty_text) = (price_text.unbind(), qty_text.unbind());
        let class = class.clone_ref(py);
        let level = Level { class, price_text, qty_text, made: PyOnceLock::new() };
        Ok(Bound::new(py, (level, Fielded))?.into_any())
    };
    match levels {
        [] => Ok(PyTuple::empty(py)),
        [one] => PyTuple::new(py, [level(one)?]),
        _ => PyTuple::new(py, levels.iter().map(level).collect::<PyResult<Vec<_>>>()?),
    }
}

const SHOWN_MAX: usize = 10; // levels of a side that are kept: from one look to the next, most are as they were

/// The best levels of a side as they were last shown.
#[derive(Default)]
pub struct Shown {
    levels: Levels,
    made: Option<Py<PyTuple>>,
}

impl Shown {
    /// These levels as `scaled`, a class of Python, has them.
    pub fn show(&mut self, scaled: &Bound<'_, PyAny>, levels: Levels) -> PyResult<Py<PyTuple>> {
        let py = scaled.py();
        let before = self.made.as_ref().map(|made| made.bind(py));
        if let Some(made) = before.filter(|_| self.levels == levels) {
            return Ok(made.clone().unbind());
        }
        let show = |level: &(u64, u64)| match (before, self.levels.iter().position(|other| other == level)) {
            (Some(made), Some(at)) => made.get_item(at),
            _ => scaled.call1(*level),
        };
        let made = PyTuple::new(py, levels.iter().map(show).collect::<PyResult<Vec<_>>>()?)?.unbind();
        if levels.len() <= SHOWN_MAX {
            *self = Shown { levels, made: Some(made.clone_ref(py)) };
        }
        Ok(made)
    }
}
