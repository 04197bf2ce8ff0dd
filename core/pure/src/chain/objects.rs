//! JSON-RPC objects of stored rows: what `tidelog.api.rpc.objects` makes of them, byte for byte.
//!
//! Declined is what needs a second look: types that nodes show in several ways, rows that are damaged, lists that are none.

use super::blocks::DEPOSIT;
use super::decline::{Outcome, Reason, declined};
use super::json::Scanner;
use super::keccak::{Lanes, keccak_many};
use super::rlp::{self, Item};
use super::rows::{LOG_COLUMNS, TRANSACTION_COLUMNS, Value};
use super::stored::{are_authorizations, are_hashes, int, is_access_list, octets, optional, text};

pub type Transaction<'a> = [Value<'a>; TRANSACTION_COLUMNS];
pub type Log<'a> = [Value<'a>; LOG_COLUMNS];

/// What everything of a block says of it, as hex.
pub struct Place<'a> {
    pub hash: &'a str,
    pub number: &'a str,
    pub timestamp: &'a str,
}

impl Place<'_> {
    fn is_plain(&self) -> bool {
        [self.hash, self.number, self.timestamp].iter().all(|text| text.bytes().all(|c| c.is_ascii_alphanumeric()))
    }
}

/// An array of whole transactions.
pub fn transactions(place: &Place<'_>, rows: &[Transaction<'_>]) -> Outcome<Vec<u8>> {
    let mut out = Json::of(place, 1200 * rows.len())?;
    for (n, row) in rows.iter().enumerate() {
        out.raw(if n > 0 { b"," } else { b"" });
        transaction(&mut out, place, row)?;
    }
    Ok(out.closed())
}

/// An array of receipts, of a block's transactions and all of their logs, each in key order.
pub fn receipts(place: &Place<'_>, rows: &[Transaction<'_>], logs: &[Log<'_>], lanes: Lanes) -> Outcome<Vec<u8>> {
    let mut out = Json::of(place, 1200 * rows.len() + 900 * logs.len())?;
    let items: Vec<&[u8]> = logs.iter().flat_map(bloomed).collect();
    let digests = keccak_many(&items, lanes);
    let (mut digests, mut left) = (digests.iter(), logs);
    for (n, row) in rows.iter().enumerate() {
        let own = left.iter().take_while(|log| log[LOG_TRANSACTION] == row[TRANSACTION_INDEX]).count();
        let (own, others) = left.split_at(own);
        left = others;
        let mut bloom = [0u8; 256];
        for digest in own.iter().flat_map(bloomed).zip(&mut digests).map(|(_, digest)| digest) {
            for i in [0, 2, 4] {
                let bit = u16::from_be_bytes([digest[i], digest[i + 1]]) & 0x7ff;
                bloom[255 - usize::from(bit >> 3)] |= 1 << (bit & 7);
            }
        }
        out.raw(if n > 0 { b"," } else { b"" });
        receipt(&mut out, place, row, own, &bloom)?;
    }
    if left.is_empty() {
        Ok(out.closed())
    } else {
        declined(Reason::Shape, "a log of no transaction, or in another order")
    }
}

const TRANSACTION_INDEX: usize = 2;
const LOG_TRANSACTION: usize = 3;

/// The address and the topics of a log; nothing where a value is of another kind, which is found out later.
fn bloomed<'a>(log: &Log<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let [_, _, _, _, address, topics @ .., _data, _covered] = *log;
    std::iter::once(address).chain(topics).filter_map(|value| octets(value).ok())
}

/// Text that grows field by field.
struct Json {
    out: Vec<u8>,
}

impl Json {
    fn of(place: &Place<'_>, capacity: usize) -> Outcome<Json> {
        if !place.is_plain() {
            return declined(Reason::Shape, "no hex");
        }
        let mut out = Vec::with_capacity(capacity + 2);
        out.push(b'[');
        Ok(Json { out })
    }

    fn closed(mut self) -> Vec<u8> {
        self.out.push(b']');
        self.out
    }

    fn raw(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// The name of a field that is not the first one.
    fn name(&mut self, name: &str) {
        self.raw(b",\"");
        self.raw(name.as_bytes());
        self.raw(b"\":");
    }

    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        self.raw(text.as_bytes());
        self.out.push(b'"');
    }

    fn data(&mut self, data: &[u8]) {
        self.raw(b"\"0x");
        let start = self.out.len();
        self.out.resize(start + 2 * data.len(), 0);
        for (pair, byte) in self.out[start..].as_chunks_mut::<2>().0.iter_mut().zip(data) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        self.out.push(b'"');
    }

    /// An integer given as bytes, big-endian.
    fn wide(&mut self, value: &[u8]) {
        self.raw(b"\"0x");
        let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]).skip_while(|digit| *digit == 0);
        let start = self.out.len();
        self.out.extend(digits.map(|digit| DIGITS[usize::from(digit)]));
        if self.out.len() == start {
            self.out.push(b'0');
        }
        self.out.push(b'"');
    }

    fn number(&mut self, value: u64) {
        self.wide(&value.to_be_bytes());
    }

    /// A field that is absent for null.
    fn optional_number(&mut self, name: &str, value: Value<'_>) -> Outcome<()> {
        if let Some(value) = optional(value, int)? {
            self.name(name);
            self.number(value);
        }
        Ok(())
    }

    fn optional_wide(&mut self, name: &str, value: Value<'_>) -> Outcome<()> {
        if let Some(value) = optional(value, octets)? {
            self.name(name);
            self.wide(value);
        }
        Ok(())
    }

    fn optional_data(&mut self, name: &str, value: Value<'_>) -> Outcome<()> {
        if let Some(value) = optional(value, octets)? {
            self.name(name);
            self.data(value);
        }
        Ok(())
    }

    fn data_or_null(&mut self, name: &str, value: Value<'_>) -> Outcome<()> {
        self.name(name);
        match optional(value, octets)? {
            Some(value) => self.data(value),
            None => self.raw(b"null"),
        }
        Ok(())
    }

    /// The end of an object, behind the fields of another one.
    fn end_with(&mut self, extra: Option<&[u8]>) {
        match extra {
            Some(fields) if fields.len() > 2 => {
                self.out.push(b',');
                self.raw(&fields[1..]);
            }
            _ => self.out.push(b'}'),
        }
    }

    fn hashes(&mut self, items: &[Item<'_>]) {
        self.out.push(b'[');
        for (n, item) in items.iter().enumerate() {
            self.raw(if n > 0 { b"," } else { b"" });
            self.data(bytes_of(item));
        }
        self.out.push(b']');
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn bytes_of<'a>(item: &Item<'a>) -> &'a [u8] {
    if let Item::Bytes(bytes) = item { bytes } else { &[] }
}

fn items_of<'a, 'i>(item: &'i Item<'a>) -> &'i [Item<'a>] {
    if let Item::List(items) = item { items } else { &[] }
}

/// A stored list of this shape; None for null.
fn list<'a>(value: Value<'a>, is_shaped: fn(&Item<'_>) -> bool) -> Outcome<Option<Item<'a>>> {
    let Some(encoded) = optional(value, octets)? else { return Ok(None) };
    match rlp::item(encoded) {
        Some(item) if is_shaped(&item) => Ok(Some(item)),
        _ => declined(Reason::Shape, "a list of another shape"),
    }
}

/// What the endpoint added to a transaction and to its receipt.
fn extras(value: Value<'_>) -> Outcome<[Option<&[u8]>; 2]> {
    let Some(extra) = text(value)? else { return Ok([None, None]) };
    fn named(name: &[u8]) -> u8 {
        match name {
            b"transaction" => 0,
            b"receipt" => 1,
            _ => 2,
        }
    }
    let (mut found, mut habit) = ([None, None], Default::default());
    let mut scanner = Scanner::new(extra.as_bytes());
    scanner.object(&mut habit);
    while let Some((id, _)) = scanner.field(&mut habit, named)? {
        let start = scanner.at;
        scanner.any(&mut None)?;
        match found.get_mut(usize::from(id)) {
            Some(slot @ None) if extra.as_bytes()[start] == b'{' => *slot = Some(&extra.as_bytes()[start..scanner.at]),
            _ => return declined(Reason::Extra, "other fields of the endpoint's own"),
        }
    }
    scanner.end()?;
    Ok(found)
}

fn transaction(out: &mut Json, place: &Place<'_>, row: &Transaction<'_>) -> Outcome<()> {
    let [
        _chain_id,
        _block_number,
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
        _status,
        _root,
        _cumulative_gas_used,
        _gas_used,
        effective_gas_price,
        _contract_address,
        _log_count,
        deposit_nonce,
        _deposit_receipt_version,
        _covered,
        extra,
    ] = *row;
    let kind = int(kind)?;
    let deposit = kind == u64::from(DEPOSIT);
    if deposit && source_hash == Value::Null {
        return declined(Reason::Type, "a type that several chains show in their own ways");
    }
    // shown otherwise by a deposit, but read all the same
    optional(nonce, int)?;
    for value in [if gas_price == Value::Null { effective_gas_price } else { gas_price }, r, s, mint] {
        optional(value, octets)?;
    }
    let zero = Value::Int(0);
    out.raw(b"{\"type\":");
    out.number(kind);
    out.name("hash");
    out.data(octets(hash)?);
    out.name("blockHash");
    out.text(place.hash);
    out.name("blockNumber");
    out.text(place.number);
    out.name("blockTimestamp");
    out.text(place.timestamp);
    out.name("transactionIndex");
    out.number(int(index)?);
    out.name("from");
    out.data(octets(sender)?);
    if to != Value::Null || input != Value::Null {
        out.data_or_null("to", to)?;
    }
    let nonce = if !deposit {
        nonce
    } else if deposit_nonce == Value::Null {
        zero
    } else {
        deposit_nonce
    };
    out.optional_number("nonce", nonce)?;
    out.optional_wide("value", value)?;
    out.optional_number("gas", gas)?;
    if deposit {
        out.optional_number("gasPrice", zero)?;
    } else {
        out.optional_wide("gasPrice", if gas_price == Value::Null { effective_gas_price } else { gas_price })?;
    }
    out.optional_wide("maxFeePerGas", max_fee_per_gas)?;
    out.optional_wide("maxPriorityFeePerGas", max_priority_fee_per_gas)?;
    out.optional_wide("maxFeePerBlobGas", max_fee_per_blob_gas)?;
    out.optional_data("input", input)?;
    let parity = optional(v, int)?;
    // that of type 0 is what its signature is over
    let signed = parity.filter(|v| *v >= 35).map_or(Value::Null, |v| Value::Int((v - 35) / 2));
    out.optional_number("chainId", if kind == 0 { signed } else { chain_id })?;
    if let Some(entries) = list(access_list, is_access_list)? {
        out.name("accessList");
        out.raw(b"[");
        for (n, entry) in items_of(&entries).iter().enumerate() {
            let [address, keys] = items_of(entry) else { return declined(Reason::Shape, "no entry of an access list") };
            out.raw(if n > 0 { b",{\"address\":" } else { b"{\"address\":" });
            out.data(bytes_of(address));
            out.name("storageKeys");
            out.hashes(items_of(keys));
            out.raw(b"}");
        }
        out.raw(b"]");
    }
    if let Some(hashes) = list(blob_versioned_hashes, are_hashes)? {
        out.name("blobVersionedHashes");
        out.hashes(items_of(&hashes));
    }
    if let Some(items) = list(authorization_list, are_authorizations)? {
        out.name("authorizationList");
        out.raw(b"[");
        for (n, item) in items_of(&items).iter().enumerate() {
            let [chain_id, address, nonce, parity, r, s] = items_of(item) else {
                return declined(Reason::Shape, "no authorization");
            };
            out.raw(if n > 0 { b",{\"chainId\":" } else { b"{\"chainId\":" });
            out.wide(bytes_of(chain_id));
            out.name("address");
            out.data(bytes_of(address));
            for (name, number) in [("nonce", nonce), ("yParity", parity), ("r", r), ("s", s)] {
                out.name(name);
                out.wide(bytes_of(number));
            }
            out.raw(b"}");
        }
        out.raw(b"]");
    }
    out.optional_number("v", if deposit { zero } else { v })?;
    if (1..=4).contains(&kind) {
        out.optional_number("yParity", v)?;
    }
    if deposit {
        out.optional_number("r", zero)?;
        out.optional_number("s", zero)?;
        out.optional_data("sourceHash", source_hash)?;
        if optional(mint, octets)?.is_some_and(|mint| mint.iter().any(|byte| *byte != 0)) {
            out.optional_wide("mint", mint)?;
        }
        if optional(is_system_tx, int)?.is_some_and(|system| system != 0) {
            out.name("isSystemTx");
            out.raw(b"true");
        }
    } else {
        out.optional_wide("r", r)?;
        out.optional_wide("s", s)?;
    }
    let [own, _] = extras(extra)?;
    out.end_with(own);
    Ok(())
}

fn receipt(
    out: &mut Json,
    place: &Place<'_>,
    row: &Transaction<'_>,
    logs: &[Log<'_>],
    bloom: &[u8; 256],
) -> Outcome<()> {
    let [
        _,
        _,
        index,
        hash,
        kind,
        sender,
        to,
        ..,
        status,
        root,
        cumulative_gas_used,
        gas_used,
        price,
        contract,
        _,
        deposit_nonce,
        version,
        _,
        extra,
    ] = *row;
    let (kind, hash, index) = (int(kind)?, octets(hash)?, int(index)?);
    out.raw(b"{\"type\":");
    out.number(kind);
    out.optional_number("status", status)?;
    out.optional_data("root", root)?;
    out.name("cumulativeGasUsed");
    out.number(int(cumulative_gas_used)?);
    out.name("logs");
    out.raw(b"[");
    for (n, entry) in logs.iter().enumerate() {
        out.raw(if n > 0 { b"," } else { b"" });
        log(out, place, entry, hash)?;
    }
    out.raw(b"]");
    out.name("logsBloom");
    out.data(bloom);
    out.name("transactionHash");
    out.data(hash);
    out.name("transactionIndex");
    out.number(index);
    out.name("blockHash");
    out.text(place.hash);
    out.name("blockNumber");
    out.text(place.number);
    out.name("gasUsed");
    out.number(int(gas_used)?);
    out.optional_wide("effectiveGasPrice", price)?;
    out.name("from");
    out.data(octets(sender)?);
    out.data_or_null("to", to)?;
    out.data_or_null("contractAddress", contract)?;
    if kind == u64::from(DEPOSIT) {
        out.optional_number("depositNonce", deposit_nonce)?;
        out.optional_number("depositReceiptVersion", version)?;
    }
    let [_, own] = extras(extra)?;
    out.end_with(own);
    Ok(())
}

fn log(out: &mut Json, place: &Place<'_>, row: &Log<'_>, transaction_hash: &[u8]) -> Outcome<()> {
    let [_, _, index, transaction, address, topics @ .., data, _] = *row;
    out.raw(b"{\"address\":");
    out.data(octets(address)?);
    out.name("topics");
    out.raw(b"[");
    for (n, topic) in topics.into_iter().filter(|topic| *topic != Value::Null).enumerate() {
        out.raw(if n > 0 { b"," } else { b"" });
        out.data(octets(topic)?);
    }
    out.raw(b"]");
    out.name("data");
    out.data(octets(data)?);
    out.name("blockHash");
    out.text(place.hash);
    out.name("blockNumber");
    out.text(place.number);
    out.name("blockTimestamp");
    out.text(place.timestamp);
    out.name("transactionHash");
    out.data(transaction_hash);
    out.name("transactionIndex");
    out.number(int(transaction)?);
    out.name("logIndex");
    out.number(int(index)?);
    out.raw(b",\"removed\":false}");
    Ok(())
}
