"""What is claimed about a channel, and for which time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.market.projection.coverage import GAP, PROVEN, UNPROVEN, Interval, loss_between, transition
from tidelog.market.projection.trade_ids import Loss

TABLE = [
    # what was          what is found  at   so it was           and is
    (None,              PROVEN,        5,   None,               "5-5 proven"),
    (None,              GAP,           5,   None,               "5-5 gap"),
    ("2-5 proven",      PROVEN,        9,   None,               "2-9 proven"),
    ("2-5 proven",      UNPROVEN,      9,   "2-5 proven",       "5-9 unproven"),  # proven until the last proof
    ("2-5 proven",      GAP,           9,   "2-5 proven",       "5-5 gap"),
    ("2-5 unproven",    PROVEN,        9,   "2-9 unproven",     "9-9 proven"),  # repaired by this message
    ("2-5 unproven",    UNPROVEN,      9,   None,               "2-9 unproven"),
    ("2-5 unproven",    GAP,           9,   "2-5 unproven",     "5-5 gap"),
    ("5-5 gap",         GAP,           9,   None,               "5-5 gap"),
    ("5-5 gap",         PROVEN,        9,   "5-9 gap",          "9-9 proven"),
    ("5-5 gap",         UNPROVEN,      9,   "5-9 gap",          "9-9 unproven"),
    ("5-5 proven",      GAP,           5,   "5-6 proven",       "6-6 gap"),  # all in one microsecond
    ("5-5 gap",         PROVEN,        5,   "5-6 gap",          "6-6 proven"),
]  # fmt: skip


def interval(text: str | None) -> Interval | None:
    if text is None:
        return None
    span, state = text.split()
    since, until = map(int, span.split("-"))
    return Interval(since, until, state, "old")


def said(found: Interval) -> str:
    return f"{found.since_us}-{found.until_us} {found.state}"


@pytest.mark.parametrize(("was", "state", "at_us", "ended", "current"), TABLE)
def test_coverage_transition(was: str | None, state: str, at_us: int, ended: str | None, current: str) -> None:
    found = transition(interval(was), state, at_us, "new")
    assert [said(each) for each in found] == [each for each in (ended, current) if each is not None]
    assert found[-1].reason == ("new" if was is None or ended is not None else "old")


STATES = st.sampled_from([PROVEN, UNPROVEN, GAP])


@given(st.lists(st.tuples(STATES, st.integers(0, 3)), min_size=1))
def test_intervals_follow_each_other_without_holes(steps: list[tuple[str, int]]) -> None:
    latest: Interval | None = None
    rows: dict[int, Interval] = {}
    at_us = 0
    for state, passed_us in steps:
        at_us += passed_us
        for each in transition(latest, state, at_us):
            rows[each.since_us] = latest = each
    found = list(rows.values())
    assert found == sorted(found, key=lambda each: each.since_us)
    for before, after in pairwise(found):
        assert before.until_us == after.since_us > before.since_us
        assert before.state != after.state


@given(st.sampled_from([None, "2-5 proven", "2-5 unproven", "5-5 gap", "5-5 proven"]), st.integers(5, 9))
def test_a_loss_is_the_gap_that_the_coverage_then_has(was: str | None, at_us: int) -> None:
    latest = interval(was)
    loss = loss_between(latest, at_us)
    ended, current = transition(transition(latest, GAP, at_us, "trade_id")[-1], PROVEN, at_us)
    assert loss == Loss(ended.since_us, ended.until_us, ended.reason or "")
    assert current.since_us == loss.until_us
