"""The tables of a contract's events: their names, their columns, and how a decoded event becomes a row.

A table is called `e_CONTRACT_EVENT`, its view `v_CONTRACT_EVENT`; of events of one name each has the beginning of its
signature's hash behind it. Of a contract that others create `e_CONTRACT__children` has a row for each log that names
an address of it. Columns are called as the arguments, in lower case with `_` between words; with one `_`
behind where SQL or another column has the word.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tidelog.batch import (
    Column,
    Kind,
    Row,
    Table,
    Value,
    bytes_column,
    int256,
    int_column,
    text_column,
    uint64_column,
    uint256,
)
from tidelog.chain.abi import types
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import LogDecoder, Misfit
from tidelog.chain.abi.texts import json_value
from tidelog.chain.abi.types import Elementary, Parameter
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.encoding.items import keccak
from tidelog.chain.rows.columns import LogColumns

__all__ = ["ContractTables", "Place", "argument_columns", "stored_argument", "tables_of"]

STEM_BYTES_MAX = 54  # of contract and event: with `e_` in front and `_2` behind, a name that PostgreSQL tells apart
HASH_DIGITS = 8
CONTRACTS_KEPT = 256  # whose decoders are not made again: those of nine events take two milliseconds
COLUMN_BYTES_MAX = 56
BIGINT_BITS, UINT64_BITS = 56, 64  # up to which an integer without a sign is an INT; UINT64 has one size alone

_KEY = ("chain_id", "block_number", "log_index")
_PLACE = (
    int_column("chain_id"),
    int_column("block_number"),
    int_column("log_index"),
    int_column("tx_index"),
    bytes_column("transaction_hash"),
    uint64_column("timestamp"),  # of the block, Unix time in seconds
    bytes_column("address"),
)
# that of a view is beside them, and what the store has of its own, or reads them together with
_OWN = frozenset((*(column.name for column in _PLACE), "time", "segment", "scope"))

# Words that neither database takes as a column's name without quotes, and those that only one of them refuses
# (sqlite.org/lang_keywords.html, postgresql.org/docs/current/sql-keywords-appendix.html), last the columns that each
# table of PostgreSQL has already (postgresql.org/docs/current/ddl-system-columns.html).
_WORDS = """
abort action add after all alter always analyse analyze and any array as asc asymmetric attach authorization
before begin between binary both by cascade case cast check collate collation column commit concurrently
conflict constraint create cross current current_catalog current_date current_role current_schema current_time
current_timestamp current_user database default deferrable deferred delete desc detach distinct do drop each
else end escape except exclude exclusive exists explain fail false fetch filter first following for foreign
freeze from full generated glob grant group groups having if ignore ilike immediate in index indexed initially
inner insert instead intersect into is isnull join key last lateral leading left like limit localtime
localtimestamp match materialized natural no not nothing notnull null nulls of offset on only or order others
outer over overlaps partition placing plan pragma preceding primary query raise range recursive references
regexp reindex release rename replace restrict returning right rollback row rows savepoint select session_user
set similar some symmetric system_user table tablesample temp temporary then ties to trailing transaction
trigger true unbounded union unique update user using vacuum values variadic verbose view virtual when where
window with within without
cmax cmin ctid tableoid xmax xmin
"""
_RESERVED = frozenset(_WORDS.split())


class Place(NamedTuple):
    """Where a log stands, beside what its own row says."""

    transaction_hash: bytes
    timestamp: int


class ContractTables:
    """The tables of a contract, and the rows that its logs have in them."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        names = _stems(contract)
        self._events = {event: _EventTable(event, stem) for event, stem in zip(contract.events, names, strict=True)}
        self.misfits = _misfits(contract)
        self.children = None if contract.created_by is None else _children(contract)
        self._decoder = LogDecoder(contract.events)
        self._topics = frozenset(event.topic0 for event in contract.events if event.topic0 is not None)

    @property
    def by_event(self) -> Mapping[Event, Table]:
        """The table of each event."""
        return {event: each.table for event, each in self._events.items()}

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them: each event's, then that of the logs that do not fit, and that of children."""
        return (*self.filled, *([] if self.children is None else [self.children]))

    @property
    def filled(self) -> tuple[Table, ...]:
        """Those that have rows of the contract's own logs."""
        return (*self.by_event.values(), self.misfits)

    def row(self, log: LogColumns, place: Place) -> tuple[Table, Row] | None:
        """The row of a log of the contract, and its table; None: it is of no event that has one.

        A log whose first topic is that of an event, and that does not fit it, has a row among the misfits with the
        reason. The log itself is where it was: in `logs`.
        """
        decoded = self._decoder.decode(log.topic0, log.topic1, log.topic2, log.topic3, log.data)
        if decoded is None or (isinstance(decoded, Misfit) and log.topic0 not in self._topics):
            return None  # of an anonymous event nothing says that a log was meant to be one
        if isinstance(decoded, Misfit):
            return self._misfit(log, decoded.reason)
        event_table = self._events[decoded.event]
        try:
            values = event_table.values(decoded.values)
        except _Unstorable as error:
            return self._misfit(log, str(error))
        beginning = (log.chain_id, log.block_number, log.log_index, log.tx_index, *place, log.address)
        return event_table.table, (*beginning, *values)

    def _misfit(self, log: LogColumns, reason: str) -> tuple[Table, Row]:
        return self.misfits, (log.chain_id, log.block_number, log.log_index, reason)


@lru_cache(CONTRACTS_KEPT)
def tables_of(contract: Contract) -> ContractTables:
    """The tables of a contract, made once: they are asked for by each step of filling in and each part of a verify."""
    return ContractTables(contract)


def argument_columns(event: Event, table: Table) -> list[tuple[Column, Parameter]]:
    """The columns of an event's table that its arguments have, each with its argument."""
    return list(zip(table.columns[len(_PLACE) :], event.parameters, strict=True))


def stored_argument(parameter: Parameter, value: Any) -> Value:
    """A decoded value as a row has it."""
    _, convert = _column("", parameter)
    return convert(value)


class _Unstorable(Exception):
    """A value that no database takes."""


class _EventTable:
    def __init__(self, event: Event, stem: str) -> None:
        columns: list[Column] = []
        self._converters: list[Callable[[Any], Value]] = []
        searched = []
        taken = set(_OWN)
        for name, parameter in zip(event.names, event.parameters, strict=True):
            column, converter = _column(_column_name(name, taken), parameter)
            taken |= {column.name, f"{column.name}_text"}
            columns.append(column)
            self._converters.append(converter)
            if parameter.indexed:
                searched.append(column.name)
        self.table = Table(
            f"e_{stem}",
            (*_PLACE, *columns),
            key=_KEY,
            scope="chain_id",
            height="block_number",
            later=True,
            searched=tuple(searched),
            segmented=tuple(searched),
            view=f"v_{stem}",
        )

    def values(self, decoded: Iterable[Any]) -> Iterator[Value]:
        return iter([convert(value) for convert, value in zip(self._converters, decoded, strict=True)])


def _misfits(contract: Contract) -> Table:
    return Table(
        f"e_{contract.name}__misfits",
        (
            int_column("chain_id"),
            int_column("block_number"),
            int_column("log_index"),
            text_column("reason", content=False),  # in the words of the tidelog that wrote it
        ),
        key=_KEY,
        scope="chain_id",
        height="block_number",
        later=True,
    )


def _children(contract: Contract) -> Table:
    return Table(
        f"e_{contract.name}__children",
        (
            int_column("chain_id"),
            int_column("block_number"),  # of the log that names the address
            int_column("log_index"),
            bytes_column("address"),
        ),
        key=_KEY,
        scope="chain_id",
        height="block_number",
        later=True,
        searched=("address",),
        view=f"v_{contract.name}__children",
    )


# -- names -----------------------------------------------------------------------------------------------------------


def _stems(contract: Contract) -> list[str]:
    """What tells the events' tables apart: `usdc_transfer`."""
    words = [_snake(event.name) or "event" for event in contract.events]
    several = Counter(words)
    stems = []
    for event, word in zip(contract.events, words, strict=True):
        stem = f"{contract.name}_{word}"
        if several[word] > 1 or len(stem) > STEM_BYTES_MAX:
            mark = keccak(_whole_signature(event).encode()).hex()[:HASH_DIGITS]
            stem = f"{stem[: STEM_BYTES_MAX - HASH_DIGITS - 1]}_{mark}"
        stems.append(stem)
    return stems


def _whole_signature(event: Event) -> str:
    """With what is indexed: events of one canonical signature may differ in that alone."""
    given = ",".join(f"{each.type.name}{' indexed' if each.indexed else ''}" for each in event.parameters)
    return f"{event.name}({given}){' anonymous' if event.anonymous else ''}"


def _snake(name: str) -> str:
    """`sqrtPriceX96` as `sqrt_price_x96`, `tokenID` as `token_id`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _column_name(name: str, taken: set[str]) -> str:
    found = _snake(name)[:COLUMN_BYTES_MAX] or "arg"
    if found[0].isdigit():
        found = f"arg_{found}"
    if found in _RESERVED or found in _OWN:
        found += "_"
    wanted, number = found, 2
    while found in taken or f"{found}_text" in taken:
        found, number = f"{wanted.rstrip('_')}_{number}", number + 1
    return found


# -- columns ---------------------------------------------------------------------------------------------------------


def _column(name: str, parameter: Parameter) -> tuple[Column, Callable[[Any], Value]]:
    """The column of an argument, and how a decoded value becomes what a row has there."""
    given = parameter.type
    if parameter.is_hashed:
        return bytes_column(name), _same
    if not isinstance(given, Elementary):
        return text_column(name), lambda value: msgspec.json.encode(json_value(given, value)).decode()
    match given.kind:
        case types.Kind.BOOL:
            return int_column(name), int
        case types.Kind.UINT if given.size <= BIGINT_BITS:
            return int_column(name), _same
        case types.Kind.UINT if given.size == UINT64_BITS:
            return uint64_column(name), _same
        case types.Kind.UINT:
            return Column(name, Kind.UINT256, spelled=True), uint256
        case types.Kind.INT if given.size <= UINT64_BITS:
            return int_column(name), _same
        case types.Kind.INT:
            return Column(name, Kind.INT256, spelled=True), int256
        case types.Kind.STRING:
            return text_column(name), _text
        case types.Kind.FIXED | types.Kind.UFIXED:
            return text_column(name), _decimal
    return bytes_column(name), _same


def _same(value: Any) -> Value:
    found: Value = value
    return found


def _decimal(value: Decimal) -> str:
    return f"{value:f}"


def _text(value: str) -> str:
    if "\0" in value:
        raise _Unstorable("a string has U+0000, which no text of a database can have")
    return value
