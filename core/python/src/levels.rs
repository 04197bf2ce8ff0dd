//! Levels of books: those of an update, as its frame has them, and the best of a book, as it is looked at.

use crate::events::Contract;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use tidelog_pure::market::book::Levels;
use tidelog_pure::market::scan::{self, Number};

/// A level as its frame has it. The protocol's class to who asks for its class, and in all that it does.
#[pyclass(frozen, module = "tidelog_core")]
pub struct Level {
    contract: Py<Contract>,
    frame: Py<PyBytes>,
    price: Number,
    qty: Number,
    is_bid: bool,
    place: usize, // on its side
}

impl Level {
    fn made<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event = self.contract.get().decode.call1(py, (&self.frame,))?;
        event.bind(py).getattr(if self.is_bid { "bids" } else { "asks" })?.get_item(self.place)
    }

    fn text<'py>(&self, py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyString>> {
        PyString::from_bytes(py, number.text(self.frame.as_bytes(py)))
    }
}

#[pymethods]
impl Level {
    /// For msgspec, which encodes these fields by their names.
    #[classattr]
    #[pyo3(name = "__dataclass_fields__")]
    fn fields(py: Python<'_>) -> PyResult<Py<PyDict>> {
        named(py, &["price", "qty"])
    }

    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> Py<PyAny> {
        self.contract.get().kinds.level.clone_ref(py)
    }

    #[getter]
    fn price_text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.text(py, &self.price)
    }

    #[getter]
    fn qty_text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.text(py, &self.qty)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.made(py)?.getattr(name)
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

/// What msgspec looks for in a class whose instances have these fields.
pub fn named(py: Python<'_>, names: &[&str]) -> PyResult<Py<PyDict>> {
    let fields = PyDict::new(py);
    for name in names {
        fields.set_item(name, py.None())?;
    }
    Ok(fields.unbind())
}

/// A side of an update, whose frame has these levels.
pub fn side(
    py: Python<'_>,
    contract: &Py<Contract>,
    frame: &Py<PyBytes>,
    levels: &[scan::Level],
    is_bid: bool,
) -> PyResult<Py<PyTuple>> {
    let (known, bytes) = (contract.get(), frame.as_bytes(py));
    if known.level_is_text {
        let of_texts = |level: &scan::Level| {
            let (price, qty) = (level.price.text(bytes), level.qty.text(bytes));
            known.kinds.level.bind(py).call1((PyString::from_bytes(py, price)?, PyString::from_bytes(py, qty)?))
        };
        let made = levels.iter().map(of_texts).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyTuple::new(py, made)?.unbind());
    }
    let in_frame = |(place, level): (usize, &scan::Level)| {
        let (contract, frame) = (contract.clone_ref(py), frame.clone_ref(py));
        Level { contract, frame, price: level.price, qty: level.qty, is_bid, place }
    };
    Ok(PyTuple::new(py, levels.iter().enumerate().map(in_frame))?.unbind())
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
