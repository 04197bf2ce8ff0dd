//! The answer to a batch of JSON-RPC calls, divided into the results.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidelog_pure::chain::envelopes;

/// Where the result of each of `count` calls stands in the answer to their batch, in the order of the calls.
///
/// Returns:
///     The first byte of each and the one behind it; None if anything is unusual.
#[pyfunction]
pub fn split(py: Python<'_>, body: &Bound<'_, PyBytes>, count: usize) -> Option<Vec<(usize, usize)>> {
    let text = body.as_bytes();
    py.detach(|| envelopes::split(text, count))
}
