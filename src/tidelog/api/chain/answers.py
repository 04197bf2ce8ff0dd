"""How far answers may be trusted and kept: the envelope of a chain's answers, entity tags, caching.

What is final never changes, so that a client may keep it; but every answer also says how far the store is,
which does. So the tag of an answer is weak and is over its data alone, and what a cache hands out again is
true but for `head` and `checkpoint`, which are those of the time when it was first asked.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from litestar import MediaType, Request, Response
from msgspec import Meta, Struct

from tidelog.api.http.problems import Refused
from tidelog.batch import Checkpoint
from tidelog.chain.forks.position import Position, decode_position, source_of
from tidelog.chain.reading import held
from tidelog.chain.reading.held import NotHeld, covered_from
from tidelog.store import Snapshot

__all__ = [
    "CONDITIONAL",
    "BlockRef",
    "ChainAnswer",
    "ChainState",
    "Commit",
    "Finality",
    "chain_state",
    "held_from",
    "require_whole",
    "revalidated",
    "the_chain",
    "unstored",
]

T = TypeVar("T", bound=Struct)

IMMUTABLE = "private, max-age=86400, immutable"  # a day: a repair, or a rewind below finality, shows after it
REVALIDATED = "private, no-cache"  # keep it, and ask each time whether it is still so
UNSTORED = "no-store"
CONDITIONAL = {"conditional": True}  # `opt` of a route that answers 304: the document of the API says so

Finality: TypeAlias = Annotated[
    Literal["finalized", "unfinalized"],
    Meta(description="finalized: nothing in this answer can change. unfinalized: a reorg may replace some of it."),
]


class BlockRef(Struct, frozen=True):
    """A block, by number and hash."""

    number: int
    hash: str


class Commit(Struct, frozen=True):
    """The commit that the answer shows, and the range that was stored then."""

    commit_seq: int
    first: int
    finalized: BlockRef | None
    changes: Annotated[int, Meta(description="The last `seq` of /changes.")]


class ChainAnswer(Struct, frozen=True, kw_only=True):
    """What every answer about a chain has beside its data. All of it is of one commit."""

    finality: Finality
    head: BlockRef | None
    checkpoint: Commit


class ChainState(Struct, frozen=True):
    """A chain at one commit, as a snapshot shows it."""

    chain_id: int
    checkpoint: Checkpoint
    position: Position

    def bound(self, at_most: str) -> int:
        """The highest block that may be shown; below `first` when none may.

        The store keeps what is finalized, and no tag `safe`: what is finalized is safe, so that is shown.
        """
        if at_most == "latest":
            return self.position.head
        return self.position.first - 1 if self.position.finalized is None else self.position.finalized

    def finality(self, highest: int) -> Finality:
        """Of an answer in which no block above `highest` has a part."""
        finalized = self.position.finalized
        return "finalized" if finalized is not None and highest <= finalized else "unfinalized"

    def envelope(self, highest: int) -> dict[str, Any]:
        """The fields of `ChainAnswer`."""
        position = self.position
        final = position.finalized is not None and position.finalized_hash is not None
        return {
            "finality": self.finality(highest),
            "head": BlockRef(position.head, position.head_hash) if position.head >= position.first else None,
            "checkpoint": Commit(
                self.checkpoint.commit_seq,
                position.first,
                BlockRef(position.finalized or 0, position.finalized_hash or "") if final else None,
                position.changes,
            ),
        }


async def chain_state(snapshot: Snapshot, chain_id: int) -> ChainState | None:
    """None where the store holds no block of the chain."""
    checkpoint = await snapshot.checkpoint(source_of(chain_id))
    position = None if checkpoint is None else decode_position(checkpoint)
    return None if checkpoint is None or position is None else ChainState(chain_id, checkpoint, position)


async def the_chain(snapshot: Snapshot, chain_id: int) -> ChainState:
    """The same; Refused where there is none."""
    state = await chain_state(snapshot, chain_id)
    if state is None:
        raise Refused(404, f"the store holds no chain {chain_id}: /v1/chains lists those that it holds")
    return state


# -- selections --------------------------------------------------------------------------------------------


async def held_from(
    snapshot: Snapshot,
    state: ChainState,
    addresses: Sequence[bytes],
    topics: object,
    low: int | None,
    high: int,
) -> int:
    """As `tidelog.chain.reading.held.covered_from`; Refused where not all of it is held.

    Args:
        topics: what is asked of the first topic: one, a tuple of those of which any will do, or None.
    """
    wanted = topics if isinstance(topics, tuple) else None if topics is None else (topics,)
    try:
        return await covered_from(snapshot, state.chain_id, state.position, addresses, wanted, low, high)
    except NotHeld as error:
        raise Refused(404, str(error)) from None


def require_whole(state: ChainState, what: str) -> None:
    """Refused where only a selection of the chain is held."""
    try:
        held.require_whole(state.chain_id, state.position, what)
    except NotHeld as error:
        raise Refused(404, str(error)) from None


# -- caching -----------------------------------------------------------------------------------------------


def unstored(answer: T) -> Response[T]:
    """An answer that may differ the next time."""
    return Response(answer, media_type=MediaType.JSON, headers={"cache-control": UNSTORED})


def revalidated(request: Request[Any, Any, Any], answer: T, *, final: bool, named: bool) -> Response[T]:
    """The answer, or 304 where the client has it.

    Args:
        final: whether it cannot change any more; what can is not kept.
        named: whether its address names this data for good, so that a client need not ask again.
    """
    if not final:
        return unstored(answer)
    tag = _tag(answer)
    headers = {"etag": tag, "cache-control": IMMUTABLE if named else REVALIDATED}
    if _matches(request.headers.get("if-none-match"), tag):
        unchanged: Response[Any] = Response(b"", status_code=304, media_type=MediaType.JSON, headers=headers)
        return unchanged
    return Response(answer, media_type=MediaType.JSON, headers=headers)


def _tag(answer: Struct) -> str:
    kept = {name: getattr(answer, name) for name in answer.__struct_fields__ if name not in ("head", "checkpoint")}
    return f'W/"{hashlib.sha256(msgspec.json.encode(kept)).hexdigest()[:32]}"'


def _matches(given: str | None, tag: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags, compared weakly."""
    if given is None:
        return False
    opaque = tag.removeprefix("W/")
    return given.strip() == "*" or any(each.strip().removeprefix("W/") == opaque for each in given.split(","))
