//! From an endpoint's raw answers to proven rows, a batch of blocks at once: what `tidelog.chain.verify` does; and stored
//! rows proven again.

pub mod answers;
pub mod blocks;
pub mod checks;
pub mod decline;
pub mod encoding;
pub mod envelopes;
pub mod headers;
pub mod hex;
pub mod json;
pub mod keccak;
pub mod objects;
pub mod rlp;
pub mod rows;
pub mod rules;
pub mod sha256;
pub mod stored;
pub mod take;
pub mod trie;
