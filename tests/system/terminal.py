"""A real terminal for the tests: tmux, with a server of its own, driven by keys and read as text."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.command import environment, until

__all__ = ["Terminal", "program", "terminal"]


def program() -> str | None:
    return shutil.which("tmux")


class Terminal:
    """One window, in which one command runs."""

    def __init__(self, tmux: str, socket: Path) -> None:
        self._command = [tmux, "-S", str(socket), "-f", os.devnull]

    def do(self, *arguments: str) -> str:
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)
        return done.stdout

    def start(self, command: Sequence[str], size: tuple[int, int], env: dict[str, str]) -> None:
        columns, rows = size
        given = [flag for name, value in env.items() for flag in ("-e", f"{name}={value}")]
        self.do("new-session", "-d", "-s", "top", "-x", str(columns), "-y", str(rows), *given, *command)
        self.do("set-option", "-t", "top", "remain-on-exit", "on")

    def press(self, *keys: str) -> None:
        """Names as tmux has them: Down, Enter, Space, Escape; anything else is typed."""
        for key in keys:
            self.do("send-keys", "-t", "top", key)

    def resize(self, columns: int, rows: int) -> None:
        self.do("resize-window", "-t", "top", "-x", str(columns), "-y", str(rows))

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self.do("capture-pane", "-p", "-t", "top")

    @property
    def pid(self) -> int:
        return int(self.do("list-panes", "-t", "top", "-F", "#{pane_pid}") or 0)

    @property
    def ended(self) -> bool:
        return self.do("list-panes", "-t", "top", "-F", "#{pane_dead}").strip() == "1"

    def shows(self, *words: str) -> str:
        """Wait until all of these are on the screen; the screen then."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = self.text
            return all(word in seen for word in words)

        try:
            until(there, f"{words} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{seen}") from None
        return seen


@contextmanager
def terminal(
    tmux: str, folder: Path, *arguments: str, size: tuple[int, int] = (80, 24), env: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """`tidelog` with these arguments in a terminal; whatever is left of it is killed afterwards."""
    made = Terminal(tmux, folder / "tmux")
    wanted = {"PYTHONPATH": environment()["PYTHONPATH"], "TERM": "screen-256color", "LANG": "C.UTF-8", **(env or {})}
    try:
        made.start([sys.executable, "-m", "tidelog", *arguments], size, wanted)
        yield made
    finally:
        made.do("kill-server")
