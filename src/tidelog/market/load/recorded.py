"""What a store says of a recording: its checkpoint, or those of its shards, as one. Reads alone, without a loader."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from tidelog.batch import Checkpoint
from tidelog.errors import Corruption
from tidelog.market.events import NOTHING, EventId
from tidelog.market.projection.projection import CONNECTION
from tidelog.market.projection.state import ProjectionState, decode_state
from tidelog.market.shards.claims import Claims, claims_source, decode_claims, merged, shard_source
from tidelog.market.shards.layout import shard_of_run
from tidelog.store import Snapshot

__all__ = [
    "Recorded",
    "checkpoints_of",
    "claims_in",
    "claims_of",
    "connection_of",
    "recorded",
    "recorded_in",
    "source_of",
    "state_of",
]

Decode = Callable[[Checkpoint], ProjectionState]


def source_of(name: str) -> str:
    """The name of a recording's checkpoint, and of its rows' source."""
    return f"market:{name}"


def connection_of(number: int) -> str:
    """The scope of a shard's gaps of its connection."""
    return CONNECTION if number == 1 else f"{CONNECTION}:{number}"


def state_of(checkpoint: Checkpoint) -> ProjectionState:
    """What a checkpoint says of a recording. Corruption: it cannot be read."""
    try:
        return ProjectionState() if checkpoint.position is None else decode_state(checkpoint.position)
    except msgspec.DecodeError as error:
        raise Corruption(f"the checkpoint of {checkpoint.source} cannot be read: {error}") from None


async def claims_of(snapshot: Snapshot, name: str) -> Claims | None:
    """The claims of a recording; None: it has no shards, and never had."""
    return claims_in(await snapshot.checkpoint(claims_source(name)))


class Recorded(Struct, frozen=True):
    """A recording over all of its shards, as a snapshot shows it."""

    state: ProjectionState  # of all; where it stands in a journal is the first shard's
    shards: dict[int, ProjectionState]  # of each, by its number; the first one alone, where there are no others
    commits: int
    owners: dict[str, int] = {}  # the shard of each symbol, where there are several
    claims: Claims | None = None  # None: it has no shards, and never had

    def has_loaded(self, id_: EventId) -> bool:
        """Whether the store has taken in the journal to which a record belongs up to that record."""
        shard = self.shards.get(shard_of_run(id_.run))
        return shard is not None and id_ <= shard.id

    @property
    def loaded_us(self) -> int:
        """The time up to which every shard is loaded, of those that have symbols: one that has given all up stands
        still. One that has loaded nothing yet does not count; 0: none has loaded anything.
        """
        begun = [state for state in self.shards.values() if state.symbols and state.id != NOTHING]
        return min((state.at_us for state in begun), default=self.shards[1].at_us)

    @property
    def undivided(self) -> EventId:
        """Up to where the first journal was loaded without shards."""
        return NOTHING if self.claims is None else self.claims.undivided


async def recorded(snapshot: Snapshot, name: str, decode: Decode = state_of) -> Recorded | None:
    """A recording over all of its shards; None: there is none of that name.

    Args:
        decode: reads the state of a checkpoint.
    """
    return _recorded(await claims_of(snapshot, name), await checkpoints_of(snapshot, name), decode)


def recorded_in(checkpoints: Mapping[str, Checkpoint], name: str) -> Recorded | None:
    """As `recorded`, from all checkpoints of a store, by their sources. Corruption: one cannot be read."""
    claims = claims_in(checkpoints.get(claims_source(name)))
    found = {number: checkpoints.get(shard_source(name, number)) for number in _numbers(claims)}
    return _recorded(claims, _there(found), state_of)


def _recorded(claims: Claims | None, checkpoints: dict[int, Checkpoint], decode: Decode) -> Recorded | None:
    if 1 not in checkpoints:
        return None
    shards = {number: decode(checkpoint) for number, checkpoint in checkpoints.items()}
    first, *others = shards.values()
    state = first if claims is None else merged(first, others, claims)
    commits = sum([checkpoint.commit_seq for checkpoint in checkpoints.values()])
    return Recorded(state, shards, commits, {} if claims is None else claims.owners, claims)


async def checkpoints_of(snapshot: Snapshot, name: str) -> dict[int, Checkpoint]:
    """Those of a recording's shards that have one, by their numbers; the first comes first."""
    numbers = _numbers(await claims_of(snapshot, name))
    return _there({number: await snapshot.checkpoint(shard_source(name, number)) for number in numbers})


def _numbers(claims: Claims | None) -> list[int]:
    return sorted({1} if claims is None else {1, *claims.shards})


def _there(found: Mapping[int, Checkpoint | None]) -> dict[int, Checkpoint]:
    return {number: checkpoint for number, checkpoint in found.items() if checkpoint is not None}


def claims_in(checkpoint: Checkpoint | None) -> Claims | None:
    """What a checkpoint says of a recording's shards; None: nothing. Corruption: it cannot be read."""
    if checkpoint is None or checkpoint.position is None:
        return None
    try:
        return decode_claims(checkpoint.position)
    except msgspec.DecodeError as error:
        raise Corruption(f"the checkpoint of {checkpoint.source} cannot be read: {error}") from None
