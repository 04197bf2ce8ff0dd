"""Whether a recording is ready: connected, holding what is wanted, proven, journaling, and loading. Pure."""

from collections.abc import Collection

from msgspec import Struct

from tidelog.market.session.subscription.subscriptions import ConnectionState
from tidelog.telemetry.readiness import Readiness

MAINTENANCE = "maintenance"  # the one state of an exchange in which its data cannot be relied on
SHOWN_MAX = 5  # of a list in a reason
UNPROVEN_S = 30.0  # that a book may be unproven: the time in which a feed notices that its data stopped
LOADER_LAG_S = 30.0  # that the store may be behind the journal: thirty times what a batch waits for company


class ReadinessLimits(Struct, frozen=True):
    """Beyond which a recording is not ready."""

    unproven_s: float = UNPROVEN_S
    loader_lag_s: float = LOADER_LAG_S


class RecordingFacts(Struct, frozen=True):
    """Where a recording is."""

    state: ConnectionState
    wanted: int  # subscriptions
    held: int  # of them, acknowledged
    unproven: Collection[str] = ()  # symbols of books that are unproven for longer than the limit
    refused: Collection[str] = ()  # what the exchange refuses, as sentences in its words
    status: str | None = None  # the exchange's state, as it says it
    ended: str | None = None  # why there is no connection
    journal_stalled: bool = False
    loading: bool = False  # into a store
    loader_lag_s: float | None = None  # None: nothing was loaded yet
    waits: str | None = None  # for which other shard the loader waits
    left: str | None = None  # why the journal of a shard that is not run any more is not loaded


class Unproven:
    """Since when each book is unproven, as far as looks show: one that was proven at any look starts again."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # by symbol, on the monotonic clock

    def look(self, symbols: Collection[str], now: float) -> None:
        """Take note of the symbols whose books are unproven now."""
        self._since = {symbol: self._since.get(symbol, now) for symbol in symbols}

    def longer_than(self, limit_s: float, now: float) -> list[str]:
        return sorted([symbol for symbol, since in self._since.items() if now - since > limit_s])


def readiness(facts: RecordingFacts, limits: ReadinessLimits) -> Readiness:
    """Ready, or the reasons why not."""
    reasons = []
    if facts.state is not ConnectionState.LIVE:
        why = f": {facts.ended}" if facts.ended else ""
        reasons.append(f"the session is {facts.state.value.replace('_', ' ')}, and not live{why}")
    if facts.status == MAINTENANCE:
        reasons.append(f"the exchange says of itself: {facts.status}")
    if facts.held < facts.wanted:
        reasons.append(f"{facts.held} of {facts.wanted} subscriptions are acknowledged")
    if facts.refused:
        reasons.append(f"the exchange refuses {_some(sorted(facts.refused), '; ')}")
    if facts.unproven:
        shown = _some(sorted(facts.unproven), ", ")
        reasons.append(f"for more than {limits.unproven_s:.0f} s no message has proven the book of {shown}")
    if facts.journal_stalled:
        reasons.append("the journal cannot commit, or is full of what waits for its disk")
    if facts.left is not None:
        reasons.append(facts.left)
    if facts.waits is not None:
        reasons.append(facts.waits)
    elif facts.loading and facts.loader_lag_s is None:
        reasons.append("nothing has been loaded into the store yet")
    elif facts.loading and facts.loader_lag_s is not None and facts.loader_lag_s > limits.loader_lag_s:
        reasons.append(
            f"the store is {facts.loader_lag_s:.0f} s behind the journal, and at most {limits.loader_lag_s:.0f} s "
            "are allowed"
        )
    return Readiness.of(reasons)


def _some(items: list[str], between: str) -> str:
    more = f" and {len(items) - SHOWN_MAX} more" if len(items) > SHOWN_MAX else ""
    return between.join(items[:SHOWN_MAX]) + more
