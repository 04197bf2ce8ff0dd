"""Which addresses were named so far as those of contracts that others create, and from where on. No I/O."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tidelog.batch import INT_MAX
from tidelog.chain.encoding.blooms import Bloom, BloomIndex

__all__ = ["Birth", "Births", "Child"]

Birth: TypeAlias = tuple[int, int]
"""The block and the index of the log that named it first."""


class Child(NamedTuple):
    """An address, the contract that it is of, and the log that named it."""

    contract: str
    address: bytes
    birth: Birth


class Births:
    """Children by contract: those of `below` that were named up to block `through`, and what was added here.

    What is added to `below` meanwhile is there too. Several threads may ask while one adds.
    """

    def __init__(self, below: "Births | None" = None, through: int = INT_MAX) -> None:
        self._below = below
        self._through = through
        self._own: dict[str, dict[bytes, Birth]] = {}
        self._blooms: dict[str, BloomIndex] = {}  # of each of them, and of some that are gone
        self._gone: Counter[str] = Counter()  # how many these are, at most
        self.added: list[Child] = []  # here, in order; where there is no `below` nobody asks

    def over(self, through: int = INT_MAX) -> "Births":
        """These, and what will be added to the result alone: for blocks that are not committed yet."""
        return Births(self, through)

    def birth(self, contract: str, address: bytes) -> Birth | None:
        """Where an address was first named; None: it was not."""
        own = self._own.get(contract, {}).get(address)
        found = None if self._below is None else self._below.birth(contract, address)
        if found is None or found[0] > self._through:
            return own
        return found if own is None else min(own, found)

    def add(self, child: Child) -> None:
        """Take in that it was named. One that was named before stays as it was."""
        known = self.birth(child.contract, child.address)
        if known is not None and known <= child.birth:
            return
        self._own.setdefault(child.contract, {})[child.address] = child.birth
        index = self._blooms.get(child.contract)
        if index is None:
            index = self._blooms[child.contract] = BloomIndex()
        index.add(child.address, child.birth[0])
        if self._below is not None:
            self.added.append(child)

    def drop(self, contract: str, low: int, high: int) -> None:
        """Forget what was named in these blocks: it goes, or is to be added anew.

        A bloom that is compared with one too many excludes a block less. So the others are put into an index of their
        own only where they are not many more: a reorg takes a few of a hundred thousand, which would take a second.
        """
        own = self._own.get(contract, {})
        gone = [address for address, birth in own.items() if low <= birth[0] <= high]
        for address in gone:
            del own[address]
        self._gone[contract] += len(gone)
        if 2 * self._gone[contract] > len(own):
            self._gone[contract] = 0
            index = BloomIndex()
            for address, birth in own.items():
                index.add(address, birth[0])
            self._blooms[contract] = index

    def forget(self, contract: str) -> None:
        """Forget all of a contract's."""
        self._own.pop(contract, None)
        self._blooms.pop(contract, None)
        self._gone.pop(contract, None)

    def may_have(self, contract: str, number: int, bloom: Bloom) -> bool:
        """Whether a block of this number and bloom may have a log of one that was named by then."""
        index = self._blooms.get(contract)
        if index is not None and index.may_have(bloom, number):
            return True
        return self._below is not None and self._below.may_have(contract, min(number, self._through), bloom)

    def children(self, contract: str) -> Iterator[tuple[bytes, Birth]]:
        """All of a contract's."""
        own = self._own.get(contract, {})
        yield from own.items()
        for address, birth in () if self._below is None else self._below.children(contract):
            if birth[0] <= self._through and address not in own:
                yield address, birth
