//! Stored rows in; JSON-RPC objects out, as bytes.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tidelog_pure::chain::decline::Outcome;
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::objects::{self, Place};
use tidelog_pure::fault::guarded;

use crate::stored::row;

fn made<'py>(py: Python<'py>, make: impl FnOnce() -> Outcome<Vec<u8>>) -> Option<Bound<'py, PyBytes>> {
    guarded(make).ok()?.ok().map(|text| PyBytes::new(py, &text))
}

/// A JSON array of whole transactions of one block.
///
/// Args:
///     place: the block's hash, number and timestamp, as hex.
///     rows: of its transactions.
///
/// Returns:
///     What `tidelog.api.rpc.objects` makes of them; None where that has to decide.
#[pyfunction]
pub fn transaction_objects<'py>(
    py: Python<'py>,
    place: (String, String, String),
    rows: Vec<Bound<'py, PyAny>>,
) -> Option<Bound<'py, PyBytes>> {
    let place = Place { hash: &place.0, number: &place.1, timestamp: &place.2 };
    let tuples: Vec<&Bound<'py, PyTuple>> = rows.iter().map(|row| row.cast().ok()).collect::<Option<_>>()?;
    let rows: Vec<objects::Transaction<'_>> = tuples.into_iter().map(row).collect::<Option<_>>()?;
    made(py, || objects::transactions(&place, &rows))
}

/// A JSON array of the receipts of one block.
///
/// Args:
///     place: as for `transaction_objects`.
///     transactions, logs: all rows of the block, in key order.
///
/// Returns:
///     As `transaction_objects`.
#[pyfunction]
pub fn receipt_objects<'py>(
    py: Python<'py>,
    place: (String, String, String),
    transactions: Vec<Bound<'py, PyAny>>,
    logs: Vec<Bound<'py, PyAny>>,
) -> Option<Bound<'py, PyBytes>> {
    let place = Place { hash: &place.0, number: &place.1, timestamp: &place.2 };
    let transactions: Vec<&Bound<'py, PyTuple>> =
        transactions.iter().map(|row| row.cast().ok()).collect::<Option<_>>()?;
    let transactions: Vec<objects::Transaction<'_>> = transactions.into_iter().map(row).collect::<Option<_>>()?;
    let logs: Vec<&Bound<'py, PyTuple>> = logs.iter().map(|row| row.cast().ok()).collect::<Option<_>>()?;
    let logs: Vec<objects::Log<'_>> = logs.into_iter().map(row).collect::<Option<_>>()?;
    made(py, || objects::receipts(&place, &transactions, &logs, Lanes::best()))
}
