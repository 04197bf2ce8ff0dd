"""What is known, missing, new and filled, by trade ids."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.market.projection.trade_ids import MISSING_MAX, IdsAdded, Loss, Missing, TradeIds, add_ids

LOSS = Loss(1, 2, "trade_id")


def ranges(gaps: Sequence[Missing]) -> str:
    return " ".join(f"{gap.first}-{gap.last}" for gap in gaps)


def said(added: IdsAdded) -> tuple[str, str, str, str]:
    known = added.ids
    missing = f" but {ranges(known.missing)}" if known.missing else ""
    new = " ".join(map(str, sorted(added.new)))
    return f"{known.first}-{known.last}{missing}", new, ranges(added.missing), ranges(added.filled)


def held_after(frames: str) -> TradeIds | None:
    known: TradeIds | None = None
    for frame in frames.split("|"):
        if frame.strip():
            known = add_ids(known, [int(number) for number in frame.split()], 7, LOSS).ids
    return known


CASES = [
    # frames before  the frame          what is held          of it new        missing      filled
    ("",             "5",               "5-5",                "5",             "",          ""),
    ("",             "5 6 7",           "5-7",                "5 6 7",         "",          ""),
    ("",             "7 5",             "5-7 but 6-6",        "5 7",           "6-6",       ""),
    ("5",            "6",               "5-6",                "6",             "",          ""),
    ("5 6",          "5 6",             "5-6",                "",              "",          ""),  # again
    ("5",            "9",               "5-9 but 6-8",        "9",             "6-8",       ""),
    ("5",            "7 9",             "5-9 but 6-6 8-8",    "7 9",           "6-6 8-8",   ""),
    ("5|9",          "6 7 8 9 10",      "5-10",               "6 7 8 10",      "",          "6-8"),  # a snapshot
    ("5|9",          "8 9",             "5-9 but 6-7",        "8",             "6-7",       "8-8"),
    ("5|9",          "6",               "5-9 but 7-8",        "6",             "7-8",       "6-6"),
    ("5|9",          "7",               "5-9 but 6-6 8-8",    "7",             "6-6 8-8",   "7-7"),
    ("5|9",          "4 5 6 7 8 9",     "4-9",                "4 6 7 8",       "",          "6-8"),
    ("5|9|12",       "7 8 9 10 11 12",  "5-12 but 6-6",       "7 8 10 11",     "6-6",       "7-8 10-11"),
    ("5",            "2 3",             "2-5 but 4-4",        "2 3",           "4-4",       ""),  # before the first
    ("9",            "1 3 4",           "1-9 but 2-2 5-8",    "1 3 4",         "2-2 5-8",   ""),
]  # fmt: skip


@pytest.mark.parametrize(("before", "frame", "known", "new", "missing", "filled"), CASES)
def test_a_frame_of_ids(before: str, frame: str, known: str, new: str, missing: str, filled: str) -> None:
    added = add_ids(held_after(before), [int(number) for number in frame.split()], 7, LOSS)
    assert said(added) == (known, new, missing, filled)
    assert added.unrepaired == ({LOSS} if "but" in known else set())


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), max_size=12))
def test_every_id_is_new_once_or_missing(frames: list[list[int]]) -> None:
    known: TradeIds | None = None
    stored: list[int] = []
    rows: dict[int, tuple[int, bool]] = {}  # as the store has them: last and whether filled, by first
    for frame in frames:
        added = add_ids(known, frame, 7, LOSS)
        known = added.ids
        stored += added.new
        rows |= {gap.first: (gap.last, False) for gap in added.missing}
        rows |= {gap.first: (gap.last, True) for gap in added.filled}
    came = {number for frame in frames for number in frame}
    assert sorted(stored) == sorted(came)
    if known is None:
        return
    assert (known.first, known.last) == (min(came), max(came))
    lost = set(range(known.first, known.last + 1)) - came
    told = [n for first, (last, _) in rows.items() for n in range(first, last + 1)]
    assert len(told) == len(set(told))  # in one row each
    assert {n for first, (last, filled) in rows.items() if not filled for n in range(first, last + 1)} == lost
    assert {n for gap in known.missing for n in range(gap.first, gap.last + 1)} == lost


def test_remembered_gaps_of_ids_are_bounded() -> None:
    known: TradeIds | None = None
    for n in range(MISSING_MAX + 3):
        known = add_ids(known, [2 * n], n, Loss(n, n + 1, "trade_id")).ids
    assert known is not None
    assert len(known.missing) == MISSING_MAX
    added = add_ids(known, [1], 999, LOSS)  # it was forgotten: it counts as held, and its row stays open
    assert not added.new
    assert added.ids == known


def test_gaps_of_one_loss_are_forgotten_together() -> None:
    known = add_ids(None, range(0, 2 * MISSING_MAX + 2, 2), 1, LOSS).ids
    assert len(known.missing) == MISSING_MAX
    later = Loss(5, 6, "later")
    added = add_ids(known, [known.last + 2], 1, later)
    assert {gap.loss for gap in added.ids.missing} == {later}
    assert added.unrepaired == {LOSS, later}
