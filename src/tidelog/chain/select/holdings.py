"""What a store holds of a chain's contracts: which they are, what of them is covered, and their children. Pure.

Whoever writes the chain changes it, and only after a commit, so that it never says more than the store.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from tidelog.batch import INT_MAX, Batch
from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.births import Birth, Births, Child
from tidelog.chain.contracts.contract import ASKED, PROVEN, WHOLE, Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.contracts.kinship import ancestors
from tidelog.chain.contracts.projection import ContractEvents
from tidelog.chain.select.coverage import Coverage, Span, joined
from tidelog.chain.select.selection import Selection

__all__ = ["Holdings"]

LAST: Birth = (INT_MAX, INT_MAX)  # behind every log


class Holdings:
    """Of one chain.

    Attributes:
        contracts: those whose events have tables, as the store says.
        coverage: of a selection, the blocks of which it has what each contract logged.
        births: the children of contracts that others create.
        selection: what is selected of the blocks that come next.
        events: derives the rows of the contracts' tables; None where there are no contracts.
    """

    def __init__(self, contracts: Sequence[Registered], coverage: Coverage, births: Births) -> None:
        self.coverage = coverage
        self.births = births
        self.keep(contracts)

    def keep(self, contracts: Sequence[Registered]) -> None:
        """From now on there are these contracts."""
        self.contracts = tuple(contracts)
        staying = [each for each in contracts if not each.leaving]
        named = [each.contract for each in staying if each.is_named]
        naming = [each.contract.name for each in staying if not each.is_named]
        events = ContractEvents([each.contract for each in staying], self.births, naming)
        self.events = events if staying else None
        self.selection = Selection(named, self.births)
        created = [each.contract for each in staying if each.contract.created_by is not None]
        self._children = {table.name: each.name for each in created if (table := tables_of(each).children) is not None}

    @property
    def asks(self) -> bool:
        """Whether it is asked what some contracts logged in what is history when they are named."""
        return any(each.contract.evidence == ASKED and not each.leaving for each in self.contracts)

    @property
    def wants_selection(self) -> bool:
        """Whether a chain that begins with these contracts is to be held as a selection."""
        return any(each.contract.evidence != WHOLE for each in self.contracts)

    def selection_at(self, number: int) -> Selection:
        """What is selected of a stored block."""
        return Selection(
            [
                each.contract
                for each in self.contracts
                if any(span.first <= number <= span.last for span in self.coverage.get(each.contract.name, ()))
            ],
            self.births,
        )

    def covering(self, refs: Sequence[BlockRef], below: Coverage | None = None) -> Coverage:
        """The coverage once proven blocks are stored too.

        Args:
            refs: of the blocks, ascending.
            below: the coverage without them, if it is not that of now.
        """
        found = self.coverage if below is None else below
        if not refs:
            return found
        first, last = refs[0].number, refs[-1].number
        added = {
            each.contract.name: joined(
                found.get(each.contract.name, ()), Span(max(first, each.contract.first_block), last, PROVEN)
            )
            for each in self.contracts
            if not each.leaving and each.is_named
        }
        return {name: spans for name, spans in {**found, **added}.items() if spans}

    def family(self, batch: Batch, low: int, high: int) -> tuple[set[str], set[str]]:
        """What the blocks of a batch do to the children that are known.

        Args:
            low: the first of the blocks, `high` the last.

        Returns:
            Contracts that have children now which were not known, and those that have not all any more that were.
        """
        come: dict[str, dict[bytes, Birth]] = {}
        for child in self._named_in(batch):
            come.setdefault(child.contract, {}).setdefault(child.address, child.birth)
        named: set[str] = set()
        gone: set[str] = set()
        for name in self._children.values():
            there = come.get(name, {})
            if any((self.births.birth(name, address) or LAST) > birth for address, birth in there.items()):
                named.add(name)
            known = self.births.children(name)
            if any(low <= birth[0] <= high and there.get(address, LAST) > birth for address, birth in known):
                gone.add(name)
        return named, gone

    def descends(self, name: str, named: Collection[str]) -> bool:
        """Whether a contract is one of these, or created by one, however far."""
        contracts = {each.contract.name: each.contract for each in self.contracts}
        lineage = [contracts[name], *ancestors(contracts[name], contracts.values())]
        return any(each.name in named for each in lineage)

    def again(
        self, registered: Registered, named: Collection[str], gone: Collection[str], *, above: int, selects: bool
    ) -> Registered:
        """A contract that is filled in again, since below what is stored children of it, or of its creators, came.

        Args:
            named: contracts that have such children.
            gone: those of which children are none: their rows go before.
            above: the block above the head.
            selects: whether the chain is a selection.
        """
        name = registered.contract.name
        if registered.leaving or not self.descends(name, [*named, *gone]):
            return registered
        if self.descends(name, gone):
            return replace(registered, filled_from=INT_MAX, named_from=above)
        filled_from = registered.contract.first_block if selects else above
        if name in named:
            return replace(registered, filled_from=filled_from) if registered.is_named else registered
        return replace(registered, filled_from=filled_from if selects else INT_MAX, named_from=above)

    def remember(self, batch: Batch) -> None:
        """What a commit has done to the tables of children."""
        gone = batch.rollback
        for table in () if gone is None else gone.tables:
            if gone is not None and table.name in self._children:
                self.births.drop(self._children[table.name], gone.keep + 1, gone.last)
        for child in self._named_in(batch):
            self.births.add(child)

    def _named_in(self, batch: Batch) -> Iterable[Child]:
        """The children whose rows a batch adds."""
        for rows in batch.add:
            if rows.table.name in self._children:
                told: Iterable[Any] = rows.rows
                for _, number, index, address in told:
                    yield Child(self._children[rows.table.name], address, (number, index))
