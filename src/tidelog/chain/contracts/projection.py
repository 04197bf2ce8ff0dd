"""The rows of contracts' events as a projection: in the commit of their blocks, and gone with them."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tidelog.batch import INT_MAX, Row, Rows, Table
from tidelog.chain.contracts.births import Births
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.event_tables import ContractTables, Place, tables_of
from tidelog.chain.contracts.kinship import Kin
from tidelog.chain.projections import Step
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS

__all__ = ["ContractEvents"]

ROWS_KEPT = 60_000  # of a staged branch: as many as a commit of history has; beyond it, each table has them made again

_TIMESTAMP = BLOCKS.index("timestamp")
_PLACE, _HASH = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("hash")


class ContractEvents:
    """`Projection` over several contracts.

    Args:
        births: the children that are known before the blocks that come; those that the blocks name come to it once
            they are committed.
        naming: names of contracts of whose children not all are known yet: of them only children have rows.
    """

    def __init__(
        self, contracts: Iterable[Contract], births: Births | None = None, naming: Collection[str] = ()
    ) -> None:
        self._kin = Kin(contracts)
        self._births = Births() if births is None else births
        self._naming = frozenset(naming)
        self._tables: dict[str, ContractTables] = {each.name: tables_of(each) for each in self._kin.contracts}
        self.undone = tuple([table for each in self._tables.values() for table in each.tables])

    def rows(self, step: Step) -> Sequence[Rows]:
        """What the blocks' logs say, table by table. Blocks that are in memory are decoded once."""
        if not self.undone:
            return []
        through = INT_MAX if step.reorg is None else step.reorg.fork_number
        if not isinstance(step.blocks, list | tuple):
            derived = _Derived(self, step.blocks, through)
            return [Rows(table, _Only(derived, table)) for table in self.undone]
        found: dict[str, list[Row]] = {}
        for table, row in self.of_blocks(step.blocks, through):
            found.setdefault(table.name, []).append(row)
        return [Rows(table, found[table.name]) for table in self.undone if table.name in found]

    def of_blocks(self, blocks: Iterable[BlockRows], through: int = INT_MAX) -> Iterator[tuple[Table, Row]]:
        """Each row that the blocks' logs have, and its table.

        Args:
            blocks: in order, each with its logs in order: what one names is known in the next.
            through: what was named above this block is not of their branch.
        """
        births = self._births.over(through)
        for block in blocks:
            yield from self._of_block(block, births)

    def _of_block(self, block: BlockRows, births: Births) -> Iterator[tuple[Table, Row]]:
        hashes: dict[Any, Any] | None = None
        timestamp: Any = block.block[_TIMESTAMP]
        for told in self._kin.walk(block.logs, births):
            for owner in told.owners:
                if owner.name in self._naming:
                    continue
                log = LogColumns._make(told.row)
                if hashes is None:
                    hashes = {transaction[_PLACE]: transaction[_HASH] for transaction in block.transactions}
                found = self._tables[owner.name].row(log, Place(hashes[log.tx_index], timestamp))
                if found is not None:
                    yield found
            for child in told.named:
                children = self._tables[child.contract].children
                assert children is not None
                yield children, (LogColumns._make(told.row).chain_id, *child.birth, child.address)


class _Derived:
    """What blocks that are too many to hold have in all tables: gone through once, and kept unless it is much."""

    def __init__(self, events: ContractEvents, blocks: Iterable[BlockRows], through: int) -> None:
        self._events, self._blocks, self._through = events, blocks, through
        self._counts: Counter[str] | None = None  # by table; None until they are gone through
        self._kept: dict[str, list[Row]] | None = {}  # None: too many

    def count(self, table: Table) -> int:
        """How many rows a table gets."""
        if self._counts is None:
            self._counts = self._gone_through()
        return self._counts[table.name]

    def rows(self, table: Table) -> Iterable[Row]:
        """They themselves."""
        if not self.count(table):
            return ()
        if self._kept is not None:
            return self._kept[table.name]
        found = self._events.of_blocks(self._blocks, self._through)
        return (row for given, row in found if given is table)

    def _gone_through(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        kept = 0
        for table, row in self._events.of_blocks(self._blocks, self._through):
            counts[table.name] += 1
            if self._kept is not None:
                self._kept.setdefault(table.name, []).append(row)
                kept += 1
                if kept > ROWS_KEPT:
                    self._kept = None
        return counts


class _Only(Collection[Row]):
    """The rows of one table alone."""

    def __init__(self, derived: _Derived, table: Table) -> None:
        self._derived, self._table = derived, table

    def __iter__(self) -> Iterator[Row]:
        return iter(self._derived.rows(self._table))

    def __len__(self) -> int:
        return self._derived.count(self._table)

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)
