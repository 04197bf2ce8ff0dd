"""What is held, missing, new and filled, by trade ids."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.market.trade_ids import MISSING_MAX, Held, Loss, Missing, Taken, take

LOSS = Loss(1, 2, "trade_id")


def ranges(gaps: Sequence[Missing]) -> str:
    return " ".join(f"{gap.first}-{gap.last}" for gap in gaps)


def said(taken: Taken) -> tuple[str, str, str, str]:
    held = taken.held
    missing = f" but {ranges(held.missing)}" if held.missing else ""
    new = " ".join(map(str, sorted(taken.new)))
    return f"{held.first}-{held.last}{missing}", new, ranges(taken.missing), ranges(taken.filled)


def held_after(frames: str) -> Held | None:
    held: Held | None = None
    for frame in frames.split("|"):
        if frame.strip():
            held = take(held, [int(number) for number in frame.split()], 7, LOSS).held
    return held


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


@pytest.mark.parametrize(("before", "frame", "held", "new", "missing", "filled"), CASES)
def test_a_frame_of_ids(before: str, frame: str, held: str, new: str, missing: str, filled: str) -> None:
    taken = take(held_after(before), [int(number) for number in frame.split()], 7, LOSS)
    assert said(taken) == (held, new, missing, filled)
    assert taken.unmended == ({LOSS} if "but" in held else set())


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), max_size=12))
def test_every_id_is_new_once_or_missing(frames: list[list[int]]) -> None:
    held: Held | None = None
    stored: list[int] = []
    rows: dict[int, tuple[int, bool]] = {}  # as the store has them: last and whether filled, by first
    for frame in frames:
        taken = take(held, frame, 7, LOSS)
        held = taken.held
        stored += taken.new
        rows |= {gap.first: (gap.last, False) for gap in taken.missing}
        rows |= {gap.first: (gap.last, True) for gap in taken.filled}
    came = {number for frame in frames for number in frame}
    assert sorted(stored) == sorted(came)
    if held is None:
        return
    assert (held.first, held.last) == (min(came), max(came))
    lost = set(range(held.first, held.last + 1)) - came
    told = [n for first, (last, _) in rows.items() for n in range(first, last + 1)]
    assert len(told) == len(set(told))  # in one row each
    assert {n for first, (last, filled) in rows.items() if not filled for n in range(first, last + 1)} == lost
    assert {n for gap in held.missing for n in range(gap.first, gap.last + 1)} == lost


def test_what_is_remembered_is_bounded() -> None:
    held: Held | None = None
    for n in range(MISSING_MAX + 3):
        held = take(held, [2 * n], n, Loss(n, n + 1, "trade_id")).held
    assert held is not None
    assert len(held.missing) == MISSING_MAX
    taken = take(held, [1], 999, LOSS)  # it was forgotten: it counts as held, and its row stays open
    assert not taken.new
    assert taken.held == held


def test_what_was_lost_together_is_forgotten_together() -> None:
    held = take(None, range(0, 2 * MISSING_MAX + 2, 2), 1, LOSS).held
    assert len(held.missing) == MISSING_MAX
    later = Loss(5, 6, "later")
    taken = take(held, [held.last + 2], 1, later)
    assert {gap.loss for gap in taken.held.missing} == {later}
    assert taken.unmended == {LOSS, later}
