"""Commands under strace, which kills them at the n-th call of a kind, or lets that call fail."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.command import environment
from tests.forked import Forked
from tests.patience import HANGS_S

__all__ = ["Driver", "Fault", "Started", "Traced", "unable"]

CALLS = "pwrite64,pwritev,fdatasync,fsync,ftruncate,fallocate,unlink"  # by which SQLite changes a file
WRITTEN = re.compile(rf"^(?:\d+ +)?({CALLS.replace(',', '|')})\((?:\d+<|\")([^>\"]*)[>\"]")


class Fault(NamedTuple):
    """What strace does at the n-th `call` of a thread on one of the files."""

    call: str
    nth: int
    what: str = "signal=SIGKILL"  # before the call is made
    for_ever: bool = False  # and at each after it

    def __str__(self) -> str:
        return f"{self.call} {self.nth}{'+' * self.for_ever} {self.what}"

    @property
    def injection(self) -> str:
        return f"inject={self.call}:{self.what}:when={self.nth}{'+' * self.for_ever}"


class Traced(NamedTuple):
    """How a command ended, and which calls it had made: (call, file name) to their number."""

    code: int
    err: str
    calls: Counter[tuple[str, str]]


def unable() -> str | None:
    """Why nothing can be traced here; None if it can."""
    program = shutil.which("strace")
    if program is None:
        return "strace is not installed"
    tried = subprocess.run([program, "-qq", "-e", "trace=none", "true"], capture_output=True, text=True)
    return f"strace may not trace: {tried.stderr}" if tried.returncode else None


class Started:
    """A command that runs, traced or not."""

    def __init__(self, driver: "Driver", process: Forked, tracer: "subprocess.Popen[bytes] | None") -> None:
        self._driver = driver
        self._process = process
        self._tracer = tracer

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> Traced:
        code = self._process.wait()
        calls: Counter[tuple[str, str]] = Counter()
        if self._tracer is not None:
            self._tracer.communicate(timeout=HANGS_S)  # it ends with what it traces
            for line in self._driver.trace.read_text().splitlines():
                if found := WRITTEN.match(line):
                    calls[found[1], Path(found[2]).name] += 1
        return Traced(code, self._driver.err.read_text(), calls)

    def close(self) -> None:
        """End it, if it runs still: a test has failed meanwhile."""
        self._process.kill()
        self.wait()


class Driver:
    """Runs commands, one at a time, with a strace for each that is to be traced."""

    def __init__(self, folder: Path) -> None:
        self.err, self.trace = folder / "err", folder / "trace"
        self._last: Started | None = None

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._last.close()

    def start(
        self,
        *arguments: str,
        files: Sequence[Path] = (),
        fault: Fault | None = None,
        file_bytes_max: int | None = None,
    ) -> Started:
        """Begin a command.

        Args:
            files: whose calls are traced, their logs and indexes included; none: no tracing.
            fault: what happens at one of these calls.
            file_bytes_max: no file grows beyond it.
        """
        with self.err.open("wb") as err:
            process = Forked(
                arguments,
                environment=environment(),
                folder=None,
                stdout=subprocess.DEVNULL,
                stderr=err.fileno(),
                file_bytes_max=file_bytes_max,
                held=True,
            )
        tracer = self._attach(process.pid, files, fault) if files else None
        process.go_on()
        self._last = Started(self, process, tracer)
        return self._last

    def run(self, *arguments: str, files: Sequence[Path] = (), fault: Fault | None = None) -> Traced:
        return self.start(*arguments, files=files, fault=fault).wait()

    def _attach(self, pid: int, files: Sequence[Path], fault: Fault | None) -> "subprocess.Popen[bytes]":
        paths = [part for path in files for end in ("", "-wal", "-journal", "-shm") for part in ("-P", f"{path}{end}")]
        injection = [] if fault is None else ["-e", fault.injection]
        tracer = subprocess.Popen(
            ["strace", "-f", "-y", "-o", str(self.trace), *paths, "-e", f"trace={CALLS}", *injection, "-p", str(pid)],
            stderr=subprocess.PIPE,
        )
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        assert b"attached" in told, told
        return tracer
