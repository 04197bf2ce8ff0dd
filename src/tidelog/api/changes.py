"""The outbox and the reorganisations: what was applied and reverted, in the order of the commits."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tidelog.api.answers import ChainAnswer, the_chain, unstored
from tidelog.api.backend import Backend
from tidelog.api.chain_fields import Change, Reorg, change_of, reorg_of
from tidelog.api.pages import page_of
from tidelog.api.parameters import Chain, Cursor, Limit, Order
from tidelog.api.problems import Refused
from tidelog.batch import CHANGES, INT_MAX, REORGS

__all__ = ["ROUTES"]

After = Annotated[
    int | None, QueryParameter(ge=0, le=INT_MAX - 1, description="Only changes behind this `seq`; 0 is the beginning.")
]


class Changes(ChainAnswer, frozen=True, kw_only=True):
    """Changes by `seq`."""

    data: list[Change]
    next: str | None


class Reorgs(ChainAnswer, frozen=True, kw_only=True):
    """Reorganisations by `seq`."""

    data: list[Reorg]
    next: str | None


@get(
    "/v1/chains/{chain:str}/changes",
    operation_id="list_changes",
    summary="Blocks applied and reverted, in order",
    tags=["chain"],
)
async def list_changes(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    after: After = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Changes]:
    """The oldest first. A follower keeps the `seq` of what it has applied, and goes on by `after`."""
    if after is not None and cursor is not None:
        raise Refused(400, "after: the cursor says already where to go on; give one of them")
    page = page_of(backend.options, CHANGES, ("changes", chain), limit, cursor)
    low = None if after is None else after + 1
    async with backend.store.snapshot() as snapshot:
        state = await the_chain(snapshot, chain)
        rows = await snapshot.select(CHANGES, scope=chain, low=low, after=page.after, limit=page.limit)
    rows, following = page.cut(rows)
    data = [change_of(row) for row in rows]
    highest = max([change.number for change in data], default=state.position.head)
    return unstored(Changes(data=data, next=following, **state.envelope(highest)))


@get("/v1/chains/{chain:str}/reorgs", operation_id="list_reorgs", summary="Reorganisations", tags=["chain"])
async def list_reorgs(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    order: Order = "desc",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Reorgs]:
    """The newest first, unless `order` says otherwise."""
    page = page_of(backend.options, REORGS, ("reorgs", chain, order), limit, cursor)
    async with backend.store.snapshot() as snapshot:
        state = await the_chain(snapshot, chain)
        rows = await snapshot.select(
            REORGS, scope=chain, after=page.after, descending=order == "desc", limit=page.limit
        )
    rows, following = page.cut(rows)
    data = [reorg_of(row) for row in rows]
    highest = max([max(reorg.old_head, reorg.new_head) for reorg in data], default=state.position.head)
    return unstored(Reorgs(data=data, next=following, **state.envelope(highest)))


ROUTES = [list_changes, list_reorgs]
