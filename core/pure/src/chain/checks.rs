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

/// A block under proof.
pub struct Case<'r> {
    pub bundle: Box<Bundle>,
    rules: &'r Rules,
    range: &'r Range,
    begins: bool,
    first: Encoded,
    header: Option<usize>, // their places in `first`, and the next ones
    state_sync: Option<usize>,
    ommers: std::ops::Range<usize>,
    transactions: Vec<Option<usize>>,
    contracts: Vec<Option<usize>>,
    distinct: Vec<(u32, u8)>, // the places of addresses and topics that are hashed for blooms: log, item
    items: Vec<u32>,          // of all logs: which of `distinct` each item is
    second: Encoded,
    covered: usize,
    derived: Vec<Derived>,
    unknown: Vec<u8>, // types without an encoding, ascending
    results: [Cow<'static, str>; CHECKS.len()],
    receipts: std::ops::Range<usize>, // their places in `second`, and the next ones
    withdrawals: std::ops::Range<usize>,
    proven_ommers: Vec<(Digest, Vec<u8>)>,
}

const PASSED: &str = "+";
const NOT_APPLICABLE: &str = "-";

impl<'r> Case<'r> {
    /// Compare what needs no hash, and encode what is hashed first.
    pub fn begin(bundle: Box<Bundle>, rules: &'r Rules, range_first: Option<u64>) -> Outcome<Case<'r>> {
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
            first: Encoded::default(),
            header: None,
            state_sync: None,
            ommers: 0..0,
            transactions: Vec::with_capacity(bundle.transactions.len()),
            contracts: Vec::with_capacity(bundle.transactions.len()),
            distinct: Vec::new(),
            items: Vec::new(),
            second: Encoded::default(),
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
        case.encode_first()?;
        case.find_bloom_items();
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

    fn encode_first(&mut self) -> Outcome<()> {
        let (bundle, out) = (&*self.bundle, &mut self.first);
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
        for tx in &bundle.transactions {
            let encodable = tx.form != Form::Raw;
            self.transactions.push(encodable.then(|| out.add(|bytes| encoding::transaction(bytes, tx, bundle))));
            let created = tx.nonce.filter(|_| tx.to.is_none() && tx.form != Form::Deposit);
            self.contracts.push(created.map(|nonce| out.add(|bytes| encoding::creation(bytes, &tx.sender, nonce))));
        }
        Ok(())
    }

    fn item(&self, (log, item): (u32, u8)) -> &[u8] {
        let log = &self.bundle.logs[log as usize];
        if item == 0 { &log.address } else { &log.topics[item as usize - 1] }
    }

    /// The addresses and topics of all logs, each distinct one once as far as a small table remembers them.
    fn find_bloom_items(&mut self) {
        if self.bundle.logs.is_empty() {
            return;
        }
        // four slots for each item of an ordinary log, as far as they stay in the cache
        let bits = (16 * self.bundle.logs.len()).ilog2().min(11);
        let mut table = vec![u32::MAX; 1 << bits];
        let mut items = Vec::with_capacity(4 * self.bundle.logs.len());
        let mut distinct: Vec<(u32, u8)> = Vec::with_capacity(self.bundle.logs.len());
        for (place, log) in self.bundle.logs.iter().enumerate() {
            for item in 0..=log.topic_count {
                let at = (place as u32, item);
                let text = self.item(at);
                let (head, tail) = (text.first_chunk::<8>(), text.last_chunk::<8>());
                let (Some(head), Some(tail)) = (head, tail) else { continue };
                let mixed = u64::from_le_bytes(*tail) ^ u64::from_le_bytes(*head).rotate_left(23);
                let slot = &mut table[(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize];
                if *slot == u32::MAX || self.item(distinct[*slot as usize]) != text {
                    *slot = distinct.len() as u32;
                    distinct.push(at);
                }
                items.push(*slot);
            }
        }
        (self.items, self.distinct) = (items, distinct);
    }

    /// What `compare` wants the digests of.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.first.all().chain(self.distinct.iter().map(|&at| self.item(at)))
    }

    /// How many messages there are.
    pub fn message_count(&self) -> usize {
        self.first.len() + self.distinct.len()
    }

    /// Make every check but those of roots. `digests` are of `messages`.
    pub fn compare(&mut self, digests: &[Digest]) -> Outcome<()> {
        let (first, blooms) = digests.split_at(self.first.len());
        self.compare_hashes(first)?;
        self.compare_uncles(first)?;
        let bits: Vec<[u16; 3]> =
            blooms.iter().map(|d| [0, 2, 4].map(|i| u16::from_be_bytes([d[i], d[i + 1]]) & 0x7ff)).collect();
        self.compare_receipts(first, &bits)?;
        self.list_withdrawals()
    }

    fn compare_hashes(&mut self, digests: &[Digest]) -> Outcome<()> {
        let Bundle { header, transactions, .. } = &*self.bundle;
        let hash = self.header.map(|place| digests[place]);
        holds(hash.is_none_or(|digest| digest == header.hash), "the header's hash")?;
        self.results[Check::Hash as usize] = PASSED.into();
        self.results[Check::Parent as usize] = if self.begins { NOT_APPLICABLE } else { PASSED }.into();
        if let (Some(place), Some(last)) = (self.state_sync, transactions.last()) {
            self.covered -= usize::from(digests[place] == last.hash);
        }
        for (tx, place) in transactions.iter().zip(&self.transactions).take(self.covered) {
            match place {
                Some(place) if self.range.checks.has(Check::Transactions) => {
                    holds(digests[*place] == tx.hash, "a transaction's hash")?;
                }
                Some(_) => {}
                None => self.unknown.push(tx.kind),
            }
        }
        self.unknown.sort_unstable();
        self.unknown.dedup();
        Ok(())
    }

    fn compare_uncles(&mut self, digests: &[Digest]) -> Outcome<()> {
        let Bundle { header, uncles, ommers, .. } = &*self.bundle;
        if !self.makes(Check::Uncles) {
            return Ok(());
        }
        let mut result = PASSED;
        if ommers.is_some() {
            let encoded: Vec<&[u8]> = self.ommers.clone().map(|place| self.first.get(place)).collect();
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

    fn compare_receipts(&mut self, digests: &[Digest], bits: &[[u16; 3]]) -> Outcome<()> {
        let (bundle, range) = (&*self.bundle, self.range);
        let header = &bundle.header;
        let (derives, blooms) = (range.checks.has(Check::Derived), range.checks.has(Check::Bloom));
        let encodes = range.checks.has(Check::Receipts) && !range.foreign.has(Check::Receipts);
        let mut items = self.items.iter();
        let mut whole = [0u8; 256];
        let (mut position, mut cumulative) = (0u64, 0u64);
        if encodes {
            self.second.bytes.reserve(512 * self.covered);
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
                    for bit in bits[item as usize] {
                        bloom[255 - usize::from(bit >> 3)] |= 1 << (bit & 7);
                    }
                }
            }
            if blooms && let Some(answered) = &receipt.logs_bloom {
                holds(**answered == bloom, "a receipt's bloom")?;
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
                    let contract = self.contracts[i].and_then(|place| digests[place].last_chunk::<20>().copied());
                    derived = derive(tx, &derived, header.base_fee_per_gas.as_ref(), contract)?;
                }
                if encodes {
                    self.second.add(|out| encoding::receipt(out, tx, receipt, &bloom, bundle));
                }
            }
            self.derived.push(derived);
        }
        self.receipts = 0..self.second.len();
        if blooms {
            let beyond = range.bloom_superset
                && header.logs_bloom != whole
                && header.logs_bloom.iter().zip(&whole).all(|(stated, computed)| stated & computed == *computed);
            holds(beyond || header.logs_bloom == whole, "the block's bloom")?;
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

    fn list_withdrawals(&mut self) -> Outcome<()> {
        let Bundle { header, withdrawals, .. } = &*self.bundle;
        let start = self.second.len();
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
                    self.second.add(|out| encoding::withdrawal(out, item));
                }
                self.withdrawals = start..self.second.len();
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
    pub fn list<'a>(&'a self, lists: &mut Lists<'a>) {
        if self.has_root(Check::Transactions) {
            let places = self.transactions.iter().take(self.covered);
            lists.add(places.flatten().map(|place| self.first.get(*place)));
        }
        if self.has_root(Check::Receipts) {
            lists.add(self.receipts.clone().map(|place| self.second.get(place)));
        }
        if self.has_root(Check::Withdrawals) {
            lists.add(self.withdrawals.clone().map(|place| self.second.get(place)));
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
