"""What a sync is asked for, and its limits."""

import math
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tidelog.chain.proof.spec import LOWERABLE
from tidelog.chain.source.client import FINALIZED, LATEST, SAFE
from tidelog.chain.source.prefetch import PREFETCH_LIMITS, PrefetchLimits
from tidelog.chain.sync.commits import WRITER_LIMITS, WriterLimits
from tidelog.chain.sync.committer import COMMIT_LIMITS, CommitLimits
from tidelog.chain.sync.defaults import POLL_S, REORG_PATIENCE_S
from tidelog.errors import ConfigError

__all__ = ["SYNC_LIMITS", "Options", "SyncLimits"]


HASH_BYTES = 32


class Options(Struct, frozen=True):
    """What the user asked for.

    Raises:
        ConfigError: a value cannot be meant. It is looked for here, since a sync would take it to the endpoints.
    """

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

    def __post_init__(self) -> None:
        for name in ("first", "to", "confirmations", "prove_down_to"):
            _require(name, getattr(self, name), _is_count, "a block number" if name != "confirmations" else "0 or more")
        _require("chain_id", self.chain_id, lambda given: _is_count(given) and given > 0, "a number, 1 or more")
        _require("finality", self.finality, lambda given: given in TAGS, f"one of {', '.join(TAGS)}")
        _require("anchor", self.anchor, _is_hash, "a hash as 32 bytes, such as bytes.fromhex('..')")
        checks: object = self.accept_unproven
        if isinstance(checks, str):
            raise ConfigError(f"accept_unproven {checks!r:.80} is one text where a tuple of them is meant")
        for check in self.accept_unproven:
            _require("accept_unproven", check, lambda given: given in LOWERABLE, f"one of {', '.join(LOWERABLE)}")
        for name in ("poll_s", "reorg_patience_s", "give_up_s"):
            _require(name, getattr(self, name), _is_duration, "seconds, more than 0")


TAGS = (LATEST, SAFE, FINALIZED)
MAY_BE_NONE = ("first", "to", "prove_down_to", "chain_id", "anchor")


def _require(name: str, given: object, fits: Callable[[Any], bool], wanted: str) -> None:
    if not (fits(given) or (given is None and name in MAY_BE_NONE)):
        raise ConfigError(f"{name} {given!r:.80}: give {wanted}")


def _is_count(given: object) -> bool:
    return isinstance(given, int) and given >= 0


def _is_hash(given: object) -> bool:
    return isinstance(given, bytes) and len(given) == HASH_BYTES


def _is_duration(given: object) -> bool:
    return isinstance(given, int | float) and given > 0 and not math.isnan(given)


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
