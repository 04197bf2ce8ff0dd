"""`/v1/chains`: which chains the store holds, and how far each is."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from tidelog.api.answers import BlockRef, Commit, chain_state, unstored
from tidelog.api.backend import Backend
from tidelog.api.pages import page_of
from tidelog.api.parameters import Cursor, Limit
from tidelog.batch import CHAINS
from tidelog.chain.profiles import profile_of

__all__ = ["ROUTES"]


class Chain(Struct, frozen=True):
    """A chain, the checks that hold at its head, and the range that is held."""

    chain_id: int
    profile: str
    checks: list[str]
    genesis_hash: str | None
    head: BlockRef | None
    checkpoint: Commit | None


class Chains(Struct, frozen=True):
    """Chains, by id."""

    data: list[Chain]
    next: str | None


@get("/v1/chains", operation_id="list_chains", summary="Chains that the store holds", tags=["chain"])
async def list_chains(
    request: Request[Any, Any, Any], backend: NamedDependency[Backend], limit: Limit = None, cursor: Cursor = None
) -> Response[Chains]:
    """By id. `checkpoint` says which blocks are held, and what is final."""
    page = page_of(backend.options, CHAINS, ("chains",), limit, cursor)
    async with backend.store.snapshot() as snapshot:
        rows, following = page.cut(await snapshot.select(CHAINS, after=page.after, limit=page.limit))
        states = [await chain_state(snapshot, int(str(row[0]))) for row in rows]
    found = []
    for row, state in zip(rows, states, strict=True):
        profile = profile_of(row)
        if state is not None:
            profile = profile.at(state.position.head)
        envelope = {"head": None, "checkpoint": None} if state is None else state.envelope(0)
        found.append(
            Chain(
                int(str(row[0])),
                profile.name,
                list(profile.checks),
                "0x" + row[1].hex() if isinstance(row[1], bytes) else None,
                envelope["head"],
                envelope["checkpoint"],
            )
        )
    return unstored(Chains(found, following))


ROUTES = [list_chains]
