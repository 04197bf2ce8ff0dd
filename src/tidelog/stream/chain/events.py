"""What the contracts of a store logged in a range of blocks, as their tables have it. Asks a `Snapshot`, no SQL."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from msgspec import Struct

from tidelog.batch import Table
from tidelog.chain.abi.entries import Event
from tidelog.chain.contracts.contract import Contract, Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.reading.contract_rows import arguments_of
from tidelog.chain.reading.contracts import contract_spans, stored_contracts, stored_coverage
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.select.coverage import Spans
from tidelog.chain.written import BlockEvents, ContractEvent, Log, MisfitLog, log_of
from tidelog.errors import Corruption
from tidelog.json_values import hex_text
from tidelog.store import Snapshot

__all__ = ["block_events"]


class _Covered(Struct, frozen=True):
    """A contract, and the blocks of which the store has what it logged."""

    contract: Contract
    spans: Spans

    def misses(self, number: int) -> bool:
        """Whether what it logged in a block may not be there."""
        if number < self.contract.first_block:
            return False
        return not any(each.first <= number <= each.last for each in self.spans)


async def block_events(snapshot: Snapshot, chain_id: int, low: int, high: int) -> dict[int, BlockEvents]:
    """What all contracts logged in the blocks `low` to `high`, by block: an entry for each of them.

    Raises:
        Corruption: a table is missing.
    """
    position = await stored_position(snapshot, chain_id)
    coverage = await stored_coverage(snapshot, chain_id)
    registered = [each for each in await stored_contracts(snapshot, chain_id) if not each.leaving]
    covered = [_Covered(each.contract, contract_spans(each, position, coverage)) for each in registered]
    found: dict[int, list[ContractEvent | MisfitLog]] = {number: [] for number in range(low, high + 1)}
    async for number, event in _told(snapshot, chain_id, registered, low, high):
        found[number].append(event)
    return {
        number: BlockEvents(
            events=sorted(events, key=lambda event: (event.log_index, event.contract)),
            uncovered=[each.contract.name for each in covered if each.misses(number)],
        )
        for number, events in found.items()
    }


async def _told(
    snapshot: Snapshot, chain_id: int, registered: Sequence[Registered], low: int, high: int
) -> AsyncIterator[tuple[int, ContractEvent | MisfitLog]]:
    """Each row of the contracts' tables as an event, with its block's number, table by table."""
    relations = await snapshot.relations() if registered else {}
    for each in registered:
        contract, tables = each.contract, tables_of(each.contract)
        for table in tables.filled:
            if table.name not in relations:
                raise Corruption(
                    f"{table.name} of contract {contract.name} is missing: let one sync run without the contract, and "
                    "then one with it, which makes its tables anew"
                )
        for event, table in tables.by_event.items():
            rows: Any = await snapshot.select(table, scope=chain_id, low=low, high=high)
            for row in rows:
                yield row[1], _event(contract, event, table, row)
        misfits: Any = await snapshot.select(tables.misfits, scope=chain_id, low=low, high=high)
        logs = await _logs(snapshot, chain_id, {number for _, number, *_ in misfits})
        for _, number, index, reason in misfits:
            if (number, index) not in logs:
                raise Corruption(
                    f"{tables.misfits.name} has log {index} of block {number}, which is not among the logs"
                )
            yield number, MisfitLog(contract=contract.name, log_index=index, reason=reason, log=logs[number, index])


def _event(contract: Contract, event: Event, table: Table, row: Any) -> ContractEvent:
    _, _, log_index, tx_index, transaction_hash, _, address, *_ = row
    return ContractEvent(
        contract=contract.name,
        event=event.name,
        table=table.name,
        log_index=log_index,
        tx_index=tx_index,
        transaction_hash=hex_text(transaction_hash),
        address=hex_text(address),
        args=arguments_of(event, table, row),
    )


async def _logs(snapshot: Snapshot, chain_id: int, numbers: Collection[int]) -> dict[tuple[int, int], Log]:
    """The logs of some blocks, by block and index."""
    found = {}
    for number in sorted(numbers):
        for row in await snapshot.select(LOGS, scope=chain_id, low=number, high=number):
            log = log_of(row)
            found[log.block_number, log.log_index] = log
    return found
