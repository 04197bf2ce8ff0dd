"""What a soak says of what it has sampled."""

from collections.abc import Callable

import pytest

from tests.soak import BOOKS_JOBS, BOOKS_MB_MAX, GROWTH_MIB_PER_HOUR, HANDLES_MORE, verdicts
from tests.soak_plot import Sample

MINUTES = 30
(BOOKS, *_) = BOOKS_JOBS
FIRST = 40 << 20


def flat(_: float) -> float:
    return 0


def warming_up(second: float) -> float:
    return min(second, 600) / 600 * (20 << 20)


def growing(second: float) -> float:
    return second / 3600 * GROWTH_MIB_PER_HOUR * 1.1 * (1 << 20)


@pytest.mark.parametrize(
    ("name", "more", "handles", "said"),
    [
        ("sync", flat, 0, "flat"),
        ("sync", warming_up, 0, "flat"),
        ("sync", growing, 0, "GROWS"),
        ("sync", flat, HANDLES_MORE + 1, "GROWS"),
        ("sync", lambda _: BOOKS_MB_MAX * 1e6, 0, "flat"),
        (BOOKS, flat, 0, "flat"),
        (BOOKS, lambda _: BOOKS_MB_MAX * 1e6 - FIRST, 0, "flat, TOO LARGE"),
        (BOOKS, lambda second: BOOKS_MB_MAX * 1e6 if second == 100 else 0, 0, "flat, TOO LARGE"),
        (BOOKS, growing, 0, "GROWS"),
    ],
)
def test_what_grows_or_is_too_large_is_told(name: str, more: Callable[[float], float], handles: int, said: str) -> None:
    samples = [
        Sample(second, name, 0, FIRST + round(more(second)), 0, 9 + handles * (second > MINUTES * 30), 7, 8)
        for second in range(MINUTES * 60)
    ]
    assert verdicts(samples)[name].startswith(f"{name}: {said}: ")
