"""Decide what a new head means for the chain we hold: the reorg verdict, patience, and finality.

No socket, clock or database in here. The caller hands over what it knows and acts on the verdict; until it
commits, nothing has changed. Chains are lists of links, oldest first.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct

from tidelog.chain.blocks import BlockRef


class Known(Struct, frozen=True):
    """The branch ends in a block that we hold: nothing to do."""


class NotHigher(Struct, frozen=True):
    """The branch ends below our head and elsewhere: a lagging or stale endpoint, until patience runs out."""


class ParentWanted(Struct, frozen=True):
    """The branch is not linked to ours yet: ask for this block and come again with it in front."""

    number: int
    hash: bytes


class Advance(Struct, frozen=True):
    """Drop every block above `keep`, then append `links`: one commit.

    `keep` is None where the branch has nothing in common with what we hold and nothing of that is final:
    everything is dropped, and the range begins with `links[0]` on another parent.
    """

    keep: BlockRef | None
    refs: tuple[BlockRef, ...]


class TooDeep(Struct, frozen=True):
    """The branch leaves ours below this final block: stop, or distrust who says so."""

    final: BlockRef


ForkChoice: TypeAlias = Known | NotHigher | ParentWanted | Advance | TooDeep


def choose_fork(
    stored: Sequence[BlockRef], branch: Sequence[BlockRef], *, rooted: bool = True, abandoned: bool = False
) -> ForkChoice:
    """Say how `branch` relates to `stored`.

    Args:
        stored: our chain, oldest first, with at least one link. `stored[0]` is never dropped.
        branch: linked headers of the remote chain, oldest first, with at least one link.
        rooted: `stored[0]` is final. If not, it stands for the parent of the first block of our range, which
            nobody has proven: a branch that comes down to it on another parent replaces all.
        abandoned: no endpoint has known our head for long enough: a lower branch is adopted as well.
    """
    base, head, oldest, newest = stored[0], stored[-1], branch[0], branch[-1]
    if _holds(stored, newest.number, newest.hash):
        return Advance(keep=newest, refs=()) if abandoned and newest.hash != head.hash else Known()
    if newest.number < head.number and not abandoned:
        return NotHigher()
    shared = sum(1 for ref in branch if _holds(stored, ref.number, ref.hash))  # a prefix, since both are linked
    if shared:
        return Advance(keep=branch[shared - 1], refs=tuple(branch[shared:]))
    if _holds(stored, oldest.number - 1, oldest.parent_hash):
        return Advance(keep=stored[oldest.number - 1 - base.number], refs=tuple(branch))
    if oldest.number > base.number + 1:
        return ParentWanted(oldest.number - 1, oldest.parent_hash)
    if rooted or oldest.number <= base.number:
        return TooDeep(base)
    return Advance(keep=None, refs=tuple(branch))


def _holds(stored: Sequence[BlockRef], number: int, block_hash: bytes) -> bool:
    index = number - stored[0].number
    return 0 <= index < len(stored) and stored[index].hash == block_hash


def prevails(*, ours: int, theirs: int, higher: bool) -> bool:
    """Whether a competing branch is adopted, by the endpoints that have either branch's block at the fork.

    The majority decides; where it is even, the higher branch does, and ours stays where that is even too.
    """
    return theirs > ours or (theirs == ours and higher)


class Patience(Struct, frozen=True):
    """Since when no endpoint has known our head. Times are of a monotonic clock, in seconds."""

    head: bytes | None = None
    since: float | None = None

    def observed(self, head: bytes, *, known: bool, now: float) -> "Patience":
        """After asking every healthy endpoint for our head's hash."""
        if known:
            return Patience(head, None)
        return self if self.head == head and self.since is not None else Patience(head, now)

    def exhausted(self, head: bytes, *, now: float, patience_s: float) -> bool:
        """Whether no endpoint has known this head for `patience_s`."""
        return self.head == head and self.since is not None and now - self.since >= patience_s


def agreed_number(numbers: Sequence[int | None]) -> int | None:
    """The highest number that more than half of the endpoints have reached; None if there is none.

    Args:
        numbers: what each endpoint reports as final (or safe), None where it reports nothing.
    """
    needed = len(numbers) // 2 + 1
    reached = sorted((number for number in numbers if number is not None), reverse=True)
    return reached[needed - 1] if numbers and len(reached) >= needed else None


def is_linked(refs: Sequence[BlockRef]) -> bool:
    """Whether each link's parent is the one before it."""
    return all(below.hash == above.parent_hash and below.number + 1 == above.number for below, above in pairwise(refs))
