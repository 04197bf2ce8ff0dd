"""How a command that runs for long is asked to end: by a signal, or by its supervisor."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from tidelog import interrupt

__all__ = ["Stop"]

T = TypeVar("T")


class Stop:
    """Asked once, it ends things in order; a second signal ends the process at once.

    That is safe at any moment: a commit that is under way is whole or absent.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._actions: list[Callable[[], object]] = []

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def on_signals(self) -> None:
        """Let SIGINT and SIGTERM ask. Inside a running loop."""
        loop = asyncio.get_running_loop()

        def ask() -> None:
            with suppress(RuntimeError):  # the loop is closed: everything has ended
                loop.call_soon_threadsafe(self.ask)

        interrupt.on_signals(ask)

    def ask(self) -> None:
        """End in order. Asking again changes nothing."""
        if not self._asked.is_set():
            self._asked.set()
            for action in self._actions:
                action()

    def then(self, action: Callable[[], object]) -> None:
        """Call `action` once it is asked, at once if it was."""
        if self._asked.is_set():
            action()
        else:
            self._actions.append(action)

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; None if it is asked before that is there: then `work` is cancelled."""
        task = asyncio.ensure_future(work)
        self.then(task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            if self.asked and task.cancelled():
                return None
            raise

    async def wait(self) -> None:
        await self._asked.wait()
