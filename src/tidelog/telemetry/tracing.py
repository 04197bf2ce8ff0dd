"""Traces: what became of one block, or of one batch of a market's frames, and when, in whichever process it was.

A port, and nothing of OpenTelemetry: each stage reports afterwards, with the times at which it began and
ended, to the tracer of its process if there is one. So the engine does the same whether it is traced or not, work in
another process is reported by the process that waited for it, and off it costs one comparison for each block or batch.

A trace's id is made of what it is about, and its first span's id of that. So processes that never speak to each other
(who commits a block, who loads a batch, who publishes either) make one trace, nothing has to be stored for it, and
samplers that decide by the id, as OpenTelemetry's ratio does, agree in all of them.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

__all__ = ["Attributes", "Span", "Trace", "Tracer", "active", "current", "install", "trace_of", "traceparent", "within"]

Attributes: TypeAlias = Mapping[str, str | int | float | bool]


class Trace(NamedTuple):
    """Ids as W3C's Trace Context has them: 16 bytes, and the 8 of the first span, of which all others are children."""

    id: bytes
    root: bytes


class Span(Struct, frozen=True):
    """One stage, which is over. Times are of the monotonic clock, in seconds."""

    name: str
    began_s: float
    ended_s: float
    attributes: Attributes = {}
    error: str | None = None  # why it failed, if it did


class Tracer(Protocol):
    """Takes spans without waiting for anybody, and may leave some out."""

    def wants(self, trace: Trace) -> bool:
        """Whether the trace is sampled: the same answer wherever it is asked, with samplers that go by the id."""
        ...

    def emit(self, trace: Trace, spans: Sequence[Span], *, root: Span | None = None) -> None:
        """Spans of a trace that is wanted; `root` is the one that the others are children of, emitted once."""
        ...


_active: Tracer | None = None
current: ContextVar[str | None] = ContextVar("trace_id", default=None)  # which trace log lines belong to


def active() -> Tracer | None:
    """The tracer of this process, if it is traced."""
    return _active


def install(tracer: Tracer | None) -> None:
    """Make it the tracer of this process, or end tracing."""
    global _active
    _active = tracer


def trace_of(kind: str, *parts: int | str | bytes) -> Trace:
    """The trace of what these parts name, the same for ever and everywhere."""
    text = "\0".join([kind, *[part.hex() if isinstance(part, bytes) else str(part) for part in parts]])
    digest = hashlib.sha256(text.encode()).digest()
    return Trace(digest[:16], digest[16:24])


def traceparent(trace: Trace, *, sampled: bool) -> str:
    """What a message carries, so that its receiver can continue the trace: https://www.w3.org/TR/trace-context/."""
    return f"00-{trace.id.hex()}-{trace.root.hex()}-{int(sampled):02x}"


@contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """Log lines meanwhile carry the trace's id; None changes nothing."""
    if trace is None:
        yield
        return
    token = current.set(trace.id.hex())
    try:
        yield
    finally:
        current.reset(token)
