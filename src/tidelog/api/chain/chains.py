"""`/v1/chains`: which chains the store holds, and how far each is."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from tidelog.api.chain.answers import BlockRef, Commit, chain_state, unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import Cursor, Limit
from tidelog.chain.proof.spec import spec_of
from tidelog.chain.rows.tables import CHAINS

__all__ = ["ROUTES"]

_CHAIN_ID, _GENESIS_HASH = CHAINS.index("chain_id"), CHAINS.index("genesis_hash")


class Chain(Struct, frozen=True):
    """A chain, the checks that apply at its head, and the stored range."""

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
    """By id. `checkpoint` says which blocks are stored, and what is final."""
    page = page_of(backend.options, CHAINS, ("chains",), limit, cursor)
    async with backend.store.snapshot() as snapshot:
        rows, following = page.cut(await snapshot.select(CHAINS, after=page.after, limit=page.limit))
        states = [await chain_state(snapshot, int(str(row[_CHAIN_ID]))) for row in rows]
    found = []
    for row, state in zip(rows, states, strict=True):
        genesis_hash = row[_GENESIS_HASH]
        profile = spec_of(row)
        if state is not None:
            profile = profile.at(state.position.head)
        envelope = {"head": None, "checkpoint": None} if state is None else state.envelope(0)
        found.append(
            Chain(
                int(str(row[_CHAIN_ID])),
                profile.name,
                list(profile.checks),
                "0x" + genesis_hash.hex() if isinstance(genesis_hash, bytes) else None,
                envelope["head"],
                envelope["checkpoint"],
            )
        )
    return unstored(Chains(found, following))


ROUTES = [list_chains]
