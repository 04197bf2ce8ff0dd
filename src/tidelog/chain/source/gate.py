"""Who may send the next request to an endpoint, and when: one queue, in the order of ranks, as its budget allows.

The shell around `budget`: it knows the clock and waits. A request that waits for longer than `PATIENCE_S` because the
endpoint asked for it is turned away instead, so that another endpoint can be asked.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from tidelog.chain.endpoint.budget import Budget
from tidelog.errors import Throttled
from tidelog.runtime import Runtime

PATIENCE_S = 5.0  # a pause that is waited for here; a longer one is raised to the pool
URGENT = -1  # the rank of what is small and waited for: heads, headers; history counts from 0


class _Ticket:
    """One who waits."""

    def __init__(self, rank: int, number: int) -> None:
        self.place = rank, number
        self.woken = asyncio.Event()

    def __lt__(self, other: "_Ticket") -> bool:
        return self.place < other.place


class Gate:
    """The queue before one endpoint."""

    def __init__(self, budget: Budget, runtime: Runtime) -> None:
        self._budget = budget
        self._runtime = runtime
        self._queue: list[_Ticket] = []
        self._numbers = count()
        self.refusal = ""  # the endpoint's words when it last refused by rate

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, rank: int, fitting: Callable[[], int]) -> AsyncIterator[int]:
        """Wait for a place in flight and for the calls that the rate allows; what the request may have.

        Args:
            rank: lower ones come first.
            fitting: how many calls the request takes, by the budget of the moment.

        Raises:
            Throttled: the endpoint asked for a longer pause than is waited for here.
        """
        ticket = _Ticket(rank, next(self._numbers))
        heapq.heappush(self._queue, ticket)
        try:
            calls, sent_at = await self._granted(ticket, fitting)
        finally:
            self._queue.remove(ticket)
            heapq.heapify(self._queue)
            self._wake()
        try:
            yield calls
        finally:
            self._budget.ended(sent_at)
            self._wake()

    async def _granted(self, ticket: _Ticket, fitting: Callable[[], int]) -> tuple[int, float]:
        while True:
            if self._queue[0] is not ticket or self._budget.full:
                ticket.woken.clear()
                await ticket.woken.wait()
                continue
            now, calls = self._runtime.monotonic(), fitting()
            wait_s, shut_s = self._budget.wait_s(now, calls), self._budget.rate.shut_s(now)
            if wait_s <= 0.0 or not calls:  # nothing is left to ask: others were quicker
                self._budget.sent(now, calls)
                return calls, now
            if shut_s > PATIENCE_S:
                raise Throttled(f"{self.refusal}: {shut_s:.0f} s of this pause are left", retry_after_s=shut_s)
            await self._runtime.sleep(wait_s)

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].woken.set()
