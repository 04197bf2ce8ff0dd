//! What makes a class of the core pass for one of Python's, beside the fields that it gives itself.

use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

/// What msgspec looks for in a class whose instances have these fields: `Fielded` shows it.
pub fn named(py: Python<'_>, names: &[&str]) -> PyResult<Py<PyDict>> {
    let fields = PyDict::new(py);
    for name in names {
        fields.set_item(name, py.None())?;
    }
    Ok(fields.unbind())
}

/// An object whose fields msgspec encodes, by the names in `_fields_shown` of its class. Where msgspec sorts them, it uses
/// what a field gave after it has let go of that: so the object has to hold what its fields give.
///
/// It looks for them in instances as it would for those of a dataclass. A class that shows them passes for one, to `pprint`
/// for example; and where its own dictionary has them, orjson takes them for whole and crashes.
#[pyclass(frozen, subclass, module = "tidelog_core")]
pub struct Fielded;

#[pymethods]
impl Fielded {
    #[classattr]
    #[pyo3(name = "__dataclass_fields__")]
    fn fields() -> OfInstances {
        OfInstances
    }
}

/// The attribute, of instances alone.
#[pyclass(frozen, module = "tidelog_core")]
struct OfInstances;

#[pymethods]
impl OfInstances {
    fn __get__<'py>(&self, instance: &Bound<'py, PyAny>, _owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match instance.is_none() {
            true => Err(PyAttributeError::new_err("it is no dataclass")),
            false => instance.getattr(intern!(instance.py(), "_fields_shown")),
        }
    }
}

/// What is made when it is first asked for, and stays.
///
/// `PyOnceLock` itself lets go of the interpreter's lock to make it, which costs more than most of what is made.
pub fn made_once<'a, 'py>(
    py: Python<'py>,
    made: &'a PyOnceLock<Py<PyAny>>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<&'a Bound<'py, PyAny>> {
    if made.get(py).is_none() {
        let _ = made.set(py, make()?.unbind()); // where another was first, its object stays
    }
    let made = made.get(py).ok_or_else(|| PyValueError::new_err("nothing was made"))?;
    Ok(made.bind(py))
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
