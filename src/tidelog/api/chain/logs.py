"""`POST /v1/chains/{chain}/logs`: logs by block range or block, addresses and topics, as eth_getLogs means them."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import RawBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from tidelog.api.access.turns import turn
from tidelog.api.chain.answers import ChainAnswer, ChainState, held_from, the_chain, unstored
from tidelog.api.chain.blocks import find_block
from tidelog.api.http.backend import Backend
from tidelog.api.http.cursors import CURSOR_MAX, foreign
from tidelog.api.http.damage import each
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import ADDRESS, HASH, Chain, from_hex
from tidelog.api.http.problems import Refused, read_body
from tidelog.batch import INT_MAX, Row
from tidelog.chain.reading.log_search import TOPICS, select_logs
from tidelog.chain.reading.places import BlockFacts, block_facts, transaction_hashes
from tidelog.chain.rows.tables import BLOCKS, LOGS
from tidelog.chain.written import Log, log_of
from tidelog.store import PRESENT, Condition, Snapshot

__all__ = ["ROUTES"]

BlockNumber: TypeAlias = Annotated[int, Meta(ge=0, le=INT_MAX)]
Bound: TypeAlias = BlockNumber | Literal["latest", "safe", "finalized"]
AddressText: TypeAlias = Annotated[str, Meta(pattern=ADDRESS)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
CursorText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)]
HashText: TypeAlias = Annotated[str, Meta(pattern=HASH)]


class LogFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which logs. What is left out matches all, but for the range: that is the latest block."""

    from_block: Annotated[Bound | None, Meta(description="The lowest block; latest, if it is left out.")] = None
    to_block: Annotated[Bound | None, Meta(description="The highest block; latest, if it is left out.")] = None
    block_hash: Annotated[HashText | None, Meta(description="One block by its hash, in place of a range.")] = None
    address: Annotated[AddressText | list[AddressText] | None, Meta(description="One, or any of several.")] = None
    topics: Annotated[
        list[HashText | list[HashText] | None],
        Meta(max_length=4, description="By position: a topic, any of several, or null for any topic at all."),
    ] = []
    order: Annotated[Literal["asc", "desc"], Meta(description="asc: the oldest first.")] = "asc"
    at_most: Annotated[Literal["latest", "safe", "finalized"], Meta(description="Show nothing above.")] = "latest"
    hashes: Annotated[bool, Meta(description="Also each log's block and transaction hash.")] = True
    limit: Annotated[Count | None, Meta(description="How many at most, of one answer.")] = None
    cursor: Annotated[CursorText | None, Meta(description="`next` of the answer before, as it was.")] = None


_NUMBER, _TX_INDEX = LOGS.index("block_number"), LOGS.index("tx_index")
_FILTER = msgspec.json.Decoder(LogFilter)


class Logs(ChainAnswer, frozen=True, kw_only=True):
    """Logs in order."""

    data: list[Log]
    next: str | None


class _Search(Struct, frozen=True):
    """A filter, read."""

    addresses: tuple[bytes, ...]
    where: dict[str, Condition]
    least: int  # topics that a log must have: `[A, null]` is no log of one topic
    descending: bool

    def conditions(self) -> dict[str, Condition]:
        """On topics; one on the last that a log must have, if it is any at all."""
        last = TOPICS[self.least - 1 : self.least]
        return {**dict.fromkeys(last, PRESENT), **self.where}


@post(
    "/v1/chains/{chain:str}/logs",
    operation_id="search_logs",
    summary="Logs by addresses and topics",
    tags=["chain"],
    status_code=200,
    opt={"body": LogFilter},
)
async def search_logs(
    request: Request[Any, Any, Any], backend: NamedDependency[Backend], chain: Chain, body: RawBody
) -> Response[Logs]:
    """In the order of blocks and of logs within; the oldest first, unless `order` says otherwise.

    An answer with `next` may have fewer logs than `limit`: then their data is large.
    """
    options = backend.options
    data = read_body(body, _FILTER)
    search = _read(data, options)
    identity = (
        *("logs", chain, data.from_block, data.to_block, data.block_hash, data.order),
        *(search.where, search.addresses, search.least),
    )
    begun, cursor = _begun(data)
    page = page_of(options, LOGS, identity if begun is None else (*identity, begun), data.limit, cursor)

    async def look(snapshot: Snapshot) -> Logs:
        state = await the_chain(snapshot, chain)
        begins, high = await _span(snapshot, state, data, begun, options.block_range_max)
        low = begins
        if low <= high:
            low = await held_from(snapshot, state, search.addresses, search.where.get("topic0"), low, high)

        def read(limit: int, after: Row | None) -> Awaitable[list[Row]]:
            return select_logs(
                snapshot,
                chain,
                addresses=search.addresses,
                topics=search.conditions(),
                low=low,
                high=high,
                limit=limit,
                after=after,
                descending=search.descending,
            )

        listed = replace(page, identity=(*identity, begins)) if _moves(data) else page
        rows, following = ([], None) if low > high else await listed.read(read)
        if _moves(data) and following is not None:
            following = f"{begins}.{following}"
        found = await _told(snapshot, chain, rows, data.hashes)
        highest = high if search.descending or following is None else found[-1].block_number
        return Logs(data=found, next=following, **state.envelope(highest))

    async with turn(request):
        return unstored(await backend.store.read(look))


def _read(data: LogFilter, options: ApiOptions) -> _Search:
    if data.block_hash is not None and (data.from_block is not None or data.to_block is not None):
        raise Refused(400, "block_hash: it replaces from_block and to_block; give one or the other")
    addresses = _alternatives(data.address, "address", options.addresses_max)
    where: dict[str, Condition] = {}
    for position, given in enumerate(data.topics):
        wanted = _alternatives(given, f"topics[{position}]", options.topics_max)
        if wanted:
            where[TOPICS[position]] = wanted if len(wanted) > 1 or position == 0 else wanted[0]
    return _Search(addresses, where, len(data.topics), data.order == "desc")


def _alternatives(given: str | Sequence[str] | None, name: str, most: int) -> tuple[bytes, ...]:
    """Sorted, each once: two spellings of one filter are one list."""
    texts = [] if given is None else [given] if isinstance(given, str) else given
    if len(texts) > most:
        raise Refused(400, f"{name}: {len(texts)} are given, at most {most} go in one filter")
    return tuple(sorted({from_hex(text) for text in texts}))


def _moves(data: LogFilter) -> bool:
    """Whether the list begins at a block that is another one by the next page."""
    return data.block_hash is None and not isinstance(data.from_block, int)


def _begun(data: LogFilter) -> tuple[int | None, str | None]:
    """Where the list began, as its cursor says it for a list that moves, and the rest of the cursor."""
    if data.cursor is None or not _moves(data):
        return None, data.cursor
    begun, point, cursor = data.cursor.partition(".")
    if not (point and begun.isascii() and begun.isdecimal() and int(begun) <= INT_MAX):
        raise foreign()
    return int(begun), cursor


async def _span(
    snapshot: Snapshot, state: ChainState, data: LogFilter, begun: int | None, most: int
) -> tuple[int, int]:
    """The blocks that are searched, both ends included; Refused where there are none such, or too many.

    Args:
        begun: the lowest block of a list that goes on.
    """
    if data.block_hash is not None:
        row = await find_block(snapshot, state, data.block_hash, data.at_most)
        if row is None:
            raise Refused(404, f"block_hash: chain {state.chain_id} has no such block in what is shown")
        number = int(str(row[BLOCKS.index("number")]))
        return number, number
    bound = state.bound(data.at_most)
    low, high = (
        state.bound(given or "latest") if given is None or isinstance(given, str) else given
        for given in (data.from_block, data.to_block)
    )
    if begun is not None:
        low = begun
    elif low > high:
        raise Refused(400, f"from_block: {low} is above to_block, {high}")
    low, high = max(low, state.position.lowest), min(high, bound)
    if high - low >= most:
        given = f"blocks {low} to {high} are {high - low + 1}"
        raise Refused(400, f"to_block: {given}, at most {most} go in one search")
    return low, high


async def _told(snapshot: Snapshot, chain: int, rows: Sequence[Row], hashes: bool) -> list[Log]:
    """The logs as answers have them."""
    if not hashes or not rows:
        return each(chain, rows, log_of)
    places: Any = {(row[_NUMBER], row[_TX_INDEX]) for row in rows}
    facts: Mapping[Any, BlockFacts] = await block_facts(snapshot, chain, (number for number, _ in places))
    transactions: Mapping[Any, bytes] = await transaction_hashes(snapshot, chain, places)
    blocks: Mapping[Any, bytes] = {number: fact.hash for number, fact in facts.items()}
    return each(chain, rows, lambda row: log_of(row, blocks[row[_NUMBER]], transactions[row[_NUMBER], row[_TX_INDEX]]))


ROUTES = [search_logs]
