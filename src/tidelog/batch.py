"""What goes into a store, as plain values: tables, rows, checkpoints, and the `Batch` that is one commit.

This is the waist of tidelog. Chain and market make batches without knowing a database; a store commits
them without knowing a chain or a market. No I/O in here.

Row values are None, int, str, bytes; which integers a column takes is its `Kind`, and a UINT256 is 32 bytes,
big-endian. The canonical encoding of a row is the msgpack array of its values in column order, in msgpack's
shortest form; an integer beyond msgpack's 64 bits is extension type 1 over its big-endian bytes. Digests are
SHA-256 over such encodings, so that they are equal on every backend and machine.
"""

import enum
import hashlib
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Value, ...]

INT_MAX = 2**63 - 1  # what SQLite's INTEGER and PostgreSQL's BIGINT hold
UINT64_MAX = 2**64 - 1  # of gas, nonces and times, by the protocol
NUMBER_MAX = 2**256 - 1  # 77 digits: a price of a market that counts in atoms, and what NUMERIC(78, 0) takes


class Kind(enum.Enum):
    """What a column holds, and so what each backend stores it as."""

    INT = "int"  # signed 64 bits: INTEGER, BIGINT
    # The next two are INTEGER in SQLite up to INT_MAX and 32 bytes beyond: SQLite sorts a BLOB behind all integers.
    UINT64 = "uint64"  # 0 to UINT64_MAX; NUMERIC(20,0) in PostgreSQL
    NUMBER = "number"  # 0 to NUMBER_MAX; NUMERIC(78,0)
    TEXT = "text"  # TEXT
    BYTES = "bytes"  # BLOB, BYTEA
    UINT256 = "uint256"  # 32 bytes big-endian in a row and in SQLite, NUMERIC(78,0) in PostgreSQL


WIDE = frozenset((Kind.UINT64, Kind.NUMBER))  # integers that may be beyond what a database's own integers hold


class Column(Struct, frozen=True):
    """A column. `content` is False for facts of ingestion (when, from where): no digest compares them."""

    name: str
    kind: Kind
    nullable: bool = False
    content: bool = True


class Table(Struct, frozen=True, dict=True):
    """A table: its columns in the order of a row, its natural key, and what a rollback goes by.

    `scope` is the column that says whose row it is (a chain id, say), `height` the one that a rollback
    compares; tables without a `height` are never rolled back. `content` tables are covered by digests, but a
    `later` one only when it has rows: it came when stores had their digests already, and these must stay.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    scope: str | None = None
    height: str | None = None
    content: bool = True
    later: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple([column.name for column in self.columns])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def wide(self) -> frozenset[str]:
        """The columns whose integers may be beyond 64 bits with a sign."""
        return frozenset([column.name for column in self.columns if column.kind in WIDE])

    def index(self, name: str) -> int:
        """The position of a column in a row; ValueError if there is none of that name."""
        try:
            return self._places[name]
        except KeyError:
            raise ValueError(f"{self.name} has no column {name}") from None


class Rows(Struct, frozen=True):
    """Rows for one table. `rows` is sized and can be walked again: a retry walks it a second time."""

    table: Table
    rows: Collection[Row]


class Rollback(Struct, frozen=True):
    """Delete, in `tables` order, every row of `scope` whose height is above `keep`, up to `through`."""

    tables: tuple[Table, ...]
    scope: int | str
    keep: int
    through: int | None = None  # None: without an end

    @property
    def last(self) -> int:
        """The highest height that is deleted."""
        return INT_MAX if self.through is None else self.through


class Drop(Struct, frozen=True):
    """Delete the rows of `scope` in which the named columns have these values, up to `through`.

    That is of the table's `height`, or of the last column of its key.
    """

    table: Table
    scope: int | str
    where: tuple[tuple[str, Value], ...]
    through: int

    @property
    def ranged(self) -> str:
        return self.table.height or self.table.key[-1]


class Checkpoint(Struct, frozen=True):
    """How far a source is, and who may move it: one row per source.

    Opening a writer raises `epoch`, each commit raises `commit_seq`. `position` is text that only the
    source's own code reads; None as long as nothing was committed.
    """

    source: str
    epoch: int
    commit_seq: int
    position: str | None

    def advanced(self, position: str) -> "Checkpoint":
        """The checkpoint after one commit that moves to `position`."""
        return Checkpoint(self.source, self.epoch, self.commit_seq + 1, position)


class Batch(Struct, frozen=True):
    """One commit: everything in it becomes visible at once, or nothing does.

    The order of work: check that the stored checkpoint is `before`, delete what `rollback` and `drop` name, insert
    `add` (a row whose key is there already is `Corruption`), replace `put` by key, store `after`.
    """

    before: Checkpoint
    after: Checkpoint
    add: tuple[Rows, ...] = ()
    put: tuple[Rows, ...] = ()
    rollback: Rollback | None = None
    drop: tuple[Drop, ...] = ()

    @property
    def row_count(self) -> int:
        return sum(len(rows.rows) for rows in (*self.add, *self.put))


class Outcome(enum.Enum):
    """What a commit did. Both are success: the store is at `batch.after`."""

    COMMITTED = "committed"
    ALREADY = "already"  # an earlier try of the same batch had reached the store


_encoder = msgspec.msgpack.Encoder()
_INTEGER = 1  # msgpack's extension type of an integer that msgpack has no form for


def encode_row(row: Row) -> bytes:
    """The canonical encoding of one row."""
    try:
        return _encoder.encode(row)
    except OverflowError:
        return _encoder.encode([_extended(value) for value in row])


def _extended(value: Value) -> Value | msgspec.msgpack.Ext:
    if isinstance(value, int) and UINT64_MAX < value <= NUMBER_MAX:
        return msgspec.msgpack.Ext(_INTEGER, value.to_bytes((value.bit_length() + 7) // 8, "big"))
    return value


def _integer(code: int, content: memoryview) -> int:
    if code != _INTEGER or len(content) > 32:
        raise ValueError(f"extension type {code} with {len(content)} bytes is no value of a row")
    return int.from_bytes(content, "big")


_decoder = msgspec.msgpack.Decoder(tuple[Any, ...], ext_hook=_integer)


def decode_row(content: bytes) -> Row:
    """What `encode_row` encoded; msgspec.MsgspecError or ValueError if it is no row. Its types are to be checked."""
    return _decoder.decode(content)


def rows_digest(groups: Iterable[tuple[Table, Iterable[Row]]]) -> bytes:
    """SHA-256 over all columns of the rows, table by table: what a block's `rows_digest` column holds."""
    digest = hashlib.sha256()
    for table, rows in groups:
        digest.update(_encoder.encode(table.name))
        for row in rows:
            digest.update(encode_row(row))
    return digest.digest()


class ContentDigest:
    """The digest of one table's content, fed with rows in key order."""

    def __init__(self, table: Table) -> None:
        self._positions = [i for i, column in enumerate(table.columns) if column.content]
        self._whole = len(self._positions) == len(table.columns)
        self._digest = hashlib.sha256(_encoder.encode(table.name))
        self.row_count = 0

    def update(self, rows: Iterable[Row]) -> None:
        digest, encode, positions = self._digest, encode_row, self._positions
        for row in rows:
            digest.update(encode(row if self._whole else tuple([row[i] for i in positions])))
            self.row_count += 1

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def uint256(value: int) -> bytes:
    """A 256-bit integer as a row holds it. OverflowError if it is negative or larger."""
    return value.to_bytes(32, "big")


def optional_uint256(value: int | None) -> bytes | None:
    return None if value is None else value.to_bytes(32, "big")


def table_map(tables: Iterable[Table]) -> dict[str, Table]:
    return {table.name: table for table in tables}


def _int(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    return Column(name, Kind.INT, nullable, content)


def _uint64(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.UINT64, nullable)


def _number(name: str) -> Column:
    return Column(name, Kind.NUMBER)


def _bytes(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    return Column(name, Kind.BYTES, nullable, content)


def _text(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    return Column(name, Kind.TEXT, nullable, content)


def _uint256(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.UINT256, nullable)


CHAINS = Table(
    "chains",
    (
        _int("chain_id"),
        _bytes("genesis_hash", nullable=True),  # null where no endpoint would tell
        _text("profile"),  # JSON: the checks that hold on this chain, as known when it was first seen
        _text("spec", nullable=True, content=False),  # JSON: what differs from it by range of blocks, with evidence
    ),
    key=("chain_id",),
    scope="chain_id",
)

BLOCKS = Table(
    "blocks",
    (
        _int("chain_id"),
        _int("number"),
        _bytes("hash"),
        _bytes("parent_hash"),
        _bytes("ommers_hash"),
        _bytes("miner"),
        _bytes("state_root"),
        _bytes("transactions_root"),
        _bytes("receipts_root"),
        _bytes("logs_bloom"),
        _uint256("difficulty"),
        _uint64("gas_limit"),
        _uint64("gas_used"),
        _uint64("timestamp"),
        _bytes("extra_data"),
        _bytes("mix_hash", nullable=True),
        _bytes("nonce", nullable=True),
        _uint256("base_fee_per_gas", nullable=True),
        _bytes("withdrawals_root", nullable=True),
        _uint64("blob_gas_used", nullable=True),
        _uint64("excess_blob_gas", nullable=True),
        _bytes("parent_beacon_block_root", nullable=True),
        _bytes("requests_hash", nullable=True),
        _bytes("block_access_list_hash", nullable=True),
        _uint64("slot_number", nullable=True),
        _bytes("uncles"),  # the uncles' hashes, one after the other, as the endpoint gave them
        _int("transaction_count"),
        _int("log_count"),
        _int("withdrawal_count", nullable=True),  # null: the block carries no list of withdrawals
        _text("proof"),  # each check and its outcome, see chain/proof.py
        _text("extra", nullable=True, content=False),  # JSON: fields that this endpoint added of its own
        _text("endpoint", content=False),
        _int("ingested_at", content=False),  # Unix time, milliseconds
        _bytes("rows_digest", content=False),  # over this row's other columns and the block's other rows
    ),
    key=("chain_id", "number"),
    scope="chain_id",
    height="number",
)

TRANSACTIONS = Table(
    "transactions",
    (
        _int("chain_id"),
        _int("block_number"),
        _int("tx_index"),
        _bytes("hash"),
        _int("type"),
        _bytes("from_address"),
        _bytes("to_address", nullable=True),  # null: creates a contract
        _uint64("nonce", nullable=True),  # null only for deposits and, as value, gas and input, for unknown types
        _uint256("value", nullable=True),
        _uint64("gas", nullable=True),
        _uint256("gas_price", nullable=True),  # what types 0 and 1 sign; null where fees are capped
        _uint256("max_fee_per_gas", nullable=True),
        _uint256("max_priority_fee_per_gas", nullable=True),
        _uint256("max_fee_per_blob_gas", nullable=True),
        _bytes("input", nullable=True),
        _uint64("signed_chain_id", nullable=True),  # as typed transactions sign it
        _bytes("access_list", nullable=True),  # RLP, as the transaction carries it
        _bytes("blob_versioned_hashes", nullable=True),  # RLP
        _bytes("authorization_list", nullable=True),  # RLP
        _uint64("v", nullable=True),  # v of type 0, y parity of the others
        _bytes("r", nullable=True),  # 32 bytes
        _bytes("s", nullable=True),
        _bytes("source_hash", nullable=True),  # OP stack deposits only, and the next two
        _uint256("mint", nullable=True),
        _int("is_system_tx", nullable=True),
        _int("status", nullable=True),  # exactly one of status and root is set
        _bytes("root", nullable=True),  # receipts before Byzantium
        _uint64("cumulative_gas_used"),
        _uint64("gas_used"),  # this one and the next three are derived where the chain's profile has that check
        _uint256("effective_gas_price", nullable=True),
        _bytes("contract_address", nullable=True),
        _int("log_count"),
        _uint64("deposit_nonce", nullable=True),
        _uint64("deposit_receipt_version", nullable=True),
        _int("covered"),  # 1: under the block's roots; 0: the endpoint's word
        _text("extra", nullable=True, content=False),  # JSON: {"transaction": {..}, "receipt": {..}}
    ),
    key=("chain_id", "block_number", "tx_index"),
    scope="chain_id",
    height="block_number",
)

LOGS = Table(
    "logs",
    (
        _int("chain_id"),
        _int("block_number"),
        _int("log_index"),  # within the block
        _int("tx_index"),
        _bytes("address"),
        _bytes("topic0", nullable=True),
        _bytes("topic1", nullable=True),
        _bytes("topic2", nullable=True),
        _bytes("topic3", nullable=True),
        _bytes("data"),
        _int("covered"),
    ),
    key=("chain_id", "block_number", "log_index"),
    scope="chain_id",
    height="block_number",
)

WITHDRAWALS = Table(
    "withdrawals",
    (
        _int("chain_id"),
        _int("block_number"),
        _int("position"),  # within the block
        _uint64("withdrawal_index"),  # the consensus layer's running number
        _uint64("validator_index"),
        _bytes("address"),
        _uint64("amount_gwei"),
    ),
    key=("chain_id", "block_number", "position"),
    scope="chain_id",
    height="block_number",
)

UNCLES = Table(
    "uncles",
    (
        _int("chain_id"),
        _int("block_number"),  # of the block that names the uncle
        _int("position"),  # within the block
        _bytes("hash"),
        _bytes("header"),  # RLP, all of it: what the block's ommers hash is over
    ),
    key=("chain_id", "block_number", "position"),
    scope="chain_id",
    height="block_number",
    later=True,
)

CHANGES = Table(
    "changes",
    (
        _int("chain_id"),
        _int("seq"),  # gapless from 1; the checkpoint's position holds the last one
        _text("kind"),  # apply | revert
        _int("number"),
        _bytes("hash"),
        _bytes("parent_hash"),
    ),
    key=("chain_id", "seq"),
    scope="chain_id",
    content=False,
)

REORGS = Table(
    "reorgs",
    (
        _int("chain_id"),
        _int("seq"),  # of the first change that this reorg made
        _int("fork_number"),  # the last block that both branches share; first - 1 if none is
        _int("depth"),  # blocks dropped
        _int("old_head"),
        _bytes("old_head_hash"),
        _int("new_head"),
        _bytes("new_head_hash"),
        _text("reason"),  # reorg | rewind | shrink
        _int("at"),  # Unix time, milliseconds
    ),
    key=("chain_id", "seq"),
    scope="chain_id",
    content=False,
)

GAPS = Table(
    "gaps",
    (
        _text("source"),
        _text("scope"),  # within the source: a symbol and channel, say
        _int("first"),  # the first and last position that are missing, in the source's own count
        _int("last"),
        _text("reason"),
        _int("opened_at"),  # Unix time, milliseconds
        _int("closed_at", nullable=True),
    ),
    key=("source", "scope", "first"),
    scope="source",
    content=False,
)

INSTRUMENTS = Table(
    "instruments",
    (
        _text("source"),
        _text("symbol"),
        _text("base"),
        _text("quote"),
        _text("status"),
        _int("price_precision"),  # decimals with which prices enter a checksum
        _int("qty_precision"),
        _number("price_increment"),  # in units of 10**-price_increment_scale
        _int("price_increment_scale"),
        _number("qty_increment"),
        _int("qty_increment_scale"),
        _int("updated_us", content=False),  # Unix time, microseconds, by the journal
    ),
    key=("source", "symbol"),
    scope="source",
)

TRADES = Table(
    "trades",
    (
        _text("source"),
        _text("symbol"),
        _int("time_us"),  # Unix time, microseconds, by the exchange
        _int("ordinal"),  # the trade id; without one, the place among the frame's trades of this time
        _number("price"),  # in units of 10**-price_scale
        _number("qty"),
        _text("side"),  # of the taker: buy | sell
        _text("ord_type"),  # of the taker: limit | market
        _int("price_scale"),
        _int("qty_scale"),
        _int("trade_id", nullable=True),  # unique per source and symbol; null where the exchange gives none
        _int("run", content=False),  # the frame in the journal, and when it was received
        _int("seq", content=False),
        _int("received_us", content=False),
    ),
    key=("source", "symbol", "time_us", "ordinal", "price", "qty", "side", "ord_type"),
    scope="source",
    height="time_us",
)

CANDLES = Table(
    "candles",
    (
        _text("source"),
        _text("symbol"),
        _int("interval_s"),
        _int("time_us"),  # when it begins: Unix time, microseconds, a multiple of the interval
        _number("open"),  # in units of 10**-price_scale, and the next three
        _number("high"),
        _number("low"),
        _number("close"),
        _int("price_scale"),
        _uint256("volume"),  # in units of 10**-qty_scale
        _int("qty_scale"),
        _uint256("turnover"),  # sum of price times quantity, in units of 10**-(price_scale + qty_scale)
        _int("trades"),
        # whether all trades of its time are held, 0 or 1; null: see market/completeness.py for what shows it
        _int("complete", nullable=True, content=False),
    ),
    key=("source", "symbol", "interval_s", "time_us"),
    scope="source",
)

BOOK_SNAPSHOTS = Table(
    "book_snapshots",
    (
        _text("source"),
        _text("symbol"),
        _int("time_us"),  # Unix time, microseconds, by the journal
        _int("exchange_us", nullable=True),  # the same by the exchange, where the message has it
        _int("depth"),  # as subscribed
        _int("proven_depth"),  # levels of each side that the exchange's checksum proved; 0: none
        _int("price_scale"),
        _int("qty_scale"),
        _bytes("levels"),  # the best of both sides, see market/rows.py
        _int("run", content=False),
        _int("seq", content=False),
    ),
    key=("source", "symbol", "time_us"),
    scope="source",
)

COVERAGE = Table(
    "coverage",
    (
        _text("source"),
        _text("symbol"),
        _text("channel"),  # book | trade
        _int("since_us"),  # Unix time, microseconds, by the journal
        _int("until_us"),  # as far as it is known to reach; the next interval begins here
        _text("state"),  # proven | unproven | gap
        _text("reason", nullable=True),  # why it is not proven
        _int("closed_at", nullable=True),  # Unix time, milliseconds: when all that a gap missed had come
    ),
    key=("source", "symbol", "channel", "since_us"),
    scope="source",
    content=False,
)

TOKENS = Table(
    "tokens",
    (
        _text("name"),
        _bytes("hash"),  # SHA-256 of the token, which itself is nowhere
        _text("scopes"),  # in order, with a space between: read | metrics
        _int("created_at"),  # Unix time, milliseconds, and the next two
        _int("expires_at", nullable=True),
        _int("revoked_at", nullable=True),
    ),
    key=("name",),
    content=False,
)

BLOCK_TABLES = (
    LOGS,
    TRANSACTIONS,
    WITHDRAWALS,
    UNCLES,
    BLOCKS,
)  # the order in which a rollback deletes: children first
MARKET_TABLES = (INSTRUMENTS, TRADES, CANDLES, BOOK_SNAPSHOTS, COVERAGE)
TABLES = (CHAINS, BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES, CHANGES, REORGS, GAPS, *MARKET_TABLES, TOKENS)


def content_tables(tables: Iterable[Table] = TABLES) -> Iterator[Table]:
    return (table for table in tables if table.content)
