"""Ctrl-C ends every command, from its first moment on, and says nothing: no wish to end is lost, no traceback shown.

Python tells of each module that it has imported (`-X importtime`): the signal is sent at chosen ones of these moments,
and so in the middle of importing the next, however fast the machine is. What comes before tidelog's own first line,
the interpreter's start, is not tidelog's.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import COMMAND_S, environment
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


def started(folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "tidelog", *command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        bufsize=0,  # a line is read when it comes
    )


def is_import(line: bytes) -> bool:
    return line.startswith(b"import time:")


def imported_until(process: "subprocess.Popen[bytes]", count: int | None) -> int:
    """Read until tidelog's handler stands and `count` more modules are imported; None: until it ends. How many."""
    assert process.stderr is not None
    seen, stands = 0, False
    for line in process.stderr:
        if stands and is_import(line):
            seen += 1
        stands = stands or line.rstrip().endswith(b" tidelog.interrupt")
        if count is not None and seen > count:
            break
    return seen


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many modules the command that needs the fewest imports."""
    with started(tmp_path_factory.mktemp("help"), *COMMANDS["help"]) as process:
        return imported_until(process, None)


@pytest.mark.parametrize(
    ("command", "number"), [*((command, signal.SIGINT) for command in COMMANDS), ("run", signal.SIGTERM)]
)
def test_a_signal_while_it_imports(command: str, number: signal.Signals, imports: int, tmp_path: Path) -> None:
    for moment in MOMENTS:
        with started(tmp_path, *COMMANDS[command]) as process:
            imported_until(process, int(moment * imports))
            process.send_signal(number)
            _, rest = process.communicate(timeout=COMMAND_S)
        said = [line for line in rest.splitlines() if not is_import(line)]
        # SIGTERM ends it as it ends any program, until it runs; and so does either behind its last import, when the
        # interpreter has given its handlers back
        assert process.returncode in {INTERRUPTED, -number}, said
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
            _, said = process.communicate(timeout=COMMAND_S)  # which ends when the last that holds the pipe has ended
        assert process.returncode == INTERRUPTED
        assert said == b""
