"""A chain's outbox as a stream. Each listener has its own place in the table, and reads it page by page.

So a listener that is slow costs nothing, and nothing is lost to it: what it has not read stays where it is. The
numbers have no gaps; whoever stores each with its effect has every change once.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from tidelog.api.chain_fields import Block, Change, block_of, hex_text
from tidelog.api.live.messages import Message, Messages
from tidelog.api.live.messages import message as make
from tidelog.api.live.topics import Changes
from tidelog.api.live.watch import Watches
from tidelog.api.problems import Refused
from tidelog.batch import BLOCKS, CHANGES, Row
from tidelog.chain.position import APPLY, decode_position, source_of
from tidelog.errors import Corruption, StoreError
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store

__all__ = ["PAGE_ROWS", "change_stream"]

PAGE_ROWS = 200  # of one read, and of one send: 50 kB, or with headers 400 kB
RETRY_S = 1.0  # after a read that failed: a database that restarts is back within a few

_NUMBER, _HASH = BLOCKS.index("number"), BLOCKS.index("hash")


class LiveChange(Change, frozen=True, kw_only=True):
    """A change, with the block's header where that was asked for; null where it is reverted, or was since."""

    block: Block | UnsetType | None = UNSET


async def change_stream(store: Store, runtime: Runtime, watches: Watches, topic: Changes) -> Messages:
    """The changes after a place, and those that are committed from now on.

    Raises:
        Refused: the store has no such chain, or no such change yet.
    """
    async with store.snapshot() as snapshot:
        last = await _last(snapshot, topic.chain)
    if last is None:
        raise Refused(404, f"the store holds no chain {topic.chain}")
    if topic.after is not None and topic.after > last:
        raise Refused(400, f"after is {topic.after}, and the last change of chain {topic.chain} is {last}")
    return _follow(store, runtime, watches, topic, last if topic.after is None else topic.after)


async def _last(snapshot: Snapshot, chain: int) -> int | None:
    checkpoint = await snapshot.checkpoint(source_of(chain))
    position = None if checkpoint is None else decode_position(checkpoint)
    return None if position is None else position.changes


async def _follow(store: Store, runtime: Runtime, watches: Watches, topic: Changes, after: int) -> Messages:
    async with watches.joined(source_of(topic.chain)) as watch:
        while True:
            version = watch.signal.version
            try:
                rows, messages = await _page(store, topic, after)
            except StoreError:  # it is away, or busy: nothing is lost meanwhile
                await runtime.sleep(RETRY_S)
                continue
            if messages:
                _expect_next(topic.chain, after, rows)
                after += len(rows)
                yield messages
            if len(rows) < PAGE_ROWS:
                await watch.signal.beyond(version)


async def _page(store: Store, topic: Changes, after: int) -> tuple[list[Row], list[Message]]:
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CHANGES, scope=topic.chain, low=after + 1, limit=PAGE_ROWS)
        headers = await _headers(snapshot, topic.chain, rows) if topic.header else None
    return rows, [_message(row, headers) for row in rows]


def _expect_next(chain: int, after: int, rows: list[Row]) -> None:
    if rows[0][1] != after + 1 or rows[-1][1] != after + len(rows):
        raise Corruption(f"the changes of chain {chain} have a hole after {after}")


async def _headers(snapshot: Snapshot, chain: int, rows: list[Row]) -> dict[Any, Block]:
    """The headers of the blocks that are applied and still held, by hash."""
    numbers = sorted({number for _, _, kind, number, *_ in rows if kind == APPLY and isinstance(number, int)})
    found: list[Row] = []
    for low, high in _stretches(numbers):
        found += await snapshot.select(BLOCKS, scope=chain, low=low, high=high)
    return {row[_HASH]: block_of(row) for row in found}


def _stretches(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges without gaps: a page is one, but for reorgs."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def _message(row: Any, headers: dict[Any, Block] | None) -> Message:
    _, seq, kind, number, block_hash, parent_hash = row
    block = UNSET if headers is None else headers.get(block_hash) if kind == APPLY else None
    told = LiveChange(seq, kind, number, hex_text(block_hash), hex_text(parent_hash), block=block)
    return make(kind, told, str(seq))
