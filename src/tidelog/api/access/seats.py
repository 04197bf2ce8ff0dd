"""Connection limits of one listener, in total and per client, and which idle connection is evicted for a new one.

A seat is one connection's slot. An idle connection keeps it until the limit is reached: then the longest idle one of
the client with the most connections is evicted; if all of those are busy, one of the client with the next most. When
every connection is busy a few spare slots serve health checks alone, so that monitoring is never refused for load.
"""

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["FULL", "SEAT", "NoSeat", "Seat", "Seats", "seat_of"]

SEAT = "tidelog.seat"  # in the extensions of a scope
SPARE = 16  # for health: a few probes and scrapers
IDLE_S = 1.0  # a connection has that long for its first request, however many wait for its seat

FULL = (503, "too many connections are open: try again")


class NoSeat(Exception):
    """The connection limit is reached: an HTTP status, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence


class Seat:
    """One connection. `idle_s` is since when nothing is asked on it, None while something is.

    `refusal` is what is answered to anything but a question about health; None: everything is.
    """

    __slots__ = ("_seats", "client", "drop", "gone", "idle_s", "refusal")

    def __init__(
        self,
        seats: "Seats",
        client: str | None,
        refusal: tuple[int, str] | None,
        now_s: float,
        drop: Callable[[], object],
    ) -> None:
        self._seats = seats
        self.client = client
        self.refusal = refusal
        self.idle_s: float | None = now_s
        self.drop = drop
        self.gone = asyncio.Event()

    def busy(self) -> None:
        self.idle_s = None

    def idle(self) -> None:
        self.idle_s = self._seats.now()

    def leave(self) -> None:
        """The connection is over. Again: nothing."""
        self._seats.left(self)
        self.gone.set()


class Seats:
    """Of one listener.

    Args:
        most: seats.
        most_of_client: of them, one client's.
        refusal: what is answered to anything but health on all of them.
    """

    def __init__(
        self,
        most: int,
        most_of_client: int,
        monotonic: Callable[[], float],
        refusal: tuple[int, str] | None = None,
    ) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._refusal = refusal
        self.now = monotonic
        self._taken: dict[str | None, set[Seat]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, client: str | None, drop: Callable[[], object]) -> Seat:
        """A seat for a new connection; NoSeat if there is none.

        Args:
            client: whose it is; None: a proxy's, who speaks for many.
            drop: closes the connection at once.
        """
        own = self._taken.get(client, set())
        if client is not None and len(own) >= self._most_of_client and not _freed(own, self.now()):
            raise NoSeat(429, f"{self._most_of_client} connections of your address are open, which is the limit")
        refusal = self._refusal
        if self._count >= self._most and not self._free_any():
            if self._count >= self._most + SPARE:
                raise NoSeat(*FULL)
            refusal = refusal or FULL
        seat = Seat(self, client, refusal, self.now(), drop)
        self._taken.setdefault(client, set()).add(seat)
        self._count += 1
        return seat

    def _free_any(self) -> bool:
        """Free an idle seat of the client that has the most, or else of one that has fewer; False if all are busy."""
        now_s = self.now()
        return any(_freed(own, now_s) for own in sorted(self._taken.values(), key=len, reverse=True))

    def left(self, seat: Seat) -> None:
        own = self._taken.get(seat.client, set())
        if seat in own:
            own.remove(seat)
            self._count -= 1
            if not own:
                del self._taken[seat.client]


def _freed(own: set[Seat], now_s: float) -> bool:
    """Free the seat that has been idle the longest; False if none has been for long enough."""
    idle = [seat for seat in own if seat.idle_s is not None and now_s - seat.idle_s >= IDLE_S]
    if not idle:
        return False
    longest = min(idle, key=lambda seat: seat.idle_s or 0.0)
    longest.leave()
    longest.drop()
    return True


def seat_of(scope: Any) -> Seat | None:
    """The seat of the connection that a scope is of; None on another server than ours."""
    seat: Seat | None = (scope.get("extensions") or {}).get(SEAT)
    return seat
