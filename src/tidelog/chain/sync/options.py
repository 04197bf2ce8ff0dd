"""What a sync is asked for, and its limits."""

from msgspec import Struct

from tidelog.chain.source.client import LATEST
from tidelog.chain.source.prefetch import PREFETCH_LIMITS, PrefetchLimits
from tidelog.chain.sync.commits import WRITER_LIMITS, WriterLimits
from tidelog.chain.sync.committer import COMMIT_LIMITS, CommitLimits
from tidelog.chain.sync.defaults import POLL_S, REORG_PATIENCE_S

__all__ = ["SYNC_LIMITS", "Options", "SyncLimits"]


class Options(Struct, frozen=True):
    """What the user asked for."""

    first: int | None = None  # None: block 0, or what the store has
    first_latest: bool = False  # begin at the head of the moment
    to: int | None = None  # stop there
    follow: bool = False  # stay at the head until stopped
    finality: str = LATEST  # go no further than this tag
    confirmations: int = 0  # go no further than the head minus this
    anchor: bytes | None = None
    senders: bool = False
    accept_unproven: tuple[str, ...] = ()  # checks that are not made from the next block on
    chain_id: int | None = None
    cross_check: bool = False  # compare what an endpoint says that contracts logged with what a second one says
    prove: bool = False  # prove what was asked, from the newest block down
    prove_down_to: int | None = None  # ... to this block; None: all of it
    poll_s: float = POLL_S
    reorg_patience_s: float = REORG_PATIENCE_S
    give_up_s: float = 60.0  # when not following: how long the source may fail without progress


class SyncLimits(Struct, frozen=True):
    """How long a run waits before it gives up, and the limits of its parts."""

    refused_s: float = 5.0  # that refusals of all endpoints may be a passing state: a balancer's moment, a restart
    refused_rounds: int = 2  # ... and so many rounds in a row, each of which has asked everybody several times
    unlinked_max: int = 8  # times in a row that history may not link before there is a pause
    contact_s: float = 10.0  # how long the first contact with any endpoint may take
    prefetch: PrefetchLimits = PREFETCH_LIMITS
    commit: CommitLimits = COMMIT_LIMITS
    writer: WriterLimits = WRITER_LIMITS


SYNC_LIMITS = SyncLimits()
