"""A proven block as rows: what the store holds of it, so that it can be proven again from that alone (`reading`).

What is stored of a transaction is what its type encodes, and derived fields are stored as derived, not as
answered: so that two honest endpoints give the same rows, and a lie has no column to hide in. Per block,
`rows_digest` covers every column of every row, so that what no root covers (ingest facts, an endpoint's
extra fields) cannot change unnoticed either.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.batch import Piece, Pieces, Row, Rows, Value, optional_uint256, rows_digest
from tidelog.chain.blocks import (
    BlockRef,
    Bundle,
    Header,
    Receipt,
    Transaction,
)
from tidelog.chain.encoding.items import (
    SIGNED_TYPES,
    encode_access_list,
    encode_authorizations,
    encode_hashes,
    encode_header,
    keccak,
)
from tidelog.chain.encoding.variants import BERACHAIN_FORM, form_of
from tidelog.chain.header_fields import HEADER_FIELDS, Kind
from tidelog.chain.proof.outcome import Proof
from tidelog.chain.rows.canonical import Derived, answered, derived, encoded_only
from tidelog.chain.rows.tables import BLOCKS, LOGS, MERKLE_PROOFS, TRANSACTIONS, UNCLES, WITHDRAWALS
from tidelog.errors import Corruption


def required_int(value: object) -> int:
    """No column of a block holds a negative number."""
    if not isinstance(value, int) or value < 0:
        raise Corruption(f"{value!r} where an integer from 0 on belongs")
    return value


def required_bytes(value: object) -> bytes:
    """The value; Corruption if it is no bytes."""
    if not isinstance(value, bytes):
        raise Corruption(f"{value!r} where bytes belong")
    return value


class BlockRows(Struct, frozen=True, gc=False):
    """All rows of one block, each kind in key order.

    The compiled core holds rows encoded, and makes tuples of them at each walk: walk them once.
    """

    block: Row
    transactions: Sequence[Row]
    logs: Sequence[Row]
    withdrawals: Sequence[Row]
    uncles: Sequence[Row] = ()  # empty if no endpoint gave the headers
    proofs: Sequence[Row] = ()  # of a selection: Merkle proofs on their way into the store; read back they are apart

    @property
    def number(self) -> int:
        """The block's number."""
        return required_int(self.block[_NUMBER])

    @property
    def ref(self) -> BlockRef:
        """The reference of the block: number, hash and parent hash."""
        return BlockRef(self.number, required_bytes(self.block[_HASH]), required_bytes(self.block[_PARENT_HASH]))

    @property
    def row_count(self) -> int:
        """How many rows it has in all tables."""
        return 1 + len(self.transactions) + len(self.logs) + len(self.withdrawals) + len(self.uncles)

    @property
    def proof_text(self) -> str:
        """The outcome of its checks, as `outcome.parse_proof` reads it."""
        return str(self.block[_PROOF])

    def digest(self) -> bytes:
        """What `rows_digest` must hold, recomputed."""
        return _digest(self.block[:_DIGEST], self.transactions, self.logs, self.withdrawals, self.uncles)

    @property
    def stored_digest(self) -> bytes:
        """What `rows_digest` holds."""
        return required_bytes(self.block[_DIGEST])


_CHAIN, _NUMBER, _HASH, _PARENT_HASH = (BLOCKS.index(name) for name in ("chain_id", "number", "hash", "parent_hash"))
_PROOF, _EXTRA, _DIGEST = (BLOCKS.index(name) for name in ("proof", "extra", "rows_digest"))  # the digest is the last


def _digest(
    block: Row,
    transactions: Sequence[Row],
    logs: Sequence[Row],
    withdrawals: Sequence[Row],
    uncles: Sequence[Row],
) -> bytes:
    groups = [(BLOCKS, (block,)), (TRANSACTIONS, transactions), (LOGS, logs), (WITHDRAWALS, withdrawals)]
    if uncles:  # digests of before there was this table stay as they are
        groups.append((UNCLES, uncles))
    return rows_digest(groups)


def to_rows(
    chain_id: int, bundle: Bundle, proof: Proof, *, covered: int, endpoint: str, ingested_at_ms: int
) -> BlockRows:
    """The rows of a proven block.

    Args:
        covered: how many transactions, from the first on, the block's roots are over. Their rows say that they
            are covered only where those roots could be checked.
        endpoint: the redacted name of who served it.
    """
    header, block = bundle.block.header, bundle.block
    derives = proof.holds("derived")
    transactions: list[Row] = []
    logs: list[Row] = []
    cumulative = 0
    for i, (tx, receipt) in enumerate(zip(block.transactions, bundle.receipts, strict=True)):
        inside = i < covered
        result = answered(receipt)
        if derives and inside:
            result = derived(tx, receipt, header.base_fee_per_gas, receipt.cumulative_gas_used - cumulative)
            cumulative = receipt.cumulative_gas_used
        whole = inside and proof.holds("transactions") and proof.holds("receipts")
        transactions.append(_transaction_row(chain_id, header, tx, receipt, result, int(whole)))
        log_covered = int(inside and proof.holds("receipts"))
        for log in receipt.logs:
            t = log.topics
            topics = t if len(t) == 4 else (*t, *(None,) * (4 - len(t)))
            logs.append((chain_id, header.number, len(logs), i, log.address, *topics, log.data, log_covered))
    withdrawals: list[Row] = [
        (chain_id, header.number, i, item.index, item.validator_index, item.address, item.amount_gwei)
        for i, item in enumerate(block.withdrawals or ())
    ]
    ommers = [encode_header(ommer) for ommer in block.ommers or ()] if proof.holds("uncles") else []
    uncles: list[Row] = [(chain_id, header.number, i, keccak(item), item) for i, item in enumerate(ommers)]
    row = (
        chain_id,
        *_header_values(header),
        b"".join(block.uncles),
        len(transactions),
        len(logs),
        None if block.withdrawals is None and header.withdrawals_root is None else len(withdrawals),
        str(proof),
        block.extra,
        endpoint,
        ingested_at_ms,
    )
    digest = _digest(row, transactions, logs, withdrawals, uncles)
    return BlockRows((*row, digest), transactions, logs, withdrawals, uncles)


def header_rows(
    chain_id: int, header: Header, proof_text: str, extra: str | None, *, endpoint: str, ingested_at_ms: int
) -> BlockRows:
    """The rows of a block of which the header is held, and nothing else."""
    row = (chain_id, *_header_values(header), b"", 0, 0, None, proof_text, extra, endpoint, ingested_at_ms)
    return BlockRows((*row, _digest(row, (), (), (), ())), [], [], [])


def _header_values(header: Header) -> list[Value]:
    return [to_value(getattr(header, name)) for name, to_value in _HEADER_TO_ROW]


def _transaction_row(
    chain_id: int, header: Header, tx: Transaction, receipt: Receipt, result: Derived, covered: int
) -> Row:
    tx, appends = encoded_only(tx), tx.type not in SIGNED_TYPES
    return (
        chain_id,
        header.number,
        tx.index,
        tx.hash,
        tx.type,
        tx.sender,
        tx.to,
        tx.nonce,
        optional_uint256(tx.value),
        tx.gas,
        optional_uint256(tx.gas_price) if tx.type in (0, 1) or form_of(tx) == BERACHAIN_FORM else None,
        optional_uint256(tx.max_fee_per_gas),
        optional_uint256(tx.max_priority_fee_per_gas),
        optional_uint256(tx.max_fee_per_blob_gas),
        tx.input,
        tx.chain_id if tx.type else None,
        None if tx.access_list is None else encode_access_list(tx.access_list),
        None if tx.blob_versioned_hashes is None else encode_hashes(tx.blob_versioned_hashes),
        None if tx.authorization_list is None else encode_authorizations(tx.authorization_list),
        tx.v,
        optional_uint256(tx.r),
        optional_uint256(tx.s),
        tx.source_hash,
        optional_uint256(tx.mint),
        None if tx.is_system_tx is None else int(tx.is_system_tx),
        receipt.status,
        receipt.root,
        receipt.cumulative_gas_used,
        result.gas_used,
        optional_uint256(result.price),
        result.contract,
        len(receipt.logs),
        receipt.deposit_nonce if appends else None,
        receipt.deposit_receipt_version if appends else None,
        covered,
        _joined_extra(tx.extra, receipt.extra),
    )


def _joined_extra(transaction: str | None, receipt: str | None) -> str | None:
    if transaction is None and receipt is None:
        return None
    parts = {"transaction": transaction, "receipt": receipt}
    return msgspec.json.encode(
        {name: msgspec.Raw(text.encode()) for name, text in parts.items() if text is not None}
    ).decode()


def block_rows(blocks: Sequence[BlockRows]) -> tuple[Rows, ...]:
    """The rows of several blocks, as a batch adds them: parents first."""

    def of(rows: Callable[[BlockRows], Sequence[Row]]) -> Pieces:
        return Pieces(
            [Piece(block.block[_CHAIN], block.block[_NUMBER], own) for block in blocks if (own := rows(block))]
        )

    return tuple(
        Rows(table, rows)
        for table, rows in (
            (BLOCKS, of(lambda block: (block.block,))),
            (TRANSACTIONS, of(attrgetter("transactions"))),
            (LOGS, of(attrgetter("logs"))),
            (WITHDRAWALS, of(attrgetter("withdrawals"))),
            (UNCLES, of(attrgetter("uncles"))),
            (MERKLE_PROOFS, of(attrgetter("proofs"))),
        )
        if rows
    )


def with_proof(rows: BlockRows, proof: Proof) -> Row:
    """The block's row under another proof, its digest renewed."""
    block = (*rows.block[:_PROOF], str(proof), *rows.block[_PROOF + 1 : _DIGEST])
    return (*block, _digest(block, rows.transactions, rows.logs, rows.withdrawals, rows.uncles))


def _same(value: Value) -> Value:
    return value


_HEADER_TO_ROW: list[tuple[str, Callable[[Any], Value]]] = [
    (field.name, optional_uint256 if field.kind is Kind.UINT256 else _same) for field in HEADER_FIELDS
]
