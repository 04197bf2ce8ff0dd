"""The outbox and the reorganisations: what was applied and reverted, in the order of the commits."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta

from tidelog.api.access.turns import searching
from tidelog.api.chain.answers import ChainAnswer, the_chain, unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import Chain, Cursor, Limit, Order, place_of_changes
from tidelog.api.http.problems import Refused
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Ahead, Place, Verdict, WentBack, place_text
from tidelog.chain.reading.outbox import next_changes
from tidelog.chain.rows.tables import CHANGES, REORGS
from tidelog.chain.written import Change, Reorg, Reset, Wait, change_of, reorg_of, reset_of

__all__ = ["ROUTES"]

After = Annotated[
    str | None,
    QueryParameter(description="Only changes behind this `place`, or `seq`; 0 is the beginning."),
]


class Changes(ChainAnswer, frozen=True, kw_only=True):
    """Changes by `seq`. One that is asked for by `cursor` has no `place`."""

    data: list[Change]
    next: str | None
    place: Annotated[str | None, Meta(description="Where you are once you have them: continue by `after`.")]
    reset: Reset | None
    wait: Wait | None


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
    """The oldest first. A follower keeps the `place` of what it has applied, and continues by `after`.

    A place that the store contradicts has a `reset`; one that is merely ahead of it a `wait`, and no data.
    """
    if after is not None and cursor is not None:
        raise Refused(400, "after: the cursor says already where to continue; give one of them")
    page = page_of(backend.options, CHANGES, ("changes", chain), limit, cursor)
    begun: Place | None = None
    said: Verdict = Agreed()
    asked = BEGIN if after is None else place_of_changes(after)
    async with searching(request) as snapshot:
        state = await the_chain(snapshot, chain)
        if page.after is None:
            found = await next_changes(snapshot, chain, asked, page.limit)
            begun, said, rows = found.begun, found.verdict, list(found.rows)
        else:
            rows = await snapshot.select(CHANGES, scope=chain, after=page.after, limit=page.limit)
    rows, following = page.cut(rows)
    data = [change_of(row) for row in rows]
    highest = max([change.number for change in data], default=state.position.head)
    answer = Changes(
        data=data,
        next=following,
        place=None if begun is None else place_text(begun.advanced(rows)),
        reset=reset_of(said.place) if isinstance(said, WentBack) else None,
        wait=Wait(said.last) if isinstance(said, Ahead) else None,
        **state.envelope(highest),
    )
    return unstored(answer)


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
    async with searching(request) as snapshot:
        state = await the_chain(snapshot, chain)
        rows = await snapshot.select(
            REORGS, scope=chain, after=page.after, descending=order == "desc", limit=page.limit
        )
    rows, following = page.cut(rows)
    data = [reorg_of(row) for row in rows]
    highest = max([max(reorg.old_head, reorg.new_head) for reorg in data], default=state.position.head)
    return unstored(Reorgs(data=data, next=following, **state.envelope(highest)))


ROUTES = [list_changes, list_reorgs]
