"""`GET /v1/chains/{chain}/events`: logs, decoded by the signature in the query."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from tidelog.api.access.turns import turn
from tidelog.api.chain.answers import ChainAnswer, held_from, the_chain, unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.damage import DamagedBlock
from tidelog.api.http.pagination import PAGE_BYTES_MAX, page_of
from tidelog.api.http.parameters import ADDRESS, ARGUMENT, AtMost, Chain, Cursor, From, Limit, To, from_hex
from tidelog.api.http.problems import Refused
from tidelog.chain.abi.signatures import SIGNATURE_CHARACTERS_MAX, parse_event
from tidelog.chain.reading.event_search import EventSearch, FoundEvent, event_search, select_events
from tidelog.chain.reading.places import RowWithoutBlock
from tidelog.chain.rows.tables import LOGS
from tidelog.errors import ConfigError
from tidelog.store import Snapshot

__all__ = ["ROUTES"]

PASSED_MAX = 10_000  # logs that do not fit which one answer passes over: a tenth of a second

Signature = Annotated[
    str,
    QueryParameter(
        min_length=1,
        max_length=SIGNATURE_CHARACTERS_MAX,
        description="As Solidity has it: `Transfer(address indexed from, address indexed to, uint256 value)`.",
    ),
]
Contract = Annotated[str | None, QueryParameter(pattern=ADDRESS, description="The contract; any, if it is left out.")]


class DecodedEvent(Struct, frozen=True, kw_only=True):
    """A decoded log."""

    block_number: int
    log_index: int
    transaction_hash: str
    timestamp: int
    address: str
    event: str
    args: Annotated[
        dict[str, Any], Meta(description="By name. Numbers of types with more than 53 bits are text, bytes are hex.")
    ]


class DecodedEvents(ChainAnswer, frozen=True, kw_only=True):
    """Events in order."""

    data: list[DecodedEvent]
    misfits: Annotated[
        dict[str, int],
        Meta(description="Logs passed over that are named like the event and do not fit, by the reason."),
    ]
    next: str | None


@get(
    "/v1/chains/{chain:str}/events",
    operation_id="list_events",
    summary="Events of contracts, decoded",
    tags=["chain"],
    opt={"query_prefix": ARGUMENT},
)
async def list_events(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    signature: Signature,
    address: Contract = None,
    from_: From = None,
    to: To = None,
    at_most: AtMost = "latest",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[DecodedEvents]:
    """The oldest first, decoded by the signature.

    `arg.NAME=VALUE` searches by an indexed argument, such as `arg.to=0x..`: an address, a number, true or false, bytes
    as 0x hex; of an indexed string its text, of an indexed tuple or array the hash that the log has. An answer with
    `next` may have fewer events than `limit`, or none: then many logs did not fit, or are large.
    """
    options = backend.options
    given = {name: request.query_params[name] for name in sorted(request.query_params) if name.startswith(ARGUMENT)}
    identity = ("events", chain, signature, (address or "").lower(), from_, to, *given.items())
    page = page_of(options, LOGS, identity, limit, cursor)
    search = _search(signature, address, given)

    async def look(snapshot: Snapshot) -> DecodedEvents:
        state = await the_chain(snapshot, chain)
        high = min(state.bound(at_most), state.bound(at_most) if to is None else to)
        low = await held_from(snapshot, state, search.addresses, search.topics.get("topic0"), from_, high)
        if high - low >= options.block_range_max:
            span = f"blocks {low} to {high} are {high - low + 1}"
            raise Refused(400, f"from, to: {span}, at most {options.block_range_max} go in one search")
        try:
            decoded = await select_events(
                snapshot,
                chain,
                search,
                low=low,
                high=high,
                limit=page.size,
                after=page.after,
                passed_max=PASSED_MAX,
                bytes_max=PAGE_BYTES_MAX,
            )
        except RowWithoutBlock as error:
            raise DamagedBlock(chain, error.number, str(error)) from error
        return DecodedEvents(
            data=[_answer(event) for event in decoded.found],
            misfits=dict(decoded.misfits),
            next=None if decoded.last is None else page.sealed(decoded.last),
            **state.envelope(high),
        )

    async with turn(request):
        return unstored(await backend.store.read(look))


def _search(signature: str, address: str | None, given: dict[str, str]) -> EventSearch:
    try:
        event = parse_event(signature)
    except ConfigError as error:
        raise Refused(400, f"signature: {error}") from None
    arguments = {name.removeprefix(ARGUMENT): [text] for name, text in given.items()}
    try:
        return event_search([event], [] if address is None else [from_hex(address)], arguments)
    except ConfigError as error:
        raise Refused(400, str(error)) from None


def _answer(event: FoundEvent) -> DecodedEvent:
    return DecodedEvent(
        block_number=event.block_number,
        log_index=event.log_index,
        transaction_hash=f"0x{event.transaction_hash.hex()}",
        timestamp=event.timestamp,
        address=f"0x{event.address.hex()}",
        event=event.event,
        args=event.args,
    )


ROUTES = [list_events]
