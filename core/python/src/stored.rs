//! Stored rows in; whether each block holds out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString, PyTuple};
use tidelog_pure::chain::decline::{Declined, Outcome, Reason};
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::rows::Value;
use tidelog_pure::chain::stored::{self, Stored};

use crate::chain::{Rules, lanes_of};

/// Blocks whose values are held at once: enough to fill the lanes, few enough to stay in the cache.
const TOGETHER: usize = 8;

type Tables<'py> = (
    Bound<'py, PyTuple>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Option<[u8; 32]>,
);

/// The rows of a block: a list may be changed while they are read, its tuples may not.
struct Tuples<'py> {
    block: Bound<'py, PyTuple>,
    tables: [Vec<Bound<'py, PyTuple>>; 4],
    parent: Option<[u8; 32]>,
}

impl<'py> Tuples<'py> {
    fn of(block: &Bound<'py, PyAny>) -> PyResult<Tuples<'py>> {
        let (block, transactions, logs, withdrawals, uncles, parent): Tables<'py> = block.extract()?;
        let rows = |list: Bound<'py, PyList>| {
            list.iter().map(|row| Ok(row.cast_into::<PyTuple>()?)).collect::<PyResult<Vec<_>>>()
        };
        Ok(Tuples { block, tables: [rows(transactions)?, rows(logs)?, rows(withdrawals)?, rows(uncles)?], parent })
    }

    fn stored(&self) -> Option<Stored<'_>> {
        let [transactions, logs, withdrawals, uncles] = &self.tables;
        Some(Stored {
            block: row(&self.block)?,
            transactions: transactions.iter().map(row).collect::<Option<_>>()?,
            logs: logs.iter().map(row).collect::<Option<_>>()?,
            withdrawals: withdrawals.iter().map(row).collect::<Option<_>>()?,
            uncles: uncles.iter().map(row).collect::<Option<_>>()?,
            parent: self.parent,
        })
    }
}

/// A row of exactly N values of their kinds.
#[inline(always)]
pub(crate) fn row<'a, const N: usize>(tuple: &'a Bound<'_, PyTuple>) -> Option<[Value<'a>; N]> {
    if tuple.len() != N {
        return None;
    }
    let mut values = [Value::Null; N];
    for (place, value) in values.iter_mut().enumerate() {
        *value = value_of(tuple.get_borrowed_item(place).ok()?)?;
    }
    Some(values)
}

#[inline(always)]
fn value_of<'a>(object: Borrowed<'a, '_, PyAny>) -> Option<Value<'a>> {
    if object.is_none() {
        return Some(Value::Null);
    }
    if object.is_exact_instance_of::<PyBytes>() {
        return object.extract().ok().map(Value::Bytes);
    }
    if object.is_exact_instance_of::<PyInt>() {
        return object.extract().ok().map(Value::Int);
    }
    if object.is_exact_instance_of::<PyString>() { object.extract().ok().map(Value::Text) } else { None }
}

/// Prove stored blocks again, each by itself, with the interpreter's lock released.
///
/// Args:
///     blocks: of each its row, the rows of its transactions, logs, withdrawals and uncles, and the hash of the block
///         below or None for the first one.
///     lanes: how many messages are hashed at once; None for what the processor has.
///
/// Returns:
///     For each block None if all of it holds; else (reason, what), and the Python path decides.
#[pyfunction]
#[pyo3(signature = (blocks, rules, *, lanes=None))]
pub fn reprove<'py>(
    py: Python<'py>,
    blocks: Vec<Bound<'py, PyAny>>,
    rules: &Bound<'py, Rules>,
    lanes: Option<usize>,
) -> PyResult<Vec<Option<(&'static str, String)>>> {
    let lanes: Lanes = lanes_of(lanes)?;
    let rules = &rules.get().0;
    let mut outcomes = Vec::with_capacity(blocks.len());
    for blocks in blocks.chunks(TOGETHER) {
        let tuples: Vec<Tuples<'py>> = blocks.iter().map(Tuples::of).collect::<PyResult<_>>()?;
        let read: Vec<Option<Stored<'_>>> = tuples.iter().map(Tuples::stored).collect();
        let readable: Vec<bool> = read.iter().map(Option::is_some).collect();
        let given: Vec<Stored<'_>> = read.into_iter().flatten().collect();
        let mut proven = py.detach(|| stored::reprove(&given, rules, lanes)).into_iter();
        for readable in readable {
            let outcome: Outcome<()> = if readable {
                proven.next().ok_or_else(|| PyValueError::new_err("fewer outcomes than blocks"))?
            } else {
                Err(Declined { reason: Reason::Shape, what: "a value of another kind".into() })
            };
            outcomes.push(outcome.err().map(|declined| (declined.reason.name(), declined.what.into_owned())));
        }
    }
    Ok(outcomes)
}
