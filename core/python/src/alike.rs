//! What makes a class of the core pass for one of Python's, beside the fields that it gives itself.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// What msgspec looks for in a class whose instances have these fields.
pub fn named(py: Python<'_>, names: &[&str]) -> PyResult<Py<PyDict>> {
    let fields = PyDict::new(py);
    for name in names {
        fields.set_item(name, py.None())?;
    }
    Ok(fields.unbind())
}

/// An attribute that Python's object has and ours leaves to it.
#[pyclass(frozen, module = "tidelog_core")]
struct Left(Py<PyString>);

#[pymethods]
impl Left {
    fn __get__<'py>(&self, instance: &Bound<'py, PyAny>, _owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        instance.call_method0("_made")?.getattr(&self.0)
    }

    /// Only what is set by its class is a field to msgspec.
    fn __set__(&self, _instance: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!("{} is read-only", self.0)))
    }
}

/// Give a class what it lacks of one of Python's, whose object each of its instances makes by `_made`.
///
/// By `__getattr__` every look at a field would cost more, those that the class gives itself included.
pub fn complete(class: &Bound<'_, PyType>, python: &Bound<'_, PyAny>) -> PyResult<()> {
    for name in python.dir()? {
        let name = name.cast_into::<PyString>()?;
        if !class.hasattr(&name)? {
            class.setattr(&name, Left(name.clone().unbind()))?;
        }
    }
    Ok(())
}
