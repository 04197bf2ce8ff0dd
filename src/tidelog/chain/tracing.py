"""The trace of a block: who was asked for it and failed or gave it, its proof, its wait, the commit that it came in.

Told once it is committed, all at once. What is off, or not sampled, costs a comparison.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from tidelog.chain.blocks import BlockRef
from tidelog.chain.verify import Stages, VerifiedBlock
from tidelog.runtime import Runtime
from tidelog.telemetry import tracing
from tidelog.telemetry.tracing import Attributes, Span, Trace, trace_of

__all__ = ["BlockTraces", "Traced", "block_trace"]

BLOCKS_MAX = 64  # of one commit that are recorded: a commit of history has thousands, and a queue two thousand spans


def block_trace(chain_id: int, writer: int, block_hash: bytes) -> Trace:
    """Of a block as one writer committed it: what its row of `changes` says, too."""
    return trace_of("block", chain_id, writer, block_hash)


class Traced(Struct, frozen=True):
    """What a trace records of a block, without its rows."""

    ref: BlockRef
    transactions: int
    logs: int
    size_bytes: int
    proof: str
    stages: Stages
    trace: Trace


class BlockTraces:
    """Of one chain's writer. `writer` gives the number that it drew."""

    def __init__(self, chain_id: int, writer: Callable[[], int], runtime: Runtime) -> None:
        self._chain_id = chain_id
        self._writer = writer
        self._runtime = runtime

    def of(self, blocks: Sequence[VerifiedBlock]) -> list[Traced]:
        """What is to be recorded of these blocks: nothing without a tracer."""
        tracer = tracing.active()
        if tracer is None:
            return []
        found = []
        for block in blocks:
            if block.stages is None:
                continue
            trace = block_trace(self._chain_id, self._writer(), block.ref.hash)
            if tracer.wants(trace):
                rows = block.rows
                counts = len(rows.transactions), len(rows.logs), block.size_bytes
                found.append(Traced(block.ref, *counts, rows.proof_text, block.stages, trace))
        return found

    @contextmanager
    def commit(self, traced: Sequence[Traced], *, blocks: int, reason: str | None = None) -> Iterator[None]:
        """Around a commit of `blocks` blocks; log lines meanwhile are of the last one's trace."""
        tracer = tracing.active()
        if tracer is None or not traced:
            yield
            return
        began_s, error = self._runtime.monotonic(), None
        try:
            with tracing.within(traced[-1].trace):
                yield
        except Exception as failure:
            error = type(failure).__name__
            raise
        finally:
            ended_s = self._runtime.monotonic()
            for each in _spread(traced, BLOCKS_MAX):
                attributes: Attributes = {"tidelog.commit.blocks": blocks}
                if reason is not None:
                    attributes = {**attributes, "tidelog.commit.reason": reason}
                spans = [*_spans(each, began_s), Span("commit", began_s, ended_s, attributes, error)]
                tracer.emit(each.trace, spans, root=self._root(each, ended_s, error))

    def _root(self, each: Traced, ended_s: float, error: str | None) -> Span:
        attributes: Attributes = {
            "tidelog.chain": self._chain_id,
            "tidelog.block": each.ref.number,
            "tidelog.block.hash": f"0x{each.ref.hash.hex()}",
            "tidelog.block.transactions": each.transactions,
            "tidelog.block.logs": each.logs,
            "tidelog.block.bytes": each.size_bytes,
            "tidelog.block.proof": each.proof,
        }
        began_s = min(fetch.began_s for fetch in each.stages.fetches)
        return Span("block", began_s, ended_s, attributes, error)


def _spans(each: Traced, commit_s: float) -> list[Span]:
    """Up to the commit."""
    stages = each.stages
    spans = [
        Span(
            "fetch",
            fetch.began_s,
            fetch.ended_s,
            {"tidelog.endpoint": fetch.endpoint, "tidelog.fetch.blocks": fetch.blocks},
            fetch.error,
        )
        for fetch in stages.fetches
    ]
    return [
        *spans,
        Span("verify", stages.verify_began_s, stages.verify_ended_s),
        Span("wait", stages.verify_ended_s, commit_s),
    ]


def _spread(traced: Sequence[Traced], most: int) -> Sequence[Traced]:
    """At most so many, the last one among them, evenly from all."""
    step = -(-len(traced) // most)
    return traced[::-1][::step]
