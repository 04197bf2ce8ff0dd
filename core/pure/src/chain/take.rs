//! A batch of blocks: scanned and proven together, each taken or declined by itself.

use super::answers::{self, Habits};
use super::blocks::{Bundle, Form, Hash};
use super::checks::{Case, Proven, Work};
use super::decline::{Declined, Outcome, Reason, declined};
use super::keccak::{Digest, Lanes, keccak_many};
use super::rules::Rules;
use super::trie::{Lists, ordered_roots};
use crate::fault::guarded;

/// Answers that are worked on at once: enough to fill the lanes with small blocks, few enough to stay in the cache.
const TOGETHER_BYTES: usize = 768 * 1024;
const TOGETHER_BLOCKS: usize = 32;

// what may be stored of fields that the endpoint added, see `tidelog.chain.extra`
pub(super) const OBJECT_BYTES_MAX: usize = 4 * 1024;
const KEPT_RAW_BYTES_MAX: usize = 256 * 1024;
const BLOCK_BYTES: usize = 16 * 1024;
const TRANSACTION_BYTES: usize = 1024;

/// What a block was asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Number(u64),
    Hash(Hash),
}

/// One block as answered.
pub struct Answer<'a> {
    pub key: Key,
    pub block: &'a [u8],
    pub receipts: &'a [u8],
    pub uncles: Option<Vec<&'a [u8]>>, // None: they were not asked for
}

impl Answer<'_> {
    fn size(&self) -> usize {
        self.block.len() + self.receipts.len()
    }
}

/// Prove the blocks of a batch; each outcome in its place.
///
/// `range_first` is the block that begins the range, whose parent link is not applicable. What `finish` makes of the
/// outcomes of some blocks, it makes while they are in the cache; bundles that it gives back, the next blocks are read to.
#[allow(clippy::vec_box)] // bundles move as pointers
pub fn take<T>(
    answers: &[Answer<'_>],
    rules: &Rules,
    range_first: Option<u64>,
    lanes: Lanes,
    finish: impl Fn(Vec<Outcome<Proven>>, &mut Vec<Box<Bundle>>) -> Vec<Outcome<T>>,
) -> Vec<Outcome<T>> {
    let (mut outcomes, mut memory) = (Vec::with_capacity(answers.len()), Memory::default());
    let mut rest = answers;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(TOGETHER_BLOCKS).take_while(|answer| {
            let room = bytes == 0 || bytes + answer.size() <= TOGETHER_BYTES;
            bytes += answer.size().max(1);
            room
        });
        let (together, others) = rest.split_at(fits.count().max(1));
        rest = others;
        let mut attempt = |some: &[Answer<'_>]| guarded(|| take_together(some, rules, range_first, &mut memory, lanes));
        match attempt(together) {
            Ok(found) => outcomes.extend(finish(found, &mut memory.spare)),
            // one of them is at fault: which, a second try shows
            Err(_) => {
                let alone = together.iter().flat_map(|answer| {
                    attempt(std::slice::from_ref(answer))
                        .unwrap_or_else(|what| vec![Err(Declined { reason: Reason::Fault, what: what.into() })])
                });
                let found = alone.collect();
                outcomes.extend(finish(found, &mut memory.spare));
            }
        }
    }
    outcomes
}

/// What serves all blocks of a batch, some after the others.
#[derive(Default)]
#[allow(clippy::vec_box)] // bundles move as pointers
struct Memory {
    habits: Habits,
    work: Work,
    spare: Vec<Box<Bundle>>, // of blocks that are done
}

fn take_together(
    answers: &[Answer<'_>],
    rules: &Rules,
    range_first: Option<u64>,
    memory: &mut Memory,
    lanes: Lanes,
) -> Vec<Outcome<Proven>> {
    memory.work.clear();
    let cases = answers.iter().map(|answer| begin(answer, rules, range_first, memory, lanes)).collect();
    prove(cases, &mut memory.work, lanes)
}

/// Carry cases to their ends, the hashes of all made together; each outcome in its place.
pub(super) fn prove(mut cases: Vec<Outcome<Case<'_>>>, work: &mut Work, lanes: Lanes) -> Vec<Outcome<Proven>> {
    let messages: Vec<&[u8]> = work.messages(cases.iter().flatten()).collect();
    let digests = keccak_many(&messages, lanes);
    let (first, mut rest): (&[Digest], &[Digest]) = digests.split_at(work.first_count());
    for outcome in &mut cases {
        if let Ok(case) = outcome {
            let (own, others) = rest.split_at(case.bloom_count());
            rest = others;
            if let Err(refusal) = case.compare(work, first, own) {
                *outcome = Err(refusal);
            }
        }
    }
    let (mut lists, mut counts) = (Lists::default(), Vec::with_capacity(cases.len()));
    for outcome in &cases {
        let before = lists.len();
        if let Ok(case) = outcome {
            case.list(work, &mut lists);
        }
        counts.push(lists.len() - before);
    }
    let roots = ordered_roots(&lists, lanes);
    let mut rest: &[Digest] = &roots;
    cases
        .into_iter()
        .zip(counts)
        .map(|(outcome, count)| {
            let (own, others) = rest.split_at(count);
            rest = others;
            outcome.and_then(|case| case.conclude(&mut own.iter().copied()))
        })
        .collect()
}

fn begin<'r>(
    answer: &Answer<'_>,
    rules: &'r Rules,
    range_first: Option<u64>,
    memory: &mut Memory,
    lanes: Lanes,
) -> Outcome<Case<'r>> {
    #[cfg(test)]
    assert!(answer.block != tests::PANICS, "a panic on purpose");
    let Memory { habits, work, spare } = memory;
    let mut empty = spare.pop().unwrap_or_default();
    empty.clear();
    let bundle = answers::bundle(answer.block, answer.receipts, answer.uncles.as_deref(), habits, lanes, empty)?;
    let asked = match answer.key {
        Key::Number(number) => number == bundle.header.number,
        Key::Hash(hash) => hash == bundle.header.hash,
    };
    if !asked {
        return declined(Reason::Asked, "another block than the one asked for");
    }
    let case = Case::begin(bundle, rules, range_first, work)?;
    if fits(&case.bundle) { Ok(case) } else { declined(Reason::Extra, "more of the endpoint's own than is kept") }
}

/// Whether all that the endpoint added may be stored: what is beyond the limits, the Python path cuts.
fn fits(bundle: &Bundle) -> bool {
    if bundle.extras.is_empty() {
        return true;
    }
    let limit = |form: Form| if form == Form::Signed { OBJECT_BYTES_MAX } else { KEPT_RAW_BYTES_MAX };
    let size = |extra: Option<u32>| bundle.text(extra).map_or(0, str::len);
    let unsigned = bundle.transactions.iter().filter(|tx| tx.form == Form::Raw).count();
    let mut room = BLOCK_BYTES + TRANSACTION_BYTES * bundle.transactions.len() + KEPT_RAW_BYTES_MAX * unsigned;
    let of_block = std::iter::once((size(bundle.extra), OBJECT_BYTES_MAX));
    let of_transactions = bundle.transactions.iter().map(|tx| (size(tx.extra), limit(tx.form)));
    let of_receipts =
        bundle.transactions.iter().zip(&bundle.receipts).map(|(tx, receipt)| (size(receipt.extra), limit(tx.form)));
    of_block.chain(of_transactions).chain(of_receipts).all(|(size, limit)| {
        let kept = size <= limit.min(room);
        room = room.saturating_sub(size);
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Key, Reason, take};
    use crate::chain::keccak::Lanes;
    use crate::chain::rules::Rules;

    pub const PANICS: &[u8] = b"\"panics\"";

    #[test]
    fn a_panic_costs_its_own_block_alone() {
        let answers = [b"{}", PANICS, b"nul", PANICS, b"[]"].map(|block| Answer {
            key: Key::Number(1),
            block,
            receipts: b"[]",
            uncles: None,
        });
        let outcomes = take(&answers, &Rules::default(), None, Lanes::best(), |outcomes, _| outcomes);
        let reasons: Vec<Option<Reason>> =
            outcomes.into_iter().map(|outcome| outcome.err().map(|declined| declined.reason)).collect();
        let [shape, fault] = [Reason::Shape, Reason::Fault].map(Some);
        assert_eq!(reasons, [shape, fault, shape, fault, shape]);
    }
}
