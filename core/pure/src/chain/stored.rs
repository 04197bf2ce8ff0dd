//! Blocks proven again from their stored rows alone: what `tidelog.chain.maintenance.verify` makes of each.
//!
//! A block holds if it can be read back, if every check comes out as its proof says, if its rows say rightly which of
//! them a root covers, and if its digest is the one that was stored. All else is declined: the Python path names it.

use super::answers::{form_of, is_whole};
use super::blocks::{Address, Bundle, Form, Hash, Header, Log, Receipt, Span, Transaction, Uint256, Withdrawal};
use super::checks::{Case, Proven, Work};
use super::decline::{Declined, Outcome, Reason, declined, holds};
use super::json::Scanner;
use super::keccak::Lanes;
use super::rlp::{self, Item};
use super::rows::{
    self, BLOCK_COLUMNS, LOG_COLUMNS, Rows, TRANSACTION_COLUMNS, UNCLE_COLUMNS, Value, WITHDRAWAL_COLUMNS, encode_row,
    encode_text,
};
use super::rules::{Check, Rules};
use super::take::prove;
use crate::fault::guarded;

/// Rows of a table, in key order. What they are encoded as is at hand where the store gave them so.
pub struct Table<'a, const N: usize> {
    rows: Vec<[Value<'a>; N]>,
    packed: Option<&'a [u8]>,
}

impl<'a, const N: usize> Table<'a, N> {
    pub fn of(rows: Vec<[Value<'a>; N]>) -> Self {
        Table { rows, packed: None }
    }

    /// None if one has another number of values.
    pub fn unpacked(rows: &'a Rows) -> Option<Self> {
        let mut table = vec![[Value::Null; N]; rows.len()]; // filled where they are: a row is some 800 bytes
        for (place, row) in table.iter_mut().enumerate() {
            let mut values = rows.values(place)?;
            for value in row {
                *value = values.next()?;
            }
            if values.next().is_some() {
                return None;
            }
        }
        Some(Table { rows: table, packed: Some(rows.packed()) })
    }

    /// The table's name and its rows.
    fn encoded(&self, name: &str, out: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        encode_text(&mut bytes, name);
        out(&bytes);
        match self.packed {
            Some(packed) => out(packed),
            None => {
                for row in &self.rows {
                    bytes.clear();
                    encode_row(&mut bytes, row);
                    out(&bytes);
                }
            }
        }
    }
}

impl<'a, const N: usize> std::ops::Deref for Table<'a, N> {
    type Target = [[Value<'a>; N]];

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

/// The rows of one block as a store gave them.
pub struct Stored<'a> {
    pub block: [Value<'a>; BLOCK_COLUMNS],
    pub transactions: Table<'a, TRANSACTION_COLUMNS>,
    pub logs: Table<'a, LOG_COLUMNS>,
    pub withdrawals: Table<'a, WITHDRAWAL_COLUMNS>,
    pub uncles: Table<'a, UNCLE_COLUMNS>,
    pub parent: Option<Hash>, // the hash of the block below; None for the first one
}

/// Prove blocks again, each by itself; each outcome in its place.
pub fn reprove(blocks: &[Stored<'_>], rules: &Rules, lanes: Lanes) -> Vec<Outcome<()>> {
    guarded(|| together(blocks, rules, lanes)).unwrap_or_else(|_| {
        // one of them is at fault: which, a second try shows
        let one = |block| guarded(|| together(std::slice::from_ref(block), rules, lanes)).unwrap_or_else(fault);
        blocks.iter().flat_map(one).collect()
    })
}

fn fault(what: String) -> Vec<Outcome<()>> {
    vec![Err(Declined { reason: Reason::Fault, what: what.into() })]
}

fn together(blocks: &[Stored<'_>], rules: &Rules, lanes: Lanes) -> Vec<Outcome<()>> {
    let mut work = Work::default();
    let cases = blocks.iter().map(|block| block.case(rules, &mut work)).collect();
    let proven = prove(cases, &mut work, lanes);
    let digests = rows::digests(blocks, lanes, Stored::encoded);
    blocks
        .iter()
        .zip(proven)
        .zip(digests)
        .map(|((block, proven), digest)| {
            block.compare(&proven?)?;
            holds(block.digest() == Value::Bytes(&digest), "the digest")
        })
        .collect()
}

fn unreadable<T>(what: &'static str) -> Outcome<T> {
    declined(Reason::Shape, what)
}

pub(super) fn int(value: Value<'_>) -> Outcome<u64> {
    if let Value::Int(value) = value { Ok(value) } else { unreadable("no integer") }
}

pub(super) fn octets(value: Value<'_>) -> Outcome<&[u8]> {
    if let Value::Bytes(value) = value { Ok(value) } else { unreadable("no bytes") }
}

fn sized<const N: usize>(value: Value<'_>) -> Outcome<[u8; N]> {
    octets(value)?.try_into().or_else(|_| unreadable("bytes of another size"))
}

pub(super) fn text(value: Value<'_>) -> Outcome<Option<&str>> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text)),
        _ => unreadable("no text"),
    }
}

/// None for null.
pub(super) fn optional<'a, T>(value: Value<'a>, read: fn(Value<'a>) -> Outcome<T>) -> Outcome<Option<T>> {
    if value == Value::Null { Ok(None) } else { read(value).map(Some) }
}

impl<'a> Stored<'a> {
    fn digest(&self) -> Value<'a> {
        self.block[BLOCK_COLUMNS - 1]
    }

    /// What the digest is over, in pieces.
    fn encoded(&self, out: &mut dyn FnMut(&[u8])) {
        let mut row = Vec::with_capacity(2048);
        encode_text(&mut row, "blocks");
        encode_row(&mut row, &self.block[..BLOCK_COLUMNS - 1]);
        out(&row);
        self.transactions.encoded("transactions", out);
        self.logs.encoded("logs", out);
        self.withdrawals.encoded("withdrawals", out);
        if !self.uncles.is_empty() {
            self.uncles.encoded("uncles", out);
        }
    }

    fn case<'r>(&self, rules: &'r Rules, work: &mut Work) -> Outcome<Case<'r>> {
        let bundle = self.bundle()?;
        let header = &bundle.header;
        let begins = match self.parent {
            Some(parent) => {
                holds(parent == header.parent_hash, "the parent's hash")?;
                None
            }
            None => Some(header.number),
        };
        if !self.uncles.is_empty() && !rules.at(header.number).is_some_and(|range| range.checks.has(Check::Uncles)) {
            return declined(Reason::Rules, "headers of uncles that are not compared");
        }
        Case::begin(bundle, rules, begins, work)
    }

    /// Compare what is stored beside the block itself with what its proof came to.
    fn compare(&self, proven: &Proven) -> Outcome<()> {
        let [.., proof, _extra, _endpoint, _ingested_at, _digest] = self.block;
        holds(proof == Value::Text(&proven.proof), "the proof")?;
        for (place, row) in self.transactions.iter().enumerate() {
            let [.., covered, _extra] = *row;
            let expected = proven.transactions_whole && place < proven.covered;
            holds(covered == Value::Int(u64::from(expected)), "a transaction's mark")?;
        }
        for row in self.logs.iter() {
            let [_, _, _, transaction, .., covered] = *row;
            let expected = proven.receipts_hold && int(transaction)? < proven.covered as u64;
            holds(covered == Value::Int(u64::from(expected)), "a log's mark")?;
        }
        for (row, (hash, encoded)) in self.uncles.iter().zip(&proven.ommers) {
            let [_, _, _, stored_hash, stored] = *row;
            holds(stored_hash == Value::Bytes(hash) && stored == Value::Bytes(encoded), "the header of an uncle")?;
        }
        Ok(())
    }

    fn bundle(&self) -> Outcome<Box<Bundle>> {
        let mut bundle = Box::<Bundle>::default();
        self.read_block(&mut bundle)?;
        bundle.transactions.reserve(self.transactions.len());
        bundle.receipts.reserve(self.transactions.len());
        bundle.logs.reserve(self.logs.len());
        let mut logs = self.logs.iter().enumerate().peekable();
        for (index, row) in self.transactions.iter().enumerate() {
            let (tx, mut receipt, count) = read_transaction(row, bundle.header.hash, &mut bundle.bytes)?;
            let start = bundle.logs.len() as u32;
            while let Some((_, row)) = logs.next_if(|(_, row)| row[LOG_TRANSACTION] == Value::Int(index as u64)) {
                let log = read_log(row, bundle.header.hash, tx.hash, &mut bundle.bytes)?;
                bundle.logs.push(log);
            }
            receipt.logs = (start, bundle.logs.len() as u32);
            holds(count == u64::from(receipt.logs.1 - start), "the number of a transaction's logs")?;
            bundle.transactions.push(tx);
            bundle.receipts.push(receipt);
        }
        holds(logs.next().is_none(), "a log of no transaction, or in another order")?;
        Ok(bundle)
    }

    fn read_block(&self, bundle: &mut Bundle) -> Outcome<()> {
        let [
            _chain_id,
            number,
            hash,
            parent_hash,
            ommers_hash,
            miner,
            state_root,
            transactions_root,
            receipts_root,
            logs_bloom,
            difficulty,
            gas_limit,
            gas_used,
            timestamp,
            extra_data,
            mix_hash,
            nonce,
            base_fee_per_gas,
            withdrawals_root,
            blob_gas_used,
            excess_blob_gas,
            parent_beacon_block_root,
            requests_hash,
            block_access_list_hash,
            slot_number,
            uncles,
            transaction_count,
            log_count,
            withdrawal_count,
            _proof,
            extra,
            _endpoint,
            _ingested_at,
            _digest,
        ] = self.block;
        if text(extra)?.is_some_and(|extra| extra.contains("parentProposerPubkey")) {
            return declined(Reason::Type, "a header of another form");
        }
        bundle.header = Header {
            number: int(number)?,
            hash: sized(hash)?,
            parent_hash: sized(parent_hash)?,
            ommers_hash: sized(ommers_hash)?,
            miner: sized(miner)?,
            state_root: sized(state_root)?,
            transactions_root: sized(transactions_root)?,
            receipts_root: sized(receipts_root)?,
            logs_bloom: append(&mut bundle.bytes, &sized::<256>(logs_bloom)?)?,
            difficulty: sized(difficulty)?,
            gas_limit: int(gas_limit)?,
            gas_used: int(gas_used)?,
            timestamp: int(timestamp)?,
            extra_data: append(&mut bundle.bytes, octets(extra_data)?)?,
            mix_hash: optional(mix_hash, sized)?,
            nonce: optional(nonce, sized)?,
            base_fee_per_gas: optional(base_fee_per_gas, sized)?,
            withdrawals_root: optional(withdrawals_root, sized)?,
            blob_gas_used: optional(blob_gas_used, int)?,
            excess_blob_gas: optional(excess_blob_gas, int)?,
            parent_beacon_block_root: optional(parent_beacon_block_root, sized)?,
            requests_hash: optional(requests_hash, sized)?,
            block_access_list_hash: optional(block_access_list_hash, sized)?,
            slot_number: optional(slot_number, int)?,
        };
        let is = |count: Value<'_>, rows: usize| count == Value::Int(rows as u64);
        let counted = is(transaction_count, self.transactions.len()) && is(log_count, self.logs.len());
        holds(counted, "the number of transactions, or of logs")?;
        if withdrawal_count != Value::Null || !self.withdrawals.is_empty() {
            holds(is(withdrawal_count, self.withdrawals.len()), "the number of withdrawals")?;
            bundle.withdrawals = Some(self.withdrawals.iter().map(read_withdrawal).collect::<Outcome<_>>()?);
        }
        bundle.uncles = octets(uncles)?.to_vec();
        if !bundle.uncles.len().is_multiple_of(size_of::<Hash>()) {
            return unreadable("no list of hashes");
        }
        if !self.uncles.is_empty() {
            let headers = self.uncles.iter().map(|[.., encoded]| read_header(octets(*encoded)?, &mut bundle.bytes));
            bundle.ommers = Some(headers.collect::<Outcome<_>>()?);
        }
        Ok(())
    }
}

const LOG_TRANSACTION: usize = 3;

fn append(bytes: &mut Vec<u8>, data: &[u8]) -> Outcome<Span> {
    let start = bytes.len();
    bytes.extend_from_slice(data);
    if bytes.len() > u32::MAX as usize {
        return unreadable("of more than 4 GiB");
    }
    Ok((start as u32, bytes.len() as u32))
}

/// A transaction, its receipt without the logs, and how many those are.
fn read_transaction(
    row: &[Value<'_>; TRANSACTION_COLUMNS],
    block_hash: Hash,
    bytes: &mut Vec<u8>,
) -> Outcome<(Transaction, Receipt, u64)> {
    let [
        _chain_id,
        block_number,
        index,
        hash,
        kind,
        sender,
        to,
        nonce,
        value,
        gas,
        gas_price,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        max_fee_per_blob_gas,
        input,
        chain_id,
        access_list,
        blob_versioned_hashes,
        authorization_list,
        v,
        r,
        s,
        source_hash,
        mint,
        is_system_tx,
        status,
        root,
        cumulative_gas_used,
        gas_used,
        effective_gas_price,
        contract_address,
        log_count,
        deposit_nonce,
        deposit_receipt_version,
        _covered,
        extra,
    ] = *row;
    let Ok(kind) = u8::try_from(int(kind)?) else { return unreadable("a type beyond 8 bits") };
    let mut list = |value: Value<'_>, is_shaped: fn(&Item<'_>) -> bool| {
        let Some(encoded) = optional(value, octets)? else { return Ok(None) };
        if !rlp::item(encoded).is_some_and(|item| is_shaped(&item)) {
            return unreadable("a list of another shape");
        }
        append(bytes, encoded).map(Some)
    };
    let (access_list, blob_versioned_hashes, authorization_list) = (
        list(access_list, is_access_list)?,
        list(blob_versioned_hashes, are_hashes)?,
        list(authorization_list, are_authorizations)?,
    );
    let input = optional(input, octets)?.map(|data| append(bytes, data)).transpose()?;
    let mut tx = Transaction {
        block_hash,
        block_number: int(block_number)?,
        index: int(index)?,
        hash: sized(hash)?,
        kind,
        form: Form::default(),
        sender: sized(sender)?,
        to: optional(to, sized)?,
        nonce: optional(nonce, int)?,
        value: optional(value, sized)?,
        gas: optional(gas, int)?,
        gas_price: optional(gas_price, sized)?,
        max_fee_per_gas: optional(max_fee_per_gas, sized)?,
        max_priority_fee_per_gas: optional(max_priority_fee_per_gas, sized)?,
        max_fee_per_blob_gas: optional(max_fee_per_blob_gas, sized)?,
        input,
        chain_id: optional(chain_id, int)?,
        access_list,
        blob_versioned_hashes,
        authorization_list,
        v: optional(v, int)?,
        r: optional(r, sized)?,
        s: optional(s, sized)?,
        source_hash: optional(source_hash, sized)?,
        mint: optional(mint, sized)?,
        is_system_tx: match is_system_tx {
            Value::Null => None,
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => return unreadable("no boolean"),
        },
        extra: None,
    };
    tx.form = form_of(&tx)?;
    if !is_whole(&tx) {
        return declined(Reason::Odd, "a field that the transaction signs is missing");
    }
    // the forms beyond Ethereum's may encode fields of the endpoint's own: those have to be readable
    if let (Some(extra), true) = (text(extra)?, tx.form != Form::Signed) {
        let mut scanner = Scanner::new(extra.as_bytes());
        if scanner.peek() != b'{' {
            return unreadable("no fields of the endpoint's own");
        }
        scanner.any(&mut None)?;
        scanner.end()?;
    }
    let receipt = Receipt {
        block_hash,
        block_number: tx.block_number,
        transaction_hash: tx.hash,
        transaction_index: tx.index,
        kind,
        status: optional(status, int)?,
        root: optional(root, sized)?,
        cumulative_gas_used: int(cumulative_gas_used)?,
        gas_used: int(gas_used)?,
        effective_gas_price: optional(effective_gas_price, sized)?,
        contract_address: optional(contract_address, sized)?,
        logs_bloom: None,
        logs: (0, 0),
        deposit_nonce: optional(deposit_nonce, int)?,
        deposit_receipt_version: optional(deposit_receipt_version, int)?,
        extra: None,
    };
    if receipt.status.is_some() == receipt.root.is_some() {
        return declined(Reason::Odd, "not one of status and root");
    }
    Ok((tx, receipt, int(log_count)?))
}

fn read_log(
    row: &[Value<'_>; LOG_COLUMNS],
    block_hash: Hash,
    transaction_hash: Hash,
    bytes: &mut Vec<u8>,
) -> Outcome<Log> {
    let [_chain_id, number, index, transaction, address, topics @ .., data, _covered] = *row;
    let mut log = Log {
        address: sized(address)?,
        data: append(bytes, octets(data)?)?,
        block_hash: Some(block_hash),
        block_number: Some(int(number)?),
        transaction_hash: Some(transaction_hash),
        transaction_index: Some(int(transaction)?),
        log_index: Some(int(index)?),
        ..Log::default()
    };
    let given = topics.iter().take_while(|topic| **topic != Value::Null).count();
    if topics[given..].iter().any(|topic| *topic != Value::Null) {
        return unreadable("a topic behind an absent one");
    }
    for (topic, value) in log.topics.iter_mut().zip(&topics[..given]) {
        *topic = sized(*value)?;
    }
    log.topic_count = given as u8;
    Ok(log)
}

fn read_withdrawal(row: &[Value<'_>; WITHDRAWAL_COLUMNS]) -> Outcome<Withdrawal> {
    let [_chain_id, _number, _position, index, validator_index, address, amount_gwei] = *row;
    Ok(Withdrawal {
        index: int(index)?,
        validator_index: int(validator_index)?,
        address: sized(address)?,
        amount_gwei: int(amount_gwei)?,
    })
}

/// The header of an uncle. That it is encoded again to the same bytes is compared once it is proven.
fn read_header(encoded: &[u8], bytes: &mut Vec<u8>) -> Outcome<Header> {
    let Some(Item::List(fields)) = rlp::item(encoded) else { return unreadable("no header") };
    let mut fields = fields.iter();
    let mut octets = || match fields.next() {
        Some(Item::Bytes(field)) => Ok(Some(*field)),
        None => Ok(None),
        Some(Item::List(_)) => unreadable("a list in a header"),
    };
    macro_rules! required {
        ($read:expr) => {
            match octets()? {
                Some(field) => $read(field)?,
                None => return unreadable("a header of too few fields"),
            }
        };
    }
    macro_rules! appended {
        ($read:expr) => {
            octets()?.map($read).transpose()?
        };
    }
    fn fixed<const N: usize>(field: &[u8]) -> Outcome<[u8; N]> {
        field.try_into().or_else(|_| unreadable("a field of another size"))
    }
    fn wide(field: &[u8]) -> Outcome<Uint256> {
        let mut out = [0; 32];
        let Some(start) = 32usize.checked_sub(field.len()) else { return unreadable("beyond 256 bits") };
        out[start..].copy_from_slice(field);
        Ok(out)
    }
    fn narrow(field: &[u8]) -> Outcome<u64> {
        let value = wide(field)?;
        let (high, low) = value.split_at(24);
        if high.iter().any(|&byte| byte != 0) {
            return unreadable("beyond 64 bits");
        }
        Ok(low.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
    let header = Header {
        parent_hash: required!(fixed),
        ommers_hash: required!(fixed),
        miner: required!(fixed),
        state_root: required!(fixed),
        transactions_root: required!(fixed),
        receipts_root: required!(fixed),
        logs_bloom: append(bytes, &required!(fixed::<256>))?,
        difficulty: required!(wide),
        number: required!(narrow),
        gas_limit: required!(narrow),
        gas_used: required!(narrow),
        timestamp: required!(narrow),
        extra_data: match octets()? {
            Some(field) => append(bytes, field)?,
            None => return unreadable("a header of too few fields"),
        },
        mix_hash: Some(required!(fixed)),
        nonce: Some(required!(fixed)),
        base_fee_per_gas: appended!(wide),
        withdrawals_root: appended!(fixed),
        blob_gas_used: appended!(narrow),
        excess_blob_gas: appended!(narrow),
        parent_beacon_block_root: appended!(fixed),
        requests_hash: appended!(fixed),
        block_access_list_hash: appended!(fixed),
        slot_number: appended!(narrow),
        hash: Hash::default(), // nothing compares it
    };
    if fields.next().is_some() { unreadable("a header of too many fields") } else { Ok(header) }
}

pub(super) fn are_hashes(item: &Item<'_>) -> bool {
    let is_hash = |item: &Item<'_>| matches!(item, Item::Bytes(hash) if hash.len() == size_of::<Hash>());
    matches!(item, Item::List(items) if items.iter().all(is_hash))
}

fn is_address(item: &Item<'_>) -> bool {
    matches!(item, Item::Bytes(address) if address.len() == size_of::<Address>())
}

pub(super) fn is_access_list(item: &Item<'_>) -> bool {
    let is_entry = |entry: &Item<'_>| {
        matches!(entry, Item::List(pair)
            if matches!(&pair[..], [address, keys] if is_address(address) && are_hashes(keys)))
    };
    matches!(item, Item::List(entries) if entries.iter().all(is_entry))
}

pub(super) fn are_authorizations(item: &Item<'_>) -> bool {
    // without leading zeros, as they are encoded again
    let is_number =
        |item: &Item<'_>| matches!(item, Item::Bytes(number) if number.len() <= 32 && !number.starts_with(&[0]));
    let is_one = |entry: &Item<'_>| {
        matches!(entry, Item::List(fields) if matches!(&fields[..], [chain_id, address, nonce, parity, r, s]
            if is_address(address) && [chain_id, nonce, parity, r, s].into_iter().all(is_number)))
    };
    matches!(item, Item::List(items) if items.iter().all(is_one))
}
