"""The rows of contracts' events against what the stored logs say, decoded again.

Reads one snapshot; all else is pure.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from tidelog.batch import Row, Table, Value
from tidelog.chain.contracts.births import Births
from tidelog.chain.contracts.contract import WHOLE, Contract, Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.contracts.kinship import ancestors, possible_creations, require_creator
from tidelog.chain.contracts.projection import ContractEvents
from tidelog.chain.reading.contracts import stored_coverage
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.select.coverage import Spans, gaps
from tidelog.errors import ConfigError, Corruption
from tidelog.store import Snapshot

__all__ = ["StoredEvents", "event_differences", "stored_events"]


class StoredEvents(NamedTuple):
    """A contract, and the rows that its tables have for a range of blocks, by table."""

    registered: Registered
    rows: dict[str, list[Row]]  # of a table that is missing: none, see `missing`
    missing: frozenset[str] = frozenset()
    spans: Spans | None = None  # of a selection: the blocks that are covered
    creators: tuple[Contract, ...] = ()  # who creates it, who creates that one, and so on

    @property
    def name(self) -> str:
        """The contract's."""
        return self.registered.contract.name

    @property
    def tables(self) -> list[Table]:
        """The contract's tables that are there."""
        return [table for table in tables_of(self.registered.contract).tables if table.name not in self.missing]

    @property
    def numbers(self) -> set[int]:
        """Of the blocks that have rows."""
        return {int(row[1] or 0) for rows in self.rows.values() for row in rows}

    def misses(self, number: int) -> bool:
        """Whether the rows of this block may not be there yet."""
        if self.spans is not None:
            first = self.registered.contract.first_block
            return number >= first and not any(each.first <= number <= each.last for each in self.spans)
        return not self.registered.is_filled and number < self.registered.filled_from

    def misses_some(self, low: int, high: int) -> bool:
        """Whether rows of some of these blocks may not be there yet."""
        if self.spans is not None:
            return bool(gaps(self.spans, max(low, self.registered.contract.first_block), high))
        return self.misses(low)


async def stored_events(
    snapshot: Snapshot, chain_id: int, contracts: Sequence[Registered], low: int, high: int
) -> list[StoredEvents]:
    """Of each of a chain's contracts that is there to stay. Corruption: what is said to create one cannot."""
    found = []
    coverage = await stored_coverage(snapshot, chain_id)
    staying = [each.contract for each in contracts if not each.leaving]
    relations = await snapshot.relations() if contracts else {}
    for registered in contracts:
        if not registered.leaving:
            _require_creator(registered.contract, staying)
            tables = {table.name: table for table in tables_of(registered.contract).tables}
            rows = {
                name: await snapshot.select(table, scope=chain_id, low=low, high=high) if name in relations else []
                for name, table in tables.items()
            }
            selected = registered.contract.evidence != WHOLE
            spans = coverage.get(registered.contract.name, ()) if selected else None
            missing = frozenset(tables.keys() - relations.keys())
            creators = tuple(ancestors(registered.contract, staying))
            found.append(StoredEvents(registered, rows, missing, spans, creators))
    return found


def _require_creator(contract: Contract, contracts: Sequence[Contract]) -> None:
    try:
        require_creator(contract, contracts)
    except ConfigError as error:
        said = "" if contract.created_by is None else contract.created_by.text
        raise Corruption(
            f"the row of contract {contract.name!r} in `contracts` says created_by = {said}, and that cannot be "
            f"({error}): put back what the contract was added with, or delete the row with SQL; a sync that is given "
            "the contract then makes its tables anew"
        ) from None


def event_differences(
    stored: Sequence[StoredEvents], blocks: Sequence[BlockRows], births: Births, passed_over: Collection[int]
) -> list[tuple[int, str]]:
    """What differs, by block, one sentence for each block and table.

    Args:
        births: which addresses that log in the blocks are children, as the store has it.
        passed_over: blocks whose logs cannot be trusted, since something was found in them.
    """
    found = []
    for each in stored:
        if each.missing and blocks:
            names = f"{', '.join(sorted(each.missing))} of contract {each.name}"
            remedy = "let one sync run without the contract, and then one with it, which makes its tables anew"
            found.append((blocks[0].number, f"{names}: missing: {remedy}"))
            continue
        events = ContractEvents([each.registered.contract, *each.creators], births)
        tables = tables_of(each.registered.contract).tables
        there = {table.name: _by_block(table, each.rows[table.name]) for table in tables}
        for block in blocks:
            if block.number in passed_over or each.misses(block.number):
                continue
            wanted: dict[str, list[Row]] = {}
            for table, row in events.of_blocks([block]):
                wanted.setdefault(table.name, []).append(row)
            for table in tables:
                rows = _by_block(table, wanted.get(table.name, []))
                what = _difference(rows.get(block.number, []), there[table.name].get(block.number, []))
                if not what:
                    continue
                children = there[table.name].get(block.number, [])
                if children and table == tables_of(each.registered.contract).children:
                    everyone = [one.registered.contract for one in stored]
                    what += _other_creation(each.registered.contract, everyone, children, block, births)
                found.append((block.number, f"{table.name} {what}"))
    return found


def _other_creation(
    contract: Contract, contracts: Sequence[Contract], there: list["_Content"], block: BlockRows, births: Births
) -> str:
    """Words for children that are those of another `created_by` than the contract's row says; empty: of none."""
    children = tables_of(contract).children
    assert contract.created_by is not None
    assert children is not None
    for creation in (each for creator in contracts for each in possible_creations(creator)):
        other = replace(contract, created_by=creation)
        creators = ancestors(other, contracts)
        if other == contract or contract in creators:
            continue
        found = ContractEvents([other, *creators], births).of_blocks([block])
        rows = [row for table, row in found if table.name == children.name]
        if _by_block(children, rows).get(block.number, []) == there:
            return (
                f": they are as created_by = {creation.text} says, and the row of contract {contract.name} in "
                f"`contracts` says {contract.created_by.text}: one of both was altered"
            )
    return ""


class _Content(NamedTuple):
    """A row as it is compared."""

    log_index: Value
    values: Row  # of the columns that are content


def _by_block(table: Table, rows: Iterable[Row]) -> dict[Value, list[_Content]]:
    number, log_index = table.index("block_number"), table.index("log_index")
    content = [place for place, column in enumerate(table.columns) if column.content]
    found: dict[Value, list[_Content]] = {}
    for row in rows:
        found.setdefault(row[number], []).append(_Content(row[log_index], tuple([row[place] for place in content])))
    return found


def _difference(wanted: list[_Content], there: list[_Content]) -> str | None:
    if wanted == there:
        return None
    by_index: dict[Any, Row] = dict(wanted)
    stored: dict[Any, Row] = dict(there)
    for index in sorted({*by_index, *stored}):
        if index not in stored:
            return f"has no row of log {index}"
        if index not in by_index:
            return f"has a row of log {index}, which says none"
        if by_index[index] != stored[index]:
            return f"has another row of log {index} than that log says"
    return "has its rows in another order"
