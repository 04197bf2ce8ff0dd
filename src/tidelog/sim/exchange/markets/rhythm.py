"""When something happens in each market of an exchange: at a pace of its own, by chance, and now and then in bursts.

No clock: a `Timetable` says what is due next, and is told what was carried out. What it draws comes from the seed and
the symbol, so that a market keeps its moments whoever its neighbours are.
"""

import heapq
import random
from collections.abc import Mapping

from msgspec import Struct

BURST_UPDATES = (5, 40)  # of a burst: a taker through several levels, and those who answer it
BURST_PAUSE_US = 50_000  # between them: twenty a second


class Rhythm(Struct, frozen=True):
    """How often something happens in a market."""

    every_us: int  # the mean pause; pauses are drawn as those of events that do not know of each other
    burst: float = 0.0  # the chance that a moment begins a burst


class _Beat:
    """The moments of one market."""

    def __init__(self, rhythm: Rhythm, rng: random.Random) -> None:
        self._rhythm = rhythm
        self._rng = rng
        self._left = 0  # of a burst

    def pause_us(self) -> int:
        rng, rhythm = self._rng, self._rhythm
        if self._left:
            self._left -= 1
            return max(1, round(rng.expovariate(1 / BURST_PAUSE_US)))
        if rhythm.burst and rng.random() < rhythm.burst:
            self._left = rng.randint(*BURST_UPDATES)
        return max(1, round(rng.expovariate(1 / rhythm.every_us)))


class Timetable:
    """Which market is next, and when."""

    def __init__(self, rhythms: Mapping[str, Rhythm], *, seed: int, start_us: int) -> None:
        self._beats = {
            symbol: _Beat(rhythm, random.Random(f"{seed} rhythm {symbol}")) for symbol, rhythm in rhythms.items()
        }
        self._due = [(start_us + beat.pause_us(), symbol) for symbol, beat in self._beats.items()]
        heapq.heapify(self._due)

    @property
    def next_us(self) -> int:
        return self._due[0][0]

    def pop(self, not_before_us: int) -> str:
        """The market that is due; its next moment is after `not_before_us`, however late this one was."""
        due_us, symbol = self._due[0]
        next_us = max(due_us, not_before_us) + self._beats[symbol].pause_us()
        heapq.heapreplace(self._due, (next_us, symbol))
        return symbol
