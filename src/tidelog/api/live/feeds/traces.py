"""The last stage of a trace: a listener of a live stream has taken it; and the `traceparent` that it gets with it."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from tidelog.batch import Row
from tidelog.chain.rows.tables import CHANGES
from tidelog.chain.tracing import block_trace
from tidelog.market.events import EventId
from tidelog.market.tracing import batch_trace
from tidelog.telemetry import tracing
from tidelog.telemetry.tracing import Span, Trace

__all__ = ["ReadBatches", "tell_published", "traceparent_of"]

BATCHES_MAX = 1_000  # blocks, of which a busy journal has twenty a second: more than wait for a listener
PUBLISHED_MAX = 64  # of one page, that are recorded
_SEQ, _KIND = CHANGES.index("seq"), CHANGES.index("kind")


def traceparent_of(row: Row) -> str | UnsetType:
    """Of a row of `changes`, where this process is traced."""
    tracer = tracing.active()
    if tracer is None:
        return UNSET
    trace = _trace(row)
    return tracing.traceparent(trace, sampled=tracer.wants(trace))


def tell_published(rows: Sequence[Row], joined: int, began_s: float, ended_s: float) -> None:
    """That a listener has taken these changes; not those up to `joined`: their traces had ended before it came."""
    tracer = tracing.active()
    if tracer is None:
        return
    row: Any
    for row in rows[-PUBLISHED_MAX:]:
        trace, seq, kind = _trace(row), row[_SEQ], row[_KIND]
        if seq > joined and tracer.wants(trace):
            attributes = {"tidelog.change": seq, "tidelog.change.kind": kind}
            tracer.emit(trace, [Span("publish", began_s, ended_s, attributes)])


class ReadBatches:
    """The blocks of a journal that were read of late, so that their events can be assigned to their traces."""

    def __init__(self) -> None:
        self._journal = b""
        self._read: deque[tuple[EventId, EventId, float]] = deque(maxlen=BATCHES_MAX)

    def begin(self, journal: bytes) -> None:
        """It is this one from now on."""
        self._journal = journal
        self._read.clear()

    def note(self, first: EventId, last: EventId, at_s: float) -> None:
        """A block was read."""
        if tracing.active() is not None:
            self._read.append((first, last, at_s))

    def of(self, id_: EventId) -> tuple[Trace, float] | None:
        """The trace of the block that a record is in, and when that was read; None: not known, or not traced."""
        if tracing.active() is not None:
            for first, last, at_s in reversed(self._read):
                if first <= id_ <= last:
                    return batch_trace(self._journal, first), at_s
        return None

    def traceparent(self, id_: EventId) -> str | UnsetType:
        found, tracer = self.of(id_), tracing.active()
        if found is None or tracer is None:
            return UNSET
        return tracing.traceparent(found[0], sampled=tracer.wants(found[0]))

    def tell_published(self, ids: Sequence[EventId], ended_s: float, symbol: str) -> None:
        """That a listener has taken what these records hold."""
        tracer = tracing.active()
        if tracer is None:
            return
        batches = dict.fromkeys([found for id_ in ids[-PUBLISHED_MAX:] if (found := self.of(id_)) is not None])
        for trace, at_s in batches:
            if tracer.wants(trace):
                tracer.emit(trace, [Span("publish", at_s, ended_s, {"tidelog.symbol": symbol})])


def _trace(row: Any) -> Trace:
    chain, _, _, _, block_hash, _, writer = row
    return block_trace(chain, writer, block_hash)
