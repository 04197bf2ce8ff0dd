"""A tree of blocks and the branch that is canonical in it. No I/O, no clock; deterministic from its seed.

A block depends only on its parent and on how many children that parent had before, so the same calls give
the same bytes, and a branch is not disturbed by what happens on another.
"""

from collections.abc import Callable, Collection, Sequence

from tidelog.sim.node.chain.block_builder import PRAGUE, BlockBuilder, Fork, Shape
from tidelog.sim.node.chain.blocks import Block
from tidelog.sim.node.chain.methods import Held
from tidelog.sim.node.chain.transactions import Transaction

FINALIZED_DEPTH = 64  # two epochs, as on Ethereum
SAFE_DEPTH = 32
RIVAL = -1  # the ordinal of the child that every block could have and never gets


class BlockTree:
    """A chain that grows, forks, reorganises and shrinks when told to.

    Invariants: `canonical(n).number == n`; every canonical block's parent is canonical; finality only
    rises, though a reorg may go below it when asked to: that is a fault to be tested.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        chain_id: int = 1337,
        forks: Sequence[tuple[int, Fork]] = ((0, PRAGUE),),
        shape: Shape | None = None,
        blocks: int = 0,
        finalized_depth: int | None = FINALIZED_DEPTH,
        safe_depth: int | None = SAFE_DEPTH,
        keep_branches: bool = True,
    ) -> None:
        """
        Args:
            blocks: so many are made on top of the genesis.
            finalized_depth, safe_depth: how far behind the head the tags are; None: the tag follows
                `finalize` only, and is absent before its first call.
            keep_branches: whether blocks that were dropped can still be had by hash; anvil forgets them.
        """
        self.chain_id = chain_id
        self._builder = BlockBuilder(seed=seed, chain_id=chain_id, forks=forks, shape=shape or Shape())
        self._finalized_depth = finalized_depth
        self._safe_depth = safe_depth
        self._keep_branches = keep_branches
        genesis = self._builder.genesis()
        self._canonical: list[Block | None] = [genesis]  # by number; None where the chain has no block
        self._blocks = {genesis.hash: genesis}
        self._children: dict[bytes, int] = {}  # how many each block ever had, dropped ones included
        self._places: dict[bytes, list[bytes]] = {}  # transaction hash -> hashes of the blocks that hold it
        self._dropped: dict[int, Block] = {}  # by number: what the last reorg there has dropped
        self._finalized: int | None = None if finalized_depth is None else 0
        self.null_rounds = "null"
        self.watchers: list[Callable[[], None]] = []  # called after each change of the canonical chain
        self.extend(blocks)

    @property
    def head(self) -> Block:
        head = self._canonical[-1]
        assert head is not None
        return head

    def skip(self, *numbers: int, answered: str = "null") -> None:
        """Leave out these numbers when the chain gets there.

        Args:
            answered: how a node speaks of such a one: "null", "error" (code 12), or "before" (the block below).
        """
        self._builder.holes.update(numbers)
        self.null_rounds = answered

    @property
    def finalized(self) -> int | None:
        return self._finalized

    @property
    def safe(self) -> int | None:
        if self._safe_depth is None:
            return self._finalized
        return max(self.head.number - self._safe_depth, self._finalized or 0)

    @property
    def blocks(self) -> Collection[Block]:
        """All blocks that are kept, of every branch."""
        return self._blocks.values()

    def canonical(self, number: int) -> Block:
        """The canonical block at `number`; IndexError if the chain is not that high."""
        block = self._canonical[number] if number >= 0 else None
        if block is None:
            raise IndexError(f"there is no block {number}")
        return block

    def at(self, number: int, tip: Held) -> Block | None:
        """The block at `number` on the branch that ends in `tip`, or None if it is not that high."""
        if not 0 <= number <= tip.number:
            return None
        block = self._blocks[tip.hash]
        while block.number > number and not self.is_canonical(block):
            block = self._blocks[block.parent_hash]
        if self.is_canonical(block):
            return self._canonical[number]
        return block if block.number == number else None

    def is_canonical(self, block: Block) -> bool:
        return block.number < len(self._canonical) and self._canonical[block.number] is block

    def by_hash(self, block_hash: bytes) -> Block | None:
        return self._blocks.get(block_hash)

    def holding(self, transaction_hash: bytes) -> list[Block]:
        """The blocks that hold a transaction, of all branches that are kept."""
        return [self._blocks[place] for place in self._places.get(transaction_hash, ())]

    def extend(self, count: int = 1, *, on: bytes | None = None) -> list[Block]:
        """Make `count` blocks on the head, or a side branch of so many on the block `on`."""
        parent = self.head if on is None else self._blocks[on]
        grows_head = parent is self.head
        made = self._grow(parent, count, ())
        if grows_head and made:
            self._append(made)
            self._changed()
        return made

    def reorg(self, depth: int, length: int | None = None) -> list[Block]:
        """Replace the last `depth` blocks by `length` new ones (None: one more than were dropped).

        Fewer than `depth` make the chain shorter. The new blocks take in transactions of the dropped ones.
        """
        keep = self.head.number - depth
        if depth < 0 or keep < 0:
            raise ValueError(f"a chain of height {self.head.number} has no {depth} blocks to replace")
        dropped = self._drop(keep)
        pending = tuple([transaction for block in dropped for transaction in block.transactions])
        made = self._grow(self.head, depth + 1 if length is None else length, pending)
        self._append(made)
        self._forget(dropped)
        self._changed()
        return made

    def rollback(self, count: int) -> None:
        """Drop the last `count` blocks: the chain shrinks."""
        self.reorg(count, 0)

    def switch(self, tip: bytes) -> None:
        """Make the branch that ends in `tip` the canonical one."""
        block = self._blocks[tip]
        branch: list[Block] = []
        while not self.is_canonical(block):
            branch.append(block)
            block = self._blocks[block.parent_hash]
        dropped = self._drop(block.number)
        self._append(branch[::-1])
        self._forget(dropped)
        self._changed()

    def finalize(self, number: int) -> None:
        """Declare everything up to `number` final. Lower than before: nothing changes."""
        if number > self.head.number:
            raise ValueError(f"block {number} is above the head {self.head.number}")
        self._finalized = max(number, self._finalized or 0)

    def rival(self, block: Held) -> Block | None:
        """A block on the parent of `block` that is in no branch; None for the genesis."""
        parent = self._blocks.get(block.parent_hash)
        return None if parent is None else self._builder.child(parent, RIVAL)

    def dropped(self, number: int) -> Block | None:
        """The block of that number that the last reorg there has dropped, if there was one."""
        return self._dropped.get(number)

    def _grow(self, parent: Block, count: int, pending: tuple[Transaction, ...]) -> list[Block]:
        made: list[Block] = []
        for _ in range(count):
            ordinal = self._children.get(parent.hash, 0)
            self._children[parent.hash] = ordinal + 1
            parent = self._builder.child(parent, ordinal, pending)
            if pending:
                taken = {transaction.hash for transaction in parent.transactions}
                pending = tuple([transaction for transaction in pending if transaction.hash not in taken])
            self._blocks[parent.hash] = parent
            for transaction in parent.transactions:
                self._places.setdefault(transaction.hash, []).append(parent.hash)
            made.append(parent)
        return made

    def _drop(self, keep: int) -> list[Block]:
        """Take the blocks above number `keep` off the canonical chain."""
        dropped = [block for block in self._canonical[keep + 1 :] if block is not None]
        del self._canonical[keep + 1 :]
        while self._canonical[-1] is None:
            self._canonical.pop()
        self._dropped.update((block.number, block) for block in dropped)
        return dropped

    def _append(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._canonical += [None] * (block.number - len(self._canonical))
            self._canonical.append(block)

    def _forget(self, dropped: Sequence[Block]) -> None:
        if self._keep_branches:
            return
        for block in dropped:
            del self._blocks[block.hash]
            for transaction in block.transactions:
                self._places[transaction.hash].remove(block.hash)

    def _changed(self) -> None:
        if self._finalized_depth is not None:
            self._finalized = max(self.head.number - self._finalized_depth, self._finalized or 0)
        for watcher in tuple(self.watchers):
            watcher()
