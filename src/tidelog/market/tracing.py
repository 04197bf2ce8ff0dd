"""The trace of a batch of frames: one block of the journal, from the socket to the store.

Its id is made of the journal's own id and of the first record of the block, which every reader of the journal knows
too: the recorder, the loader and the API make one trace, in however many processes. What is off costs a comparison.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from tidelog.market.events import EventId
from tidelog.market.journal.schema import Block
from tidelog.market.records import Kind
from tidelog.runtime import Runtime
from tidelog.telemetry import tracing
from tidelog.telemetry.tracing import Attributes, Span, Trace, trace_of

__all__ = ["BatchTraces", "LoadTraces", "batch_trace"]

FRAMES_MAX = (
    100_000  # whose pass through the core is remembered until their block is committed: more than wait for a disk
)
BLOCKS_MAX = 64  # of one commit of the store that are traced: minutes of it at a start behind
BLOCKS_READ_MAX = 10_000  # that were read and not loaded: more than the two batches that a loader holds


def batch_trace(journal: bytes, first: EventId) -> Trace:
    """Of the block of a journal that begins with the record `first`."""
    return trace_of("batch", journal, first.run, first.seq)


class _Applied(NamedTuple):
    """A frame's way through the core."""

    seq: int
    began_s: float
    ended_s: float


class BatchTraces:
    """Of one recorder. `now_us` is the journal's time."""

    def __init__(self, endpoint: str, runtime: Runtime, now_us: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._runtime = runtime
        self._now_us = now_us
        self._applied: deque[_Applied] = deque(maxlen=FRAMES_MAX)

    def applied(self, id_: EventId, began_s: float, ended_s: float) -> None:
        """A frame went through the core."""
        self._applied.append(_Applied(id_.seq, began_s, ended_s))

    def committed(self, journal: bytes, blocks: Sequence[Block], began_s: float, ended_s: float) -> None:
        """Blocks are on the disk since `ended_s`; that took since `began_s`."""
        tracer = tracing.active()
        offset_s = self._runtime.monotonic() - self._now_us() / 1e6
        for block in blocks:
            applied = self._applied_in(block)
            trace = batch_trace(journal, EventId(block.run, block.first_seq))
            if tracer is None or not tracer.wants(trace):
                continue
            frames = [(at_us, len(payload)) for kind, at_us, payload in block.records() if kind == Kind.IN.value]
            if not frames:
                continue
            came_us, size = [at_us for at_us, _ in frames], sum(length for _, length in frames)
            first_s, last_s = came_us[0] / 1e6 + offset_s, came_us[-1] / 1e6 + offset_s
            spans = [
                Span(
                    "socket",
                    first_s,
                    last_s,
                    {"tidelog.endpoint": self._endpoint, "tidelog.frames": len(came_us), "tidelog.bytes": size},
                ),
                Span("wait", last_s, max(last_s, began_s)),
                Span("journal", began_s, ended_s, {"tidelog.journal.blocks": len(blocks)}),
            ]
            if applied:
                busy_ms = sum(each.ended_s - each.began_s for each in applied) * 1e3
                spans.append(
                    Span("core", applied[0].began_s, applied[-1].ended_s, {"tidelog.core.busy_ms": round(busy_ms, 3)})
                )
            attributes: Attributes = {
                "tidelog.journal": journal.hex(),
                "tidelog.run": block.run,
                "tidelog.first_seq": block.first_seq,
                "tidelog.records": block.count,
            }
            tracer.emit(trace, spans, root=Span("batch", first_s, ended_s, attributes))

    def _applied_in(self, block: Block) -> list[_Applied]:
        found = []
        while self._applied and self._applied[0].seq <= block.last_seq:
            each = self._applied.popleft()
            if each.seq >= block.first_seq:
                found.append(each)
        return found


class _Read(Struct, frozen=True):
    first: EventId
    last: EventId
    at_s: float  # when it was read


class LoadTraces:
    """Of one loader. `journal` is the id of what it loads; None: that is not known, and nothing is traced."""

    def __init__(self, source: str, journal: bytes | None, runtime: Runtime) -> None:
        self._source = source
        self._journal = journal
        self._runtime = runtime
        self._read: deque[_Read] = deque(maxlen=BLOCKS_READ_MAX)

    def read(self, first: EventId, last: EventId) -> None:
        """A block was read from the journal."""
        if tracing.active() is not None and self._journal is not None:
            self._read.append(_Read(first, last, self._runtime.monotonic()))

    def loaded(self, through: EventId, began_s: float, rows: int) -> None:
        """Everything up to `through` is in the store; the commit began at `began_s`, and has just ended."""
        tracer, blocks, ended_s = tracing.active(), list[_Read](), self._runtime.monotonic()
        while self._read and self._read[0].last <= through:
            blocks.append(self._read.popleft())
        if tracer is None or self._journal is None:
            return
        for block in blocks[-BLOCKS_MAX:]:
            trace = batch_trace(self._journal, block.first)
            if tracer.wants(trace):
                attributes = {"tidelog.commit.blocks": len(blocks), "tidelog.commit.rows": rows}
                loader = Span("loader", block.at_s, max(block.at_s, began_s), {"tidelog.source": self._source})
                tracer.emit(trace, [loader, Span("commit", began_s, ended_s, attributes)])
