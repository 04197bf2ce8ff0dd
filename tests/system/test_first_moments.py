"""Ctrl-C ends every command, from its first moment on, and says nothing: no wish to end is lost, no traceback shown.

Python tells of each module that it has imported (`-X importtime`): the signal is sent at chosen ones of these moments,
and so in the middle of importing the next, however fast the machine is. What comes before tidelog's own first line,
the interpreter's start, is not tidelog's.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from tests.command import environment
from tests.patience import HANGS_S
from tidelog.interrupt import INTERRUPTED

COMMANDS = {
    "help": ("--help",),
    "status": ("chain", "status", "--db", "sqlite:///none.db"),
    "sync": ("chain", "sync", "--rpc", "http://127.0.0.1:9", "--db", "sqlite:///chain.db"),
    "record": ("market", "record", "--url", "ws://127.0.0.1:9", "--symbol", "BTC/USD", "--journal", "j.journal"),
    "run": ("run",),
    "serve": ("serve", "--db", "sqlite:///none.db"),
    "demo": ("demo",),
}
MOMENTS = (0.0, 0.3, 0.6, 0.9)  # of the imports that a command makes
AHEAD = 3  # one is read, one waits in the pipe, one cannot be written


class Started:
    """A command in step with who reads what it says: it imports no further than `AHEAD` modules beyond that.

    Each of its lines is a packet (pipe(7), O_DIRECT), and the pipe has room for one.
    """

    def __init__(self, folder: Path, *command: str) -> None:
        self._fd, its = os.pipe2(os.O_DIRECT)
        fcntl.fcntl(its, fcntl.F_SETPIPE_SZ, 1)  # the kernel makes it a page, which one packet takes
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "importtime", "-m", "tidelog", *command],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=its,
            )
        finally:
            os.close(its)

    def lines(self) -> Iterator[bytes]:
        rest = b""
        while packet := os.read(self._fd, 65_536):
            *whole, rest = (rest + packet).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def __enter__(self) -> "Started":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


def is_import(line: bytes) -> bool:
    return line.startswith(b"import time:")


def imported_until(started: Started, count: int | None) -> int:
    """Read until tidelog's handler stands and `count` more modules are imported; None: until it ends. How many."""
    seen, stands = 0, False
    for line in started.lines():
        if stands and is_import(line):
            seen += 1
        stands = stands or line.rstrip().endswith(b" tidelog.interrupt")
        if count is not None and seen > count:
            break
    return seen


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many modules a command imports at least before it can have ended, however late we are to read of it."""
    with Started(tmp_path_factory.mktemp("help"), *COMMANDS["help"]) as started:
        return imported_until(started, None) - AHEAD


@pytest.mark.parametrize(
    ("command", "number"), [*((command, signal.SIGINT) for command in COMMANDS), ("run", signal.SIGTERM)]
)
def test_a_signal_while_it_imports(command: str, number: signal.Signals, imports: int, tmp_path: Path) -> None:
    for moment in MOMENTS:
        with Started(tmp_path, *COMMANDS[command]) as started:
            imported_until(started, int(moment * imports))
            started.process.send_signal(number)
            said = [line for line in started.lines() if not is_import(line)]
            started.process.wait(HANGS_S)
        # SIGTERM ends it as it ends any program, until it runs; and so does either behind its last import, when the
        # interpreter has given its handlers back
        assert started.process.returncode in {INTERRUPTED, -number}, said
        assert not any(line.startswith((b"Traceback", b"Exception")) for line in said), said


CALCULATING = """
import asyncio, functools, sys, time
from tidelog.interrupt import INTERRUPTED, quiet_from_here
from tidelog.runtime import SystemRuntime, run

async def main():
    runtime, asleep = SystemRuntime(jobs=1), functools.partial(time.sleep, 0.2)
    try:
        await asyncio.gather(runtime.compute_apart(asleep), runtime.processes([functools.partial(time.sleep, 3600)]))
    finally:
        runtime.close()

if __name__ == "__main__":
    quiet_from_here()
    print("begun", flush=True)
    try:
        run(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
"""


@pytest.mark.parametrize("everybody", [True, False], ids=["as a terminal does", "only the parent"])
def test_processes_that_calculate_end_with_their_parent(everybody: bool, tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to all of them, while they are starting too; a supervisor to one."""
    program = tmp_path / "calculating.py"
    program.write_text(CALCULATING)
    for delay_s in (0.0, 0.2, 1.0):
        with subprocess.Popen(
            [sys.executable, program],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(delay_s)
            if everybody:
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=HANGS_S)  # which ends when the last that holds the pipe has ended
        assert process.returncode == INTERRUPTED
        assert said == b""
