"""A recording at one commit: which it is, how far it is, and what its symbols are called.

The checkpoint has all of it (`market/projection/state.py`), so that no answer scans for it.
"""

import difflib
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.api.http.problems import Refused
from tidelog.batch import Checkpoint
from tidelog.errors import Corruption
from tidelog.json_values import Time, time_text
from tidelog.market.load.recorded import connection_of, recorded, source_of
from tidelog.market.projection.state import ProjectionState, decode_state
from tidelog.market.projection.tables import INSTRUMENTS
from tidelog.market.shards.claims import Claims
from tidelog.market.symbols import spelled
from tidelog.store import Snapshot

__all__ = ["MarketAnswer", "MarketCommit", "MarketState", "market_states", "recording_of", "the_market"]

SOURCE_PREFIX = source_of("")
STATES_KEPT = 8  # decoded: one for each recording that is asked for at a time
NAMES_TOLD = 10  # of recordings, in a sentence


class MarketCommit(Struct, frozen=True):
    """The commit that the answer shows, and the frame of the journal up to which it goes."""

    commit_seq: int
    run: int
    seq: int
    time: Time | None
    time_us: int


class MarketAnswer(Struct, frozen=True, kw_only=True):
    """What every answer about a market has beside its data. All of it is of one commit."""

    recording: str
    checkpoint: MarketCommit


class MarketState(Struct, frozen=True):
    """A recording, as a snapshot shows it."""

    source: str
    commits: int
    state: ProjectionState  # over all of its shards
    claims: Claims | None = None  # None: it has no shards, and never had

    @property
    def recording(self) -> str:
        return recording_of(self.source)

    def gap_scopes(self, symbol: str) -> tuple[str, ...]:
        """Of the gaps that concern a symbol: those of connections over which it ever came, and of its trades."""
        shards = (1,) if self.claims is None else self.claims.shards_of(symbol)
        return (*map(connection_of, shards), f"trades:{symbol}")

    def envelope(self) -> dict[str, Any]:
        """The fields of `MarketAnswer`."""
        state = self.state
        commit = MarketCommit(self.commits, state.run, state.seq, time_text(state.at_us), state.at_us)
        return {"recording": self.recording, "checkpoint": commit}


def recording_of(source: str) -> str:
    return source.removeprefix(SOURCE_PREFIX)


async def market_states(snapshot: Snapshot) -> list[MarketState]:
    """All recordings, by name."""
    found = [each.source for each in await snapshot.checkpoints() if each.source.startswith(SOURCE_PREFIX)]
    states = [await _state(snapshot, recording_of(source)) for source in sorted(found)]
    return [state for state in states if state is not None]


async def the_market(snapshot: Snapshot, recording: str | None, symbol: str) -> tuple[MarketState, str]:
    """The recording that is asked for, and the symbol as it is written there; Refused where there is none."""
    if recording is None:
        checkpoints = [each for each in await snapshot.checkpoints() if each.source.startswith(SOURCE_PREFIX)]
        names = ", ".join(sorted(recording_of(each.source) for each in checkpoints)[:NAMES_TOLD]) or "none"
        if len(checkpoints) != 1:
            raise Refused(400 if checkpoints else 404, f"recording: say which; the store holds {names}")
        recording = recording_of(checkpoints[0].source)
    view = await _state(snapshot, recording)
    if view is None:
        raise Refused(404, "recording: the store holds none of that name; /v1/markets lists those that it holds")
    for name in dict.fromkeys((symbol, symbol.replace("%2F", "/"), symbol.replace("-", "/"), spelled(symbol))):
        if name in view.state.symbols:
            return view, name
        if await snapshot.select(INSTRUMENTS, scope=view.source, where={"symbol": name}, limit=1):
            return view, name
    near = difflib.get_close_matches(symbol.replace("-", "/"), view.state.symbols, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "/v1/markets lists those that there are"
    raise Refused(404, f"recording {view.recording} has no such symbol; {hint}")


async def _state(snapshot: Snapshot, recording: str) -> MarketState | None:
    found = await recorded(snapshot, recording, _of)
    return None if found is None else MarketState(source_of(recording), found.commits, found.state, found.claims)


def _of(checkpoint: Checkpoint) -> ProjectionState:
    if checkpoint.position is None:
        return ProjectionState()
    try:
        return _decoded(checkpoint.position)
    except msgspec.DecodeError as error:
        raise Corruption(f"the checkpoint of {checkpoint.source} cannot be read: {error}") from None


@lru_cache(STATES_KEPT)
def _decoded(text: str) -> ProjectionState:
    """The result is shared: do not change it."""
    return decode_state(text)
