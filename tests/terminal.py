"""Terminals for the tests: a pseudo-terminal on which a command runs to its end, and tmux, driven by keys.

`on_terminal` gives all that the command drew; a `Terminal` gives what is on the screen, again and again.
"""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.command import environment, until
from tests.patience import HANGS_S

__all__ = ["STYLE", "Drawn", "Terminal", "on_terminal", "program", "terminal"]

STYLE = re.compile(r"\x1b\[[0-9;]*m")
OTHERS = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM")  # that say what a terminal is

READ_BYTES = 65_536


class Drawn(NamedTuple):
    """How it ended, and all that its terminal got; ends of lines are `\\n`."""

    code: int
    text: str

    @property
    def plain(self) -> str:
        """Without styles. AssertionError: there is another escape, or any other character that a terminal runs."""
        text = STYLE.sub("", self.text)
        wild = [each for each in text if not each.isprintable() and each != "\n"]
        assert wild == [], f"a terminal runs {wild} of {text!r}"
        return text

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def on_terminal(
    *arguments: str, columns: int = 80, rows: int = 24, python: bool = False, env: Mapping[str, str] | None = None
) -> Drawn:
    """Run `tidelog`, or with `python` Python itself, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [sys.executable, *(() if python else ("-m", "tidelog")), *arguments]
    kept = {name: value for name, value in environment().items() if name not in OTHERS}
    env = {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(env or {})}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        got = bytearray()
        while True:
            try:
                chunk = os.read(ours, READ_BYTES)
            except OSError:  # the last one of its side is closed
                break
            if not chunk:
                break
            got += chunk
        os.close(ours)
        return Drawn(process.wait(HANGS_S), got.decode("utf-8", "replace").replace("\r\n", "\n"))


def program() -> str | None:
    return shutil.which("tmux")


_NUMBERS = count()


class Terminal:
    """One window, in which one command runs."""

    def __init__(self, tmux: str, socket: Path) -> None:
        self._command = [tmux, "-S", str(socket), "-f", os.devnull]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)

    def do(self, *arguments: str) -> str:
        return self._run(*arguments).stdout

    def start(self, command: Sequence[str], size: tuple[int, int], env: dict[str, str]) -> None:
        columns, rows = size
        given = [flag for name, value in env.items() for flag in ("-e", f"{name}={value}")]
        begun = self._run("new-session", "-d", "-s", "top", "-x", str(columns), "-y", str(rows), *given, *command)
        assert begun.returncode == 0, begun.stderr
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
    # a socket of its own: the server of one before may still be ending, and takes a new session with it
    made = Terminal(tmux, folder / f"tmux{next(_NUMBERS)}")
    wanted = {"PYTHONPATH": environment()["PYTHONPATH"], "TERM": "screen-256color", "LANG": "C.UTF-8", **(env or {})}
    try:
        made.start([sys.executable, "-m", "tidelog", *arguments], size, wanted)
        yield made
    finally:
        made.do("kill-server")
