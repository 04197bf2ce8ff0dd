"""Which trades of a symbol are stored, by their ids: a range, and what is missing in it. Pure.

Ids are sequential, so whatever lies between two that came was traded too. Late ones fill what is missing,
from a snapshot after a reconnect mostly; an id that comes twice is not new.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

MISSING_MAX = 64  # ranges that are remembered per symbol, so that a position stays small


class Loss(Struct, frozen=True, array_like=True):
    """A stretch of the journal in which trades were lost: what the coverage calls a gap."""

    since_us: int
    until_us: int
    reason: str


class Missing(Struct, frozen=True, array_like=True):
    """Ids that did not come, both ends included; since when that is known, and where they were lost."""

    first: int
    last: int
    opened_us: int
    loss: Loss


class TradeIds(Struct, frozen=True, array_like=True):
    """All ids from `first` to `last` were stored, but for those in `missing`: ascending, apart, within.

    Beyond MISSING_MAX the lowest ranges are forgotten, with all that were lost where they were: they stay
    missing for good, and the store says so.
    """

    first: int
    last: int
    missing: tuple[Missing, ...] = ()


class IdsAdded(NamedTuple):
    """What a frame's ids changed.

    Every id that ever was missing lies in exactly one of the ranges that were given out as missing or filled
    under its `first`: a range that is filled in part is cut, and its pieces are given out again.
    """

    ids: TradeIds
    new: frozenset[int]  # to be stored; all others were stored before
    missing: tuple[Missing, ...]  # ranges that are new, or shorter than they were
    filled: tuple[Missing, ...]  # ranges that came
    opened: bool  # ids were skipped
    unrepaired: frozenset[Loss]  # in which ids are still missing


class _Run(NamedTuple):
    first: int
    last: int


def add_ids(known: TradeIds | None, received: Iterable[int], opened_us: int, loss: Loss) -> IdsAdded:
    """Add the ids of a frame, at least one.

    Args:
        known: what was stored before; None: nothing.
        opened_us: when ids that turn out to be missing were found missing.
        loss: where they were lost.
    """
    runs = _runs(received)
    if known is None:
        known = TradeIds(runs[0].first, runs[0].first - 1)
    first, last, missing = known.first, known.last, list(known.missing)
    new: set[int] = set()
    filled: list[Missing] = []
    opened = False

    def skip(low: int, high: int, at: int) -> None:
        nonlocal opened
        if low <= high:
            missing.insert(at, Missing(low, high, opened_us, loss))
            opened = True

    # Upwards from the known range, then downwards: a range that is skipped is then not split at once.
    for run in sorted(runs, key=lambda run: (run.first < known.first, abs(run.first - known.first))):
        pieces: list[Missing] = []
        for gap in missing:
            came = _Run(max(run.first, gap.first), min(run.last, gap.last))
            if came.first > came.last:
                pieces.append(gap)
                continue
            new.update(range(came.first, came.last + 1))
            filled.append(_part(gap, came.first, came.last))
            pieces += [_part(gap, *rest) for rest in _without(gap, came)]
        missing = pieces
        if run.last > last:
            start = max(run.first, last + 1)
            skip(last + 1, start - 1, len(missing))
            new.update(range(start, run.last + 1))
            last = run.last
        if run.first < first:
            end = min(run.last, first - 1)
            skip(end + 1, first - 1, 0)
            new.update(range(run.first, end + 1))
            first = run.first
    changed = tuple([gap for gap in missing if gap not in known.missing])
    unrepaired = frozenset([gap.loss for gap in missing])
    forgotten = {gap.loss for gap in missing[:-MISSING_MAX]}
    kept = tuple([gap for gap in missing if gap.loss not in forgotten])
    return IdsAdded(TradeIds(first, last, kept), frozenset(new), changed, tuple(filled), opened, unrepaired)


def _runs(ids: Iterable[int]) -> list[_Run]:
    runs: list[_Run] = []
    for number in sorted(ids):
        if runs and number <= runs[-1].last + 1:
            runs[-1] = _Run(runs[-1].first, number)
        else:
            runs.append(_Run(number, number))
    return runs


def _part(gap: Missing, first: int, last: int) -> Missing:
    return Missing(first, last, gap.opened_us, gap.loss)


def _without(gap: Missing, came: _Run) -> list[_Run]:
    rests = (_Run(gap.first, came.first - 1), _Run(came.last + 1, gap.last))
    return [rest for rest in rests if rest.first <= rest.last]
