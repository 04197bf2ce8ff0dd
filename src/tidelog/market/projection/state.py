"""What a projection has to know of the past: small, and kept in the checkpoint that its rows are committed with. Pure.

The names of fields are part of stored checkpoints.
"""

import msgspec
from msgspec import Struct

from tidelog.market.events import NOTHING, EventId
from tidelog.market.projection.coverage import Interval
from tidelog.market.projection.trade_ids import TradeIds

__all__ = ["DEPTH", "Outage", "ProjectionState", "SymbolState", "decode_state", "encode_state"]

DEPTH = 10  # of a book that nothing was said about: part of the stored state, where it is left out


class SymbolState(Struct, omit_defaults=True):
    """What the past means for one symbol."""

    book: Interval | None = None  # the current interval of its coverage, per channel
    trade: Interval | None = None
    ids: TradeIds | None = msgspec.field(default=None, name="held")  # of trades, where they have some
    unnumbered: bool = False  # trades came without ids
    acked_depth: int | None = None  # of its next book, as an ack said
    depth: int = DEPTH  # of its book
    sampled_us: int | None = None  # when its book was last stored
    tick_us: int = 0  # of trades without ids: the latest time, and how many of it there were
    ticks: int = 0
    moments: tuple[
        tuple[int, int], ...
    ] = ()  # ... and the same of the times before it, with which a snapshot may begin
    repeats: bool = False  # ... and whether the next frame of them is a snapshot, of trades that may have come before
    from_us: int = 0  # trades before this were dropped, so that none of them is added any more
    trades: int | None = None  # that are stored: the loader's count; None where an older tidelog did not count


class Outage(Struct, frozen=True):
    """The connection is down, or frames are missing, since the last one that came."""

    since_us: int
    reason: str
    opened_us: int


class ProjectionState(Struct, omit_defaults=True):
    """How far the projection has come, and what it has to know of what came before."""

    run: int = NOTHING.run
    seq: int = NOTHING.seq
    at_us: int = 0  # the latest time so far: a time before it is raised to it
    frame_us: int = 0  # the same of frames alone
    outage: Outage | None = None
    outage_us: int = 0  # when the latest outage began
    intervals_s: tuple[int, ...] = ()  # of the candles that were made
    journal: str = ""  # id of the journal that is loaded, hex; "": an older tidelog has loaded it, and kept none
    symbols: dict[str, SymbolState] = {}
    entered: int = 0  # of a shard: what its journal has from before this run is loaded, and some of it was given up
    leaving: dict[str, SymbolState] = {}  # of a shard: what it is giving up, see `market.shards.claims`

    @property
    def id(self) -> EventId:
        return EventId(self.run, self.seq)


_decode_state = msgspec.json.Decoder(ProjectionState).decode


def encode_state(state: ProjectionState) -> str:
    return msgspec.json.encode(state).decode()


def decode_state(text: str) -> ProjectionState:
    """Raises msgspec.DecodeError if the text is no state."""
    return _decode_state(text)
