//! Stored rows in; whether each block holds out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use tidelog_pure::chain::decline::{Declined, Outcome, Reason};
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::rows::{
    BLOCK_COLUMNS, LOG_COLUMNS, Rows as PureRows, TRANSACTION_COLUMNS, UNCLE_COLUMNS, Value, WITHDRAWAL_COLUMNS,
};
use tidelog_pure::chain::stored::{self, Stored, Table};

use crate::chain::{Rules, lanes_of};
use crate::rows::Rows;

/// Blocks whose values are held at once, and rows after which no further one is: enough to fill the lanes, few enough to
/// stay in the cache.
const TOGETHER: usize = 64;
const ROWS_TOGETHER: usize = 512;

type Tables<'py> =
    (Bound<'py, PyTuple>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Option<[u8; 32]>);

/// Rows of a table: a list may be changed while they are read, its tuples may not.
enum Given<'py> {
    Tuples(Vec<Bound<'py, PyTuple>>),
    Packed(Bound<'py, Rows>),
}

impl<'py> Given<'py> {
    fn of(rows: Bound<'py, PyAny>) -> PyResult<Given<'py>> {
        if let Ok(packed) = rows.cast::<Rows>() {
            return Ok(Given::Packed(packed.clone()));
        }
        let tuples = rows.try_iter()?.map(|row| Ok(row?.cast_into::<PyTuple>()?)).collect::<PyResult<_>>()?;
        Ok(Given::Tuples(tuples))
    }

    fn len(&self) -> usize {
        match self {
            Given::Tuples(tuples) => tuples.len(),
            Given::Packed(rows) => rows.get().inner().len(),
        }
    }

    fn read<const N: usize>(&self) -> Option<Read<'_, N>> {
        match self {
            Given::Tuples(tuples) => tuples.iter().map(row).collect::<Option<_>>().map(Read::Values),
            Given::Packed(rows) => Some(Read::Packed(rows.get().inner())),
        }
    }
}

/// The same, without Python's objects.
enum Read<'a, const N: usize> {
    Values(Vec<[Value<'a>; N]>),
    Packed(&'a PureRows),
}

impl<'a, const N: usize> Read<'a, N> {
    fn table(self) -> Option<Table<'a, N>> {
        match self {
            Read::Values(rows) => Some(Table::of(rows)),
            Read::Packed(rows) => Table::unpacked(rows),
        }
    }
}

/// The rows of a block.
struct Block<'py> {
    block: Bound<'py, PyTuple>,
    tables: [Given<'py>; 4],
    parent: Option<[u8; 32]>,
}

impl<'py> Block<'py> {
    fn of(block: &Bound<'py, PyAny>) -> PyResult<Block<'py>> {
        let (block, transactions, logs, withdrawals, uncles, parent): Tables<'py> = block.extract()?;
        let tables = [Given::of(transactions)?, Given::of(logs)?, Given::of(withdrawals)?, Given::of(uncles)?];
        Ok(Block { block, tables, parent })
    }

    fn read(&self) -> Option<ReadBlock<'_>> {
        let [transactions, logs, withdrawals, uncles] = &self.tables;
        Some(ReadBlock {
            block: row(&self.block)?,
            transactions: transactions.read()?,
            logs: logs.read()?,
            withdrawals: withdrawals.read()?,
            uncles: uncles.read()?,
            parent: self.parent,
        })
    }
}

struct ReadBlock<'a> {
    block: [Value<'a>; BLOCK_COLUMNS],
    transactions: Read<'a, TRANSACTION_COLUMNS>,
    logs: Read<'a, LOG_COLUMNS>,
    withdrawals: Read<'a, WITHDRAWAL_COLUMNS>,
    uncles: Read<'a, UNCLE_COLUMNS>,
    parent: Option<[u8; 32]>,
}

impl<'a> ReadBlock<'a> {
    fn stored(self) -> Option<Stored<'a>> {
        Some(Stored {
            block: self.block,
            transactions: self.transactions.table()?,
            logs: self.logs.table()?,
            withdrawals: self.withdrawals.table()?,
            uncles: self.uncles.table()?,
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
///     blocks: of each its row, the rows of its transactions, logs, withdrawals and uncles, as sequences of tuples or
///         packed, and the hash of the block below or None for the first one.
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
    let mut blocks = blocks.iter().map(Block::of);
    loop {
        let (mut given, mut rows) = (Vec::new(), 0);
        while given.len() < TOGETHER && rows < ROWS_TOGETHER {
            let Some(block) = blocks.next() else { break };
            let block = block?;
            rows += block.tables.iter().map(Given::len).sum::<usize>();
            given.push(block);
        }
        if given.is_empty() {
            break;
        }
        let read: Vec<Option<ReadBlock<'_>>> = given.iter().map(Block::read).collect();
        let proven: Vec<Outcome<()>> = py.detach(|| {
            let stored: Vec<Option<Stored<'_>>> = read.into_iter().map(|read| read?.stored()).collect();
            let readable: Vec<bool> = stored.iter().map(Option::is_some).collect();
            let stored: Vec<Stored<'_>> = stored.into_iter().flatten().collect();
            let mut proven = stored::reprove(&stored, rules, lanes).into_iter();
            let other = || Err(Declined { reason: Reason::Shape, what: "a value of another kind".into() });
            readable.into_iter().map_while(|readable| if readable { proven.next() } else { Some(other()) }).collect()
        });
        if proven.len() < given.len() {
            return Err(PyValueError::new_err("fewer outcomes than blocks"));
        }
        for outcome in proven {
            outcomes.push(outcome.err().map(|declined| (declined.reason.name(), declined.what.into_owned())));
        }
    }
    Ok(outcomes)
}
