"""Delays grow, are capped, never vanish, and are the same for the same source of chance."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.backoff import delays


@given(st.integers(), st.floats(0.01, 5), st.floats(1, 4), st.floats(5, 60))
def test_each_delay_lies_in_the_upper_half_below_its_ceiling(
    seed: int, first_s: float, factor: float, max_s: float
) -> None:
    drawn = islice(delays(random.Random(seed), first_s=first_s, factor=factor, max_s=max_s), 40)
    ceiling = first_s
    for delay in drawn:
        assert ceiling / 2 <= delay <= ceiling
        ceiling = min(ceiling * factor, max_s)


class Fixed(random.Random):
    """Always draws the same number."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self._value = value

    def random(self) -> float:
        return self._value


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (0.0, [0.125, 0.25, 0.5, 1, 2, 4, 8, 15, 15]),
        (1.0, [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]),
        (0.5, [0.1875, 0.375, 0.75, 1.5, 3, 6, 12, 22.5, 22.5]),
    ],
)
def test_the_defaults(drawn: float, expected: list[float]) -> None:
    assert list(islice(delays(Fixed(drawn)), 9)) == expected


def test_the_same_seed_gives_the_same_delays_and_another_one_others() -> None:
    one, same, other = (list(islice(delays(random.Random(seed)), 10)) for seed in (1, 1, 2))
    assert one == same != other


def test_delays_never_end_and_never_overflow() -> None:
    endless = delays(random.Random(0), factor=1e100)
    assert all(15 <= delay <= 30 for delay in list(islice(endless, 5_000))[1:])
