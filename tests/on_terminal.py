"""A command, or a few lines of Python, on a pseudo-terminal: what it would draw on a real one."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from typing import NamedTuple

from tests.command import environment
from tests.patience import HANGS_S

__all__ = ["STYLE", "Drawn", "on_terminal"]

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
