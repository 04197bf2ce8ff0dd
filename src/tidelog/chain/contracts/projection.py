"""The rows of contracts' events as a projection: in the commit of their blocks, and gone with them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tidelog.batch import Row, Rows, Table
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.event_tables import ContractTables, Place, tables_of
from tidelog.chain.projections import Step, derived_rows
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS

__all__ = ["ContractEvents"]

_ADDRESS, _TX_INDEX = LOGS.index("address"), LOGS.index("tx_index")
_TIMESTAMP = BLOCKS.index("timestamp")
_PLACE, _HASH = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("hash")


class ContractEvents:
    """`Projection` over several contracts."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts = tuple([tables_of(contract) for contract in contracts])
        self.undone = tuple([table for each in self.contracts for table in each.tables])
        self._by_address: dict[bytes, list[ContractTables]] = {}
        for each in self.contracts:
            self._by_address.setdefault(each.contract.address, []).append(each)

    def rows(self, step: Step) -> Sequence[Rows]:
        """What the blocks' logs say, table by table. Blocks that are in memory are decoded once."""
        if not self.contracts:
            return []
        if not isinstance(step.blocks, list | tuple):
            return [derived_rows(table, step.blocks, _Only(self, table).rows) for table in self.undone]
        found: dict[str, list[Row]] = {}
        for block in step.blocks:
            for table, row in self.of_block(block):
                found.setdefault(table.name, []).append(row)
        return [Rows(table, found[table.name]) for table in self.undone if table.name in found]

    def of_block(self, block: BlockRows) -> Iterator[tuple[Table, Row]]:
        """Each row that a block's logs have, and its table."""
        hashes: dict[Any, Any] | None = None
        number = block.number
        timestamp: Any = block.block[_TIMESTAMP]
        logs: Sequence[Any] = block.logs
        for row in logs:
            for each in self._by_address.get(row[_ADDRESS], ()):
                if number < each.contract.first_block:
                    continue
                if hashes is None:
                    hashes = {transaction[_PLACE]: transaction[_HASH] for transaction in block.transactions}
                found = each.row(LogColumns._make(row), Place(hashes[row[_TX_INDEX]], timestamp))
                if found is not None:
                    yield found


class _Only:
    """The rows of one table alone: for blocks that are read again and again, since they are too many to hold."""

    def __init__(self, events: ContractEvents, table: Table) -> None:
        self._events = events
        self._table = table

    def rows(self, block: BlockRows) -> Iterator[Row]:
        return (row for table, row in self._events.of_block(block) if table is self._table)
