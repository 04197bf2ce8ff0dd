//! Fingerprints of a segment's values in, by parts out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tidelog_pure::fingerprints;

/// Fingerprints, each once and in order, by their first byte.
///
/// Args:
///     found: four bytes each.
#[pyfunction]
pub fn parted<'py>(py: Python<'py>, found: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyDict>> {
    let found = found.as_bytes();
    let parts = py.detach(|| fingerprints::parted(found));
    let parts = parts.ok_or_else(|| PyValueError::new_err("fingerprints have four bytes each"))?;
    let by_part = PyDict::new(py);
    for (part, values) in parts {
        by_part.set_item(part, PyBytes::new(py, &values))?;
    }
    Ok(by_part)
}
