"""The command `tidelog` in processes of its own: run to its end, or followed while it runs, and always ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from tests.forked import Forked
from tests.patience import HANGS_S
from tidelog.cli.db.content import content_digests
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

__all__ = ["Finished", "Running", "digest", "environment", "tidelog", "until"]

T = TypeVar("T")

OF_PYTHON = ("PYTHON", "LANG", "LC_", "TZ")  # variables that it reads before anything else
POLL_S = 0.005  # between looks at what another process has done, where nothing tells us


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, so that the child imports the same tidelog, and without what would configure it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDELOG_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(extra or {})}


def tidelog(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout_s: float = HANGS_S
) -> Finished:
    """Run a command to its end."""
    with TemporaryFile() as out, TemporaryFile() as err:
        process = _started(arguments, env, cwd, out.fileno(), err.fileno())
        try:
            process.wait(timeout_s)
        finally:
            process.kill()
            process.wait()
        said = []
        for each in (out, err):
            each.seek(0)
            said.append(each.read().decode())
    return Finished(process.wait(), *said)


def _started(
    arguments: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdout: int,
    stderr: int,
    *,
    prefix: Sequence[str] = (),
) -> "Forked | subprocess.Popen[bytes]":
    """A command by the short way, where what Python itself reads of the environment is as in ours."""
    if prefix or sys.platform != "linux" or any(name.startswith(OF_PYTHON) for name in env or ()):
        command = [*prefix, sys.executable, "-m", "tidelog", *arguments]
        return subprocess.Popen(
            command, env=environment(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    return Forked(arguments, environment=environment(env), folder=cwd, stdout=stdout, stderr=stderr)


def until(condition: Callable[[], T], what: str, *, timeout_s: float = HANGS_S) -> T:
    """Look again and again until the condition holds; what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(POLL_S)
    return found


def digest(url: str) -> str:
    """What `tidelog db digest` prints for the store as a whole."""

    async def read() -> str:
        store = await open_store(url, SystemRuntime(), readonly=True)
        try:
            return (await content_digests(store))["store"][0]
        finally:
            await store.close()

    return asyncio.run(read())


class Running:
    """A command that runs in the background; leaving the context kills what is left of it.

    Its standard error goes to the file `log`, which several runs may share.
    """

    def __init__(
        self,
        *arguments: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        stdout: int = subprocess.DEVNULL,
        prefix: Sequence[str] = (),
    ) -> None:
        """`prefix`: a command that runs ours, on another host for instance, and becomes it."""
        self._log = log
        with log.open("ab") as stderr:
            self.process = _started(arguments, env, None, stdout, stderr.fileno(), prefix=prefix)

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill9()

    def kill9(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(HANGS_S)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(HANGS_S)

    def until(self, condition: Callable[[], T], what: str, *, timeout_s: float = HANGS_S) -> T:
        """As `until`, and the command has to be alive meanwhile."""

        def alive_and() -> T:
            found = condition()
            assert found or self.process.poll() is None, f"it ended while we waited for {what}"
            return found

        try:
            return until(alive_and, what, timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log ends with {self.text[-2000:]}") from None

    @property
    def text(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The structured lines of one kind so far."""
        lines = [json.loads(line) for line in self.text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]


@contextmanager
def serving(db: str, *arguments: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """`tidelog serve` in a process of its own, which ends in order; its URL."""
    command = ("serve", "--db", db, "--port", "0", *arguments)
    with Running(*command, log=log, env=env, stdout=subprocess.PIPE) as run:
        assert run.process.stdout is not None
        with run.process.stdout as told:
            yield told.readline().decode().split()[-1].rstrip("/")
            run.process.terminate()
            run.wait()
