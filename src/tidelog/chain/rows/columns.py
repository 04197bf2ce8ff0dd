"""Rows by their columns' names, in the order of the tables: for code that reads most columns of many rows.

`BlockColumns._make(row)` costs half a microsecond, a lookup by name for each column ten times that.
"""

from typing import NamedTuple


class BlockColumns(NamedTuple):
    """A row of `blocks`."""

    chain_id: int
    number: int
    hash: bytes
    parent_hash: bytes
    ommers_hash: bytes
    miner: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: bytes
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes | None
    nonce: bytes | None
    base_fee_per_gas: bytes | None
    withdrawals_root: bytes | None
    blob_gas_used: int | None
    excess_blob_gas: int | None
    parent_beacon_block_root: bytes | None
    requests_hash: bytes | None
    block_access_list_hash: bytes | None
    slot_number: int | None
    uncles: bytes
    transaction_count: int
    log_count: int
    withdrawal_count: int | None
    proof: str
    extra: str | None
    endpoint: str
    ingested_at: int
    rows_digest: bytes


class TransactionColumns(NamedTuple):
    """A row of `transactions`."""

    chain_id: int
    block_number: int
    tx_index: int
    hash: bytes
    type: int
    from_address: bytes
    to_address: bytes | None
    nonce: int | None
    value: bytes | None
    gas: int | None
    gas_price: bytes | None
    max_fee_per_gas: bytes | None
    max_priority_fee_per_gas: bytes | None
    max_fee_per_blob_gas: bytes | None
    input: bytes | None
    signed_chain_id: int | None
    access_list: bytes | None
    blob_versioned_hashes: bytes | None
    authorization_list: bytes | None
    v: int | None
    r: bytes | None
    s: bytes | None
    source_hash: bytes | None
    mint: bytes | None
    is_system_tx: int | None
    status: int | None
    root: bytes | None
    cumulative_gas_used: int
    gas_used: int
    effective_gas_price: bytes | None
    contract_address: bytes | None
    log_count: int
    deposit_nonce: int | None
    deposit_receipt_version: int | None
    covered: int
    extra: str | None


class LogColumns(NamedTuple):
    """A row of `logs`."""

    chain_id: int
    block_number: int
    log_index: int
    tx_index: int
    address: bytes
    topic0: bytes | None
    topic1: bytes | None
    topic2: bytes | None
    topic3: bytes | None
    data: bytes
    covered: int
