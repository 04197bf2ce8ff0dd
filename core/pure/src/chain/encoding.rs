//! The bytes that a header's hash and roots are over. Sources: those of `tidelog.chain.encoding.items`.

use super::blocks::{Address, Bundle, Form, Header, Log, Receipt, Transaction, Uint256, Withdrawal};
use super::decline::{Outcome, Reason, declined};
use super::rlp;

/// A header by the fields that are present. Forks append fields and never leave one out.
pub fn header(out: &mut Vec<u8>, header: &Header, bundle: &Bundle) -> Outcome<()> {
    let (Some(mix_hash), Some(nonce)) = (&header.mix_hash, &header.nonce) else {
        return declined(Reason::Type, "a header without mixHash or nonce");
    };
    let start = out.len();
    rlp::hash(out, &header.parent_hash);
    rlp::hash(out, &header.ommers_hash);
    rlp::address(out, &header.miner);
    rlp::hash(out, &header.state_root);
    rlp::hash(out, &header.transactions_root);
    rlp::hash(out, &header.receipts_root);
    rlp::bytes(out, bundle.at(header.logs_bloom));
    rlp::wide(out, &header.difficulty);
    for value in [header.number, header.gas_limit, header.gas_used, header.timestamp] {
        rlp::integer(out, value);
    }
    rlp::bytes(out, bundle.at(header.extra_data));
    rlp::hash(out, mix_hash);
    rlp::bytes(out, nonce);
    appended(out, header)?;
    rlp::wrap(out, start);
    Ok(())
}

fn appended(out: &mut Vec<u8>, header: &Header) -> Outcome<()> {
    let mut ended = false;
    let mut add = |item: Option<&mut dyn FnMut()>| match item {
        Some(_) if ended => declined(Reason::Differs, "a field is missing that comes before one that is there"),
        Some(write) => {
            write();
            Ok(())
        }
        None => {
            ended = true;
            Ok(())
        }
    };
    macro_rules! each {
        ($($value:expr => $write:path),* $(,)?) => {
            $(match &$value {
                Some(value) => add(Some(&mut || $write(out, value)))?,
                None => add(None)?,
            })*
        };
    }
    fn wide(out: &mut Vec<u8>, value: &Uint256) {
        rlp::wide(out, value);
    }
    fn integer(out: &mut Vec<u8>, value: &u64) {
        rlp::integer(out, *value);
    }
    each!(
        header.base_fee_per_gas => wide,
        header.withdrawals_root => rlp::hash,
        header.blob_gas_used => integer,
        header.excess_blob_gas => integer,
        header.parent_beacon_block_root => rlp::hash,
        header.requests_hash => rlp::hash,
        header.block_access_list_hash => rlp::hash,
        header.slot_number => integer,
    );
    Ok(())
}

fn recipient(out: &mut Vec<u8>, to: Option<&Address>) {
    rlp::bytes(out, to.map_or(&[], |address| address));
}

fn number(out: &mut Vec<u8>, value: Option<&Uint256>) {
    rlp::wide(out, value.map_or(&[], |wide| wide));
}

/// What the hash of a transaction is over, and the transactions root's value. Not of a raw form.
pub fn transaction(out: &mut Vec<u8>, tx: &Transaction, bundle: &Bundle) {
    if tx.kind != 0 {
        out.push(tx.kind);
    }
    let start = out.len();
    let (nonce, gas) = (tx.nonce.unwrap_or(0), tx.gas.unwrap_or(0));
    let input = bundle.at(tx.input.unwrap_or_default());
    if tx.form == Form::Deposit {
        rlp::hash(out, &tx.source_hash.unwrap_or_default());
        rlp::address(out, &tx.sender);
        recipient(out, tx.to.as_ref());
        number(out, tx.mint.as_ref());
        number(out, tx.value.as_ref());
        rlp::integer(out, gas);
        rlp::integer(out, u64::from(tx.is_system_tx.unwrap_or(false)));
        rlp::bytes(out, input);
        rlp::wrap(out, start);
        return;
    }
    if tx.kind != 0 {
        rlp::integer(out, tx.chain_id.unwrap_or(0));
    }
    rlp::integer(out, nonce);
    if tx.kind < 2 {
        number(out, tx.gas_price.as_ref());
    } else {
        number(out, tx.max_priority_fee_per_gas.as_ref());
        number(out, tx.max_fee_per_gas.as_ref());
    }
    rlp::integer(out, gas);
    recipient(out, tx.to.as_ref());
    number(out, tx.value.as_ref());
    rlp::bytes(out, input);
    if tx.kind != 0 {
        out.extend_from_slice(bundle.at(tx.access_list.unwrap_or_default()));
    }
    if tx.kind == 3 {
        number(out, tx.max_fee_per_blob_gas.as_ref());
        out.extend_from_slice(bundle.at(tx.blob_versioned_hashes.unwrap_or_default()));
    }
    if tx.kind == 4 {
        out.extend_from_slice(bundle.at(tx.authorization_list.unwrap_or_default()));
    }
    rlp::integer(out, tx.v.unwrap_or(0));
    number(out, tx.r.as_ref());
    number(out, tx.s.as_ref());
    rlp::wrap(out, start);
}

/// The receipts root's value.
pub fn receipt(out: &mut Vec<u8>, tx: &Transaction, receipt: &Receipt, bloom: &[u8; 256], bundle: &Bundle) {
    if tx.kind != 0 {
        out.push(tx.kind);
    }
    let start = out.len();
    match (receipt.status, &receipt.root) {
        (None, Some(root)) => rlp::hash(out, root),
        (status, _) => rlp::integer(out, status.unwrap_or(0)),
    }
    rlp::integer(out, receipt.cumulative_gas_used);
    rlp::bytes(out, bloom);
    let logs = out.len();
    for entry in bundle.logs_of(receipt) {
        log(out, entry, bundle);
    }
    rlp::wrap(out, logs);
    if let (Form::Deposit, Some(version)) = (tx.form, receipt.deposit_receipt_version) {
        rlp::integer(out, receipt.deposit_nonce.unwrap_or(0));
        rlp::integer(out, version);
    }
    rlp::wrap(out, start);
}

fn log(out: &mut Vec<u8>, log: &Log, bundle: &Bundle) {
    let start = out.len();
    rlp::address(out, &log.address);
    rlp::prefix(out, rlp::EMPTY_LIST, 33 * log.topics().len());
    for topic in log.topics() {
        rlp::hash(out, topic);
    }
    rlp::bytes(out, bundle.at(log.data));
    rlp::wrap(out, start);
}

pub fn withdrawal(out: &mut Vec<u8>, withdrawal: &Withdrawal) {
    let start = out.len();
    rlp::integer(out, withdrawal.index);
    rlp::integer(out, withdrawal.validator_index);
    rlp::address(out, &withdrawal.address);
    rlp::integer(out, withdrawal.amount_gwei);
    rlp::wrap(out, start);
}

/// What the address of a created contract is a hash of.
pub fn creation(out: &mut Vec<u8>, sender: &Address, nonce: u64) {
    let start = out.len();
    rlp::address(out, sender);
    rlp::integer(out, nonce);
    rlp::wrap(out, start);
}
