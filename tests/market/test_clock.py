"""The journal's clock follows the wall clock, and never goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.market.clock import SLOWNESS, STEP_US, Clock

SECOND = 1_000_000
START_S = 1_700_000_000.0


def test_clock_passes_as_the_monotonic_clock_does() -> None:
    clock = Clock(START_S, 50.0)
    assert clock.now_us(50.0) == START_S * SECOND
    assert clock.now_us(52.5) == (START_S + 2.5) * SECOND


@pytest.mark.parametrize("step_s", [1.5, 7_200.0, 8 * 3_600.0])
def test_clock_follows_a_step_forwards_at_once(step_s: float) -> None:
    clock = Clock(START_S, 0.0)
    assert clock.follow(START_S + 10.0 + step_s, 10.0) == step_s * SECOND
    assert clock.now_us(10.0) == (START_S + 10.0 + step_s) * SECOND
    assert clock.follow(START_S + 20.0 + step_s, 20.0) == 0


def test_a_step_backwards_is_made_up_for_by_passing_more_slowly() -> None:
    clock = Clock(START_S, 0.0)
    assert clock.follow(START_S + 10.0 - 60.0, 10.0) == -60 * SECOND
    assert clock.now_us(10.0) == (START_S + 10.0) * SECOND
    assert clock.now_us(110.0) == (START_S + 10.0 + 100 * (1 - SLOWNESS)) * SECOND
    assert clock.now_us(10.0 + 60 / SLOWNESS) == pytest.approx((START_S - 50.0 + 60 / SLOWNESS) * SECOND)


def test_differences_below_a_step_are_ignored() -> None:
    clock = Clock(START_S, 0.0)
    assert clock.follow(START_S + 10.9, 10.0) == 0
    assert clock.now_us(10.0) == (START_S + 10.0) * SECOND


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(-90_000.0, 90_000.0)), max_size=30))
def test_clock_never_goes_back_nor_stays_behind_the_wall_clock(moves: list[tuple[float, float]]) -> None:
    clock, wall_s, monotonic_s, last_us = Clock(START_S, 0.0), START_S, 0.0, 0
    for passed_s, set_by_s in moves:
        monotonic_s += passed_s
        wall_s += passed_s + set_by_s
        before_us = clock.now_us(monotonic_s)
        clock.follow(wall_s, monotonic_s)
        now_us = clock.now_us(monotonic_s)
        assert last_us <= before_us <= now_us + 1  # a microsecond of rounding
        assert now_us > wall_s * SECOND - STEP_US - 2
        last_us = now_us
