//! A batch of raw blocks in; rows out, or why a block was declined.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tidelog_pure::chain::blocks::Bundle;
use tidelog_pure::chain::checks::Proven;
use tidelog_pure::chain::decline::{Declined, Outcome, Reason};
use tidelog_pure::chain::headers;
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::rows::{BLOCK_PROOF, BLOCK_TIMESTAMP, Ingest, LaidOut, lay_out};
use tidelog_pure::chain::rules::{self, Checks};
use tidelog_pure::chain::take::{Answer, Key, take};
use tidelog_pure::fault::guarded;

use crate::rows::{Memo, Tables};

/// What the Python side and this one have agreed on; raised when arguments, results or columns change.
pub const CONTRACT: u32 = 23;

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

struct Bodies<'py> {
    key: Key,
    block: Bound<'py, PyBytes>,
    receipts: Bound<'py, PyBytes>,
    uncles: Option<Vec<Bound<'py, PyBytes>>>,
}

impl<'py> Bodies<'py> {
    fn of(answer: &Bound<'py, PyAny>) -> PyResult<Bodies<'py>> {
        type Bytes<'py> = Bound<'py, PyBytes>;
        let (key, block, receipts, uncles): (Bound<'py, PyAny>, Bytes<'py>, Bytes<'py>, Option<Vec<Bytes<'py>>>) =
            answer.extract()?;
        Ok(Bodies { key: key_of(&key)?, block, receipts, uncles })
    }

    fn answer(&self) -> Answer<'_> {
        Answer {
            key: self.key,
            block: self.block.as_bytes(),
            receipts: self.receipts.as_bytes(),
            uncles: self.uncles.as_ref().map(|bodies| bodies.iter().map(|body| body.as_bytes()).collect()),
        }
    }
}

fn key_of(key: &Bound<'_, PyAny>) -> PyResult<Key> {
    Ok(match key.cast::<PyBytes>() {
        Ok(hash) => Key::Hash(hash.extract()?),
        Err(_) => Key::Number(key.extract()?),
    })
}

fn fault<T>(what: String) -> Outcome<T> {
    Err(Declined { reason: Reason::Fault, what: what.into() })
}

/// Whether texts that an endpoint added may be stored as they are; `known` has those that were looked at.
fn are_harmless(redact: &Bound<'_, PyAny>, texts: &[String], known: &mut Vec<String>) -> PyResult<bool> {
    for text in texts {
        if known.contains(text) {
            continue;
        }
        if redact.call1((text,))?.extract::<String>()? != *text {
            return Ok(false);
        }
        if known.len() < KNOWN_MAX {
            known.push(text.clone());
        }
    }
    Ok(true)
}

const KNOWN_MAX: usize = 8; // texts that many objects of a batch share

/// What is left of a proven block beside its rows.
struct Made {
    rows: LaidOut,
    extras: Vec<String>, // what the endpoint added, which is in the rows
}

impl Made {
    /// `memo` has the objects of the block's row before, of which many are the same.
    fn into_tuple<'py>(self, py: Python<'py>, memo: &mut Memo, tables: &mut Tables) -> PyResult<Bound<'py, PyTuple>> {
        let LaidOut { block, transactions, logs, withdrawals, uncles, digest } = self.rows;
        let mut values = memo.objects(py, &block, 0)?;
        let (proof, timestamp) = (values[BLOCK_PROOF].clone(), values[BLOCK_TIMESTAMP].clone());
        values.push(PyBytes::new(py, &digest).into_any());
        PyTuple::new(
            py,
            [
                PyTuple::new(py, values)?.into_any(),
                tables.object(py, transactions)?,
                tables.object(py, logs)?,
                tables.object(py, withdrawals)?,
                tables.object(py, uncles)?,
                proof,
                timestamp,
            ],
        )
    }
}

/// The rows of what was proven; each outcome in its place. Bundles are given back to `spare`.
#[allow(clippy::vec_box)] // bundles move as pointers
fn laid_out(
    outcomes: Vec<Outcome<Proven>>,
    ingest: &Ingest<'_>,
    lanes: Lanes,
    spare: &mut Vec<Box<Bundle>>,
) -> Vec<Outcome<Made>> {
    let proven: Vec<&Proven> = outcomes.iter().flatten().collect();
    let mut blocks = match guarded(|| lay_out(&proven, ingest, lanes)) {
        Ok(blocks) => blocks.into_iter().map(Ok).collect(),
        // one of them is at fault: which, a second try shows
        Err(_) => proven
            .iter()
            .map(|one| guarded(|| lay_out(&[*one], ingest, lanes)).or_else(fault).map(|mut rows| rows.remove(0)))
            .collect::<Vec<_>>(),
    }
    .into_iter();
    outcomes
        .into_iter()
        .map(|outcome| {
            let Proven { mut bundle, .. } = outcome?;
            let rows = blocks.next().unwrap_or_else(|| fault("no rows were laid out".into()))?;
            let extras = std::mem::take(&mut bundle.extras);
            spare.push(bundle);
            Ok(Made { rows, extras })
        })
        .collect()
}

/// Prove blocks, each by itself, with the interpreter's lock released.
///
/// Args:
///     answers: of each block what it was asked for by (number or hash), its answer, its receipts' answer, and those of
///         its uncles or None; all of them bytes, which are read where they are.
///     range_first: the block that begins the range, whose parent link is not applicable.
///     ingested_at: Unix time, milliseconds.
///     redact: takes what may be a key out of a text; a block with such a text is declined.
///     lanes: how many messages are hashed at once; None for what the processor has.
///
/// Returns:
///     For each block its row as a tuple, its transactions, logs, withdrawals and uncles as `Rows`, the proof's text and
///     the timestamp; or (reason, what) if it was declined.
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
    let ingest = Ingest { chain_id: rules.chain_id, endpoint, ingested_at };
    let finish = |proven, spare: &mut _| laid_out(proven, &ingest, lanes, spare);
    let made = py.detach(|| take(&given, rules, range_first, lanes, finish));
    let (mut known, mut memo, mut tables) = (Vec::new(), Memo::default(), Tables::default());
    let mut results = Vec::with_capacity(made.len());
    for outcome in made {
        let harmless = match (&outcome, &redact) {
            (Ok(made), Some(redact)) => are_harmless(redact, &made.extras, &mut known)?,
            _ => true,
        };
        let outcome = match outcome {
            Ok(_) if !harmless => Err(Declined { reason: Reason::Extra, what: "a text that may hold a key".into() }),
            Ok(made) => guarded(|| made.into_tuple(py, &mut memo, &mut tables)).or_else(fault),
            Err(declined) => Err(declined),
        };
        results.push(match outcome {
            Ok(tuple) => tuple?,
            Err(declined) => PyTuple::new(py, [declined.reason.name(), declined.what.as_ref()])?,
        });
    }
    Ok(results)
}

/// Headers of blocks that have nothing of a selection, as rows, with the interpreter's lock released.
///
/// Args:
///     answers: of each block what it was asked for by (number or hash), and its answer without transactions.
///     range_first: the block that begins the range, whose proof is the first one of `proofs`.
///     endpoint, ingested_at, redact, lanes: as for `prove`.
///
/// Returns:
///     For each block its row as a tuple and its timestamp; or (reason, what) if it was declined.
#[pyfunction]
#[pyo3(signature = (answers, rules, *, range_first, proofs, endpoint, ingested_at, redact=None, lanes=None))]
#[allow(clippy::too_many_arguments)]
pub fn hold_headers<'py>(
    py: Python<'py>,
    answers: Vec<(Bound<'py, PyAny>, Bound<'py, PyBytes>)>,
    rules: &Bound<'py, Rules>,
    range_first: Option<u64>,
    proofs: (String, String),
    endpoint: &str,
    ingested_at: u64,
    redact: Option<Bound<'py, PyAny>>,
    lanes: Option<usize>,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let rules = &rules.get().0;
    let given = answers
        .iter()
        .map(|(key, block)| Ok(headers::Answer { key: key_of(key)?, block: block.as_bytes() }))
        .collect::<PyResult<Vec<_>>>()?;
    let judge = headers::Judge {
        range_first,
        anchor: rules.anchor,
        first_proof: &proofs.0,
        proof: &proofs.1,
        ingest: Ingest { chain_id: rules.chain_id, endpoint, ingested_at },
        lanes: lanes_of(lanes)?,
    };
    let outcomes = py.detach(|| headers::take(&given, &judge));
    let (mut known, mut memo) = (Vec::new(), Memo::default());
    let mut results = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let outcome = match (outcome, &redact) {
            (Ok(held), Some(redact)) if !are_harmless(redact, &held.extras, &mut known)? => {
                Err(Declined { reason: Reason::Extra, what: "a text that may hold a key".into() })
            }
            (outcome, _) => outcome,
        };
        results.push(match outcome {
            Ok(held) => {
                let mut values = memo.objects(py, &held.rows.block, 0)?;
                values.push(PyBytes::new(py, &held.rows.digest).into_any());
                let timestamp = held.timestamp.into_pyobject(py)?.into_any();
                PyTuple::new(py, [PyTuple::new(py, values)?.into_any(), timestamp])?
            }
            Err(declined) => PyTuple::new(py, [declined.reason.name(), declined.what.as_ref()])?,
        });
    }
    Ok(results)
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
