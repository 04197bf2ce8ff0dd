//! The rows of a proven block: one layout, from which its digest and every form of output are made.
//!
//! Columns and their order are those of the tables in `tidelog.batch`, values those of `tidelog.chain.rows.layout`;
//! a row's encoding is msgpack in its shortest form, as there.

use super::blocks::{Form, Receipt, Transaction, Uint256};
use super::checks::Proven;
use super::keccak::Lanes;
use super::sha256::{sha256_many, sha256_of, width};
use std::ops::Range;
use std::sync::Arc;

/// A column of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Int(u64),
    Bytes(&'a [u8]),
    /// 256 bits, big-endian.
    Number(&'a [u8]),
    Text(&'a str),
}
use Value::{Bytes, Int, Null, Number, Text};

pub const BLOCK_COLUMNS: usize = 34;
pub const BLOCK_TIMESTAMP: usize = 13;
const WITHDRAWAL_COUNT: usize = 28;
pub const BLOCK_PROOF: usize = 29;
pub const TRANSACTION_COLUMNS: usize = 36;
pub const LOG_COLUMNS: usize = 11;
pub const WITHDRAWAL_COLUMNS: usize = 7;
pub const UNCLE_COLUMNS: usize = 5;

static ZERO: Uint256 = [0; 32];

fn int(value: Option<u64>) -> Value<'static> {
    value.map_or(Null, Int)
}

fn bytes<const N: usize>(value: &Option<[u8; N]>) -> Value<'_> {
    value.as_ref().map_or(Null, |value| Bytes(value))
}

fn number(value: &Option<Uint256>) -> Value<'_> {
    value.as_ref().map_or(Null, |value| Number(value))
}

/// The value where a type has such a field, else null.
fn only<'a>(has: bool, value: Value<'a>) -> Value<'a> {
    if has { value } else { Null }
}

/// Where rows come from: not covered by any check.
pub struct Ingest<'a> {
    pub chain_id: u64,
    pub endpoint: &'a str,
    pub ingested_at: u64, // Unix time, milliseconds
}

/// What the rows of one block are made of.
struct BlockRows<'a> {
    ingest: &'a Ingest<'a>,
    proven: &'a Proven,
    extras: Vec<Option<String>>, // of each transaction, joined with its receipt's; empty if the endpoint added nothing
}

/// Rows of one table in their canonical encoding, one behind the other; they share their bytes with the block's others.
#[derive(Clone, Default)]
pub struct Rows {
    whole: Arc<Whole>,
    start: u32,           // of the first row
    places: Range<usize>, // of their ends
}

/// The rows of a block, table by table, and where each row ends.
#[derive(Default)]
struct Whole {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Rows {
    /// Rows of `width` values each, one behind the other; None unless they are in their canonical encoding.
    pub fn read(bytes: Vec<u8>, width: usize) -> Option<Rows> {
        u32::try_from(bytes.len()).ok()?;
        let mut head = Vec::with_capacity(3);
        encode_head(&mut head, u16::try_from(width).ok()?);
        let (mut left, mut ends) = (&bytes[..], Vec::new());
        while !left.is_empty() {
            let mut values = Values { left: left.strip_prefix(&head[..])? };
            for _ in 0..width {
                let before = values.left;
                let value = values.next()?;
                if before.len() - values.left.len() != encoded_size(value) {
                    return None; // not the shortest form
                }
            }
            left = values.left;
            ends.push((bytes.len() - left.len()) as u32);
        }
        Some(Rows::whole(bytes, ends))
    }

    fn whole(bytes: Vec<u8>, ends: Vec<u32>) -> Rows {
        let places = 0..ends.len();
        Rows { whole: Arc::new(Whole { bytes, ends }), start: 0, places }
    }

    /// Rows that were encoded here, each up to its end; None where they are larger than such rows may be.
    pub(crate) fn packed_at(bytes: Vec<u8>, ends: Vec<usize>) -> Option<Rows> {
        u32::try_from(bytes.len()).ok()?;
        Some(Rows::whole(bytes, ends.into_iter().map(|end| end as u32).collect()))
    }

    fn ends(&self) -> &[u32] {
        &self.whole.ends[self.places.clone()]
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them.
    pub fn packed(&self) -> &[u8] {
        &self.whole.bytes[self.start as usize..self.ends().last().map_or(self.start, |end| *end) as usize]
    }

    /// The encoding of one; None if there are not so many.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        let ends = self.ends();
        let end = *ends.get(place)?;
        let start = if place == 0 { self.start } else { ends[place - 1] };
        Some(&self.whole.bytes[start as usize..end as usize])
    }

    /// The values of one.
    pub fn values(&self, place: usize) -> Option<Values<'_>> {
        self.get(place).map(Values::of)
    }
}

/// The values of an encoded row, in order.
pub struct Values<'a> {
    left: &'a [u8],
}

impl<'a> Values<'a> {
    fn of(row: &'a [u8]) -> Values<'a> {
        let head = if row.first() == Some(&0xdc) { 3 } else { 1 };
        Values { left: row.get(head..).unwrap_or_default() }
    }

    #[inline(always)]
    fn number<const N: usize>(&mut self) -> Option<u64> {
        let (bytes, rest) = self.left.split_first_chunk::<N>()?;
        self.left = rest;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    #[inline(always)]
    fn octets(&mut self, size: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.left.split_at_checked(size as usize)?;
        self.left = rest;
        Some(bytes)
    }

    fn text(&mut self, size: u64) -> Option<Value<'a>> {
        std::str::from_utf8(self.octets(size)?).ok().map(Text)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    /// What `encode_row` wrote.
    #[inline(always)]
    fn next(&mut self) -> Option<Value<'a>> {
        let (&kind, rest) = self.left.split_first()?;
        self.left = rest;
        Some(match kind {
            0xc0 => Null,
            0..=0x7f => Int(u64::from(kind)),
            0xcc => Int(self.number::<1>()?),
            0xcd => Int(self.number::<2>()?),
            0xce => Int(self.number::<4>()?),
            0xcf => Int(self.number::<8>()?),
            0xc4..=0xc6 => {
                let size = match kind {
                    0xc4 => self.number::<1>()?,
                    0xc5 => self.number::<2>()?,
                    _ => self.number::<4>()?,
                };
                Bytes(self.octets(size)?)
            }
            0xa0..=0xbf => self.text(u64::from(kind & 0x1f))?,
            0xd9..=0xdb => {
                let size = match kind {
                    0xd9 => self.number::<1>()?,
                    0xda => self.number::<2>()?,
                    _ => self.number::<4>()?,
                };
                self.text(size)?
            }
            _ => return None,
        })
    }
}

/// All rows of one block, by table. The block's own lacks its last column, which is the digest over all of them.
pub struct LaidOut {
    pub block: Rows,
    pub transactions: Rows,
    pub logs: Rows,
    pub withdrawals: Rows,
    pub uncles: Rows,
    pub digest: [u8; 32],
}

/// Encodings of rows that are held at once, so that digests of several blocks are made together.
const ENCODED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The rows of blocks, their digests made together.
pub fn lay_out(proven: &[&Proven], ingest: &Ingest<'_>, lanes: Lanes) -> Vec<LaidOut> {
    laid_out(proven, lanes, |proven, work| {
        let rows = BlockRows { ingest, proven, extras: joined(proven) };
        Encoded::of(&rows, rows.block(), work)
    })
}

/// The rows of blocks of which the header is held, and nothing else; their digests made together.
pub fn lay_out_headers(proven: &[&Proven], ingest: &Ingest<'_>, lanes: Lanes) -> Vec<LaidOut> {
    laid_out(proven, lanes, |proven, work| {
        let rows = BlockRows { ingest, proven, extras: Vec::new() };
        let mut block = rows.block();
        block[WITHDRAWAL_COUNT] = Null; // which is not known, whatever the root is
        Encoded::of(&rows, block, work)
    })
}

fn laid_out(proven: &[&Proven], lanes: Lanes, encode: impl Fn(&Proven, &mut Whole) -> Encoded) -> Vec<LaidOut> {
    let (mut blocks, mut work, mut encoded) = (Vec::with_capacity(proven.len()), Whole::default(), Vec::new());
    for together in proven.chunks(width(lanes)) {
        work.bytes.clear();
        work.ends.clear();
        encoded.clear();
        encoded.extend(together.iter().map(|proven| encode(proven, &mut work)));
        let messages: Vec<&[u8]> = encoded.iter().map(|block| &work.bytes[block.bytes.clone()]).collect();
        let digests = sha256_many(&messages, lanes);
        blocks.extend(encoded.iter().zip(digests).map(|(block, digest)| block.laid_out(&work, digest)));
    }
    blocks
}

/// The rows of a block as they are encoded, table by table, each behind its name: where they stand in what several blocks
/// are encoded to. Ends of rows, and of tables, are counted from the beginning of the block.
struct Encoded {
    bytes: Range<usize>,
    ends: Range<usize>,
    tables: [(u32, Range<usize>); 5], // where the rows of each begin, and the places of their ends among the block's
}

impl Encoded {
    /// What the digest is over: all rows but the digest itself.
    fn of(rows: &BlockRows<'_>, header: [Value<'_>; BLOCK_COLUMNS - 1], out: &mut Whole) -> Encoded {
        let (start, first) = (out.bytes.len(), out.ends.len());
        let (bundle, transactions) = (&rows.proven.bundle, rows.transaction_count());
        out.bytes.reserve(bundle.bytes.len() + 700 * transactions + 240 * rows.log_count() + 2048);
        let mut block = Encoded { bytes: start..start, ends: first..first, tables: Default::default() };
        block.table(out, 0, "blocks", std::iter::once(header));
        block.table(out, 1, "transactions", (0..transactions).map(|place| rows.transaction(place)));
        block.table(out, 2, "logs", rows.logs());
        block.table(out, 3, "withdrawals", rows.withdrawals());
        if rows.uncle_count() > 0 {
            // digests of before there was this table stay as they are
            block.table(out, 4, "uncles", rows.uncles());
        }
        (block.bytes.end, block.ends.end) = (out.bytes.len(), out.ends.len());
        block
    }

    #[inline(always)]
    fn table<'v, const N: usize>(
        &mut self,
        out: &mut Whole,
        place: usize,
        name: &str,
        rows: impl Iterator<Item = [Value<'v>; N]>,
    ) {
        let (start, first) = (self.bytes.start, out.ends.len());
        encode_text(&mut out.bytes, name);
        let begins = (out.bytes.len() - start) as u32;
        for row in rows {
            encode_row(&mut out.bytes, &row);
            out.ends.push((out.bytes.len() - start) as u32);
        }
        self.tables[place] = (begins, first - self.ends.start..out.ends.len() - self.ends.start);
    }

    /// Copied to just what they need: rows wait for their commit, some for long.
    fn laid_out(&self, work: &Whole, digest: [u8; 32]) -> LaidOut {
        let (bytes, ends) = (work.bytes[self.bytes.clone()].to_vec(), work.ends[self.ends.clone()].to_vec());
        let whole = Arc::new(Whole { bytes, ends });
        let [block, transactions, logs, withdrawals, uncles] =
            self.tables.clone().map(|(start, places)| Rows { whole: whole.clone(), start, places });
        LaidOut { block, transactions, logs, withdrawals, uncles, digest }
    }
}

/// The digests of blocks, as many at once as there are lanes; `encoded` gives what one is over, in pieces.
pub(super) fn digests<B>(blocks: &[B], lanes: Lanes, encoded: impl Fn(&B, &mut dyn FnMut(&[u8]))) -> Vec<[u8; 32]> {
    if width(lanes) == 1 {
        return blocks.iter().map(|block| sha256_of(|out| encoded(block, out))).collect();
    }
    let mut digests = Vec::with_capacity(blocks.len());
    while digests.len() < blocks.len() {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for block in blocks[digests.len()..].iter().take(width(lanes)) {
            if bytes > ENCODED_BYTES_MAX {
                break;
            }
            let mut whole = Vec::new();
            encoded(block, &mut |piece| whole.extend_from_slice(piece));
            bytes += whole.len();
            together.push(whole);
        }
        let messages: Vec<&[u8]> = together.iter().map(Vec::as_slice).collect();
        digests.extend(sha256_many(&messages, lanes));
    }
    digests
}

impl<'a> BlockRows<'a> {
    /// Without the digest, its last column.
    fn block(&self) -> [Value<'_>; BLOCK_COLUMNS - 1] {
        let bundle = &self.proven.bundle;
        let header = &bundle.header;
        let withdrawals = self.withdrawal_count() as u64;
        let listed = bundle.withdrawals.is_some() || header.withdrawals_root.is_some();
        [
            Int(self.ingest.chain_id),
            Int(header.number),
            Bytes(&header.hash),
            Bytes(&header.parent_hash),
            Bytes(&header.ommers_hash),
            Bytes(&header.miner),
            Bytes(&header.state_root),
            Bytes(&header.transactions_root),
            Bytes(&header.receipts_root),
            Bytes(bundle.at(header.logs_bloom)),
            Number(&header.difficulty),
            Int(header.gas_limit),
            Int(header.gas_used),
            Int(header.timestamp),
            Bytes(bundle.at(header.extra_data)),
            bytes(&header.mix_hash),
            bytes(&header.nonce),
            number(&header.base_fee_per_gas),
            bytes(&header.withdrawals_root),
            int(header.blob_gas_used),
            int(header.excess_blob_gas),
            bytes(&header.parent_beacon_block_root),
            bytes(&header.requests_hash),
            bytes(&header.block_access_list_hash),
            int(header.slot_number),
            Bytes(&bundle.uncles),
            Int(self.transaction_count() as u64),
            Int(bundle.logs.len() as u64),
            only(listed, Int(withdrawals)),
            Text(&self.proven.proof),
            bundle.text(bundle.extra).map_or(Null, Text),
            Text(self.ingest.endpoint),
            Int(self.ingest.ingested_at),
        ]
    }

    fn transaction_count(&self) -> usize {
        self.proven.bundle.transactions.len()
    }

    #[inline(always)]
    fn transaction(&self, place: usize) -> [Value<'_>; TRANSACTION_COLUMNS] {
        let bundle = &self.proven.bundle;
        let (tx, receipt): (&Transaction, &Receipt) = (&bundle.transactions[place], &bundle.receipts[place]);
        let derived = &self.proven.derived[place];
        // what its type encodes: an answer may fill in fields of other types
        let (raw, deposit, signed) = (tx.form == Form::Raw, tx.form == Form::Deposit, tx.form == Form::Signed);
        let typed = raw || (signed && tx.kind != 0);
        let capped = raw || (signed && tx.kind > 1);
        let blobs = raw || tx.kind == 3;
        let span = |value: Option<(u32, u32)>| value.map_or(Null, |span| Bytes(bundle.at(span)));
        let covered = self.proven.transactions_whole && place < self.proven.covered;
        [
            Int(self.ingest.chain_id),
            Int(bundle.header.number),
            Int(tx.index),
            Bytes(&tx.hash),
            Int(u64::from(tx.kind)),
            Bytes(&tx.sender),
            bytes(&tx.to),
            only(!deposit, int(tx.nonce)),
            number(&tx.value),
            int(tx.gas),
            only(tx.kind < 2, number(&tx.gas_price)),
            only(capped, number(&tx.max_fee_per_gas)),
            only(capped, number(&tx.max_priority_fee_per_gas)),
            only(blobs, number(&tx.max_fee_per_blob_gas)),
            span(tx.input),
            only(typed, int(tx.chain_id)),
            only(typed, span(tx.access_list)),
            only(blobs, span(tx.blob_versioned_hashes)),
            only(raw || tx.kind == 4, span(tx.authorization_list)),
            only(!deposit, int(tx.v)),
            only(!deposit, number(&tx.r)),
            only(!deposit, number(&tx.s)),
            only(!signed, bytes(&tx.source_hash)),
            match (tx.form, &tx.mint) {
                (Form::Signed, _) => Null,
                (Form::Deposit, None) => Number(&ZERO),
                (_, mint) => number(mint),
            },
            match (tx.form, tx.is_system_tx) {
                (Form::Signed, _) | (Form::Raw, None) => Null,
                (_, system) => Int(u64::from(system.unwrap_or(false))),
            },
            int(receipt.status),
            bytes(&receipt.root),
            Int(receipt.cumulative_gas_used),
            Int(receipt.gas_used),
            number(&derived.price),
            bytes(&derived.contract),
            Int(u64::from(receipt.logs.1 - receipt.logs.0)),
            only(!signed, int(receipt.deposit_nonce)),
            only(!signed, int(receipt.deposit_receipt_version)),
            Int(u64::from(covered)),
            self.extras.get(place).and_then(Option::as_deref).map_or(Null, Text),
        ]
    }

    /// The row of the log at `place` in the block, of the transaction at `transaction`.
    #[inline(always)]
    fn log(&self, place: usize, transaction: usize) -> [Value<'_>; LOG_COLUMNS] {
        let bundle = &self.proven.bundle;
        let log = &bundle.logs[place];
        let topic = |n: usize| log.topics().get(n).map_or(Null, |topic| Bytes(topic));
        [
            Int(self.ingest.chain_id),
            Int(bundle.header.number),
            Int(place as u64),
            Int(transaction as u64),
            Bytes(&log.address),
            topic(0),
            topic(1),
            topic(2),
            topic(3),
            Bytes(bundle.at(log.data)),
            Int(u64::from(self.proven.receipts_hold && transaction < self.proven.covered)),
        ]
    }

    fn log_count(&self) -> usize {
        self.proven.bundle.logs.len()
    }

    /// The rows of all logs, in order.
    #[inline(always)]
    fn logs(&self) -> impl Iterator<Item = [Value<'_>; LOG_COLUMNS]> {
        let receipts = self.proven.bundle.receipts.iter().enumerate();
        receipts.flat_map(move |(transaction, receipt)| {
            (receipt.logs.0..receipt.logs.1).map(move |place| self.log(place as usize, transaction))
        })
    }

    fn withdrawal_count(&self) -> usize {
        self.proven.bundle.withdrawals.as_ref().map_or(0, Vec::len)
    }

    fn withdrawals(&self) -> impl Iterator<Item = [Value<'_>; WITHDRAWAL_COLUMNS]> {
        let items = self.proven.bundle.withdrawals.iter().flatten().enumerate();
        items.map(|(place, item)| {
            [
                Int(self.ingest.chain_id),
                Int(self.proven.bundle.header.number),
                Int(place as u64),
                Int(item.index),
                Int(item.validator_index),
                Bytes(&item.address),
                Int(item.amount_gwei),
            ]
        })
    }

    fn uncle_count(&self) -> usize {
        self.proven.ommers.len()
    }

    fn uncles(&self) -> impl Iterator<Item = [Value<'_>; UNCLE_COLUMNS]> {
        self.proven.ommers.iter().enumerate().map(|(place, (hash, header))| {
            [
                Int(self.ingest.chain_id),
                Int(self.proven.bundle.header.number),
                Int(place as u64),
                Bytes(hash),
                Bytes(header),
            ]
        })
    }
}

/// What the endpoint added to each transaction and to its receipt, as one text.
fn joined(proven: &Proven) -> Vec<Option<String>> {
    let bundle = &proven.bundle;
    if bundle.extras.is_empty() {
        return Vec::new();
    }
    let pairs = bundle.transactions.iter().zip(&bundle.receipts);
    pairs
        .map(|(tx, receipt)| match (bundle.text(tx.extra), bundle.text(receipt.extra)) {
            (None, None) => None,
            (Some(own), None) => Some(["{\"transaction\":", own, "}"].concat()),
            (None, Some(own)) => Some(["{\"receipt\":", own, "}"].concat()),
            (Some(own), Some(of_receipt)) => {
                Some(["{\"transaction\":", own, ",\"receipt\":", of_receipt, "}"].concat())
            }
        })
        .collect()
}

pub(crate) fn encode_text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        size @ 0..=31 => out.push(0xa0 | size as u8),
        size @ 32..=255 => out.extend_from_slice(&[0xd9, size as u8]),
        size @ 256..=65535 => {
            out.push(0xda);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(0xdb);
            out.extend_from_slice(&(size as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

#[inline(always)]
pub(crate) fn encode_int(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

#[inline(always)]
pub(crate) fn encode_bytes(out: &mut Vec<u8>, value: &[u8]) {
    match value.len() {
        size @ 0..=255 => out.extend_from_slice(&[0xc4, size as u8]),
        size @ 256..=65535 => {
            out.push(0xc5);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(0xc6);
            out.extend_from_slice(&(size as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

#[inline(always)]
pub(crate) fn encode_null(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// What stands before so many values.
#[inline(always)]
pub(crate) fn encode_head(out: &mut Vec<u8>, count: u16) {
    if count < 16 {
        out.push(0x90 | count as u8);
    } else {
        out.push(0xdc);
        out.extend_from_slice(&count.to_be_bytes());
    }
}

#[inline(always)]
pub(super) fn encode_row(out: &mut Vec<u8>, row: &[Value<'_>]) {
    encode_head(out, row.len() as u16);
    for value in row {
        match *value {
            Null => encode_null(out),
            Int(value) => encode_int(out, value),
            Bytes(value) | Number(value) => encode_bytes(out, value),
            Text(text) => encode_text(out, text),
        }
    }
}

/// How many bytes a value's shortest form has.
#[inline(always)]
fn encoded_size(value: Value<'_>) -> usize {
    match value {
        Null => 1,
        Int(value) => match value {
            0..=0x7f => 1,
            0x80..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        },
        Bytes(value) | Number(value) => match value.len() {
            size @ 0..=255 => 2 + size,
            size @ 256..=65535 => 3 + size,
            size => 5 + size,
        },
        Text(text) => match text.len() {
            size @ 0..=31 => 1 + size,
            size @ 32..=255 => 2 + size,
            size @ 256..=65535 => 3 + size,
            size => 5 + size,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Value::{Bytes, Int, Null, Number, Text};
    use super::{Rows, Values, encode_row};

    fn encoded(row: &[super::Value<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_row(&mut out, row);
        out
    }

    /// The shortest form of each kind, on both sides of every limit (msgpack's specification).
    #[test]
    fn values_in_their_shortest_form() {
        for (value, expected) in [
            (0, &[0u8][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0xcc, 0x80]),
            (0xff, &[0xcc, 0xff]),
            (0x100, &[0xcd, 1, 0]),
            (0xffff, &[0xcd, 0xff, 0xff]),
            (0x1_0000, &[0xce, 0, 1, 0, 0]),
            (0xffff_ffff, &[0xce, 0xff, 0xff, 0xff, 0xff]),
            (0x1_0000_0000, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
            (u64::MAX, &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            assert_eq!(Values::of(&encoded(&[Int(value)])).next(), Some(Int(value)));
            assert_eq!(encoded(&[Int(value)])[1..], *expected);
        }
        for (size, head) in [
            (0usize, &[0xc4u8, 0][..]),
            (255, &[0xc4, 255]),
            (256, &[0xc5, 1, 0]),
            (65535, &[0xc5, 255, 255]),
            (65536, &[0xc6, 0, 1, 0, 0]),
        ] {
            let data = vec![7; size];
            assert_eq!(Values::of(&encoded(&[Bytes(&data)])).next(), Some(Bytes(&data)));
            assert_eq!(encoded(&[Bytes(&data)])[1..], [head, &data].concat());
            assert_eq!(encoded(&[Number(&data)])[1..], [head, &data].concat());
        }
        for (size, head) in [
            (0usize, &[0xa0u8][..]),
            (31, &[0xbf]),
            (32, &[0xd9, 32]),
            (255, &[0xd9, 255]),
            (256, &[0xda, 1, 0]),
            (65536, &[0xdb, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(size);
            assert_eq!(Values::of(&encoded(&[Text(&text)])).next(), Some(Text(&text)));
            assert_eq!(encoded(&[Text(&text)])[1..], [head, text.as_bytes()].concat());
        }
        for row in [&[Null; 15][..], &[Null; 16], &[Int(7), Bytes(b"x"), Text("y"), Null, Int(1 << 40)]] {
            assert_eq!(Values::of(&encoded(row)).collect::<Vec<_>>(), row);
        }
        let rows = [encoded(&[Int(1), Text("a")]), encoded(&[Null, Bytes(b"b")])].concat();
        let read = Rows::read(rows.clone(), 2).expect("two rows");
        assert_eq!((read.len(), read.packed(), read.get(0)), (2, &rows[..], Some(&rows[..4])));
        assert_eq!(read.values(1).expect("there").collect::<Vec<_>>(), [Null, Bytes(b"b")]);
        for size in 0..rows.len() {
            assert_eq!(Rows::read(rows[..size].to_vec(), 2).is_some(), [0, 4].contains(&size), "{size}");
        }
        for other in
            [&[0x91, 0xcc, 1][..], &[0x91, 0xff], &[0x91, 0xc2], &[0x92, 1, 1], &[0xdc, 0, 1, 1], &[0x91, 0xd9, 0]]
        {
            assert!(Rows::read(other.to_vec(), 1).is_none(), "{other:?}");
        }
        assert_eq!(encoded(&[Null; 15])[..2], [0x9f, 0xc0]);
        assert_eq!(encoded(&[Null; 16])[..4], [0xdc, 0, 16, 0xc0]);
    }
}
