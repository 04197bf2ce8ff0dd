//! Headers alone, as blocks of a selection with nothing in them: what `tidelog.chain.select.headers` makes of one, but for
//! the question whether its bloom excludes what is selected.

use super::answers::{self, Habits};
use super::blocks::{Bundle, Hash};
use super::checks::Proven;
use super::decline::{Declined, Outcome, Reason, declined, holds};
use super::encoding;
use super::keccak::{Lanes, keccak_many};
use super::rows::{Ingest, LaidOut, lay_out_headers};
use super::take::{Key, OBJECT_BYTES_MAX};
use crate::fault::guarded;

/// One block as answered, without its transactions.
pub struct Answer<'a> {
    pub key: Key,
    pub block: &'a [u8],
}

/// What all of them are judged by.
pub struct Judge<'a> {
    pub range_first: Option<u64>, // the block that begins the range
    pub anchor: Option<Hash>,     // the hash which that one must have
    pub first_proof: &'a str,     // what is said of that one
    pub proof: &'a str,           // of all others
    pub ingest: Ingest<'a>,
    pub lanes: Lanes,
}

/// A header that hashes to its hash, as rows.
pub struct Held {
    pub rows: LaidOut, // the block's alone
    pub timestamp: u64,
    pub extras: Vec<String>, // what the endpoint added, which is in the row
}

/// The headers of a batch, each taken or declined by itself.
pub fn take(answers: &[Answer<'_>], judge: &Judge<'_>) -> Vec<Outcome<Held>> {
    let mut habits = Habits::default();
    let mut attempt = |some: &[Answer<'_>]| guarded(|| take_together(some, judge, &mut habits));
    attempt(answers).unwrap_or_else(|_| {
        // one of them is at fault: which, a second try shows
        let fault = |what: String| vec![Err(Declined { reason: Reason::Fault, what: what.into() })];
        answers.iter().flat_map(|answer| attempt(std::slice::from_ref(answer)).unwrap_or_else(fault)).collect()
    })
}

fn take_together(answers: &[Answer<'_>], judge: &Judge<'_>, habits: &mut Habits) -> Vec<Outcome<Held>> {
    let (mut encoded, mut ends) = (Vec::with_capacity(700 * answers.len()), Vec::with_capacity(answers.len()));
    let mut outcomes: Vec<Outcome<Box<Bundle>>> = answers
        .iter()
        .map(|answer| {
            let bundle = read(answer, judge, habits)?;
            let start = encoded.len();
            encoding::header(&mut encoded, &bundle.header, &bundle).inspect_err(|_| encoded.truncate(start))?;
            ends.push(encoded.len());
            Ok(bundle)
        })
        .collect();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let messages: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &encoded[start..*end]).collect();
    let mut digests = keccak_many(&messages, judge.lanes).into_iter();
    for outcome in &mut outcomes {
        if let Ok(bundle) = outcome
            && let Err(refusal) = holds(digests.next() == Some(bundle.header.hash), "the header's hash")
        {
            *outcome = Err(refusal);
        }
    }
    let outcomes: Vec<Outcome<Proven>> = outcomes.into_iter().map(|bundle| Ok(held(bundle?, judge))).collect();
    let proven: Vec<&Proven> = outcomes.iter().flatten().collect();
    let mut rows = lay_out_headers(&proven, &judge.ingest, judge.lanes).into_iter();
    outcomes
        .into_iter()
        .map(|outcome| {
            let Proven { bundle, .. } = outcome?;
            let Some(rows) = rows.next() else { return declined(Reason::Fault, "no rows were laid out") };
            Ok(Held { rows, timestamp: bundle.header.timestamp, extras: bundle.extras })
        })
        .collect()
}

fn read(answer: &Answer<'_>, judge: &Judge<'_>, habits: &mut Habits) -> Outcome<Box<Bundle>> {
    #[cfg(test)]
    assert!(answer.block != tests::PANICS, "a panic on purpose");
    let mut bundle = answers::brief(answer.block, habits, judge.lanes)?;
    let header = &bundle.header;
    let asked = match answer.key {
        Key::Number(number) => number == header.number,
        Key::Hash(hash) => hash == header.hash,
    };
    if !asked {
        return declined(Reason::Asked, "another block than the one asked for");
    }
    if judge.range_first == Some(header.number) {
        holds(judge.anchor.is_none_or(|anchor| anchor == header.hash), "the anchor")?;
    }
    if bundle.text(bundle.extra).map_or(0, str::len) > OBJECT_BYTES_MAX {
        return declined(Reason::Extra, "more of the endpoint's own than is kept");
    }
    bundle.uncles.clear();
    bundle.withdrawals = None;
    Ok(bundle)
}

/// The header, and nothing else.
fn held(bundle: Box<Bundle>, judge: &Judge<'_>) -> Proven {
    let begins = judge.range_first == Some(bundle.header.number);
    Proven {
        proof: if begins { judge.first_proof } else { judge.proof }.into(),
        bundle,
        derived: Vec::new(),
        covered: 0,
        transactions_whole: false,
        receipts_hold: false,
        ommers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Judge, take};
    use crate::chain::decline::Reason;
    use crate::chain::keccak::Lanes;
    use crate::chain::rows::Ingest;
    use crate::chain::take::Key;

    pub const PANICS: &[u8] = b"\"panics\"";

    #[test]
    fn a_panic_costs_its_own_header_alone() {
        let answers = [b"{}", PANICS, b"nul", PANICS, b"[]"].map(|block| Answer { key: Key::Number(1), block });
        let judge = Judge {
            range_first: None,
            anchor: None,
            first_proof: "",
            proof: "",
            ingest: Ingest { chain_id: 1, endpoint: "", ingested_at: 0 },
            lanes: Lanes::best(),
        };
        let reasons: Vec<Option<Reason>> =
            take(&answers, &judge).into_iter().map(|outcome| outcome.err().map(|declined| declined.reason)).collect();
        let [shape, fault] = [Reason::Shape, Reason::Fault].map(Some);
        assert_eq!(reasons, [shape, fault, shape, fault, shape]);
    }
}
