"""A chain's rows as answers and messages have them: typed, named as the columns, readable by every JSON parser.

Scalars are those of `json_values`. Times are RFC 3339 beside the integer that the chain has. Pure.
"""

import functools
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tidelog.batch import Row
from tidelog.chain.encoding import rlp
from tidelog.chain.forks.bookmarks import Place, place_text, writer_text
from tidelog.chain.proof.outcome import parse_proof
from tidelog.chain.rows.columns import TransactionColumns
from tidelog.chain.rows.tables import BLOCKS, CHANGES, REORGS, WITHDRAWALS
from tidelog.chain.select.selection import is_selected
from tidelog.json_values import HEX, Decimal256, HexText, Time, Whole, hex_text, ms_text, time_text, whole

WENT_BACK = "the store went back: an older copy was restored, or a standby took over without the last changes"
LAGS = "the store ends before this place: it is a replica that lags, or went back and was not written since"

Outcome: TypeAlias = Literal["passed", "not_computable", "not_applicable"]


class Withdrawal(Struct, frozen=True):
    """A withdrawal from the consensus layer (EIP-4895)."""

    position: int
    withdrawal_index: Whole
    validator_index: Whole
    address: HexText
    amount_gwei: Whole


class Log(Struct, frozen=True, omit_defaults=False):
    """A log. `block_hash` and `transaction_hash` are there where they were asked for."""

    block_number: int
    log_index: int
    tx_index: int
    address: HexText
    topics: list[HexText]
    data: HexText
    covered: Annotated[bool, Meta(description="Under the block's receipts root; false: the endpoint's word.")]
    block_hash: HexText | UnsetType = UNSET
    transaction_hash: HexText | UnsetType = UNSET


class ContractEvent(Struct, frozen=True, kw_only=True, tag_field="kind", tag="event"):
    """A contract's log, decoded: a row of `table`."""

    contract: Annotated[str, Meta(description="What it is called; one that others create stands at many addresses.")]
    event: str
    table: str
    log_index: int
    tx_index: int
    transaction_hash: HexText
    address: HexText
    args: Annotated[
        dict[str, Any], Meta(description="By column. Numbers of types with more than 53 bits are text, bytes are hex.")
    ]


class MisfitLog(Struct, frozen=True, kw_only=True, tag_field="kind", tag="misfit"):
    """A contract's log that should be an event's by its first topic, and does not fit its signature."""

    contract: str
    log_index: int
    reason: str
    log: Log


class BlockEvents(Struct, frozen=True, kw_only=True):
    """What contracts logged in a block, in the order of the logs."""

    events: list[ContractEvent | MisfitLog]
    uncovered: Annotated[list[str], Meta(description="Contracts whose events of the block are not held, or not yet.")]


class AccessEntry(Struct, frozen=True):
    """An address of an access list (EIP-2930)."""

    address: HexText
    storage_keys: list[HexText]


class Authorization(Struct, frozen=True):
    """An authorization (EIP-7702)."""

    chain_id: Decimal256
    address: HexText
    nonce: Decimal256
    y_parity: Decimal256
    r: Decimal256
    s: Decimal256


class Receipt(Struct, frozen=True):
    """What became of a transaction. Exactly one of `status` and `root` is set (EIP-658)."""

    status: int | None
    root: HexText | None
    cumulative_gas_used: Whole
    gas_used: Whole
    effective_gas_price: Decimal256 | None
    contract_address: HexText | None
    log_count: int
    deposit_nonce: Whole | None
    deposit_receipt_version: Whole | None


class Transaction(Struct, frozen=True):
    """A transaction of any type, with its receipt. Which fields are null depends on `type` (EIP-2718)."""

    block_number: int
    tx_index: int
    hash: HexText
    type: int
    from_address: Annotated[str, Meta(pattern=HEX, description="The endpoint's word, unless `senders` is proven.")]
    to_address: HexText | None
    nonce: Whole | None
    value: Decimal256 | None
    gas: Whole | None
    gas_price: Decimal256 | None
    max_fee_per_gas: Decimal256 | None
    max_priority_fee_per_gas: Decimal256 | None
    max_fee_per_blob_gas: Decimal256 | None
    input: HexText | None
    signed_chain_id: Whole | None
    access_list: list[AccessEntry] | None
    blob_versioned_hashes: list[HexText] | None
    authorization_list: list[Authorization] | None
    v: Whole | None
    r: HexText | None
    s: HexText | None
    source_hash: HexText | None
    mint: Decimal256 | None
    is_system_tx: bool | None
    covered: Annotated[bool, Meta(description="Under the block's roots; false: the endpoint's word.")]
    extra: Annotated[Any, Meta(description="Fields that the endpoint added of its own; null: none.")]
    receipt: Receipt
    logs: list[Log] | UnsetType = UNSET


_SELECTED = "null: only a selection of the block is held."


class Block(Struct, frozen=True):
    """A block: its header, what was proven of it, and, where asked for, its transactions."""

    number: int
    hash: HexText
    parent_hash: HexText
    ommers_hash: HexText
    miner: HexText
    state_root: HexText
    transactions_root: HexText
    receipts_root: HexText
    logs_bloom: HexText
    difficulty: Decimal256
    gas_limit: Whole
    gas_used: Whole
    timestamp: Whole
    time: Time | None
    extra_data: HexText
    mix_hash: HexText | None
    nonce: HexText | None
    base_fee_per_gas: Decimal256 | None
    withdrawals_root: HexText | None
    blob_gas_used: Whole | None
    excess_blob_gas: Whole | None
    parent_beacon_block_root: HexText | None
    requests_hash: HexText | None
    block_access_list_hash: HexText | None
    slot_number: Whole | None
    uncles: Annotated[list[HexText] | None, Meta(description=f"Their hashes; {_SELECTED}")]
    transaction_count: Annotated[int | None, Meta(description=f"In the block; {_SELECTED}")]
    log_count: Annotated[int | None, Meta(description=f"In the block; {_SELECTED}")]
    withdrawal_count: int | None
    proof: Annotated[dict[str, Outcome], Meta(description="Each check, and what became of it.")]
    extra: Annotated[Any, Meta(description="Fields that the endpoint added of its own; null: none.")]
    ingested_at: Time | None
    withdrawals: list[Withdrawal] | UnsetType | None = UNSET
    transaction_hashes: list[HexText] | UnsetType = UNSET
    transactions: list[Transaction] | UnsetType = UNSET


class Change(Struct, frozen=True):
    """A block that was applied or reverted, in the order of the commits. `seq` has no holes."""

    seq: int
    kind: Literal["apply", "revert"]
    number: int
    hash: HexText
    parent_hash: HexText
    writer: Annotated[
        str, Meta(pattern="^[0-9a-f]{16}$", description="The number that its writer drew when it opened the store.")
    ]


class Reset(Struct, frozen=True):
    """The store went back. Undo what came after `seq`; the changes that follow come after it."""

    seq: Annotated[int, Meta(description="The last change that you and the store have in common.")]
    place: Annotated[str, Meta(description="The same as a place.")]
    reason: str = WENT_BACK


class Wait(Struct, frozen=True):
    """The store ends before your place, and contradicts nothing: a replica that lags. It continues by itself."""

    seq: Annotated[int, Meta(description="The store's last change.")]
    reason: str = LAGS


class Reorg(Struct, frozen=True):
    """A reorganisation: blocks above `fork_number` were dropped, and replaced."""

    seq: Annotated[int, Meta(description="The first of its changes.")]
    fork_number: Annotated[int, Meta(description="The last block that both branches share; first - 1: none is.")]
    depth: Annotated[int, Meta(description="Blocks dropped.")]
    old_head: int
    old_head_hash: HexText
    new_head: int
    new_head_hash: HexText
    reason: Annotated[str, Meta(description="reorg, rewind or shrink.")]
    time: Time | None


# -- from rows ---------------------------------------------------------------------------------------------


def _optional_hex(value: Any) -> str | None:
    return None if value is None else "0x" + value.hex()


def _decimal(value: Any) -> str:
    return str(int.from_bytes(value, "big"))


def _optional_decimal(value: Any) -> str | None:
    return None if value is None else str(int.from_bytes(value, "big"))


_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _json(text: Any) -> Any:
    """The text as it is, once it is seen to be an object."""
    if text is not None:
        _object(text)
    return None if text is None else msgspec.Raw(text.encode())


def block_of(row: Row) -> Block:
    """Without transactions and withdrawals."""
    cells: dict[str, Any] = dict(zip(BLOCKS.names, row, strict=True))
    uncles = cells["uncles"]
    if is_selected(cells["proof"]):
        uncles = cells["transaction_count"] = cells["log_count"] = None
    plain: dict[str, Any] = {name: _optional_hex(cells[name]) for name in _BLOCK_HEX}
    plain |= {name: whole(cells[name]) for name in _BLOCK_WHOLE}
    return Block(
        **plain,
        difficulty=_decimal(cells["difficulty"]),
        base_fee_per_gas=_optional_decimal(cells["base_fee_per_gas"]),
        time=time_text(cells["timestamp"] * 1_000_000),
        uncles=None if uncles is None else [hex_text(uncles[i : i + 32]) for i in range(0, len(uncles), 32)],
        proof=_outcomes(cells["proof"]),
        extra=_json(cells["extra"]),
        ingested_at=ms_text(cells["ingested_at"]),
    )


@functools.lru_cache(maxsize=1_000)  # a chain's blocks have some dozen proofs: each is read once
def _outcomes(proof: str) -> dict[str, Outcome]:
    return {name: _OUTCOMES[result.outcome.value] for name, result in parse_proof(proof).results.items()}


_OUTCOMES: dict[str, Outcome] = {"+": "passed", "?": "not_computable", "-": "not_applicable"}
_BLOCK_HEX = (
    *("hash", "parent_hash", "ommers_hash", "miner", "state_root", "transactions_root", "receipts_root"),
    *("logs_bloom", "extra_data", "mix_hash", "nonce", "withdrawals_root", "parent_beacon_block_root"),
    *("requests_hash", "block_access_list_hash"),
)
_BLOCK_WHOLE = (
    *("number", "gas_limit", "gas_used", "timestamp", "blob_gas_used", "excess_blob_gas", "slot_number"),
    *("transaction_count", "log_count", "withdrawal_count"),
)


def transaction_of(row: Any, logs: list[Log] | UnsetType = UNSET) -> Transaction:
    tx = TransactionColumns._make(row)  # each named once: by tables of names a page of fifty took twice as long
    access, hashes, authorizations = tx.access_list, tx.blob_versioned_hashes, tx.authorization_list
    return Transaction(
        block_number=whole(tx.block_number),
        tx_index=whole(tx.tx_index),
        hash=hex_text(tx.hash),
        type=whole(tx.type),
        from_address=hex_text(tx.from_address),
        to_address=_optional_hex(tx.to_address),
        nonce=whole(tx.nonce),
        value=_optional_decimal(tx.value),
        gas=whole(tx.gas),
        gas_price=_optional_decimal(tx.gas_price),
        max_fee_per_gas=_optional_decimal(tx.max_fee_per_gas),
        max_priority_fee_per_gas=_optional_decimal(tx.max_priority_fee_per_gas),
        max_fee_per_blob_gas=_optional_decimal(tx.max_fee_per_blob_gas),
        input=_optional_hex(tx.input),
        signed_chain_id=whole(tx.signed_chain_id),
        access_list=None if access is None else [_access_entry(entry) for entry in rlp.decode(access)],
        blob_versioned_hashes=None if hashes is None else [hex_text(item) for item in rlp.decode(hashes)],
        authorization_list=None if authorizations is None else [_authorization(x) for x in rlp.decode(authorizations)],
        v=whole(tx.v),
        r=_optional_hex(tx.r),
        s=_optional_hex(tx.s),
        source_hash=_optional_hex(tx.source_hash),
        mint=_optional_decimal(tx.mint),
        is_system_tx=None if tx.is_system_tx is None else bool(tx.is_system_tx),
        covered=bool(tx.covered),
        extra=_json(tx.extra),
        receipt=Receipt(
            tx.status,
            _optional_hex(tx.root),
            whole(tx.cumulative_gas_used),
            whole(tx.gas_used),
            _optional_decimal(tx.effective_gas_price),
            _optional_hex(tx.contract_address),
            tx.log_count,
            whole(tx.deposit_nonce),
            whole(tx.deposit_receipt_version),
        ),
        logs=logs,
    )


def _access_entry(entry: Any) -> AccessEntry:
    address, keys = entry
    return AccessEntry(hex_text(address), [hex_text(key) for key in keys])


def _authorization(item: Any) -> Authorization:
    chain_id, address, nonce, y_parity, r, s = item
    return Authorization(
        _decimal(chain_id), hex_text(address), _decimal(nonce), _decimal(y_parity), _decimal(r), _decimal(s)
    )


def log_of(row: Any, block_hash: bytes | None = None, transaction_hash: bytes | None = None) -> Log:
    _, number, log_index, tx_index, address, *topics, data, covered = row
    return Log(
        number,
        log_index,
        tx_index,
        hex_text(address),
        [hex_text(topic) for topic in topics if topic is not None],
        hex_text(data),
        bool(covered),
        UNSET if block_hash is None else hex_text(block_hash),
        UNSET if transaction_hash is None else hex_text(transaction_hash),
    )


def withdrawal_of(row: Any) -> Withdrawal:
    _, _, position, index, validator, address, amount = row
    assert len(row) == len(WITHDRAWALS.columns)
    return Withdrawal(position, whole(index), whole(validator), hex_text(address), whole(amount))


def change_of(row: Any) -> Change:
    _, seq, kind, number, block_hash, parent_hash, writer = row
    assert len(row) == len(CHANGES.columns)
    return Change(seq, kind, number, hex_text(block_hash), hex_text(parent_hash), writer_text(writer))


def reset_of(place: Place) -> Reset:
    return Reset(place.seq, place_text(place))


def reorg_of(row: Any) -> Reorg:
    _, seq, fork, depth, old_head, old_hash, new_head, new_hash, reason, at_ms = row
    assert len(row) == len(REORGS.columns)
    return Reorg(seq, fork, depth, old_head, hex_text(old_hash), new_head, hex_text(new_hash), reason, ms_text(at_ms))
