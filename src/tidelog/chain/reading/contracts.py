"""The contracts whose events have tables in a store, as it says itself. Asks a `Snapshot`, no SQL."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from typing import Any

from tidelog.batch import Table
from tidelog.chain.contracts.births import Births, Child
from tidelog.chain.contracts.contract import CONTRACTS, WHOLE, Registered, registered_rows
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.forks.position import Position
from tidelog.chain.select.coverage import CONTRACT_COVERAGE, Coverage, Span, Spans, read_coverage
from tidelog.store import Snapshot

__all__ = ["contract_spans", "stored_births", "stored_contracts", "stored_coverage", "stored_tables"]

ADDRESSES_AT_ONCE = 1_000  # far below what one statement may name


async def stored_contracts(snapshot: Snapshot, chain_id: int | None = None) -> list[Registered]:
    """Those of a chain, or all, by chain and name; those that are being removed among them."""
    return registered_rows(await snapshot.select(CONTRACTS, scope=chain_id))


async def stored_coverage(snapshot: Snapshot, chain_id: int) -> Coverage:
    """Of which blocks a selection holds what each contract logged; nothing where the chain is held whole."""
    return read_coverage(await snapshot.select(CONTRACT_COVERAGE, scope=chain_id))


async def stored_births(
    snapshot: Snapshot, chain_id: int, contracts: Iterable[Registered], among: Collection[bytes] | None = None
) -> Births:
    """The children of contracts that others create.

    Args:
        among: only which of these addresses are children is of interest.
    """
    births = Births()
    addresses = None if among is None else sorted(among)
    created = [each.contract for each in contracts if each.contract.created_by is not None and not each.leaving]
    relations = await snapshot.relations() if created else {}
    for contract in created:
        table = tables_of(contract).children
        if table is None or table.name not in relations:
            continue  # that it is missing is said where the contract is asked for
        async for rows in _named(snapshot, table, chain_id, addresses):
            for _, number, index, address in rows:
                births.add(Child(contract.name, address, (number, index)))
    return births


async def _named(
    snapshot: Snapshot, table: Table, chain_id: int, among: list[bytes] | None
) -> AsyncIterator[list[Any]]:
    if among is None:
        async for rows in snapshot.scan(table, scope=chain_id):
            yield rows
        return
    for start in range(0, len(among), ADDRESSES_AT_ONCE):
        part = among[start : start + ADDRESSES_AT_ONCE]
        yield await snapshot.select(table, scope=chain_id, where={"address": part})


async def stored_tables(snapshot: Snapshot) -> list[Table]:
    """The tables of all contracts that are there to stay, in an order that is always the same."""

    def tables() -> Iterator[Table]:
        for registered in found:
            if not registered.leaving:
                yield from tables_of(registered.contract).tables

    found = await stored_contracts(snapshot)
    return sorted(tables(), key=lambda table: table.name)


def contract_spans(registered: Registered, position: Position | None, coverage: Coverage) -> Spans:
    """Of which blocks the store has what a contract logged. A chain that is held whole says so without rows."""
    contract = registered.contract
    if registered.leaving or position is None:
        return ()
    if position.selection:
        return coverage.get(contract.name, ())
    first = max(contract.first_block if registered.is_filled else registered.filled_from, position.first)
    return (Span(first, position.head, WHOLE),) if first <= position.head else ()
