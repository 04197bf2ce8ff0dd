"""Whether a sync is ready: it hears of the head, it is near it, and the store takes its commits. Pure."""

from msgspec import Struct

from tidelog.chain.sync.defaults import BEHIND_BLOCKS
from tidelog.telemetry.readiness import Readiness

HEAD_S = 60.0  # without a word of the head: twice the longest time that an endpoint is left alone
COMMIT_S = 30.0  # that one commit may take: a full batch needs a tenth of a second


class Limits(Struct, frozen=True):
    """Beyond which a sync is not ready."""

    behind_blocks: int = BEHIND_BLOCKS
    head_s: float = HEAD_S
    commit_s: float = COMMIT_S


class Facts(Struct, frozen=True):
    """Where a sync is."""

    chain_id: int | None = None  # None: no endpoint has named it yet
    head: int | None = None  # the highest block stored
    goal: int | None = None  # the block that the options let it go to
    head_seen_s: float | None = None  # since an endpoint reported the head; None: not yet
    committing_s: float = 0.0  # how long the commit under way has taken
    store: str | None = None  # why the store takes no commit, in its words
    source: str | None = None  # why the endpoints do not give what is needed, in theirs
    failures: tuple[str, ...] = ()  # how endpoints failed of late, as sentences


def readiness(facts: Facts, limits: Limits) -> Readiness:
    """Ready, or the reasons why not: the causes first, and no symptom that follows from one."""
    chain = "the chain" if facts.chain_id is None else f"chain {facts.chain_id}"
    reasons = [] if facts.store is None else [f"{chain}: the store takes no commit: {facts.store}"]
    if facts.source is not None:
        reasons.append(f"{chain}: {facts.source}")
    caused = bool(reasons)
    if facts.chain_id is None:
        return Readiness.of(reasons or ["no endpoint has named its chain yet"], facts.failures)
    if facts.head_seen_s is None and not caused:
        reasons.append(f"{chain}: no endpoint has reported its head yet")
    elif facts.head_seen_s is not None and facts.head_seen_s > limits.head_s and not caused:
        reasons.append(f"{chain}: no endpoint has reported its head for {facts.head_seen_s:.0f} s")
    if facts.head is None and not caused:
        reasons.append(f"{chain}: no block is stored yet")
    elif facts.head is not None and facts.goal is not None and facts.goal - facts.head > limits.behind_blocks:
        behind = facts.goal - facts.head
        reasons.append(f"{chain}: {behind} blocks behind, and at most {limits.behind_blocks} are allowed")
    if facts.committing_s > limits.commit_s and facts.store is None:
        reasons.append(f"{chain}: the store has not taken a commit for {facts.committing_s:.0f} s")
    return Readiness.of(reasons, facts.failures)
