"""Tell where a sync is: progress for people, metrics, and that the chain's head moves."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from tidelog.chain.proof.outcome import CHECKS
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.select.selection import LEFT_OUT
from tidelog.chain.sync.quorum import View
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.verify import VerifiedBlock
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger

HEADS_KEPT = 256  # that are recognised: further behind no node is that takes part in anything

_log = logger("sync")


class Progress(Struct):
    """Where the sync is, for people. Counts are of this run."""

    chain_id: int
    spec: ChainSpec
    first: int | None = None
    head: int | None = None
    goal: int | None = None
    highest: int | None = None
    finalized: int | None = None
    below: int = 0  # blocks that were asked for and are yet to come below `first`
    blocks: int = 0
    proven: int = 0  # of those, the ones for which every check could be computed
    transactions: int = 0
    logs: int = 0
    reorgs: int = 0
    lowered: tuple[str, ...] = ()  # checks that could not be computed for some block


class Reporter:
    """Of one run. `progress` is the state, `on_progress` is called after each change of it."""

    def __init__(
        self,
        writer: ChainWriter,
        spec: ChainSpec,
        runtime: Runtime,
        metrics: ChainMetrics,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.progress = Progress(writer.chain_id, spec)
        self.head_reported_at: float | None = None  # when an endpoint last reported a head
        self._writer = writer
        self._spec = spec
        self._runtime = runtime
        self._metrics = metrics
        self._on_progress = on_progress
        self._heads: dict[bytes, None] = {}  # hashes of the latest, each once, in the order in which they came
        self._moved_at = 0.0  # when the last of them came, by the monotonic clock
        self._stalled = False
        for check in CHECKS:
            metrics.lowered.labels(writer.chain_id, check)  # there from the start, so that a first one shows

    def count(self, blocks: Sequence[VerifiedBlock]) -> None:
        """These are committed, or about to be."""
        progress = self.progress
        for block in blocks:
            progress.blocks += 1
            progress.transactions += len(block.rows.transactions)
            progress.logs += len(block.rows.logs)
            lowered = [check for check in block.proof.lowered if block.proof.results[check] != LEFT_OUT]
            progress.proven += not lowered
            for check in lowered:
                self._metrics.lowered.labels(progress.chain_id, check).inc()
                if check not in progress.lowered:
                    progress.lowered = (*progress.lowered, check)
                    reason = block.proof.results[check].reason
                    _log.warning("check_not_computable", check=check, block=block.ref.number, reason=reason)

    def observe(self, view: View) -> None:
        """Watch that the chain's head moves."""
        highest, now, chain = view.highest, self._runtime.monotonic(), self._writer.chain_id
        if highest is None:
            return
        self.head_reported_at = now
        self.progress.highest = highest
        self._metrics.head.labels(chain).set(highest)
        self._metrics.head_seen.labels(chain).set(self._runtime.now())
        head = view.distinct()[0].hash
        if head not in self._heads:  # one that is shown again has not moved: nodes behind a balancer take turns
            self._heads[head] = None
            if len(self._heads) > HEADS_KEPT:
                del self._heads[next(iter(self._heads))]
            self._moved_at, self._stalled = now, False
        elif now - self._moved_at > self._spec.stall_s and not self._stalled:
            self._stalled = True
            _log.warning("head_stalled", chain=chain, head=highest, seconds=round(now - self._moved_at))
        self._metrics.stalled.labels(chain).set(int(self._stalled))

    def report(self, goal: int | None, lowest: int | None = None) -> None:
        """The stored range, on the way up to block `goal`, and down to `lowest` if that was asked for."""
        position, progress = self._writer.position, self.progress
        progress.goal = goal
        if position is not None:
            progress.first, progress.head, progress.finalized = position.first, position.head, position.finalized
            progress.below = 0 if lowest is None else max(0, position.first - lowest)
            if goal is not None:
                self._metrics.behind.labels(progress.chain_id).set(max(0, goal - position.head))
        self._on_progress(progress)
