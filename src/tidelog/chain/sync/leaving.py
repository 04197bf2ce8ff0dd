"""A contract that leaves a selection: the logs that only it selected go, and their transactions, some a step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tidelog.batch import INT_MAX, Row, Rows
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.forks.position import Counts
from tidelog.chain.reading.blocks import read_block
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.tables import LOGS, MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.select.selection import Selection, narrowed
from tidelog.chain.sync.writer import ChainWriter
from tidelog.store import Condition, Store
from tidelog.store.query import key_of

__all__ = ["Leaving", "logs_of"]

_NUMBER = LOGS.index("block_number")


def logs_of(contract: Contract) -> dict[str, Condition]:
    """What logs of a contract have in common that an index finds. Of one that others create more logs have that."""
    if contract.created_by is None:
        return {"address": contract.address}
    topics = sorted({event.topic0 for event in contract.events if event.topic0 is not None})
    return {} if any(event.topic0 is None for event in contract.events) else {"topic0": topics}


class Leaving:
    """Takes out of a selection what is not wanted any more, some a step.

    Where it has been, all is wanted as long as the same is selected: what comes later comes as it is wanted. So each
    log of a contract is looked at once, also where another contract wants them all.
    """

    def __init__(self, writer: ChainWriter, store: Store) -> None:
        self._writer = writer
        self._store = store
        self._passed: dict[str, tuple[_Selected, Row]] = {}  # by contract: the last log that was looked at

    async def step(self, contract: Contract, limit: int) -> bool:
        """Delete some of the logs of a contract that no other one selects, and what they alone kept.

        What stays in the stretch that a step goes through is written again: a commit deletes a stretch as a whole.

        Args:
            limit: how many logs one step goes through; those of one block at least.

        Returns:
            Whether logs are left that were not looked at.
        """
        writer, selected = self._writer, _Selected(self._writer.holdings.selection.contracts, self._writer.resets)
        before, after = self._passed.get(contract.name, (selected, None))
        async with self._store.snapshot() as snapshot:
            rows: list[Any] = await snapshot.select(
                LOGS,
                scope=writer.chain_id,
                where=logs_of(contract),
                after=after if before == selected else None,
                limit=limit,
            )
        low = next((int(row[_NUMBER]) for row in rows if not _is_wanted(writer.holdings.selection, row)), None)
        if low is not None:
            high = await _leave_out(writer, self._store, low, limit)
            self._passed[contract.name] = selected, (writer.chain_id, high, INT_MAX)
            return True
        if rows:
            self._passed[contract.name] = selected, key_of(LOGS, rows[-1])
        return len(rows) == limit


class _Selected(NamedTuple):
    contracts: tuple[Contract, ...]
    resets: int  # of what children of theirs were known


async def _leave_out(writer: ChainWriter, store: Store, low: int, limit: int) -> int:
    """Delete the logs that nobody selects from a block on; the last block of those that were gone through."""
    position = writer.position
    assert position is not None
    chain_id, selection = writer.chain_id, writer.holdings.selection
    async with store.snapshot() as snapshot:
        logs: list[Any] = await snapshot.select(LOGS, scope=chain_id, low=low, limit=limit)
        high = position.head if len(logs) < limit else max(low, logs[-1][_NUMBER] - 1)
        if len(logs) == limit:
            logs = await snapshot.select(LOGS, scope=chain_id, low=low, high=high)
        transactions = await snapshot.select(TRANSACTIONS, scope=chain_id, low=low, high=high)
        proofs = await snapshot.select(MERKLE_PROOFS, scope=chain_id, low=low, high=high)
        kept = [row for row in logs if _is_wanted(selection, row)]
        changing = sorted({row[_NUMBER] for row in logs if not _is_wanted(selection, row)})
        blocks = [await read_block(snapshot, chain_id, number) for number in changing]
    rows: list[Row] = []
    empty: list[int] = []
    for block in blocks:
        if block is not None:
            mine: Sequence[Any] = block.logs
            left_of = narrowed(block, [row for row in mine if _is_wanted(selection, row)])
            if block.number < position.first and not left_of.logs:
                empty.append(block.number)
            else:
                rows.append(left_of.block)
    places = {(log.block_number, log.tx_index) for log in map(LogColumns._make, kept)}
    staying = [row for row in transactions if (row[1], row[2]) in places]
    proving = [row for row in proofs if (row[1], row[2]) in places]
    of_tables = (Rows(TRANSACTIONS, staying), Rows(LOGS, kept), Rows(MERKLE_PROOFS, proving))
    left = [each for each in of_tables if each.rows]
    dropped = Counts(0, len(transactions), len(logs), 0)
    await writer.leave_out(range(low, high + 1), blocks=rows, left=left, dropped=dropped, empty=empty)
    return high


def _is_wanted(selection: Selection, row: Any) -> bool:
    log = LogColumns._make(row)
    return selection.wants(log.block_number, log.address, log.topic0)
