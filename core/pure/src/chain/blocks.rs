//! A block and all it carries as it was answered: bytes and integers. The values of `tidelog.chain.blocks`.

pub type Hash = [u8; 32];
pub type Uint256 = [u8; 32]; // big-endian
pub type Address = [u8; 20];

/// Where bytes stand in `Bundle::bytes`.
pub type Span = (u32, u32);

pub const DEPOSIT: u8 = 0x7e; // of the OP stack, where it has a source hash
pub const CELO: u8 = 0x7b;

#[derive(Default, Clone)]
pub struct Header {
    pub number: u64,
    pub hash: Hash,
    pub parent_hash: Hash,
    pub ommers_hash: Hash,
    pub miner: Address,
    pub state_root: Hash,
    pub transactions_root: Hash,
    pub receipts_root: Hash,
    pub logs_bloom: Span, // of 256 bytes
    pub difficulty: Uint256,
    pub gas_limit: u64,
    pub gas_used: u64,
    pub timestamp: u64,
    pub extra_data: Span,
    pub mix_hash: Option<Hash>,
    pub nonce: Option<[u8; 8]>,
    pub base_fee_per_gas: Option<Uint256>,
    pub withdrawals_root: Option<Hash>,
    pub blob_gas_used: Option<u64>,
    pub excess_blob_gas: Option<u64>,
    pub parent_beacon_block_root: Option<Hash>,
    pub requests_hash: Option<Hash>,
    pub block_access_list_hash: Option<Hash>,
    pub slot_number: Option<u64>,
}

/// What a transaction's type means here.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Types 0 to 4, which Ethereum has.
    #[default]
    Signed,
    Deposit,
    /// A type that cannot be encoded from its answer: all of it is kept as it was said.
    Raw,
}

/// The lists are encoded already, as RLP.
#[derive(Default, Clone)]
pub struct Transaction {
    pub block_hash: Hash,
    pub block_number: u64,
    pub index: u64,
    pub hash: Hash,
    pub kind: u8,
    pub form: Form,
    pub sender: Address,
    pub to: Option<Address>,
    pub nonce: Option<u64>,
    pub value: Option<Uint256>,
    pub gas: Option<u64>,
    pub gas_price: Option<Uint256>,
    pub max_fee_per_gas: Option<Uint256>,
    pub max_priority_fee_per_gas: Option<Uint256>,
    pub max_fee_per_blob_gas: Option<Uint256>,
    pub input: Option<Span>,
    pub chain_id: Option<u64>,
    pub access_list: Option<Span>,
    pub blob_versioned_hashes: Option<Span>,
    pub authorization_list: Option<Span>,
    pub v: Option<u64>, // the y parity of all but type 0
    pub r: Option<Uint256>,
    pub s: Option<Uint256>,
    pub source_hash: Option<Hash>,
    pub mint: Option<Uint256>,
    pub is_system_tx: Option<bool>,
    pub extra: Option<u32>, // among `Bundle::extras`
}

#[derive(Default, Clone)]
pub struct Log {
    pub address: Address,
    pub topics: [Hash; 4],
    pub topic_count: u8,
    pub data: Span,
    pub block_hash: Option<Hash>,
    pub block_number: Option<u64>,
    pub transaction_hash: Option<Hash>,
    pub transaction_index: Option<u64>,
    pub log_index: Option<u64>,
}

impl Log {
    pub fn topics(&self) -> &[Hash] {
        &self.topics[..self.topic_count as usize]
    }
}

/// Exactly one of `status` and `root` is there.
#[derive(Default, Clone)]
pub struct Receipt {
    pub block_hash: Hash,
    pub block_number: u64,
    pub transaction_hash: Hash,
    pub transaction_index: u64,
    pub kind: u8,
    pub status: Option<u64>,
    pub root: Option<Hash>,
    pub cumulative_gas_used: u64,
    pub gas_used: u64,
    pub effective_gas_price: Option<Uint256>,
    pub contract_address: Option<Address>,
    pub logs_bloom: Option<Span>, // of 256 bytes
    pub logs: Span,               // among `Bundle::logs`
    pub deposit_nonce: Option<u64>,
    pub deposit_receipt_version: Option<u64>,
    pub extra: Option<u32>,
}

#[derive(Default, Clone)]
pub struct Withdrawal {
    pub index: u64,
    pub validator_index: u64,
    pub address: Address,
    pub amount_gwei: u64,
}

/// A block, its receipts, and the headers of its uncles where the endpoint was asked for them.
#[derive(Default)]
pub struct Bundle {
    pub header: Header,
    pub transactions: Vec<Transaction>,
    pub receipts: Vec<Receipt>,
    pub logs: Vec<Log>,  // of all receipts
    pub uncles: Vec<u8>, // their hashes, one after the other
    pub ommers: Option<Vec<Header>>,
    pub withdrawals: Option<Vec<Withdrawal>>,
    pub extra: Option<u32>,
    pub extras: Vec<String>, // texts of fields that the endpoint added
    pub bytes: Vec<u8>,      // of any length: inputs, log data, lists
}

impl Bundle {
    /// Forget all but the memory, for another block.
    pub fn clear(&mut self) {
        let Bundle { header, transactions, receipts, logs, uncles, ommers, withdrawals, extra, extras, bytes } = self;
        (*header, *ommers, *withdrawals, *extra) = (Header::default(), None, None, None);
        transactions.clear();
        receipts.clear();
        logs.clear();
        uncles.clear();
        extras.clear();
        bytes.clear();
    }

    pub fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.0 as usize..span.1 as usize]
    }

    pub fn logs_of(&self, receipt: &Receipt) -> &[Log] {
        &self.logs[receipt.logs.0 as usize..receipt.logs.1 as usize]
    }

    pub fn text(&self, extra: Option<u32>) -> Option<&str> {
        extra.map(|place| self.extras[place as usize].as_str())
    }
}
