"""A command, or a few lines of Python, on a pseudo-terminal: what it would draw on a real one."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import NamedTuple

from tests.command import environment
from tests.patience import HANGS_S

__all__ = ["Drawn", "on_terminal"]

READ_BYTES = 65_536


class Drawn(NamedTuple):
    """How it ended, and all that its terminal got; ends of lines are `\\n`."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def on_terminal(*arguments: str, columns: int = 80, rows: int = 24, python: bool = False) -> Drawn:
    """Run `tidelog`, or with `python` Python itself, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [sys.executable, *(() if python else ("-m", "tidelog")), *arguments]
    env = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES")}
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
