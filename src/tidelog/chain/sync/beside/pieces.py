"""What is fetched beside the following of the head, and committed between its steps: filling in, asking, proving.

Fetching may take as long as an endpoint likes: nobody waits for it, and its requests are sent when no others wait. What
has come is committed by whoever moves the chain, one piece at a time, so that a commit still has one writer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from tidelog.backoff import delays
from tidelog.errors import ProofFailure, SourceError
from tidelog.runtime import Runtime

__all__ = ["BESIDE", "Beside", "Prepare", "Prepared"]

BESIDE = 1 << 40  # the rank of its requests: behind heads and history, however much of that there was

Prepared: TypeAlias = Callable[[], Awaitable[bool | None]]
"""Commits what was fetched; False: it does not fit any more; None: not while blocks are on their way."""
Prepare: TypeAlias = Callable[[], Awaitable[Prepared | None]]
"""Fetches the next piece; None: there is none."""


class Beside:
    """One piece under way at a time, of the first of several works that has any.

    Args:
        wake: called when something was fetched, or failed.

    Attributes:
        between: whether no blocks are on their way, while a piece is committed.
    """

    def __init__(self, works: Sequence[Prepare], runtime: Runtime, wake: Callable[[], None]) -> None:
        self._works = works
        self._runtime = runtime
        self._wake = wake
        self._task: asyncio.Task[Prepared | None] | None = None
        self._pauses = delays(runtime.random("beside"), max_s=30.0)
        self._again_at = 0.0  # when the next piece is fetched after a failure
        self.between = True
        self._waiting = False  # the piece that has come is not committed while blocks are on their way

    @property
    def busy(self) -> bool:
        """Whether something is being fetched, or waits to be committed."""
        return self._task is not None

    async def step(self, *, between: bool = True) -> bool:
        """Commit what has come, and let the next piece be fetched; never waits for an endpoint.

        Args:
            between: no blocks are on their way.

        Returns:
            Whether something was committed.

        Raises:
            SourceError, ProofFailure: a piece could not be had. What comes next is fetched after a pause.
        """
        task = self._task
        if task is None:
            self._begin()
            return False
        if not task.done() or (self._waiting and not between):
            return False
        self._task, self._waiting, self.between = None, False, between
        try:
            prepared = await task
            committed = prepared is not None and await prepared()
        except (SourceError, ProofFailure):
            self._again_at = self._runtime.monotonic() + next(self._pauses)
            raise
        if committed is None:
            self._task, self._waiting = task, True
            return False
        if committed:
            self._pauses = delays(self._runtime.random("beside"), max_s=30.0)
        if prepared is not None:
            self._begin()
        return committed

    async def ended(self) -> None:
        """Wait until what is being fetched has come, or failed: for a run that has nothing else to do."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Give up what is being fetched."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _begin(self) -> None:
        if self._runtime.monotonic() >= self._again_at:
            self._task = asyncio.create_task(self._next())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Prepared | None]) -> None:
        """Wake whoever commits, unless there was nothing to fetch: a run that looks in vain waits its time."""
        if not task.cancelled() and (task.exception() is not None or task.result() is not None):
            self._wake()

    async def _next(self) -> Prepared | None:
        for work in self._works:
            prepared = await work()
            if prepared is not None:
                return prepared
        return None
