"""One line on a terminal that stays where it is while it changes."""

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidelog.printable import printable

__all__ = ["TerminalLine"]


class TerminalLine:
    """On standard error. Between `start` and `stop` other output stands above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)

    @property
    def is_terminal(self) -> bool:
        """Whether there is a terminal to show it."""
        return self._console.is_terminal

    @property
    def width(self) -> int:
        """In columns, now."""
        return self._console.width

    def start(self) -> None:
        self._live.start()

    def show(self, text: str) -> None:
        self._live.update(Text(printable(text), no_wrap=True, overflow="crop"), refresh=True)

    def stop(self) -> None:
        """The line stays as it was shown last."""
        self._live.stop()
