"""The tables of a chain: what is proven of its blocks, the outbox, and the reorgs that were adopted."""

from tidelog.batch import Column, Table, bytes_column, int_column, text_column, uint64_column, uint256_column
from tidelog.chain.header_fields import HEADER_FIELDS, HeaderField, Kind

CHAINS = Table(
    "chains",
    (
        int_column("chain_id"),
        bytes_column("genesis_hash", nullable=True),  # null where no endpoint would tell
        text_column("profile"),  # JSON: the checks that hold on this chain, as known when it was first seen
        text_column("spec", nullable=True, content=False),  # JSON: what differs by range of blocks, with evidence
    ),
    key=("chain_id",),
    scope="chain_id",
)


_INTEGER_COLUMNS = {Kind.NUMBER: int_column, Kind.UINT64: uint64_column, Kind.UINT256: uint256_column}


def _header_column(field: HeaderField) -> Column:
    return _INTEGER_COLUMNS.get(field.kind, bytes_column)(field.name, nullable=field.optional)


BLOCKS = Table(
    "blocks",
    (
        int_column("chain_id"),
        *map(_header_column, HEADER_FIELDS),
        bytes_column("uncles"),  # the uncles' hashes, one after the other, as the endpoint gave them
        int_column("transaction_count"),
        int_column("log_count"),
        int_column("withdrawal_count", nullable=True),  # null: the block carries no list of withdrawals
        text_column("proof"),  # each check and its outcome, see chain/proof/checks.py
        text_column("extra", nullable=True, content=False),  # JSON: fields that this endpoint added of its own
        text_column("endpoint", content=False),
        int_column("ingested_at", content=False),  # Unix time, milliseconds
        bytes_column("rows_digest", content=False),  # over this row's other columns and the block's other rows
    ),
    key=("chain_id", "number"),
    scope="chain_id",
    height="number",
)

TRANSACTIONS = Table(
    "transactions",
    (
        int_column("chain_id"),
        int_column("block_number"),
        int_column("tx_index"),
        bytes_column("hash"),
        int_column("type"),
        bytes_column("from_address"),
        bytes_column("to_address", nullable=True),  # null: creates a contract
        uint64_column("nonce", nullable=True),  # null only for deposits and, as value, gas and input, for unknown types
        uint256_column("value", nullable=True),
        uint64_column("gas", nullable=True),
        uint256_column("gas_price", nullable=True),  # what types 0 and 1 sign; null where fees are capped
        uint256_column("max_fee_per_gas", nullable=True),
        uint256_column("max_priority_fee_per_gas", nullable=True),
        uint256_column("max_fee_per_blob_gas", nullable=True),
        bytes_column("input", nullable=True),
        uint64_column("signed_chain_id", nullable=True),  # as typed transactions sign it
        bytes_column("access_list", nullable=True),  # RLP, as the transaction carries it
        bytes_column("blob_versioned_hashes", nullable=True),  # RLP
        bytes_column("authorization_list", nullable=True),  # RLP
        uint64_column("v", nullable=True),  # v of type 0, y parity of the others
        bytes_column("r", nullable=True),  # 32 bytes
        bytes_column("s", nullable=True),
        bytes_column("source_hash", nullable=True),  # OP stack deposits only, and the next two
        uint256_column("mint", nullable=True),
        int_column("is_system_tx", nullable=True),
        int_column("status", nullable=True),  # exactly one of status and root is set
        bytes_column("root", nullable=True),  # receipts before Byzantium
        uint64_column("cumulative_gas_used"),
        uint64_column("gas_used"),  # this one and the next three are derived where the chain's spec has that check
        uint256_column("effective_gas_price", nullable=True),
        bytes_column("contract_address", nullable=True),
        int_column("log_count"),
        uint64_column("deposit_nonce", nullable=True),
        uint64_column("deposit_receipt_version", nullable=True),
        int_column("covered"),  # 1: under the block's roots; 0: the endpoint's word
        text_column("extra", nullable=True, content=False),  # JSON: {"transaction": {..}, "receipt": {..}}
    ),
    key=("chain_id", "block_number", "tx_index"),
    scope="chain_id",
    height="block_number",
    partitioned=True,
    segmented=("hash", "from_address", "to_address", "contract_address"),
    counted=True,
)

LOGS = Table(
    "logs",
    (
        int_column("chain_id"),
        int_column("block_number"),
        int_column("log_index"),  # within the block
        int_column("tx_index"),
        bytes_column("address"),
        bytes_column("topic0", nullable=True),
        bytes_column("topic1", nullable=True),
        bytes_column("topic2", nullable=True),
        bytes_column("topic3", nullable=True),
        bytes_column("data"),
        int_column("covered"),
    ),
    key=("chain_id", "block_number", "log_index"),
    scope="chain_id",
    height="block_number",
    partitioned=True,
    segmented=("address", "topic0"),
    counted=True,
)

WITHDRAWALS = Table(
    "withdrawals",
    (
        int_column("chain_id"),
        int_column("block_number"),
        int_column("position"),  # within the block
        uint64_column("withdrawal_index"),  # the consensus layer's running number
        uint64_column("validator_index"),
        bytes_column("address"),
        uint64_column("amount_gwei"),
    ),
    key=("chain_id", "block_number", "position"),
    scope="chain_id",
    height="block_number",
)

UNCLES = Table(
    "uncles",
    (
        int_column("chain_id"),
        int_column("block_number"),  # of the block that names the uncle
        int_column("position"),  # within the block
        bytes_column("hash"),
        bytes_column("header"),  # RLP, all of it: what the block's ommers hash is over
    ),
    key=("chain_id", "block_number", "position"),
    scope="chain_id",
    height="block_number",
    later=True,
)

MERKLE_PROOFS = Table(
    "merkle_proofs",
    (
        int_column("chain_id"),
        int_column("block_number"),
        int_column("tx_index"),
        int_column("first_log"),  # the index in the block of the first log of its receipt
        bytes_column("transaction_branch"),  # RLP: the list of nodes from the transactions root to it
        bytes_column("receipt_branch"),
    ),
    key=("chain_id", "block_number", "tx_index"),
    scope="chain_id",
    height="block_number",
    content=False,
)

CHANGES = Table(
    "changes",
    (
        int_column("chain_id"),
        int_column("seq"),  # gapless from 1; the checkpoint's position holds the last one
        text_column("kind"),  # apply | revert
        int_column("number"),
        bytes_column("hash"),
        bytes_column("parent_hash"),
        int_column("writer", content=False),  # the number that its writer drew when it opened, as the checkpoint has it
    ),
    key=("chain_id", "seq"),
    scope="chain_id",
    content=False,
)

REORGS = Table(
    "reorgs",
    (
        int_column("chain_id"),
        int_column("seq"),  # of the first change that this reorg made
        int_column("fork_number"),  # the last block that both branches share; first - 1 if none is
        int_column("depth"),  # blocks dropped
        int_column("old_head"),
        bytes_column("old_head_hash"),
        int_column("new_head"),
        bytes_column("new_head_hash"),
        text_column("reason"),  # reorg | rewind | shrink
        int_column("at"),  # Unix time, milliseconds
    ),
    key=("chain_id", "seq"),
    scope="chain_id",
    content=False,
)

# what a rollback deletes, in the order in which it deletes: children first
BLOCK_TABLES = (MERKLE_PROOFS, LOGS, TRANSACTIONS, WITHDRAWALS, UNCLES, BLOCKS)
CHAIN_TABLES = (CHAINS, BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES, CHANGES, REORGS)
