"""`/v1/stats`: how much the store holds, from counters that its commits keep; nothing is counted here."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from msgspec import Meta, Struct

from tidelog.api.chain.answers import BlockRef, chain_state, unstored
from tidelog.api.http.backend import Backend
from tidelog.api.market.view import market_states
from tidelog.chain.forks.position import counts
from tidelog.chain.reading.position import stored_chains
from tidelog.json_values import Time, time_text

__all__ = ["ROUTES"]

CHAINS_MAX = 100  # shown: a store holds a few


class ChainStats(Struct, frozen=True):
    """A chain's counts. Null: the store is older than the counter, and has not counted yet."""

    chain_id: int
    commits: int
    blocks: int
    transactions: int | None
    logs: int | None
    changes: Annotated[int, Meta(description="Blocks applied and reverted since the beginning.")]
    head: BlockRef | None
    finalized: BlockRef | None


class RecordingStats(Struct, frozen=True):
    """A recording's counts."""

    recording: str
    commits: int
    symbols: int
    trades: int | None
    time: Annotated[Time | None, Meta(description="Of the last frame that is stored, by the journal.")]


class Stats(Struct, frozen=True):
    """What the store holds."""

    chains: list[ChainStats]
    recordings: list[RecordingStats]


@get("/v1/stats", operation_id="get_stats", summary="How much the store holds", tags=["store"])
async def get_stats(request: Request[Any, Any, Any], backend: NamedDependency[Backend]) -> Response[Stats]:
    """All of it is of one commit, and costs the same however much there is."""
    async with backend.store.snapshot() as snapshot:
        states = [await chain_state(snapshot, chain_id) for chain_id in await stored_chains(snapshot, CHAINS_MAX)]
        recordings = await market_states(snapshot)
    chains = []
    for state in filter(None, states):
        envelope = state.envelope(0)
        position = state.position
        counted = counts(position)
        chains.append(
            ChainStats(
                state.chain_id,
                state.checkpoint.commit_seq,
                position.head - position.first + 1,
                None if counted is None else counted.transactions,
                None if counted is None else counted.logs,
                position.changes,
                envelope["head"],
                envelope["checkpoint"].finalized,
            )
        )
    shown_recordings = [
        RecordingStats(
            view.recording,
            view.commits,
            len(view.state.symbols),
            _sum([symbol.trades for symbol in view.state.symbols.values()]),
            time_text(view.state.at_us) if view.state.at_us else None,
        )
        for view in recordings
    ]
    return unstored(Stats(chains, shown_recordings))


def _sum(counted: list[int | None]) -> int | None:
    known = [each for each in counted if each is not None]
    return sum(known) if len(known) == len(counted) else None


ROUTES = [get_stats]
