"""Candles as a stream: those of one symbol and interval that a commit of the loader has made or changed.

A candle is sent whole each time, and replaces the one of its time. Late trades change older ones: the latest
LOOK_BACK are looked at with each commit, and sent again to a client that resumes.
"""

from contextlib import AbstractAsyncContextManager

from msgspec import Struct

from tidelog.api.http.limits import LiveLimits
from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.messages import Message, Messages, message
from tidelog.api.live.feeds.topics import Candles
from tidelog.api.live.feeds.watch import SourceWatch, Watches
from tidelog.api.market.fields import Candle, candle_of
from tidelog.batch import INT_MAX, Row
from tidelog.errors import Corruption, StoreError
from tidelog.market.load.completeness import with_completeness
from tidelog.market.load.recorded import checkpoints_of, recorded, source_of
from tidelog.market.projection.state import ProjectionState
from tidelog.market.projection.tables import CANDLES
from tidelog.runtime import Runtime
from tidelog.store import Condition, Snapshot, Store

__all__ = ["LOOK_BACK", "candle_stream"]

LOOK_BACK = 10  # candles behind the last one that may still change: what a reconnect of the exchange fills

_TIME = CANDLES.index("time_us")


class LiveCandle(Struct, frozen=True):
    """A candle as it is after a commit."""

    symbol: str
    interval_s: int
    candle: Candle


async def candle_stream(
    store: Store, runtime: Runtime, watches: Watches, recording: str, topic: Candles, limits: LiveLimits
) -> Messages:
    """The candles from a time on; without one, from the latest on.

    Raises:
        Refused: the store has no such recording, symbol or interval.
    """
    source = source_of(recording)
    async with store.snapshot() as snapshot:
        state = await _state(snapshot, recording)
        where = _where(topic)
        latest = await snapshot.select(CANDLES, scope=source, where=where, descending=True, limit=1)
    if state is None:
        raise Refused(404, f"the store holds no recording {recording[:40]}")
    if topic.symbol not in state.symbols:
        raise Refused(404, f"the recording {recording} has no trades of {topic.symbol[:40]}")
    if topic.interval_s not in state.intervals_s:
        intervals = ", ".join(map(str, state.intervals_s))
        raise Refused(400, f"interval is {topic.interval_s} s: the recording {recording} has candles of {intervals} s")
    watched = watches.joined(source, lambda snapshot: checkpoints_of(snapshot, recording))
    return _follow(store, runtime, watched, source, topic, _first(topic, latest), limits)


async def _state(snapshot: Snapshot, recording: str) -> ProjectionState | None:
    try:
        found = await recorded(snapshot, recording)
    except Corruption:
        return None
    return None if found is None or not found.commits else found.state


def _where(topic: Candles) -> dict[str, Condition]:
    return {"symbol": topic.symbol, "interval_s": topic.interval_s}


def _first(topic: Candles, latest: list[Row]) -> int:
    """When the first candle may begin that is sent."""
    if topic.after_us is not None:
        return max(0, topic.after_us - LOOK_BACK * topic.interval_s * 1_000_000)
    begin = latest[0][_TIME] if latest else 0
    assert isinstance(begin, int)
    return begin


async def _follow(
    store: Store,
    runtime: Runtime,
    watched: AbstractAsyncContextManager[SourceWatch],
    source: str,
    topic: Candles,
    first_us: int,
    limits: LiveLimits,
) -> Messages:
    page_rows = limits.candles_page_rows
    sent: dict[int, Row] = {}  # the latest LOOK_BACK and one, as they were sent
    at = topic.after_us or 0  # what a client resumes from: it has all up to there, also where a page is cut off
    async with watched as watch:
        while True:
            version, after_us = watch.signal.version, first_us
            while True:
                try:
                    async with store.snapshot() as snapshot:
                        rows = await snapshot.select(
                            CANDLES,
                            scope=source,
                            low=after_us,
                            high=INT_MAX,
                            where=_where(topic),
                            limit=limits.candles_page_rows,
                        )
                        rows = await with_completeness(snapshot, source, rows)
                except StoreError:  # it is away, or busy: what it has then is read then
                    await runtime.sleep(limits.retry_s)
                    continue
                fresh = {_begin(row): row for row in rows if sent.get(_begin(row)) != row}
                sent = _latest(sent | fresh)
                if fresh:
                    ids = [at := max(at, begin) for begin in fresh]
                    yield [_message(topic, row, str(id_)) for row, id_ in zip(fresh.values(), ids, strict=True)]
                if len(rows) < page_rows:
                    break
                after_us = _begin(rows[-1]) + 1
            first_us = max(first_us, min(sent, default=0))
            await watch.signal.beyond(version)


def _message(topic: Candles, row: Row, id_: str) -> Message:
    return message("candle", LiveCandle(topic.symbol, topic.interval_s, candle_of(row)), id_)


def _latest(sent: dict[int, Row]) -> dict[int, Row]:
    return {begin: sent[begin] for begin in sorted(sent)[-LOOK_BACK - 1 :]}


def _begin(row: Row) -> int:
    begin = row[_TIME]
    assert isinstance(begin, int)
    return begin
