"""Delays between attempts, as a pure generator: exponential, capped, with full jitter.

Full jitter (a uniform draw between zero and the ceiling) spreads the attempts of many clients that lost
the same peer at the same moment; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


def delays(rng: random.Random, *, first_s: float = 0.25, factor: float = 2.0, max_s: float = 30.0) -> Iterator[float]:
    """Yield delays in seconds, for ever. The n-th lies in [ceiling/2, ceiling], ceiling = first * factor^n.

    Half of the ceiling is kept as a floor, so that a retry is never immediate.
    """
    ceiling = first_s
    while True:
        yield ceiling / 2 + rng.random() * ceiling / 2
        ceiling = min(ceiling * factor, max_s)
