"""A chain's outbox as a stream. Each listener has its own place in the table, and reads it page by page.

So a listener that is slow costs nothing, and nothing is lost to it: what it has not read stays where it is. The
numbers have no gaps; a client that stores each number with its effect applies every change once. Each page is compared
with the last change that the listener has: after a store went back it is sent a reset, with where to continue.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, structs

from tidelog.api.http.damage import of_block
from tidelog.api.http.limits import LiveLimits
from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.messages import RESET, WAIT, Message, Messages
from tidelog.api.live.feeds.messages import message as make
from tidelog.api.live.feeds.topics import Changes
from tidelog.api.live.feeds.traces import tell_published, traceparent_of
from tidelog.api.live.feeds.watch import Watches
from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import Ahead, Place, WentBack, place_text
from tidelog.chain.forks.position import source_of
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.outbox import Page, headers_of, in_order, last_change, newest, next_changes
from tidelog.chain.rows.tables import CHANGES
from tidelog.chain.written import Block, Change, Wait, block_of, change_of, reset_of
from tidelog.errors import StoreError
from tidelog.runtime import Runtime
from tidelog.store import Store

__all__ = ["change_stream"]


_HASH = CHANGES.index("hash")


class LiveChange(Change, frozen=True, kw_only=True):
    """A change, with the block's header where that was asked for; null where it is reverted, or was since."""

    block: Block | UnsetType | None = UNSET
    traceparent: Annotated[
        str | UnsetType,
        Meta(description="Of the block's trace, by W3C's Trace Context; there where the server is traced."),
    ] = UNSET


async def change_stream(
    store: Store, runtime: Runtime, watches: Watches, topic: Changes, limits: LiveLimits
) -> Messages:
    """The changes after a place, and those that are committed from now on.

    Raises:
        Refused: the store has no such chain, or no such change yet.
    """
    async with store.snapshot() as snapshot:
        last = await last_change(snapshot, topic.chain)
        place = await newest(snapshot, topic.chain) if topic.after is None else topic.after
    if last is None:
        raise Refused(404, f"the store holds no chain {topic.chain}")
    if not place.marks and place.seq > last:
        raise Refused(400, f"after is {place.seq}, and the last change of chain {topic.chain} is {last}")
    return _follow(store, runtime, watches, topic, place, limits, joined=last)


async def _follow(
    store: Store,
    runtime: Runtime,
    watches: Watches,
    topic: Changes,
    place: Place,
    limits: LiveLimits,
    *,
    joined: int,
) -> Messages:
    waits = False  # and has got a `wait`
    async with watches.joined(source_of(topic.chain)) as watch:
        while True:
            version, began_s = watch.signal.version, runtime.monotonic()
            try:
                page, headers = await _page(store, topic, place, limits.changes_page_rows)
            except StoreError:  # it is away, or busy: nothing is lost meanwhile
                await runtime.sleep(limits.retry_s)
                continue
            messages = _messages(topic, page, headers)
            if isinstance(page.verdict, Ahead):
                messages, waits = ([] if waits else messages), True
            else:
                place, waits = page.place, False
            if messages:
                yield messages
                tell_published(page.rows, joined, began_s, runtime.monotonic())
            if len(page.rows) < limits.changes_page_rows:
                await watch.signal.beyond(version)


async def _page(store: Store, topic: Changes, place: Place, rows_max: int) -> tuple[Page, dict[Any, Row] | None]:
    async with store.snapshot() as snapshot:
        page = await next_changes(snapshot, topic.chain, place, rows_max)
        headers = await headers_of(snapshot, topic.chain, page.rows) if topic.header else None
    return page, headers


def _messages(topic: Changes, page: Page, headers: dict[Any, Row] | None) -> list[Message]:
    """The messages of a page. Corruption if it has a hole."""
    found = []
    if isinstance(page.verdict, Ahead):
        found.append(make(WAIT, Wait(page.verdict.last)))
    elif isinstance(page.verdict, WentBack):
        found.append(make(RESET, reset_of(page.begun), place_text(page.begun)))
    found += [_message(topic.chain, row, headers, place) for row, _, place in in_order(topic.chain, page)]
    return found


def _message(chain: int, row: Any, headers: dict[Any, Row] | None, place: Place) -> Message:
    change = change_of(row)
    header: Block | UnsetType | None = UNSET
    if headers is not None:
        found = headers.get(row[_HASH]) if change.kind == APPLY else None
        with of_block(chain, change.number):
            header = None if found is None else block_of(found)
    return make(
        change.kind,
        LiveChange(**structs.asdict(change), block=header, traceparent=traceparent_of(row)),
        place_text(place),
    )
