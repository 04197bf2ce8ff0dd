//! A batch of raw blocks in; rows as tuples out, or why a block was declined.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyNone, PyString, PyTuple};
use tidelog_pure::chain::checks::Proven;
use tidelog_pure::chain::decline::{Declined, Outcome, Reason};
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::rows::{BlockRows, Ingest, Value, lay_out};
use tidelog_pure::chain::rules::{self, Checks};
use tidelog_pure::chain::take::{Answer, Key, take};
use tidelog_pure::fault::guarded;

/// What the Python side and this one have agreed on; raised when arguments, results or columns change.
pub const CONTRACT: u32 = 6;

type RangeFields = (u64, Vec<String>, Vec<String>, Vec<String>, bool, bool, bool);

fn checks(names: &[String]) -> PyResult<Checks> {
    Checks::named(names.iter().map(String::as_str))
        .ok_or_else(|| PyValueError::new_err(format!("a check that is not known: {names:?}")))
}

/// What blocks are proven by.
///
/// Args:
///     ranges: of each its first block; the checks that are made, that the user accepted as not made, and whose roots
///         are of another kind; whether there are state syncs, a withdrawals root of a contract's storage, blooms with
///         further bits.
#[pyclass(frozen, module = "tidelog_core")]
pub struct Rules(pub(crate) rules::Rules);

#[pymethods]
impl Rules {
    #[new]
    fn new(
        chain_id: u64,
        name: String,
        opaque_types: Vec<u8>,
        ranges: Vec<RangeFields>,
        anchor: Option<[u8; 32]>,
    ) -> PyResult<Rules> {
        let ranges = ranges
            .into_iter()
            .map(|(first, made, accepted, foreign, state_sync, storage_withdrawals_root, bloom_superset)| {
                Ok(rules::Range {
                    first,
                    checks: checks(&made)?,
                    accepted: checks(&accepted)?,
                    foreign: checks(&foreign)?,
                    state_sync,
                    storage_withdrawals_root,
                    bloom_superset,
                })
            })
            .collect::<PyResult<_>>()?;
        Ok(Rules(rules::Rules { chain_id, name, opaque_types, ranges, anchor }))
    }
}

/// The bytes of an answer: as they are where Python holds them as bytes, else a copy of a buffer.
enum Body<'py> {
    Bytes(Bound<'py, PyBytes>),
    Copy(Vec<u8>),
}

impl<'py> Body<'py> {
    fn of(object: &Bound<'py, PyAny>) -> PyResult<Body<'py>> {
        match object.cast::<PyBytes>() {
            Ok(bytes) => Ok(Body::Bytes(bytes.clone())),
            Err(_) => Ok(Body::Copy(PyBuffer::<u8>::get(object)?.to_vec(object.py())?)),
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Body::Bytes(bytes) => bytes.as_bytes(),
            Body::Copy(bytes) => bytes,
        }
    }
}

struct Bodies<'py> {
    key: Key,
    block: Body<'py>,
    receipts: Body<'py>,
    uncles: Option<Vec<Body<'py>>>,
}

impl<'py> Bodies<'py> {
    fn of(answer: &Bound<'py, PyAny>) -> PyResult<Bodies<'py>> {
        type Fields<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Vec<Bound<'py, PyAny>>>);
        let (key, block, receipts, uncles): Fields<'py> = answer.extract()?;
        let key = match key.cast::<PyBytes>() {
            Ok(hash) => Key::Hash(hash.extract()?),
            Err(_) => Key::Number(key.extract()?),
        };
        let uncles = uncles.map(|answers| answers.iter().map(Body::of).collect()).transpose()?;
        Ok(Bodies { key, block: Body::of(&block)?, receipts: Body::of(&receipts)?, uncles })
    }

    fn answer(&self) -> Answer<'_> {
        Answer {
            key: self.key,
            block: self.block.text(),
            receipts: self.receipts.text(),
            uncles: self.uncles.as_ref().map(|bodies| bodies.iter().map(Body::text).collect()),
        }
    }
}

/// Python objects of the row before, by column: what is the same again is not made again.
struct Memo<'a, 'py, const N: usize> {
    contents: [Option<(&'a [u8], Bound<'py, PyAny>)>; N],
    numbers: [Option<(u64, Bound<'py, PyAny>)>; N],
}

impl<'a, 'py, const N: usize> Memo<'a, 'py, N> {
    fn new() -> Self {
        Memo { contents: [const { None }; N], numbers: [const { None }; N] }
    }

    #[inline(always)]
    fn row(&mut self, py: Python<'py>, row: [Value<'a>; N]) -> PyResult<Bound<'py, PyTuple>> {
        let mut column = 0;
        let objects = row.map(|value| {
            let (contents, numbers) = (&mut self.contents[column], &mut self.numbers[column]);
            column += 1;
            match value {
                Value::Null => PyNone::get(py).to_owned().into_any(),
                Value::Int(number) => remembered(numbers, number, || match number.into_pyobject(py) {
                    Ok(object) => object.into_any(),
                    Err(never) => match never {},
                }),
                Value::Bytes(bytes) | Value::Number(bytes) => {
                    remembered(contents, bytes, || PyBytes::new(py, bytes).into_any())
                }
                Value::Text(text) => remembered(contents, text.as_bytes(), || PyString::new(py, text).into_any()),
            }
        });
        PyTuple::new(py, objects)
    }

    /// The rows of one table, as a list.
    fn rows(
        mut self,
        py: Python<'py>,
        rows: impl Iterator<Item = [Value<'a>; N]>,
        count: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut tuples = Vec::with_capacity(count);
        for row in rows {
            tuples.push(self.row(py, row)?);
        }
        PyList::new(py, tuples)
    }
}

#[inline(always)]
fn remembered<'py, V: Copy + PartialEq>(
    last: &mut Option<(V, Bound<'py, PyAny>)>,
    value: V,
    make: impl FnOnce() -> Bound<'py, PyAny>,
) -> Bound<'py, PyAny> {
    match last {
        Some((known, object)) if *known == value => object.clone(),
        _ => {
            let object = make();
            *last = Some((value, object.clone()));
            object
        }
    }
}

fn tuples<'py>(py: Python<'py>, rows: &BlockRows<'_>, proof: &str, timestamp: u64) -> PyResult<Bound<'py, PyTuple>> {
    let transactions = (0..rows.transaction_count()).map(|place| rows.transaction(place));
    PyTuple::new(
        py,
        [
            Memo::new().row(py, rows.block())?.into_any(),
            Memo::new().rows(py, transactions, rows.transaction_count())?.into_any(),
            Memo::new().rows(py, rows.logs(), rows.log_count())?.into_any(),
            Memo::new().rows(py, rows.withdrawals(), rows.withdrawal_count())?.into_any(),
            Memo::new().rows(py, rows.uncles(), rows.uncle_count())?.into_any(),
            PyString::new(py, proof).into_any(),
            timestamp.into_pyobject(py)?.into_any(),
        ],
    )
}

fn fault<T>(what: String) -> Outcome<T> {
    Err(Declined { reason: Reason::Fault, what: what.into() })
}

/// Whether a text that an endpoint added may be stored as it is; `known` has those that were looked at.
fn is_harmless(redact: &Bound<'_, PyAny>, text: &str, known: &mut Vec<String>) -> PyResult<bool> {
    if known.iter().any(|other| other == text) {
        return Ok(true);
    }
    if redact.call1((text,))?.extract::<String>()? != text {
        return Ok(false);
    }
    if known.len() < KNOWN_MAX {
        known.push(text.to_owned());
    }
    Ok(true)
}

const KNOWN_MAX: usize = 8; // texts that many objects of a batch share

/// Prove blocks, each by itself, with the interpreter's lock released.
///
/// Args:
///     answers: of each block what it was asked for by (number or hash), its answer, its receipts' answer, and those of
///         its uncles or None.
///     range_first: the block that begins the range, whose parent link is not applicable.
///     ingested_at: Unix time, milliseconds.
///     redact: takes what may be a key out of a text; a block with such a text is declined.
///     lanes: how many messages are hashed at once; None for what the processor has.
///
/// Returns:
///     For each block the rows (block, transactions, logs, withdrawals, uncles), the proof's text and the timestamp;
///     or (reason, what) if it was declined.
#[pyfunction]
#[pyo3(signature = (answers, rules, *, range_first, endpoint, ingested_at, redact=None, lanes=None))]
#[allow(clippy::too_many_arguments)]
pub fn prove<'py>(
    py: Python<'py>,
    answers: Vec<Bound<'py, PyAny>>,
    rules: &Bound<'py, Rules>,
    range_first: Option<u64>,
    endpoint: &str,
    ingested_at: u64,
    redact: Option<Bound<'py, PyAny>>,
    lanes: Option<usize>,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let lanes = lanes_of(lanes)?;
    let rules = &rules.get().0;
    let bodies: Vec<Bodies<'py>> = answers.iter().map(Bodies::of).collect::<PyResult<_>>()?;
    let given: Vec<Answer<'_>> = bodies.iter().map(Bodies::answer).collect();
    let mut outcomes = py.detach(|| take(&given, rules, range_first, lanes));
    if let Some(redact) = &redact {
        let mut known = Vec::new();
        for outcome in &mut outcomes {
            let Ok(proven) = outcome else { continue };
            for text in &proven.bundle.extras {
                if !is_harmless(redact, text, &mut known)? {
                    let what = "a text that may hold a key".into();
                    *outcome = Err(Declined { reason: Reason::Extra, what });
                    break;
                }
            }
        }
    }
    let ingest = Ingest { chain_id: rules.chain_id, endpoint, ingested_at };
    let laid_out: Vec<Outcome<BlockRows<'_>>> = py.detach(|| {
        let proven: Vec<&Proven> = outcomes.iter().flatten().collect();
        let mut blocks = match guarded(|| lay_out(&proven, &ingest, lanes)) {
            Ok(blocks) => blocks.into_iter().map(Ok).collect(),
            // one of them is at fault: which, a second try shows
            Err(_) => proven
                .iter()
                .map(|one| guarded(|| lay_out(&[*one], &ingest, lanes)).or_else(fault).map(|mut rows| rows.remove(0)))
                .collect::<Vec<_>>(),
        }
        .into_iter();
        let of = |outcome: &Outcome<Proven>| match outcome {
            Ok(_) => blocks.next().unwrap_or_else(|| fault("no rows were laid out".into())),
            Err(declined) => Err(declined.clone()),
        };
        outcomes.iter().map(of).collect()
    });
    outcomes
        .iter()
        .zip(&laid_out)
        .map(|(outcome, rows)| {
            let made = match (outcome, rows) {
                (Ok(proven), Ok(rows)) => {
                    let timestamp = proven.bundle.header.timestamp;
                    guarded(|| tuples(py, rows, &proven.proof, timestamp)).or_else(fault)
                }
                (Err(declined), _) | (_, Err(declined)) => Err(declined.clone()),
            };
            match made {
                Ok(tuple) => tuple,
                Err(declined) => PyTuple::new(py, [declined.reason.name(), declined.what.as_ref()]),
            }
        })
        .collect()
}

/// So many lanes, or what the processor has.
pub(crate) fn lanes_of(count: Option<usize>) -> PyResult<Lanes> {
    let Some(count) = count else { return Ok(Lanes::best()) };
    Lanes::of(count).ok_or_else(|| PyValueError::new_err(format!("no {count} lanes on this processor")))
}

/// How many messages this processor hashes at once.
#[pyfunction]
pub fn lanes() -> usize {
    Lanes::best().count()
}
