"""A symbol's trades as a stream: what was missed out of the journal, then what comes, without a hole or a duplicate.

One event is one frame's trades. A listener behind by more than its bound loses the oldest and is sent how many. What
an exchange repeats after it was reconnected (a snapshot of the last trades) is left out as far as their ids tell.
"""

import asyncio
from contextlib import aclosing
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.messages import Message, Messages, lagged, message, place, reset
from tidelog.api.live.feeds.missed import Gone, missed_trades
from tidelog.api.live.feeds.tail import JournalTail
from tidelog.api.live.feeds.topics import Trades as Topic
from tidelog.api.live.feeds.topics import place_text
from tidelog.api.market.fields import Trade as Shown
from tidelog.errors import TidelogError
from tidelog.json_values import time_text, whole
from tidelog.market.events import EventId, Trade, Trades, micros
from tidelog.market.live.batches import Item
from tidelog.market.live.fanout import Lagged, Subscription
from tidelog.market.records import BEGINNING
from tidelog.runtime import Runtime

__all__ = ["trade_stream"]


class LiveTrades(Struct, frozen=True):
    """The trades of one frame. `snapshot`: the exchange repeats its last ones; some may have been sent before."""

    symbol: str
    snapshot: bool
    trades: list[Shown]
    traceparent: Annotated[
        str | UnsetType,
        Meta(description="Of the trace of the batch that they came in; there where the server is traced."),
    ] = UNSET


async def trade_stream(tail: JournalTail, runtime: Runtime, resumes: asyncio.Semaphore, topic: Topic) -> Messages:
    """The trades after a place, or from now on.

    Args:
        resumes: locked while a journal is read for a listener: each is a thread, and all may come back at once. It is
            not while a listener takes what was read.

    Raises:
        Refused: no such trades are recorded, or the journal is not followed now.
    """
    if not tail.ready:
        raise Refused(503, f"the recording {tail.name} is not followed now: {tail.health.reason}")
    if not tail.records("trade", topic.symbol):
        symbols = ", ".join(tail.listed("trade")[:20]) or "none"
        raise Refused(
            404, f"the recording {tail.name} has no trades of {topic.symbol[:40]}; it has those of: {symbols}"
        )
    return _Stream(tail, runtime, resumes, topic).messages()


class _Stream:
    """Where one listener is: `at` is the last record that it knows of, None where that is still to be said."""

    def __init__(self, tail: JournalTail, runtime: Runtime, resumes: asyncio.Semaphore, topic: Topic) -> None:
        self._tail = tail
        self._limits = tail.limits
        self._runtime = runtime
        self._resumes = resumes
        self._symbol = topic.symbol
        self._told_through = BEGINNING  # read out of the journal up to here: the tail may be behind that
        self._at = None if topic.after is None else topic.after.record
        self._trade_id = None if topic.after is None else topic.after.trade_id  # of the last trade that it has

    async def messages(self) -> Messages:
        while True:
            while not self._tail.ready:
                await self._tail.following.beyond(self._tail.following.version)
            if self._at is None:
                self._trade_id = self._trade_id or self._tail.trade_id(self._symbol)
            else:
                async for found in self._missed(self._at):
                    yield found
            subscription = self._tail.trades(self._symbol)
            try:
                begin = self._tail.at
                if self._at is not None and self._at < begin:  # it moved on meanwhile; what comes now is kept for us
                    async for found in self._missed(self._at):
                        yield found
                if self._at is None or self._at < begin:
                    self._at = max(begin, self._told_through)
                yield [self._place()]
                async for live in self._live(subscription):
                    yield live
            finally:
                subscription.close()

    async def _missed(self, after: EventId) -> Messages:
        """What the journal has after a record; then `at` is its end, or None if some of it cannot be had.

        It is read in portions: while the listener takes one, however slowly, others read.
        """
        place: EventId | None = after
        read = 0
        while place is not None:
            async with self._resumes:
                portion, place, read = await self._portion(place, read)
            for messages in portion:
                yield messages

    async def _portion(self, after: EventId, read: int) -> tuple[list[list[Message]], EventId | None, int]:
        """The next messages, what is read on after (None: nothing is), and how many records were read until now."""
        portion: list[list[Message]] = []
        size, most = 0, self._limits.missed_records_max
        found_all = missed_trades(self._tail.path, self._runtime, self._symbol, after, most, read)
        try:
            async with aclosing(found_all):
                async for found in found_all:
                    if isinstance(found, Gone):
                        self._at = None if found.ends else self._at
                        self._told_through = BEGINNING if found.elsewhere else self._told_through
                        portion.append([reset(found.reason) if found.elsewhere else lagged(None, found.reason)])
                        continue
                    if found.overlap is not None:
                        self._fresh(found.overlap)
                    messages = [made for id_, trades in found.trades if (made := self._message(id_, trades))]
                    self._at = self._told_through = found.through
                    if messages:
                        portion.append(messages)
                        size += sum([len(each.data) for each in messages])
                    if size >= self._limits.missed_bytes and found.read < most:
                        return portion, found.through, found.read
        except TidelogError:  # the tail reads the same file, and says what is wrong with it
            self._at = None
            portion.append([lagged(None, "the journal could not be read")])
        return portion, None, read

    async def _live(self, subscription: Subscription) -> Messages:
        """What comes, until the tail has to begin again."""
        while True:
            batch: list[Message] = []
            ids: list[EventId] = []
            try:
                async with asyncio.timeout(self._limits.place_s):
                    item = await anext(subscription)
            except TimeoutError:
                if subscription.statistics.pending:
                    continue  # it came in the same moment
                # everything up to the tail's position was sent
                self._at = max(self._at or self._tail.at, self._tail.at)
                yield [self._place()]
                continue
            except StopAsyncIteration:
                return
            while True:
                if made := self._messages_of(item):
                    batch += made
                    ids += [item.id] if isinstance(item, Item) else []
                if not subscription.statistics.pending or len(batch) >= self._limits.trades_batch_events:
                    break
                item = await anext(subscription)
            if batch:
                yield batch
                self._tail.batches.tell_published(ids, self._runtime.monotonic(), self._symbol)

    def _messages_of(self, item: Item | Lagged) -> list[Message]:
        if isinstance(item, Lagged):
            return [lagged(item.missed, "events came faster than they were read")]
        assert isinstance(item.event, Trades)
        if self._at is not None and item.id <= self._at:
            return []  # it was in the journal already when that was read
        self._at = item.id
        made = self._message(item.id, item.event)
        return [] if made is None else [made]

    def _message(self, id_: EventId, event: Trades) -> Message | None:
        """None where the listener has all of its trades."""
        trades = self._fresh(event)
        if not trades:
            return None
        shown = LiveTrades(self._symbol, event.snapshot, _shown(trades), self._tail.batches.traceparent(id_))
        return message("trades", shown, place_text(id_))

    def _fresh(self, event: Trades) -> list[Trade]:
        """Those that it has not got; notes that it has them now."""
        trades = list(event.trades)
        had = self._trade_id
        if event.snapshot and had is not None:
            trades = [trade for trade in trades if trade.trade_id is None or trade.trade_id > had]
        ids = [trade.trade_id for trade in trades if trade.trade_id is not None]
        if ids:
            self._trade_id = max(ids)
        return trades

    def _place(self) -> Message:
        assert self._at is not None
        return place(place_text(self._at, self._trade_id))


def _shown(trades: list[Trade]) -> list[Shown]:
    """As the store will have them: the ordinals too, see `fold`."""
    made: list[Shown] = []
    ordinals: dict[int, int] = {}
    for trade in trades:
        time_us = micros(trade.timestamp)
        ordinal = ordinals[time_us] = ordinals.get(time_us, -1) + 1
        made.append(
            Shown(
                time_text(time_us),
                time_us,
                whole(trade.trade_id),
                ordinal if trade.trade_id is None else whole(trade.trade_id),
                trade.side,
                trade.ord_type,
                f"{trade.price:f}",
                f"{trade.qty:f}",
            )
        )
    return made
