"""Further rows of a chain's commits: what derives them from proven blocks, and what undoes them on a rollback. Pure.

A projection sees each `Step` before it is committed, and what it derives goes into the batch of that step: a block is
in the store with its derived rows, or not at all. On a rollback the same commit deletes the rows of `undone` tables
that belong to dropped blocks; tables that only grow, as the outbox, record what was reverted.

The chain's own are `OWN`: the outbox and the record of reorgs. Further ones are handed to `Sync` and `ChainWriter`. A
projection is a function of the step alone (no I/O, no clock, no chance), so that the same blocks give the same store.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from tidelog.batch import Row, Rows, Table
from tidelog.chain.blocks import BlockRef
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import CHANGES, REORGS

__all__ = [
    "APPLY", "OWN", "REORG", "REVERT", "REWIND", "SHRINK",
    "Outbox", "Projection", "Reorg", "Reorgs", "Step", "derived_rows",
]  # fmt: skip

APPLY, REVERT = "apply", "revert"  # the kinds of `changes`
REORG, SHRINK, REWIND = "reorg", "shrink", "rewind"  # why blocks were dropped, as `reorgs` says


class Reorg(Struct, frozen=True):
    """That blocks are dropped: from where on, for what, and why."""

    fork_number: int  # the last block that stays; first - 1 if none does
    old_head: int
    old_head_hash: bytes
    new_head: int
    new_head_hash: bytes
    reason: str  # REORG, SHRINK or REWIND
    at_ms: int  # Unix time


class Step(Struct, frozen=True):
    """What one commit does to a chain."""

    chain_id: int
    writer: int  # the number of who commits, see `Checkpoint.writer`
    first_change: int  # the number in the outbox of the first block that is reverted or applied
    blocks: Iterable[BlockRows]  # whose rows are written, oldest first; it can be walked again
    reverted: Sequence[BlockRef] = ()  # newest first
    applied: Sequence[BlockRef] = ()  # oldest first; a block that is repaired is in `blocks` and not in here
    reorg: Reorg | None = None


class Projection(Protocol):
    """From the blocks of a step to further rows of its batch."""

    @property
    def undone(self) -> tuple[Table, ...]:
        """The tables whose rows go with the blocks that they are of. Each has a scope, the chain id, and a height."""
        ...

    def rows(self, step: Step) -> Sequence[Rows]:
        """What the step's batch adds. Sized, and walked again if the commit is tried again."""
        ...


class Outbox:
    """`changes`: one row for each block that is applied or reverted, numbered without a gap."""

    undone: tuple[Table, ...] = ()

    def rows(self, step: Step) -> Sequence[Rows]:
        """A revert for each dropped block, the newest first, then an apply for each new one."""
        events = [*((REVERT, ref) for ref in step.reverted), *((APPLY, ref) for ref in step.applied)]
        rows: list[Row] = [
            (step.chain_id, seq, kind, ref.number, ref.hash, ref.parent_hash, step.writer)
            for seq, (kind, ref) in enumerate(events, step.first_change)
        ]
        return [Rows(CHANGES, rows)] if rows else []


class Reorgs:
    """`reorgs`: one row for each step that drops blocks."""

    undone: tuple[Table, ...] = ()

    def rows(self, step: Step) -> Sequence[Rows]:
        """A row if blocks are dropped."""
        reorg = step.reorg
        if reorg is None:
            return []
        row: Row = (
            step.chain_id,
            step.first_change,
            reorg.fork_number,
            len(step.reverted),
            reorg.old_head,
            reorg.old_head_hash,
            reorg.new_head,
            reorg.new_head_hash,
            reorg.reason,
            reorg.at_ms,
        )
        return [Rows(REORGS, [row])]


OWN: tuple[Projection, ...] = (Outbox(), Reorgs())


def derived_rows(table: Table, blocks: Iterable[BlockRows], derive: Callable[[BlockRows], Iterable[Row]]) -> Rows:
    """The rows that `derive` makes of each block, made again at each walk: a deep reorg is never kept in memory."""
    return Rows(table, _Derived(blocks, derive))


class _Derived(Collection[Row]):
    def __init__(self, blocks: Iterable[BlockRows], derive: Callable[[BlockRows], Iterable[Row]]) -> None:
        self._blocks, self._derive = blocks, derive
        self._count: int | None = None

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from self._derive(block)

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)
