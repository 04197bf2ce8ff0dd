"""How a command that runs for long is asked to end: by a signal, or by who supervises it."""

import asyncio
import os
import signal
from collections.abc import Callable

__all__ = ["Stop"]

INTERRUPTED = 130  # the exit code, as shells have it


class Stop:
    """Asked once, it ends things in order; a second signal ends the process at once.

    That is safe at any moment: a commit that is under way is whole or absent.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._signalled = False
        self._actions: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def on_signals(self) -> None:
        """Let SIGINT and SIGTERM ask. Inside a running loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._signal)

    def _signal(self) -> None:
        if self._signalled:
            os._exit(INTERRUPTED)
        self._signalled = True
        self.ask()

    def ask(self) -> None:
        """End in order. Asking again changes nothing."""
        if not self._asked.is_set():
            self._asked.set()
            for action in self._actions:
                action()

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` once it is asked, at once if it was."""
        if self._asked.is_set():
            action()
        else:
            self._actions.append(action)

    async def wait(self) -> None:
        await self._asked.wait()
