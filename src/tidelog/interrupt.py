"""Ctrl-C and SIGTERM: they end the process at any moment of its life, and never with a traceback.

Python's own handler raises KeyboardInterrupt wherever the program is: in an import, which prints a traceback, or in a
callback of the interpreter, which drops it, and the wish to end is lost. Nothing in here raises. Imports almost
nothing, since it has to stand before anything else is imported.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130  # the exit code, as shells have it

ENDING = (signal.SIGINT, signal.SIGTERM)


def end_at_once(*_: object) -> None:
    """End the process as kill -9 would, which is safe at any moment: what was committed is whole."""
    os._exit(INTERRUPTED)


def quiet_from_here() -> None:
    """Ctrl-C ends the process at once, until something takes it that ends in order. SIGTERM does already."""
    signal.signal(signal.SIGINT, end_at_once)


def on_signals(ask: Callable[[], object]) -> None:
    """Let the first SIGINT or SIGTERM call `ask`; a second one ends the process at once, in the middle of anything.

    In the main thread. `ask` runs between two instructions of the program, whichever they are.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            end_at_once()
        asked = True
        ask()

    for number in ENDING:
        signal.signal(number, handle)
