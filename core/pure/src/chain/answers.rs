//! The answers of eth_getBlockByNumber and eth_getBlockReceipts as typed values.
//!
//! Taken is what `tidelog.chain.decode.strict` reads without a word about it; what that counts as odd is declined.

use super::blocks::{Address, Bundle, CELO, DEPOSIT, Form, Header, Log, Receipt, Span, Transaction, Withdrawal};
use super::decline::{Outcome, Reason, declined};
use super::hex::{Digits, Words};
use super::json::{Habit, Last, NAMES_MAX, Scanner, UNKNOWN, optional, uint256_of};
use super::keccak::Lanes;
use super::rlp;
use pulp::NullaryFnOnce;

/// From the names of an object's fields to small numbers.
macro_rules! names {
    ($lookup:ident: $($name:literal = $id:expr),* $(,)?) => {
        fn $lookup(name: &[u8]) -> u8 {
            match name {
                $($name => $id,)*
                _ => UNKNOWN,
            }
        }
    };
}

names!(header_field:
    b"number" = 0, b"hash" = 1, b"parentHash" = 2, b"sha3Uncles" = 3, b"miner" = 4, b"stateRoot" = 5,
    b"transactionsRoot" = 6, b"receiptsRoot" = 7, b"logsBloom" = 8, b"difficulty" = 9, b"gasLimit" = 10,
    b"gasUsed" = 11, b"timestamp" = 12, b"extraData" = 13, b"mixHash" = 14, b"nonce" = 15, b"baseFeePerGas" = 16,
    b"withdrawalsRoot" = 17, b"blobGasUsed" = 18, b"excessBlobGas" = 19, b"parentBeaconBlockRoot" = 20,
    b"requestsHash" = 21, b"blockAccessListHash" = 22, b"slotNumber" = 23, b"transactions" = 24, b"uncles" = 25,
    b"withdrawals" = 26,
);
const HEADER_NEEDED: u64 = 0x3fff;
const BLOCK_NEEDED: u64 = HEADER_NEEDED | 1 << 24;

names!(transaction_field:
    b"blockHash" = 0, b"blockNumber" = 1, b"transactionIndex" = 2, b"hash" = 3, b"from" = 4, b"type" = 5, b"to" = 6,
    b"nonce" = 7, b"value" = 8, b"gas" = 9, b"gasPrice" = 10, b"maxFeePerGas" = 11, b"maxPriorityFeePerGas" = 12,
    b"maxFeePerBlobGas" = 13, b"input" = 14, b"chainId" = 15, b"accessList" = 16, b"blobVersionedHashes" = 17,
    b"authorizationList" = 18, b"v" = 19, b"r" = 20, b"s" = 21, b"sourceHash" = 22, b"mint" = 23, b"isSystemTx" = 24,
    b"yParity" = 25, b"blockTimestamp" = 26,
);
const TRANSACTION_NEEDED: u64 = 0x3f;

names!(receipt_field:
    b"blockHash" = 0, b"blockNumber" = 1, b"transactionHash" = 2, b"transactionIndex" = 3, b"cumulativeGasUsed" = 4,
    b"gasUsed" = 5, b"logs" = 6, b"type" = 7, b"status" = 8, b"root" = 9, b"effectiveGasPrice" = 10,
    b"contractAddress" = 11, b"logsBloom" = 12, b"depositNonce" = 13, b"depositReceiptVersion" = 14,
    b"blobGasPrice" = 15, b"blobGasUsed" = 16, b"from" = 17, b"to" = 18, b"blockTimestamp" = 19,
);
const RECEIPT_NEEDED: u64 = 0xff;

names!(log_field:
    b"address" = 0, b"topics" = 1, b"data" = 2, b"blockHash" = 3, b"blockNumber" = 4, b"transactionHash" = 5,
    b"transactionIndex" = 6, b"logIndex" = 7, b"blockTimestamp" = 8, b"removed" = 9,
);
const LOG_NEEDED: u64 = 0x7;

names!(access_field: b"address" = 0, b"storageKeys" = 1);
names!(authorization_field:
    b"chainId" = 0, b"address" = 1, b"nonce" = 2, b"r" = 3, b"s" = 4, b"yParity" = 5, b"v" = 6,
);
names!(withdrawal_field: b"index" = 0, b"validatorIndex" = 1, b"address" = 2, b"amount" = 3);
const WITHDRAWALS_USUAL: usize = 16; // MAX_WITHDRAWALS_PER_PAYLOAD of Ethereum's consensus

#[cold]
fn shape<T>(what: &'static str) -> Outcome<T> {
    declined(Reason::Shape, what)
}

#[cold]
fn odd<T>(what: &'static str) -> Outcome<T> {
    declined(Reason::Odd, what)
}

/// The known fields of an object that were there: a bit each.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    #[inline(always)]
    fn once(&mut self, id: u8) -> Outcome<()> {
        if id != UNKNOWN {
            if self.0 & 1 << id != 0 {
                return declined(Reason::Json, "a field twice");
            }
            self.0 |= 1 << id;
        }
        Ok(())
    }

    #[inline(always)]
    fn has(&self, needed: u64) -> Outcome<()> {
        if self.0 & needed == needed { Ok(()) } else { shape("a field is missing") }
    }
}

/// The fields of one object that are not known, as JSON by name.
#[derive(Default)]
struct Extra<'a> {
    fields: Vec<(&'a [u8], Vec<u8>)>,
}

const REMEMBERED: usize = 8; // texts that are compared with a new one: many objects add the same

impl<'a> Extra<'a> {
    fn read<D: Digits>(&mut self, scanner: &mut Scanner<'a, D>, name: &'a [u8]) -> Outcome<()> {
        let mut text = Vec::new();
        scanner.any(&mut Some(&mut text))?;
        self.add(name, text)
    }

    fn add(&mut self, name: &'a [u8], text: Vec<u8>) -> Outcome<()> {
        if self.fields.iter().any(|(other, _)| *other == name) {
            return declined(Reason::Json, "a field twice");
        }
        if self.fields.len() == NAMES_MAX {
            return declined(Reason::Extra, "very many fields of the endpoint's own");
        }
        self.fields.push((name, text));
        Ok(())
    }

    fn has(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|(other, _)| *other == name)
    }

    /// The place of the object's text among `extras`; its fields are forgotten.
    fn close(&mut self, extras: &mut Vec<String>) -> Outcome<Option<u32>> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        self.fields.sort_unstable();
        let mut text = Vec::with_capacity(self.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        for (name, value) in self.fields.drain(..) {
            text.push(if text.is_empty() { b'{' } else { b',' });
            text.push(b'"');
            text.extend_from_slice(name);
            text.extend_from_slice(b"\":");
            text.extend_from_slice(&value);
        }
        text.push(b'}');
        let recent = extras.len().saturating_sub(REMEMBERED);
        let known = extras[recent..].iter().rposition(|other| other.as_bytes() == text);
        let place = match known {
            Some(place) => recent + place,
            None => {
                let Ok(text) = String::from_utf8(text) else { return declined(Reason::Json, "text beyond ASCII") };
                extras.push(text);
                extras.len() - 1
            }
        };
        Ok(Some(place as u32))
    }
}

/// A block and its receipts; the headers of its uncles, if they were asked for. `spare` is an empty bundle with its memory.
pub fn bundle(
    block: &[u8],
    receipts: &[u8],
    uncles: Option<&[&[u8]]>,
    habits: &mut Habits,
    lanes: Lanes,
    spare: Box<Bundle>,
) -> Outcome<Box<Bundle>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(digits) = lanes.avx2() {
        return digits.vectorize(Reading { block, receipts, uncles, habits, digits, out: spare });
    }
    let _ = lanes;
    Reading { block, receipts, uncles, habits, digits: Words, out: spare }.call()
}

/// A block without its transactions, of which hashes may be there.
pub fn brief(block: &[u8], habits: &mut Habits, lanes: Lanes) -> Outcome<Box<Bundle>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(digits) = lanes.avx2() {
        return digits.vectorize(ReadingBrief { block, habits, digits });
    }
    let _ = lanes;
    ReadingBrief { block, habits, digits: Words }.call()
}

/// How an endpoint writes each kind of object: what was seen in one block holds for the next ones.
#[derive(Default)]
pub struct Habits {
    header: Habit,
    transaction: Habit,
    access: Habit,
    authorization: Habit,
    withdrawal: Habit,
    receipt: Habit,
    log: Habit,
}

/// All that was answered about a block. It is read in one function, so that it is compiled for what the processor has:
/// what is called on the way is inlined, and closures, which are not always, are not used.
struct Reading<'a, D> {
    block: &'a [u8],
    receipts: &'a [u8],
    uncles: Option<&'a [&'a [u8]]>,
    habits: &'a mut Habits,
    digits: D,
    out: Box<Bundle>,
}

impl<D: Digits> NullaryFnOnce for Reading<'_, D> {
    type Output = Outcome<Box<Bundle>>;
    #[inline(always)]
    fn call(self) -> Outcome<Box<Bundle>> {
        let Reading { block, receipts, uncles, habits, digits, mut out } = self;
        let size = block.len() + receipts.len();
        if size > u32::MAX as usize {
            return shape("of more than 4 GiB");
        }
        out.bytes.reserve(size / 4);
        read_block::<true, D>(Scanner::with(block, digits), habits, &mut out)?;
        out.receipts.reserve(out.transactions.len());
        out.logs.reserve(out.transactions.len() * 3);
        read_receipts(Scanner::with(receipts, digits), habits, &mut out)?;
        if let Some(answers) = uncles {
            let mut ommers = Vec::with_capacity(answers.len());
            for answer in answers {
                ommers.push(read_uncle(Scanner::with(answer, digits), &mut habits.header, &mut out.bytes)?);
            }
            out.ommers = Some(ommers);
        }
        Ok(out)
    }
}

/// A block without its transactions; see `Reading`.
struct ReadingBrief<'a, D> {
    block: &'a [u8],
    habits: &'a mut Habits,
    digits: D,
}

impl<D: Digits> NullaryFnOnce for ReadingBrief<'_, D> {
    type Output = Outcome<Box<Bundle>>;
    #[inline(always)]
    fn call(self) -> Outcome<Box<Bundle>> {
        let ReadingBrief { block, habits, digits } = self;
        if block.len() > u32::MAX as usize {
            return shape("of more than 4 GiB");
        }
        let mut out = Box::<Bundle>::default();
        read_block::<false, D>(Scanner::with(block, digits), habits, &mut out)?;
        Ok(out)
    }
}

/// How a header is written is counted, so one in other words than the specification's is odd.
fn in_lower_case(text: &[u8]) -> Outcome<()> {
    if text.iter().fold(false, |upper, c| upper | c.is_ascii_uppercase()) { odd("upper-case digits") } else { Ok(()) }
}

fn plain_quantity(text: &[u8]) -> Outcome<()> {
    // its quotes and prefix are four characters
    if text.len() == 4 || (text.len() > 5 && text[3] == b'0') {
        return odd("a quantity with leading zeros, or without digits");
    }
    in_lower_case(text)
}

/// The bits of a bloom, appended to `bytes`; where they stand there.
#[inline(always)]
fn bloom<D: Digits>(scanner: &mut Scanner<'_, D>, bytes: &mut Vec<u8>) -> Outcome<Span> {
    let start = bytes.len();
    bytes.extend_from_slice(&scanner.fixed::<256>()?);
    Ok((start as u32, bytes.len() as u32))
}

/// A field of a header; false if it is none.
#[inline(always)]
fn header_value<D: Digits>(
    scanner: &mut Scanner<'_, D>,
    id: u8,
    header: &mut Header,
    bytes: &mut Vec<u8>,
) -> Outcome<bool> {
    let start = scanner.at;
    match id {
        0 => header.number = scanner.integer()?,
        1 => header.hash = scanner.fixed()?,
        2 => header.parent_hash = scanner.fixed()?,
        3 => header.ommers_hash = scanner.fixed()?,
        4 => header.miner = scanner.fixed()?,
        5 => header.state_root = scanner.fixed()?,
        6 => header.transactions_root = scanner.fixed()?,
        7 => header.receipts_root = scanner.fixed()?,
        8 => header.logs_bloom = bloom(scanner, bytes)?,
        9 => header.difficulty = scanner.uint256()?,
        10 => header.gas_limit = scanner.uint64()?,
        11 => header.gas_used = scanner.uint64()?,
        12 => header.timestamp = scanner.uint64()?,
        13 => header.extra_data = scanner.data(bytes)?,
        14 => header.mix_hash = optional!(scanner, scanner.fixed()?),
        15 => header.nonce = optional!(scanner, scanner.fixed()?),
        16 => header.base_fee_per_gas = optional!(scanner, scanner.uint256()?),
        17 => header.withdrawals_root = optional!(scanner, scanner.fixed()?),
        18 => header.blob_gas_used = optional!(scanner, scanner.uint64()?),
        19 => header.excess_blob_gas = optional!(scanner, scanner.uint64()?),
        20 => header.parent_beacon_block_root = optional!(scanner, scanner.fixed()?),
        21 => header.requests_hash = optional!(scanner, scanner.fixed()?),
        22 => header.block_access_list_hash = optional!(scanner, scanner.fixed()?),
        23 => header.slot_number = optional!(scanner, scanner.uint64()?),
        _ => return Ok(false),
    }
    let text = &scanner.text[start..scanner.at];
    match id {
        0 | 9..=12 | 16 | 18 | 19 | 23 if text != b"null" => plain_quantity(text)?,
        _ => in_lower_case(text)?,
    }
    Ok(true)
}

/// `FULL`: with its transactions; else they are not looked at, as long as they are JSON.
#[inline(always)]
fn read_block<const FULL: bool, D: Digits>(
    mut scanner: Scanner<'_, D>,
    habits: &mut Habits,
    out: &mut Bundle,
) -> Outcome<()> {
    let (mut seen, mut extra) = (Seen::default(), Extra::default());
    scanner.object(&mut habits.header);
    while let Some((id, name)) = scanner.field(&mut habits.header, header_field)? {
        seen.once(id)?;
        if header_value(&mut scanner, id, &mut out.header, &mut out.bytes)? {
            continue;
        }
        match id {
            24 if FULL => read_transactions(&mut scanner, habits, out)?,
            24 => {
                let mut first = true;
                while scanner.item(&mut first)? {
                    scanner.skip()?;
                }
            }
            25 => {
                if !scanner.null()? {
                    let mut first = true;
                    while scanner.item(&mut first)? {
                        out.uncles.extend_from_slice(&scanner.fixed::<32>()?);
                    }
                }
            }
            26 => out.withdrawals = optional!(scanner, read_withdrawals(&mut scanner, &mut habits.withdrawal)?),
            _ => extra.read(&mut scanner, name)?,
        }
    }
    scanner.end()?;
    seen.has(BLOCK_NEEDED)?;
    // fields that some chains hash beyond Ethereum's: the Python path tries which they are
    let seal_missing = out.header.mix_hash.is_none() || out.header.nonce.is_none();
    if extra.has(b"parentProposerPubkey") || (seal_missing && !extra.fields.is_empty()) {
        return declined(Reason::Type, "a header of another form");
    }
    match (&out.withdrawals, &out.header.withdrawals_root) {
        (Some(items), None) if items.is_empty() => return odd("an empty list of withdrawals without a root"),
        (None, Some(root)) if *root == super::trie::EMPTY_ROOT => return odd("no list of withdrawals"),
        _ => {}
    }
    out.extra = extra.close(&mut out.extras)?;
    Ok(())
}

fn read_uncle<D: Digits>(mut scanner: Scanner<'_, D>, habit: &mut Habit, bytes: &mut Vec<u8>) -> Outcome<Header> {
    let (mut seen, mut header) = (Seen::default(), Header::default());
    scanner.object(habit);
    while let Some((id, _)) = scanner.field(habit, header_field)? {
        seen.once(id)?;
        if !header_value(&mut scanner, id, &mut header, bytes)? {
            scanner.skip()?;
        }
    }
    scanner.end()?;
    seen.has(HEADER_NEEDED)?;
    Ok(header)
}

#[inline(always)]
fn read_withdrawals<D: Digits>(scanner: &mut Scanner<'_, D>, habit: &mut Habit) -> Outcome<Vec<Withdrawal>> {
    let (mut items, mut first) = (Vec::with_capacity(WITHDRAWALS_USUAL), true);
    while scanner.item(&mut first)? {
        let (mut item, mut seen) = (Withdrawal::default(), Seen::default());
        scanner.object(habit);
        while let Some((id, _)) = scanner.field(habit, withdrawal_field)? {
            seen.once(id)?;
            match id {
                0 => item.index = scanner.uint64()?,
                1 => item.validator_index = scanner.uint64()?,
                2 => item.address = scanner.fixed()?,
                3 => item.amount_gwei = scanner.uint64()?,
                _ => scanner.skip()?,
            }
        }
        seen.has(0xf)?;
        items.push(item);
    }
    Ok(items)
}

#[inline(always)]
fn read_transactions<D: Digits>(scanner: &mut Scanner<'_, D>, habits: &mut Habits, out: &mut Bundle) -> Outcome<()> {
    let Habits { transaction: habit, access, authorization, .. } = habits;
    let (mut extra, mut last, mut first) = (Extra::default(), Last::default(), true);
    let (bytes, extras, transactions) = (&mut out.bytes, &mut out.extras, &mut out.transactions);
    while scanner.item(&mut first)? {
        let (mut tx, mut seen, mut parity) = (Transaction::default(), Seen::default(), None);
        scanner.object(habit);
        while let Some((id, name)) = scanner.field(habit, transaction_field)? {
            seen.once(id)?;
            match id {
                0 => tx.block_hash = scanner.repeated(&mut last)?,
                1 => tx.block_number = scanner.integer()?,
                2 => tx.index = scanner.integer()?,
                3 => tx.hash = scanner.fixed()?,
                4 => tx.sender = scanner.fixed()?,
                5 => tx.kind = kind(scanner)?,
                6 => tx.to = optional!(scanner, scanner.fixed()?),
                7 => tx.nonce = optional!(scanner, scanner.uint64()?),
                8 => tx.value = optional!(scanner, scanner.uint256()?),
                9 => tx.gas = optional!(scanner, scanner.uint64()?),
                10 => tx.gas_price = optional!(scanner, scanner.uint256()?),
                11 => tx.max_fee_per_gas = optional!(scanner, scanner.uint256()?),
                12 => tx.max_priority_fee_per_gas = optional!(scanner, scanner.uint256()?),
                13 => tx.max_fee_per_blob_gas = optional!(scanner, scanner.uint256()?),
                14 => tx.input = optional!(scanner, scanner.data(bytes)?),
                15 => tx.chain_id = optional!(scanner, scanner.uint64()?),
                16 => tx.access_list = optional!(scanner, access_list(scanner, access, bytes)?),
                17 => tx.blob_versioned_hashes = optional!(scanner, hashes(scanner, bytes)?),
                18 => {
                    tx.authorization_list = optional!(scanner, authorization_list(scanner, authorization, bytes)?);
                }
                19 => tx.v = optional!(scanner, scanner.uint64()?),
                20 => tx.r = optional!(scanner, scanner.uint256()?),
                21 => tx.s = optional!(scanner, scanner.uint256()?),
                22 => tx.source_hash = optional!(scanner, scanner.fixed()?),
                23 => tx.mint = optional!(scanner, scanner.uint256()?),
                24 => tx.is_system_tx = optional!(scanner, scanner.boolean()?),
                25 => parity = optional!(scanner, scanner.uint64()?),
                26 => {
                    optional!(scanner, scanner.string()?);
                }
                _ => extra.read(scanner, name)?,
            }
        }
        seen.has(TRANSACTION_NEEDED)?;
        if tx.kind != 0 && parity.is_some() {
            tx.v = parity; // beside it some nodes send an EIP-155 style v
        }
        tx.form = form_of(&tx)?;
        if !is_whole(&tx) {
            return odd("a field that the transaction signs is missing");
        }
        tx.extra = extra.close(extras)?;
        transactions.push(tx);
    }
    Ok(())
}

#[inline(always)]
fn kind<D: Digits>(scanner: &mut Scanner<'_, D>) -> Outcome<u8> {
    if scanner.peek() == b'n' {
        return odd("no type");
    }
    u8::try_from(scanner.uint64()?).or_else(|_| shape("a type beyond 8 bits"))
}

pub(super) fn form_of(tx: &Transaction) -> Outcome<Form> {
    match tx.kind {
        0..=4 => Ok(Form::Signed),
        DEPOSIT if tx.source_hash.is_some() => Ok(Form::Deposit),
        DEPOSIT | CELO => declined(Reason::Type, "a type that has several forms"),
        _ if tx.source_hash.is_some() => declined(Reason::Type, "an unknown type with a source hash"),
        _ => Ok(Form::Raw),
    }
}

/// Whether all is there that the transaction's hash is over.
pub(super) fn is_whole(tx: &Transaction) -> bool {
    let payload = tx.value.is_some() && tx.gas.is_some() && tx.input.is_some();
    let signed = payload && tx.nonce.is_some() && tx.v.is_some() && tx.r.is_some() && tx.s.is_some();
    let listed = signed && tx.chain_id.is_some() && tx.access_list.is_some();
    let capped = listed && tx.max_fee_per_gas.is_some() && tx.max_priority_fee_per_gas.is_some();
    match (tx.form, tx.kind) {
        (Form::Raw, _) => true,
        (Form::Deposit, _) => payload,
        (_, 0) => signed && tx.gas_price.is_some(),
        (_, 1) => listed && tx.gas_price.is_some(),
        (_, 2) => capped,
        (_, 3) => capped && tx.to.is_some() && tx.max_fee_per_blob_gas.is_some() && tx.blob_versioned_hashes.is_some(),
        _ => capped && tx.to.is_some() && tx.authorization_list.is_some(),
    }
}

/// Hashes as an RLP list; where it stands in `bytes`.
#[inline(always)]
fn hashes<D: Digits>(scanner: &mut Scanner<'_, D>, bytes: &mut Vec<u8>) -> Outcome<Span> {
    let (start, mut first) = (bytes.len(), true);
    while scanner.item(&mut first)? {
        rlp::hash(bytes, &scanner.fixed()?);
    }
    rlp::wrap(bytes, start);
    Ok((start as u32, bytes.len() as u32))
}

#[inline(always)]
fn access_list<D: Digits>(scanner: &mut Scanner<'_, D>, habit: &mut Habit, bytes: &mut Vec<u8>) -> Outcome<Span> {
    let (start, mut first, mut keys) = (bytes.len(), true, Vec::new());
    while scanner.item(&mut first)? {
        let (mut address, mut seen): (Address, _) = ([0; 20], Seen::default());
        keys.clear();
        scanner.object(habit);
        while let Some((id, _)) = scanner.field(habit, access_field)? {
            seen.once(id)?;
            match id {
                0 => address = scanner.fixed()?,
                1 => {
                    optional!(scanner, hashes(scanner, &mut keys)?);
                }
                _ => scanner.skip()?,
            }
        }
        seen.has(3)?;
        if keys.is_empty() {
            keys.push(rlp::EMPTY_LIST); // null
        }
        let entry = bytes.len();
        rlp::address(bytes, &address);
        bytes.extend_from_slice(&keys);
        rlp::wrap(bytes, entry);
    }
    rlp::wrap(bytes, start);
    Ok((start as u32, bytes.len() as u32))
}

#[inline(always)]
fn authorization_list<D: Digits>(
    scanner: &mut Scanner<'_, D>,
    habit: &mut Habit,
    bytes: &mut Vec<u8>,
) -> Outcome<Span> {
    let (start, mut first) = (bytes.len(), true);
    while scanner.item(&mut first)? {
        let (mut chain_id, mut nonce, mut r, mut s) = ([0; 32], [0; 32], [0; 32], [0; 32]);
        let (mut address, mut seen): (Address, _) = ([0; 20], Seen::default());
        let (mut parity, mut v) = (None, None);
        scanner.object(habit);
        while let Some((id, _)) = scanner.field(habit, authorization_field)? {
            seen.once(id)?;
            match id {
                0 => chain_id = scanner.uint256()?,
                1 => address = scanner.fixed()?,
                2 => nonce = scanner.uint256()?,
                3 => r = scanner.uint256()?,
                4 => s = scanner.uint256()?,
                5 => parity = optional!(scanner, scanner.string()?),
                6 => v = optional!(scanner, scanner.string()?),
                _ => scanner.skip()?,
            }
        }
        seen.has(0x1f)?;
        let Some(digits) = parity.or(v).and_then(|text| text.strip_prefix(b"0x")) else { return shape("no parity") };
        let entry = bytes.len();
        rlp::wide(bytes, &chain_id);
        rlp::address(bytes, &address);
        rlp::wide(bytes, &nonce);
        rlp::wide(bytes, &uint256_of(digits)?);
        rlp::wide(bytes, &r);
        rlp::wide(bytes, &s);
        rlp::wrap(bytes, entry);
    }
    rlp::wrap(bytes, start);
    Ok((start as u32, bytes.len() as u32))
}

#[inline(always)]
fn read_receipts<D: Digits>(mut scanner: Scanner<'_, D>, habits: &mut Habits, out: &mut Bundle) -> Outcome<()> {
    let Habits { receipt: habit, log: log_habit, .. } = habits;
    let mut extra = Extra::default();
    let (mut last_block, mut last_transaction) = (Last::default(), Last::default());
    let (bytes, extras, logs, receipts) = (&mut out.bytes, &mut out.extras, &mut out.logs, &mut out.receipts);
    let mut first = true;
    while scanner.item(&mut first)? {
        let (mut receipt, mut seen) = (Receipt::default(), Seen::default());
        scanner.object(habit);
        while let Some((id, name)) = scanner.field(habit, receipt_field)? {
            seen.once(id)?;
            match id {
                0 => receipt.block_hash = scanner.repeated(&mut last_block)?,
                1 => receipt.block_number = scanner.integer()?,
                2 => receipt.transaction_hash = scanner.repeated(&mut last_transaction)?,
                3 => receipt.transaction_index = scanner.integer()?,
                4 => receipt.cumulative_gas_used = scanner.uint64()?,
                5 => receipt.gas_used = scanner.uint64()?,
                6 => {
                    let (start, mut first) = (logs.len() as u32, true);
                    while scanner.item(&mut first)? {
                        let log = read_log(&mut scanner, log_habit, bytes, &mut last_block, &mut last_transaction)?;
                        logs.push(log);
                    }
                    receipt.logs = (start, logs.len() as u32);
                }
                7 => receipt.kind = kind(&mut scanner)?,
                8 => receipt.status = optional!(scanner, scanner.integer()?),
                9 => receipt.root = optional!(scanner, scanner.fixed()?),
                10 => receipt.effective_gas_price = optional!(scanner, scanner.uint256()?),
                11 => receipt.contract_address = optional!(scanner, scanner.fixed()?),
                12 => receipt.logs_bloom = optional!(scanner, bloom(&mut scanner, bytes)?),
                13 => receipt.deposit_nonce = optional!(scanner, scanner.uint64()?),
                14 => receipt.deposit_receipt_version = optional!(scanner, scanner.uint64()?),
                15 | 16 => {
                    let start = scanner.at;
                    if !scanner.null()? {
                        scanner.string()?;
                        extra.add(name, scanner.text[start..scanner.at].to_vec())?;
                    }
                }
                17..=19 => scanner.skip()?,
                _ => extra.read(&mut scanner, name)?,
            }
        }
        seen.has(RECEIPT_NEEDED)?;
        match (receipt.status, &receipt.root) {
            (Some(_), Some(_)) => return odd("a root beside the status"),
            (None, None) => return shape("neither status nor root"),
            _ => {}
        }
        if receipt.contract_address == Some([0; 20]) {
            return odd("the zero address for no contract");
        }
        receipt.extra = extra.close(extras)?;
        receipts.push(receipt);
    }
    scanner.end()
}

#[inline(always)]
fn read_log<D: Digits>(
    scanner: &mut Scanner<'_, D>,
    habit: &mut Habit,
    bytes: &mut Vec<u8>,
    last_block: &mut Last,
    last_transaction: &mut Last,
) -> Outcome<Log> {
    let (mut log, mut seen) = (Log::default(), Seen::default());
    scanner.object(habit);
    while let Some((id, _)) = scanner.field(habit, log_field)? {
        seen.once(id)?;
        match id {
            0 => log.address = scanner.fixed()?,
            1 => {
                let (mut count, mut first) = (0usize, true);
                while scanner.item(&mut first)? {
                    let Some(topic) = log.topics.get_mut(count) else { return shape("five topics") };
                    *topic = scanner.fixed()?;
                    count += 1;
                }
                log.topic_count = count as u8;
            }
            2 => log.data = scanner.data(bytes)?,
            3 => log.block_hash = optional!(scanner, scanner.repeated(last_block)?),
            4 => log.block_number = optional!(scanner, scanner.integer()?),
            5 => log.transaction_hash = optional!(scanner, scanner.repeated(last_transaction)?),
            6 => log.transaction_index = optional!(scanner, scanner.integer()?),
            7 => log.log_index = optional!(scanner, scanner.integer()?),
            _ => scanner.skip()?,
        }
    }
    seen.has(LOG_NEEDED)?;
    Ok(log)
}
