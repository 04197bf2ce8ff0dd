//! Rows that the core holds encoded: Python's objects are made of them when somebody looks at them.

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyNone, PySequence, PySlice, PyString, PyTuple};
use tidelog_pure::chain::rows::{self, BLOCK_COLUMNS, TRANSACTION_COLUMNS, Value};

/// Rows of one table, in key order: a sequence of tuples, each made anew when it is asked for.
///
/// `packed` is the canonical encodings of all of them, one behind the other (`tidelog.batch`).
#[pyclass(frozen, sequence, module = "tidelog_core")]
pub struct Rows(rows::Rows);

impl Rows {
    pub fn of(rows: rows::Rows) -> Rows {
        Rows(rows)
    }

    pub fn inner(&self) -> &rows::Rows {
        &self.0
    }

    fn tuple<'py>(&self, py: Python<'py>, place: usize, memo: &mut Memo) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, memo.objects(py, &self.0, place)?)
    }
}

#[pymethods]
impl Rows {
    /// Rows of `width` values each; ValueError unless `packed` is such rows in their canonical encoding.
    #[new]
    fn new(py: Python<'_>, packed: &[u8], width: usize) -> PyResult<Rows> {
        let read = py.detach(|| rows::Rows::read(packed.to_vec(), width));
        read.map(Rows).ok_or_else(|| PyValueError::new_err("no rows of this width"))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __iter__(slf: Bound<'_, Self>) -> RowsIterator {
        RowsIterator { rows: slf.unbind(), place: 0, memo: Memo::default() }
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let size = self.0.len() as isize;
        if let Ok(slice) = index.cast::<PySlice>() {
            let chosen = slice.indices(size)?;
            let places = (0..chosen.slicelength as isize).map(|n| (chosen.start + n * chosen.step) as usize);
            let mut memo = Memo::default();
            let tuples = places.map(|place| self.tuple(py, place, &mut memo)).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, tuples)?.into_any());
        }
        let index: isize = index.extract()?;
        let place = if index < 0 { index + size } else { index };
        if !(0..size).contains(&place) {
            return Err(PyIndexError::new_err("there are not so many rows"));
        }
        Ok(PyTuple::new(py, objects_of(py, &self.0, place as usize)?)?.into_any())
    }

    /// Equal to any sequence of equal rows.
    fn __eq__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        if let Ok(other) = other.cast::<Rows>() {
            return Ok(slf.get().0.packed() == other.get().0.packed());
        }
        let Ok(other) = other.cast::<PySequence>() else { return Ok(false) };
        if other.is_instance_of::<PyString>() || other.len()? != slf.get().0.len() {
            return Ok(false);
        }
        let mut memo = Memo::default();
        for place in 0..slf.get().0.len() {
            if !slf.get().tuple(py, place, &mut memo)?.eq(other.get_item(place)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn __repr__(&self) -> String {
        format!("<{} rows>", self.0.len())
    }

    #[getter]
    fn packed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.packed())
    }
}

/// Rows on their way to Python: a table without any is one object for all blocks of a batch.
#[derive(Default)]
pub struct Tables {
    empty: Option<Py<Rows>>,
}

impl Tables {
    pub fn object<'py>(&mut self, py: Python<'py>, rows: rows::Rows) -> PyResult<Bound<'py, PyAny>> {
        if !rows.is_empty() {
            return Ok(Bound::new(py, Rows::of(rows))?.into_any());
        }
        let empty = match &self.empty {
            Some(empty) => empty.clone_ref(py),
            None => self.empty.insert(Py::new(py, Rows::of(rows::Rows::default()))?).clone_ref(py),
        };
        Ok(empty.into_bound(py).into_any())
    }
}

/// Walks rows once.
#[pyclass(module = "tidelog_core")]
pub struct RowsIterator {
    rows: Py<Rows>,
    place: usize,
    memo: Memo,
}

#[pymethods]
impl RowsIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let rows = &self.rows.get().0;
        if self.place >= rows.len() {
            return Ok(None);
        }
        self.place += 1;
        PyTuple::new(py, self.memo.objects(py, rows, self.place - 1)?).map(Some)
    }
}

/// The objects of the row before, by column: what is the same again is not made again.
#[derive(Default)]
pub struct Memo {
    kept: Vec<Kept>,
}

enum Kept {
    Nothing,
    Int(u64, Py<PyAny>),
    Bytes(Py<PyBytes>),
    Text(Py<PyString>),
}

impl Memo {
    /// The objects of one row.
    pub fn objects<'py>(
        &mut self,
        py: Python<'py>,
        rows: &rows::Rows,
        place: usize,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let values = rows.values(place).ok_or_else(|| PyIndexError::new_err("there are not so many rows"))?;
        let mut objects = Vec::with_capacity(BLOCK_COLUMNS.max(TRANSACTION_COLUMNS));
        for (column, value) in values.enumerate() {
            if column == self.kept.len() {
                self.kept.push(Kept::Nothing);
            }
            objects.push(self.kept[column].object(py, value));
        }
        Ok(objects)
    }
}

impl Kept {
    #[inline(always)]
    fn object<'py>(&mut self, py: Python<'py>, value: Value<'_>) -> Bound<'py, PyAny> {
        match (&*self, value) {
            (Kept::Int(kept, object), Value::Int(number)) if *kept == number => object.bind(py).clone(),
            (Kept::Bytes(object), Value::Bytes(bytes) | Value::Number(bytes)) if object.as_bytes(py) == bytes => {
                object.bind(py).clone().into_any()
            }
            (Kept::Text(object), Value::Text(text)) if object.bind(py).to_str().is_ok_and(|kept| kept == text) => {
                object.bind(py).clone().into_any()
            }
            (_, Value::Null) => PyNone::get(py).to_owned().into_any(),
            (_, Value::Int(number)) => {
                let object = int(py, number);
                *self = Kept::Int(number, object.clone().unbind());
                object
            }
            (_, Value::Bytes(bytes) | Value::Number(bytes)) => {
                let object = PyBytes::new(py, bytes);
                *self = Kept::Bytes(object.clone().unbind());
                object.into_any()
            }
            (_, Value::Text(text)) => {
                let object = PyString::new(py, text);
                *self = Kept::Text(object.clone().unbind());
                object.into_any()
            }
        }
    }
}

fn int(py: Python<'_>, number: u64) -> Bound<'_, PyAny> {
    match number.into_pyobject(py) {
        Ok(object) => object.into_any(),
        Err(never) => match never {},
    }
}

/// The objects of a row that stands alone.
fn objects_of<'py>(py: Python<'py>, rows: &rows::Rows, place: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let values = rows.values(place).ok_or_else(|| PyIndexError::new_err("there are not so many rows"))?;
    let mut objects = Vec::with_capacity(BLOCK_COLUMNS.max(TRANSACTION_COLUMNS));
    objects.extend(values.map(|value| match value {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Int(number) => int(py, number),
        Value::Bytes(bytes) | Value::Number(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
    }));
    Ok(objects)
}
