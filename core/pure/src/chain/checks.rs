//! The checks of a block against its own header, in three steps, so that the hashes of many blocks are made together.
//!
//! `Case::begin` encodes what has to be hashed first, `Case::compare` is given those digests, makes most checks and
//! lists the items that roots are over, `Case::conclude` is given the roots. What each check compares stands in
//! `tidelog.chain.proof.checks`; a failure is a refusal whose words are found there.

use super::blocks::{Address, Bundle, Form, Hash, Transaction, Uint256};
use super::decline::{Outcome, Reason, declined, holds};
use super::encoding;
use super::keccak::{Digest, keccak};
use super::rlp;
use super::rules::{CHECKS, Check, Range, Rules};
use super::trie::{EMPTY_ROOT, Lists};
use std::borrow::Cow;

/// keccak(rlp([])): the ommers hash of a block without uncles.
pub const NO_UNCLES: Hash = [
    0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a, 0xab, 0x85, 0xb5, 0x67, 0xb6, 0xcc, 0xd4, 0x1a, 0xd3, 0x12, 0x45,
    0x1b, 0x94, 0x8a, 0x74, 0x13, 0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47,
];

/// Encodings one after the other, each up to its end.
#[derive(Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    /// The place of what `write` appends.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.ends.len() - 1
    }

    fn get(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start..self.ends[place]]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// What a receipt repeats, as it was derived or, where it cannot be, as it was answered.
#[derive(Default, Clone)]
pub struct Derived {
    pub price: Option<Uint256>,
    pub contract: Option<Address>,
}

/// What was found out about a block that holds.
pub struct Proven {
    pub bundle: Box<Bundle>,
    pub proof: String,
    pub derived: Vec<Derived>,
    pub covered: usize,           // transactions, from the first on, that the roots are over
    pub transactions_whole: bool, // both roots hold, so that the covered rows say so
    pub receipts_hold: bool,
    pub ommers: Vec<(Digest, Vec<u8>)>, // hash and encoding of each uncle, where the check held
}

/// What blocks that are proven together have in common: their encodings one behind the other, so that hardly anything is
/// allocated for each of them. Each `Case` knows its own places.
#[derive(Default)]
pub struct Work {
    first: Encoded,           // what is hashed first
    second: Encoded,          // what roots are over beside that
    places: Vec<Places>,      // of each transaction
    distinct: Vec<(u32, u8)>, // the places of addresses and topics that are hashed for blooms: log, item
    items: Vec<u32>,          // of all logs: which of its block's `distinct` each item is
    slots: Vec<u32>,          // a small table of those of one block
}

impl Work {
    /// Forget the blocks before.
    pub fn clear(&mut self) {
        let Work { first, second, places, distinct, items, slots } = self;
        for encoded in [first, second] {
            encoded.bytes.clear();
            encoded.ends.clear();
        }
        places.clear();
        distinct.clear();
        items.clear();
        slots.clear();
    }

    /// What `Case::compare` wants the digests of: the first encodings of all blocks, then of each what its blooms are over.
    pub fn messages<'a>(&'a self, cases: impl Iterator<Item = &'a Case<'a>>) -> impl Iterator<Item = &'a [u8]> {
        let blooms =
            cases.flat_map(|case| self.distinct[case.distinct.clone()].iter().map(|&at| item(&case.bundle, at)));
        self.first.all().chain(blooms)
    }

    /// How many of the messages are first encodings.
    pub fn first_count(&self) -> usize {
        self.first.len()
    }
}

/// Where a transaction stands in `Work::first`, and what the address of its contract is a hash of.
struct Places {
    transaction: Option<usize>,
    contract: Option<usize>,
}

fn item(bundle: &Bundle, (log, item): (u32, u8)) -> &[u8] {
    let log = &bundle.logs[log as usize];
    if item == 0 { &log.address } else { &log.topics[item as usize - 1] }
}

/// A block under proof.
pub struct Case<'r> {
    pub bundle: Box<Bundle>,
    rules: &'r Rules,
    range: &'r Range,
    begins: bool,
    header: Option<usize>, // their places in `Work::first`, and the next ones
    state_sync: Option<usize>,
    ommers: std::ops::Range<usize>,
    places: std::ops::Range<usize>, // their places in `Work`, and the next ones
    distinct: std::ops::Range<usize>,
    items: std::ops::Range<usize>,
    covered: usize,
    derived: Vec<Derived>,
    unknown: Vec<u8>, // types without an encoding, ascending
    results: [Cow<'static, str>; CHECKS.len()],
    receipts: std::ops::Range<usize>, // their places in `Work::second`, and the next ones
    withdrawals: std::ops::Range<usize>,
    proven_ommers: Vec<(Digest, Vec<u8>)>,
}

const PASSED: &str = "+";
const NOT_APPLICABLE: &str = "-";

impl<'r> Case<'r> {
    /// Compare what needs no hash, and encode what is hashed first.
    pub fn begin(
        bundle: Box<Bundle>,
        rules: &'r Rules,
        range_first: Option<u64>,
        work: &mut Work,
    ) -> Outcome<Case<'r>> {
        let header = &bundle.header;
        let Some(range) = rules.at(header.number) else { return declined(Reason::Rules, "no rules for this block") };
        let begins = range_first == Some(header.number);
        if let (true, Some(anchor)) = (begins, &rules.anchor) {
            holds(header.hash == *anchor, "the anchor")?;
        }
        let mut case = Case {
            rules,
            range,
            begins,
            header: None,
            state_sync: None,
            ommers: 0..0,
            places: 0..0,
            distinct: 0..0,
            items: 0..0,
            covered: bundle.transactions.len(),
            derived: Vec::with_capacity(bundle.transactions.len()),
            unknown: Vec::new(),
            results: Default::default(),
            receipts: 0..0,
            withdrawals: 0..0,
            proven_ommers: Vec::new(),
            bundle,
        };
        case.compare_places()?;
        case.encode_first(work)?;
        case.find_bloom_items(work);
        Ok(case)
    }

    fn makes(&self, check: Check) -> bool {
        self.range.checks.has(check)
    }

    /// Every transaction stands in this block and has its receipt: compared on every chain.
    fn compare_places(&self) -> Outcome<()> {
        let Bundle { header, transactions, receipts, .. } = &*self.bundle;
        holds(receipts.len() == transactions.len(), "the number of receipts")?;
        for (i, (tx, receipt)) in transactions.iter().zip(receipts).enumerate() {
            let index = i as u64;
            let stands = tx.block_hash == header.hash && tx.block_number == header.number && tx.index == index;
            holds(stands, "a transaction's place")?;
            let paired = receipt.block_hash == header.hash
                && receipt.block_number == header.number
                && receipt.transaction_hash == tx.hash
                && receipt.transaction_index == index
                && receipt.kind == tx.kind;
            holds(paired, "a receipt's place")?;
        }
        Ok(())
    }

    fn encode_first(&mut self, work: &mut Work) -> Outcome<()> {
        let (bundle, out, places) = (&*self.bundle, &mut work.first, &mut work.places);
        let header = &bundle.header;
        out.bytes.reserve(1024 + 256 * bundle.transactions.len());
        if self.range.checks.has(Check::Hash) {
            let mut outcome = Ok(());
            self.header = Some(out.add(|bytes| outcome = encoding::header(bytes, header, bundle)));
            outcome?;
        }
        if self.range.state_sync && !bundle.transactions.is_empty() {
            self.state_sync = Some(out.add(|bytes| {
                bytes.extend_from_slice(b"matic-bor-receipt-");
                bytes.extend_from_slice(&header.number.to_be_bytes());
                bytes.extend_from_slice(&header.hash);
            }));
        }
        let start = out.len();
        for ommer in bundle.ommers.iter().flatten() {
            let mut outcome = Ok(());
            out.add(|bytes| outcome = encoding::header(bytes, ommer, bundle));
            outcome?;
        }
        self.ommers = start..out.len();
        let start = places.len();
        for tx in &bundle.transactions {
            let encodable = tx.form != Form::Raw;
            let created = tx.nonce.filter(|_| tx.to.is_none() && tx.form != Form::Deposit);
            places.push(Places {
                transaction: encodable.then(|| out.add(|bytes| encoding::transaction(bytes, tx, bundle))),
                contract: created.map(|nonce| out.add(|bytes| encoding::creation(bytes, &tx.sender, nonce))),
            });
        }
        self.places = start..places.len();
        Ok(())
    }

    /// The addresses and topics of all logs, each distinct one once as far as a small table remembers them.
    fn find_bloom_items(&mut self, work: &mut Work) {
        let (bundle, Work { distinct, items, slots, .. }) = (&*self.bundle, work);
        (self.distinct, self.items) = (distinct.len()..distinct.len(), items.len()..items.len());
        if bundle.logs.is_empty() {
            return;
        }
        // four slots for each item of an ordinary log, as far as they stay in the cache
        let bits = (16 * bundle.logs.len()).ilog2().min(11);
        slots.clear();
        slots.resize(1 << bits, u32::MAX);
        let start = distinct.len();
        for (place, log) in bundle.logs.iter().enumerate() {
            for number in 0..=log.topic_count {
                let at = (place as u32, number);
                let text = item(bundle, at);
                let (head, tail) = (text.first_chunk::<8>(), text.last_chunk::<8>());
                let (Some(head), Some(tail)) = (head, tail) else { continue };
                let mixed = u64::from_le_bytes(*tail) ^ u64::from_le_bytes(*head).rotate_left(23);
                let slot = &mut slots[(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize];
                if *slot == u32::MAX || item(bundle, distinct[start + *slot as usize]) != text {
                    *slot = (distinct.len() - start) as u32;
                    distinct.push(at);
                }
                items.push(*slot);
            }
        }
        (self.distinct.end, self.items.end) = (distinct.len(), items.len());
    }

    /// How many messages its blooms are over.
    pub fn bloom_count(&self) -> usize {
        self.distinct.len()
    }

    /// Make every check but those of roots. `first` are the digests of all first encodings, `blooms` of its own messages.
    pub fn compare(&mut self, work: &mut Work, first: &[Digest], blooms: &[Digest]) -> Outcome<()> {
        self.compare_hashes(work, first)?;
        self.compare_uncles(work, first)?;
        self.compare_receipts(work, first, blooms)?;
        self.list_withdrawals(&mut work.second)
    }

    fn compare_hashes(&mut self, work: &Work, digests: &[Digest]) -> Outcome<()> {
        let Bundle { header, transactions, .. } = &*self.bundle;
        let hash = self.header.map(|place| digests[place]);
        holds(hash.is_none_or(|digest| digest == header.hash), "the header's hash")?;
        self.results[Check::Hash as usize] = PASSED.into();
        self.results[Check::Parent as usize] = if self.begins { NOT_APPLICABLE } else { PASSED }.into();
        if let (Some(place), Some(last)) = (self.state_sync, transactions.last()) {
            self.covered -= usize::from(digests[place] == last.hash);
        }
        for (tx, places) in transactions.iter().zip(&work.places[self.places.clone()]).take(self.covered) {
            match places.transaction {
                Some(place) if self.range.checks.has(Check::Transactions) => {
                    holds(digests[place] == tx.hash, "a transaction's hash")?;
                }
                Some(_) => {}
                None => self.unknown.push(tx.kind),
            }
        }
        self.unknown.sort_unstable();
        self.unknown.dedup();
        Ok(())
    }

    fn compare_uncles(&mut self, work: &Work, digests: &[Digest]) -> Outcome<()> {
        let Bundle { header, uncles, ommers, .. } = &*self.bundle;
        if !self.makes(Check::Uncles) {
            return Ok(());
        }
        let mut result = PASSED;
        if ommers.is_some() {
            let encoded: Vec<&[u8]> = self.ommers.clone().map(|place| work.first.get(place)).collect();
            holds(uncles.len() == 32 * encoded.len(), "the number of uncles")?;
            let named = uncles.as_chunks::<32>().0;
            for (hash, place) in named.iter().zip(self.ommers.clone()) {
                holds(*hash == digests[place], "an uncle's hash")?;
            }
            let mut list = encoded.concat();
            rlp::wrap(&mut list, 0);
            holds(keccak(&list) == header.ommers_hash, "the ommers hash")?;
            self.proven_ommers = named.iter().copied().zip(encoded.into_iter().map(<[u8]>::to_vec)).collect();
        } else if !uncles.is_empty() && header.ommers_hash != NO_UNCLES {
            result = "?(the answer holds hashes of uncles, not their headers)";
        } else {
            holds(uncles.is_empty() && header.ommers_hash == NO_UNCLES, "no uncles")?;
        }
        self.results[Check::Uncles as usize] = result.into();
        Ok(())
    }

    fn compare_receipts(&mut self, work: &mut Work, digests: &[Digest], blooms: &[Digest]) -> Outcome<()> {
        let (bundle, range) = (&*self.bundle, self.range);
        let header = &bundle.header;
        let (derives, compares) = (range.checks.has(Check::Derived), range.checks.has(Check::Bloom));
        let encodes = range.checks.has(Check::Receipts) && !range.foreign.has(Check::Receipts);
        let Work { second, items, places, .. } = work;
        let mut items = items[self.items.clone()].iter();
        let (places, start) = (&places[self.places.clone()], second.len());
        let mut whole = [0u8; 256];
        let (mut position, mut cumulative) = (0u64, 0u64);
        if encodes {
            second.bytes.reserve(512 * self.covered);
        }
        for (i, (tx, receipt)) in bundle.transactions.iter().zip(&bundle.receipts).enumerate() {
            let covered = i < self.covered;
            let mut bloom = [0u8; 256];
            for log in bundle.logs_of(receipt) {
                if derives {
                    let stands = log.block_hash.is_none_or(|hash| hash == header.hash)
                        && log.block_number.is_none_or(|number| number == header.number)
                        && log.transaction_hash.is_none_or(|hash| hash == tx.hash)
                        && log.transaction_index.is_none_or(|index| index == i as u64)
                        && log.log_index.is_none_or(|index| index == position);
                    holds(stands, "a log's place")?;
                }
                position += 1;
                for &item in items.by_ref().take(1 + log.topics().len()) {
                    let digest = &blooms[item as usize];
                    for i in [0, 2, 4] {
                        let bit = u16::from_be_bytes([digest[i], digest[i + 1]]) & 0x7ff;
                        bloom[255 - usize::from(bit >> 3)] |= 1 << (bit & 7);
                    }
                }
            }
            if compares && let Some(answered) = receipt.logs_bloom {
                holds(*bundle.at(answered) == bloom, "a receipt's bloom")?;
            }
            let mut derived = Derived { price: receipt.effective_gas_price, contract: receipt.contract_address };
            if covered {
                for (all, own) in whole.iter_mut().zip(&bloom) {
                    *all |= own;
                }
                if derives {
                    let used = receipt.cumulative_gas_used.checked_sub(cumulative);
                    holds(used == Some(receipt.gas_used), "gas used")?;
                    cumulative = receipt.cumulative_gas_used;
                    let contract = places[i].contract.and_then(|place| digests[place].last_chunk::<20>().copied());
                    derived = derive(tx, &derived, header.base_fee_per_gas.as_ref(), contract)?;
                }
                if encodes {
                    second.add(|out| encoding::receipt(out, tx, receipt, &bloom, bundle));
                }
            }
            self.derived.push(derived);
        }
        self.receipts = start..second.len();
        if compares {
            let stated = bundle.at(header.logs_bloom);
            let beyond = range.bloom_superset
                && *stated != whole
                && stated.iter().zip(&whole).all(|(stated, computed)| stated & computed == *computed);
            holds(beyond || *stated == whole, "the block's bloom")?;
            let result = if beyond { "?(has further bits beside those of the logs)" } else { PASSED };
            self.results[Check::Bloom as usize] = result.into();
        }
        if derives {
            // since Amsterdam the block's gas is counted otherwise
            let counted = header.block_access_list_hash.is_some() || header.gas_used == cumulative;
            holds(counted, "the block's gas used")?;
            self.results[Check::Derived as usize] = PASSED.into();
        }
        Ok(())
    }

    fn list_withdrawals(&mut self, second: &mut Encoded) -> Outcome<()> {
        let Bundle { header, withdrawals, .. } = &*self.bundle;
        let start = second.len();
        self.withdrawals = start..start;
        if !self.makes(Check::Withdrawals) {
            return Ok(());
        }
        let none = withdrawals.as_ref().is_none_or(Vec::is_empty);
        let result = match &header.withdrawals_root {
            None => {
                holds(withdrawals.is_none(), "withdrawals without a root")?;
                NOT_APPLICABLE
            }
            Some(root) if self.range.storage_withdrawals_root && *root != EMPTY_ROOT && none => {
                "?(the root of a contract's storage)"
            }
            Some(_) => {
                for item in withdrawals.iter().flatten() {
                    second.add(|out| encoding::withdrawal(out, item));
                }
                self.withdrawals = start..second.len();
                PASSED
            }
        };
        self.results[Check::Withdrawals as usize] = result.into();
        Ok(())
    }

    fn has_root(&self, check: Check) -> bool {
        match check {
            Check::Transactions => self.makes(check) && !self.range.foreign.has(check) && self.unknown.is_empty(),
            Check::Receipts => self.makes(check) && !self.range.foreign.has(check),
            _ => self.results[Check::Withdrawals as usize] == PASSED,
        }
    }

    /// Add the lists that `conclude` wants the roots of: transactions, receipts, withdrawals, as far as they are compared.
    pub fn list<'a>(&self, work: &'a Work, lists: &mut Lists<'a>) {
        if self.has_root(Check::Transactions) {
            let places = work.places[self.places.clone()].iter().take(self.covered);
            lists.add(places.filter_map(|places| places.transaction).map(|place| work.first.get(place)));
        }
        if self.has_root(Check::Receipts) {
            lists.add(self.receipts.clone().map(|place| work.second.get(place)));
        }
        if self.has_root(Check::Withdrawals) {
            lists.add(self.withdrawals.clone().map(|place| work.second.get(place)));
        }
    }

    /// Compare the roots; `roots` gives those of what `list` added, in order.
    pub fn conclude(mut self, roots: &mut impl Iterator<Item = Digest>) -> Outcome<Proven> {
        let header = &self.bundle.header;
        if self.makes(Check::Transactions) {
            self.results[Check::Transactions as usize] = if self.range.foreign.has(Check::Transactions) {
                "?(hashes hold, the root is of another kind)".into()
            } else if !self.unknown.is_empty() {
                let kinds: Vec<String> = self.unknown.iter().map(|kind| format!("{kind:#x}")).collect();
                format!("?(type {})", kinds.join(" ")).into()
            } else {
                holds(roots.next() == Some(header.transactions_root), "the transactions root")?;
                PASSED.into()
            };
        }
        if self.makes(Check::Receipts) {
            self.results[Check::Receipts as usize] = if self.range.foreign.has(Check::Receipts) {
                "?(all are there, the root is of another kind)".into()
            } else {
                let strange = self.unknown.iter().any(|kind| !self.rules.opaque_types.contains(kind));
                if roots.next() == Some(header.receipts_root) {
                    PASSED.into()
                } else if strange {
                    return declined(Reason::Type, "receipts of a type that nothing is known about");
                } else {
                    return declined(Reason::Differs, "the receipts root");
                }
            };
        }
        if self.has_root(Check::Withdrawals) {
            holds(roots.next() == header.withdrawals_root, "the withdrawals root")?;
        }
        Ok(self.proven())
    }

    fn proven(mut self) -> Proven {
        let mut proof = String::with_capacity(128);
        for (place, name) in CHECKS.iter().enumerate() {
            if place > 0 {
                proof.push(' ');
            }
            proof.push_str(name);
            let made = self.range.checks.at(place);
            match *name {
                "senders" => proof.push_str(NOT_APPLICABLE),
                "parent" => proof.push_str(&self.results[place]),
                _ if made => proof.push_str(&self.results[place]),
                _ if self.range.accepted.at(place) => proof.push_str("?(accepted as unproven by the user)"),
                _ => {
                    proof.push_str("?(not on ");
                    proof.push_str(&self.rules.name);
                    proof.push(')');
                }
            }
        }
        let passed = |check: Check| self.range.checks.has(check) && self.results[check as usize] == PASSED;
        let receipts_hold = passed(Check::Receipts);
        Proven {
            transactions_whole: receipts_hold && passed(Check::Transactions),
            receipts_hold,
            proof,
            derived: std::mem::take(&mut self.derived),
            covered: self.covered,
            ommers: std::mem::take(&mut self.proven_ommers),
            bundle: self.bundle,
        }
    }
}

/// Price paid and contract created, by the rules of Ethereum, compared with the answer's.
fn derive(
    tx: &Transaction,
    answered: &Derived,
    base_fee: Option<&Uint256>,
    contract: Option<Address>,
) -> Outcome<Derived> {
    let price = price_paid(tx, base_fee);
    if let (Some(price), Some(answered)) = (&price, &answered.price) {
        holds(price == answered, "effective gas price")?;
    }
    // the nonce that a deposit's contract follows from is not the transaction's
    if answered.contract.is_some() && !(tx.form == Form::Deposit && tx.to.is_none()) {
        holds(contract == answered.contract, "contract address")?;
    }
    Ok(Derived { price: price.or(answered.price), contract: contract.or(answered.contract) })
}

/// The price per gas that was paid, in wei (EIP-1559); None for types that pay otherwise.
fn price_paid(tx: &Transaction, base_fee: Option<&Uint256>) -> Option<Uint256> {
    match (tx.kind, base_fee) {
        (0 | 1, _) => tx.gas_price,
        (2..=4, Some(base_fee)) => {
            let cap = tx.max_fee_per_gas.unwrap_or_default();
            let tip = tx.max_priority_fee_per_gas.unwrap_or_default();
            Some(sum(base_fee, &tip).map_or(cap, |price| price.min(cap)))
        }
        _ => None,
    }
}

/// None where it is beyond 256 bits.
fn sum(a: &Uint256, b: &Uint256) -> Option<Uint256> {
    let (mut out, mut carry) = ([0u8; 32], 0u16);
    for i in (0..32).rev() {
        let digit = u16::from(a[i]) + u16::from(b[i]) + carry;
        out[i] = (digit & 0xff) as u8;
        carry = digit >> 8;
    }
    (carry == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{NO_UNCLES, sum};
    use crate::chain::keccak::keccak;
    use crate::chain::rlp;

    #[test]
    fn the_hash_of_no_uncles_is_that_of_the_empty_list() {
        assert_eq!(NO_UNCLES, keccak(&[rlp::EMPTY_LIST]));
    }

    #[test]
    fn sums_carry_and_end_at_256_bits() {
        let (mut a, mut b, mut c) = ([0u8; 32], [0u8; 32], [0u8; 32]);
        (a[31], a[30], b[31], c[29]) = (0xff, 0xff, 1, 1);
        assert_eq!(sum(&a, &b), Some(c));
        assert_eq!(sum(&[0xff; 32], &b), None);
        assert_eq!(sum(&[0xff; 32], &[0; 32]), Some([0xff; 32]));
    }
}
