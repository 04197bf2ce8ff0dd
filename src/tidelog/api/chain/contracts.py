"""`/v1/chains/{chain}/contracts`: the contracts whose events have tables, and the rows of these."""

from collections.abc import Awaitable
from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter
from msgspec import Meta, Struct, field

from tidelog.api.access.turns import searching
from tidelog.api.chain.answers import ChainAnswer, ChainState, the_chain, unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import ARGUMENT, AtMost, Chain, Cursor, From, Limit, Order, To
from tidelog.api.http.problems import Refused
from tidelog.batch import Row, Table
from tidelog.chain.abi.entries import Event
from tidelog.chain.contracts.contract import CONTRACTS, NAME_BYTES_MAX, Registered, registered_rows
from tidelog.chain.contracts.event_tables import argument_columns, tables_of
from tidelog.chain.reading.contract_rows import arguments_of, conditions, find_event, short_name
from tidelog.chain.reading.contracts import contract_spans, stored_contracts, stored_coverage
from tidelog.chain.select.coverage import Spans, gaps, merged
from tidelog.errors import ConfigError
from tidelog.store import Snapshot
from tidelog.store.ddl import IDENTIFIER_MAX

__all__ = ["ROUTES"]

ContractName = Annotated[str, PathParameter(min_length=1, max_length=NAME_BYTES_MAX, description="As its file has it.")]
EventName = Annotated[
    str,
    PathParameter(
        min_length=1,
        max_length=IDENTIFIER_MAX,
        description="The event's name, or what its table has behind the contract's: `transfer` of `e_usdc_transfer`.",
    ),
]


class ColumnOf(Struct, frozen=True):
    """A column that an argument has."""

    name: str
    type: Annotated[str, Meta(description="The argument's, as Solidity has it.")]
    indexed: Annotated[bool, Meta(description="Searched by an index; others within a range of blocks.")]


class EventTable(Struct, frozen=True):
    """An event that has a table."""

    name: Annotated[str, Meta(description="The last part of the rows' path.")]
    event: Annotated[str, Meta(description="Its canonical signature.")]
    table: str
    columns: list[ColumnOf]


class CoveredSpan(Struct, frozen=True):
    """Blocks whose rows are there, and how it is known what the contract logged in them."""

    first: int
    last: int
    evidence: str
    endpoint: Annotated[str | None, Meta(description="Of what was asked: who said so; several with a comma between.")]


class ContractOf(Struct, frozen=True, kw_only=True):
    """A contract whose events have tables."""

    name: str
    address: Annotated[str | None, Meta(description="Where it stands; null of one that others create.")]
    created_by: Annotated[
        str | None,
        Meta(description="CONTRACT.EVENT.ARGUMENT: the event of another contract that names where this one stands."),
    ]
    children: Annotated[int | None, Meta(description="How many logs named an address of it; null where none can.")]
    from_: Annotated[int, Meta(description="The first block whose events count.")] = field(name="from")
    evidence: str
    state: Annotated[
        Literal["filled", "filling", "leaving"],
        Meta(description="filling: older blocks have their rows later. leaving: its tables are being removed."),
    ]
    covered: list[CoveredSpan]
    events: list[EventTable]


class ChildOf(Struct, frozen=True, kw_only=True):
    """A log that names an address of a contract."""

    address: str
    block_number: int
    log_index: int


class ContractChildren(ChainAnswer, frozen=True, kw_only=True):
    """A contract, and the addresses that were named as its own, in order."""

    contract: ContractOf
    data: list[ChildOf]
    next: str | None


class Contracts(ChainAnswer, frozen=True, kw_only=True):
    """Contracts, by name."""

    data: list[ContractOf]
    next: str | None


class EventRow(Struct, frozen=True, kw_only=True):
    """A row of an event's table."""

    block_number: int
    log_index: int
    tx_index: int
    transaction_hash: str
    timestamp: int
    address: str
    args: Annotated[
        dict[str, Any], Meta(description="By column. Numbers of types with more than 53 bits are text, bytes are hex.")
    ]


class EventRows(ChainAnswer, frozen=True, kw_only=True):
    """Rows in order."""

    data: list[EventRow]
    next: str | None


@get(
    "/v1/chains/{chain:str}/contracts",
    operation_id="list_contracts",
    summary="Contracts whose events have tables",
    tags=["chain"],
)
async def list_contracts(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Contracts]:
    """By name, with their tables and columns, and the blocks whose rows are there."""
    page = page_of(backend.options, CONTRACTS, ("contracts", chain), limit, cursor)
    async with backend.store.snapshot() as snapshot:
        state = await the_chain(snapshot, chain)
        rows, following = page.cut(await snapshot.select(CONTRACTS, scope=chain, after=page.after, limit=page.limit))
        coverage = await stored_coverage(snapshot, chain)
        found = [
            await _contract(snapshot, each, contract_spans(each, state.position, coverage), state)
            for each in registered_rows(rows)
        ]
    return unstored(Contracts(data=found, next=following, **state.envelope(state.position.head)))


@get(
    "/v1/chains/{chain:str}/contracts/{name:str}",
    operation_id="get_contract",
    summary="A contract, and the addresses that were named as its own",
    tags=["chain"],
)
async def get_contract(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    name: ContractName,
    order: Order = "asc",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[ContractChildren]:
    """`data` has the children of a contract that others create (`created_by`), a row for each log that names one: the
    same address may be named again. Of any other contract there are none.
    """
    async with backend.store.snapshot() as snapshot:
        state = await the_chain(snapshot, chain)
        registered, spans = await _the_contract(snapshot, state, name)
        tables = tables_of(registered.contract)
        table = tables.misfits if tables.children is None else tables.children
        page = page_of(backend.options, table, ("children", chain, name, order), limit, cursor)
        rows: list[Row] = []
        if tables.children is not None:
            rows = await snapshot.select(
                table, scope=chain, after=page.after, descending=order == "desc", limit=page.limit
            )
        shown, following = page.cut(rows)
        contract = await _contract(snapshot, registered, spans, state)
    data = [_child(row) for row in shown]
    return unstored(
        ContractChildren(contract=contract, data=data, next=following, **state.envelope(state.position.head))
    )


def _child(row: Any) -> ChildOf:
    _, block_number, log_index, address = row
    return ChildOf(address=f"0x{address.hex()}", block_number=block_number, log_index=log_index)


async def _contract(snapshot: Snapshot, registered: Registered, spans: Spans, state: ChainState) -> ContractOf:
    contract, children = registered.contract, tables_of(registered.contract).children
    missing = gaps(spans, max(contract.first_block, state.position.lowest), state.position.head)
    return ContractOf(
        name=contract.name,
        address=f"0x{contract.address.hex()}" if contract.created_by is None else None,
        created_by=None if contract.created_by is None else contract.created_by.text,
        children=None if children is None else await snapshot.count(children, scope=state.chain_id),
        from_=contract.first_block,
        evidence=str(contract.evidence),
        state="leaving" if registered.leaving else "filling" if missing else "filled",
        covered=[CoveredSpan(span.first, span.last, span.evidence, span.endpoint) for span in spans],
        events=[
            EventTable(
                short_name(contract, table),
                event.signature,
                table.name,
                [
                    ColumnOf(column.name, parameter.type.name, parameter.indexed)
                    for column, parameter in argument_columns(event, table)
                ],
            )
            for event, table in tables_of(contract).by_event.items()
        ],
    )


@get(
    "/v1/chains/{chain:str}/contracts/{name:str}/{event:str}",
    operation_id="list_event_rows",
    summary="Rows of the table of a contract's event",
    tags=["chain"],
    opt={"query_prefix": ARGUMENT},
)
async def list_event_rows(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    name: ContractName,
    event: EventName,
    from_: From = None,
    to: To = None,
    order: Order = "asc",
    at_most: AtMost = "latest",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[EventRows]:
    """`arg.COLUMN=VALUE` searches by a column, such as `arg.to=0x..`: an address, a number, true or false, bytes as 0x
    hex, a text; of an indexed string its text, of an indexed tuple or array the hash that the log has. Columns that are
    not indexed are searched within a range of blocks, as logs are. An answer with `next` may have fewer rows than
    `limit`: then they are large.
    """
    options = backend.options
    given = {key: request.query_params[key] for key in sorted(request.query_params) if key.startswith(ARGUMENT)}
    identity = ("contract", chain, name, event, from_, to, order, *given.items())
    async with searching(request) as snapshot:
        state = await the_chain(snapshot, chain)
        registered, spans = await _the_contract(snapshot, state, name)
        wanted, table = _found(registered, event)
        page = page_of(options, table, identity, limit, cursor)
        where = _where(wanted, table, given)
        high = min(state.bound(at_most), state.bound(at_most) if to is None else to)
        low = _held_from(registered, spans, state, from_, high)
        if high - low >= options.block_range_max and not where.keys() <= set(table.searched):
            others = ", ".join(sorted(where.keys() - set(table.searched)))
            raise Refused(
                400,
                f"from, to: blocks {low} to {high} are {high - low + 1}, and {others} is not indexed: at most "
                f"{options.block_range_max} go in one search",
            )

        def read(limit: int, after: Row | None) -> Awaitable[list[Row]]:
            return snapshot.select(
                table,
                scope=chain,
                low=low,
                high=high,
                where=where,
                after=after,
                descending=order == "desc",
                limit=limit,
            )

        shown, following = ([], None) if low > high else await page.read(read)
    data = [_row(wanted, table, row) for row in shown]
    highest = high if order == "desc" or following is None else data[-1].block_number
    return unstored(EventRows(data=data, next=following, **state.envelope(highest)))


async def _the_contract(snapshot: Snapshot, state: ChainState, name: str) -> tuple[Registered, Spans]:
    """A contract that is there to stay, and the blocks whose rows are there."""
    contracts = [each for each in await stored_contracts(snapshot, state.chain_id) if not each.leaving]
    for each in contracts:
        if each.contract.name == name:
            return each, contract_spans(each, state.position, await stored_coverage(snapshot, state.chain_id))
    raise Refused(404, f"chain {state.chain_id} has no contract {name!r} with tables: /contracts lists those it has")


def _found(registered: Registered, name: str) -> tuple[Event, Table]:
    try:
        return find_event(registered.contract, name)
    except ConfigError as error:
        raise Refused(404, str(error)) from None


def _where(event: Event, table: Table, given: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(conditions(event, table, {key.removeprefix(ARGUMENT): text for key, text in given.items()}))
    except ConfigError as error:
        raise Refused(400, str(error)) from None


def _held_from(registered: Registered, spans: Spans, state: ChainState, low: int | None, high: int) -> int:
    """From where on up to `high` all rows are there; Refused where some that are asked for are not."""
    contract = registered.contract
    begins = max(contract.first_block, state.position.lowest, low or 0)
    whole = merged(spans)
    if low is None:
        begins = max([begins, *(span.first for span in whole if span.first <= high <= span.last)])
    missing = gaps(whole, begins, high)
    if missing:
        held = " and ".join([f"{span.first} to {span.last}" for span in whole]) or "none"
        first, last = missing[0][0], missing[0][-1]
        raise Refused(
            404, f"contract {contract.name} has the rows of blocks {held} so far, and {first} to {last} are asked for"
        )
    return begins


def _row(event: Event, table: Table, row: Any) -> EventRow:
    _, block_number, log_index, tx_index, transaction_hash, timestamp, address, *_ = row
    return EventRow(
        block_number=block_number,
        log_index=log_index,
        tx_index=tx_index,
        transaction_hash=f"0x{transaction_hash.hex()}",
        timestamp=timestamp,
        address=f"0x{address.hex()}",
        args=arguments_of(event, table, row),
    )


ROUTES = [list_contracts, get_contract, list_event_rows]
