"""`tidelog chain blocks | logs | transactions`: what a store holds of a chain. Reads only, by its indexes.

Hashes and addresses are printed as hex, amounts in wei as decimal text, times as Unix seconds; with `--json` one object
a line. Where nothing is found, a sentence on standard error says what there is.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from tidelog.batch import INT_MAX, Row, Value
from tidelog.chain.forks.position import Counts, Position, counts
from tidelog.chain.reading.held import covered_from, require_whole
from tidelog.chain.reading.log_search import TOPICS, select_logs
from tidelog.chain.reading.places import RowWithoutBlock, block_facts, transaction_hashes
from tidelog.chain.reading.position import stored_position
from tidelog.chain.reading.transaction_search import select_transactions
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS
from tidelog.chain.select.selection import is_selected
from tidelog.cli.chain.lists import BLOCK_COLUMNS, LOG_COLUMNS, TRANSACTION_COLUMNS
from tidelog.cli.listing import print_rows
from tidelog.cli.options import HASH, Form, hexadecimal, limited
from tidelog.cli.out import complain
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import ConfigError
from tidelog.runtime import run
from tidelog.store import Condition, Snapshot
from tidelog.store.merged import ALTERNATIVES_MAX

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
NUMBER_DIGITS_MAX = 19  # of what a column holds


class QueryLimits(Struct, frozen=True, kw_only=True):
    """What one query may cost."""

    span_blocks_max: int = 100_000  # whose logs are compared one by one, where no index helps: seconds


USUAL = QueryLimits()


class StoredRange(Struct, frozen=True):
    """What a store has of a chain."""

    chain: int
    first: int
    last: int
    counts: Counts | None
    position: Position

    async def held_from(
        self,
        snapshot: Snapshot,
        addresses: Sequence[bytes],
        topics: Sequence[bytes] | None,
        low: int | None,
        high: int | None,
    ) -> int | None:
        """The first block of a search for logs. NotHeld: the store holds a selection in which not all of it is."""
        if not self.position.selection:
            return low
        last = self.last if high is None else min(high, self.last)
        return await covered_from(snapshot, self.chain, self.position, addresses, topics, low, last)

    def __str__(self) -> str:
        lowest = self.position.lowest
        below = "" if lowest == self.first else f", and of blocks from {lowest} on is asked what contracts logged"
        return f"chain {self.chain} is stored from block {self.first} to {self.last}{below}"


def list_blocks(db: str, chain_id: int | None, *, low: int | None, high: int | None, limit: int, form: Form) -> None:
    run(_blocks(db, chain_id, height("--from", low), height("--to", high), limited(limit), form), brief=True)


async def _blocks(db: str, chain_id: int | None, low: int | None, high: int | None, limit: int, form: Form) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            await stored_range(snapshot, chain, low, high)
            rows = await snapshot.select(BLOCKS, scope=chain, low=low, high=high, descending=True, limit=limit)
    names = ("number", "hash", "timestamp", "transaction_count", "log_count", "gas_used", "proof")
    print_rows([{name: _cell(row, name) for name in names} for row in rows], BLOCK_COLUMNS, form)


def _cell(row: Row, name: str) -> Value:
    """A block's column; how many transactions and logs it has, a selection does not know."""
    if name in ("transaction_count", "log_count") and is_selected(str(row[BLOCKS.index("proof")])):
        return None
    return row[BLOCKS.index(name)]


def list_logs(
    db: str,
    chain_id: int | None,
    *,
    address: Sequence[str],
    topics: Sequence[Sequence[str]],
    low: int | None,
    high: int | None,
    limit: int,
    form: Form,
    limits: QueryLimits = USUAL,
) -> None:
    """List logs; `topics` has the alternatives of each position.

    Raises:
        ConfigError: an argument cannot be meant, the store has no such blocks, or the search is too wide.
    """
    addresses = addresses_given("--address", address)
    where: dict[str, Condition] = {}
    for name, texts in zip(TOPICS, topics, strict=True):
        if texts:
            values = _values(f"--{name}", texts, HASH, "a topic of 32 bytes")
            where[name] = values if len(values) > 1 or name == "topic0" else values[0]
    low, high = height("--from", low), height("--to", high)
    run(_logs(db, chain_id, addresses, where, low, high, limited(limit), form, limits), brief=True)


async def _logs(
    db: str,
    chain_id: int | None,
    addresses: tuple[bytes, ...],
    topics: dict[str, Condition],
    low: int | None,
    high: int | None,
    limit: int,
    form: Form,
    limits: QueryLimits,
) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            stored = await stored_range(snapshot, chain, low, high)
            if topics and not addresses and "topic0" not in topics:
                _require_narrow(stored, low, high, limits.span_blocks_max)
            first = topics.get("topic0")
            low = await stored.held_from(snapshot, addresses, first if isinstance(first, tuple) else None, low, high)
            rows = await select_logs(
                snapshot, chain, addresses=addresses, topics=topics, low=low, high=high, limit=limit
            )
            if not rows and (addresses or topics):
                say_none("log", stored)
            shown = await _log_cells(snapshot, chain, rows)
    print_rows(shown, LOG_COLUMNS, form)


def _require_narrow(stored: StoredRange, low: int | None, high: int | None, most: int) -> None:
    low, high = max(stored.first, low or 0), min(stored.last, INT_MAX if high is None else high)
    if high - low >= most:
        raise ConfigError(
            f"blocks {low} to {high} are {high - low + 1}, and by --topic1 to --topic3 alone at most {most} are "
            f"looked through: say --address or --topic0 too, or --from and --to"
        )


async def _log_cells(snapshot: Snapshot, chain: int, rows: Sequence[Row]) -> list[dict[str, Value]]:
    """Logs as they are printed, joined with their block's time and their transaction's hash."""
    places: Any = {(row[LOGS.index("block_number")], row[LOGS.index("tx_index")]) for row in rows}
    facts: Mapping[Any, Any] = await block_facts(snapshot, chain, (number for number, _ in places))
    hashes: Mapping[Any, bytes] = await transaction_hashes(snapshot, chain, places)
    shown = []
    for row in rows:
        cells = dict(zip(LOGS.names, row, strict=True))
        number, index = cells["block_number"], cells["tx_index"]
        if number not in facts or (number, index) not in hashes:
            raise RowWithoutBlock(chain, number, "a log is there, and its block or transaction is not")
        shown.append(
            {
                "block_number": number,
                "timestamp": facts[number].timestamp,
                "log_index": cells["log_index"],
                "tx_index": index,
                "tx_hash": hashes[number, index],
                **{name: cells[name] for name in ("address", *TOPICS, "data")},
            }
        )
    return shown


def list_transactions(
    db: str,
    chain_id: int | None,
    *,
    sender: Sequence[str],
    receiver: Sequence[str],
    block: str | None,
    low: int | None,
    high: int | None,
    limit: int,
    form: Form,
) -> None:
    senders, receivers = addresses_given("--sender", sender), addresses_given("--receiver", receiver)
    if len(senders) > 1 and len(receivers) > 1:
        raise ConfigError("there are several of --sender and several of --receiver: give one of either of them")
    key = None if block is None else _block_key(block)
    if key is not None and (low is not None or high is not None):
        raise ConfigError("--block replaces --from and --to: give one or the other")
    low, high = height("--from", low), height("--to", high)
    run(_transactions(db, chain_id, senders, receivers, key, low, high, limited(limit), form), brief=True)


async def _transactions(
    db: str,
    chain_id: int | None,
    senders: tuple[bytes, ...],
    receivers: tuple[bytes, ...],
    key: int | bytes | None,
    low: int | None,
    high: int | None,
    limit: int,
    form: Form,
) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            if key is not None:
                low = high = await _number_of(snapshot, chain, key)
            stored = await stored_range(snapshot, chain, low, high)
            require_whole(chain, stored.position, "other transactions")
            rows = await select_transactions(
                snapshot, chain, senders, receivers, low=low, high=high, limit=limit, descending=key is None
            )
            if not rows and (senders or receivers):
                say_none("transaction", stored)
            shown = await _transaction_cells(snapshot, chain, rows)
    print_rows(shown, TRANSACTION_COLUMNS, form)


async def _transaction_cells(snapshot: Snapshot, chain: int, rows: Sequence[Row]) -> list[dict[str, Value]]:
    numbers: Any = {row[TRANSACTIONS.index("block_number")] for row in rows}
    facts: Mapping[Any, Any] = await block_facts(snapshot, chain, numbers)
    shown = []
    for row in rows:
        cells = dict(zip(TRANSACTIONS.names, row, strict=True))
        number = cells["block_number"]
        if number not in facts:
            raise RowWithoutBlock(chain, number, "a transaction is there, and its block is not")
        shown.append(
            {
                "block_number": number,
                "timestamp": facts[number].timestamp,
                **{name: cells[name] for name in ("tx_index", "hash", "type", "from_address", "to_address")},
                "value": _wei(cells["value"]),
                **{name: cells[name] for name in ("nonce", "status", "gas_used")},
                "effective_gas_price": _wei(cells["effective_gas_price"]),
                **{name: cells[name] for name in ("contract_address", "log_count")},
            }
        )
    return shown


def _wei(value: Value) -> str | None:
    """Decimal text: JSON's readers make a float of large numbers."""
    return str(int.from_bytes(value, "big")) if isinstance(value, bytes) else None


async def stored_range(snapshot: Snapshot, chain: int, low: int | None, high: int | None) -> StoredRange:
    """What there is. ConfigError if it has none of the blocks `low` to `high`."""
    position = await stored_position(snapshot, chain)
    if position is None:
        raise ConfigError(f"the store names chain {chain} and holds none of its blocks")
    stored = StoredRange(chain, position.first, position.head, counts(position), position)
    if low is not None and high is not None and low > high:
        raise ConfigError(f"--from {low} is above --to {high}")
    if low is not None and low > stored.last:
        raise ConfigError(f"there is no block from {low} on: {stored}")
    if high is not None and high < position.lowest:
        raise ConfigError(f"there is no block up to {high}: {stored}")
    return stored


async def _number_of(snapshot: Snapshot, chain: int, key: int | bytes) -> int:
    """The number of a stored block. ConfigError if it is not there, which says what is."""
    stored = await stored_range(snapshot, chain, None, None)
    if isinstance(key, int):
        if not stored.first <= key <= stored.last:
            raise ConfigError(f"--block {key} is not there: {stored}")
        return key
    rows = await snapshot.select(BLOCKS, scope=chain, where={"hash": key}, limit=1, columns=("number",))
    if not rows:
        raise ConfigError(f"--block 0x{key.hex()} is not there: {stored}")
    (number,) = rows[0]
    assert isinstance(number, int)
    return number


def say_none(what: Literal["block", "transaction", "log"], stored: StoredRange) -> None:
    """On standard error: an empty list is an answer, and not a mistake."""
    there = "" if stored.counts is None else f", with {getattr(stored.counts, f'{what}s')} {what}s"
    complain(f"tidelog: no {what} is such a one: {stored}{there}")


def addresses_given(flag: str, texts: Sequence[str]) -> tuple[bytes, ...]:
    return _values(flag, texts, ADDRESS, "an address of 20 bytes")


def _values(flag: str, texts: Sequence[str], pattern: re.Pattern[str], what: str) -> tuple[bytes, ...]:
    """Each once."""
    if len(texts) > ALTERNATIVES_MAX:
        raise ConfigError(f"{flag}: {len(texts)} are given, at most {ALTERNATIVES_MAX} go in one query")
    return tuple(dict.fromkeys(hexadecimal(flag, text, pattern, what) for text in texts))


def _block_key(text: str) -> int | bytes:
    if text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX and int(text) <= INT_MAX:
        return int(text)
    return hexadecimal("--block", text, HASH, "a block number, or a hash of 32 bytes")


def height(flag: str, value: int | None) -> int | None:
    if value is not None and not 0 <= value <= INT_MAX:
        raise ConfigError(f"{flag} {value}: give a block number")
    return value
