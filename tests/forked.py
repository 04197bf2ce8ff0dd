"""A command in a process of its own that `tests.forking` has forked, with what is used of `subprocess.Popen`."""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

import msgspec

from tests.forking import ORDER_BYTES_MAX, Order

__all__ = ["Forked"]


@cache
def _orders() -> socket.socket:
    """Where orders go: to one process, for all tests of ours."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * ORDER_BYTES_MAX)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class Forked:
    """A command that runs.

    Args:
        environment: all of its variables. What Python reads of them before anything else has to be as in ours.
        stdout: a file, or as `subprocess` calls it: `DEVNULL`, or `PIPE`, whose other end is in `stdout` then.
        stderr: a file.
        file_bytes_max: no file grows beyond it.
        held: it waits at its beginning, for `go_on`; until then somebody may begin to trace it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path | None,
        stdout: int,
        stderr: int,
        file_bytes_max: int | None = None,
        held: bool = False,
    ) -> None:
        self.args = ["tidelog", *arguments]
        self.returncode: int | None = None
        self.stdout: IO[bytes] | None = None
        where = str(folder or Path.cwd())
        order = msgspec.msgpack.encode(Order([*map(os.fsencode, arguments)], dict(environment), where, file_bytes_max))
        told, control = os.pipe()
        given = [control]
        if stdout == subprocess.PIPE:
            read, stdout = os.pipe()
            self.stdout = os.fdopen(read, "rb")
            given.append(stdout)
        elif stdout == subprocess.DEVNULL:
            stdout = os.open(os.devnull, os.O_WRONLY)
            given.append(stdout)
        files = [stdout, stderr, control]
        self._gate: int | None = None
        if held:
            gate, self._gate = os.pipe()
            given.append(gate)
            files.append(gate)
        socket.send_fds(_orders(), [order], files)
        for each in given:
            os.close(each)
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._told.readline())

    def go_on(self) -> None:
        """Let it begin."""
        assert self._gate is not None, "it is not held"
        os.close(self._gate)
        self._gate = None

    def poll(self) -> int | None:
        """How it ended, as `subprocess` counts; None: it has not yet."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        """All that it has written, once it has ended."""
        assert self.stdout is not None
        with self.stdout as out:
            said = out.read()
        self.wait(timeout)
        return said, None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
