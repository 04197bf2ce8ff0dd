//! Bytes of a connection in, messages out.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidelog_pure::websocket::Texts;

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
pub fn texts<'py>(
    sent: &Bound<'py, PyBytes>,
    begin: usize,
    size_max: usize,
) -> PyResult<(Bound<'py, PyList>, usize, usize)> {
    let (mut found, mut size) = (Vec::new(), 0);
    let mut texts = Texts::new(sent.as_bytes(), begin, size_max);
    for text in texts.by_ref() {
        size += text.len();
        found.push(PyBytes::new(sent.py(), text));
    }
    Ok((PyList::new(sent.py(), found)?, size, texts.at))
}
