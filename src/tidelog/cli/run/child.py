"""One process under supervision: started, heard, started again as the policy says, and ended in order.

Decides nothing: what a death means is in `policy`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from tidelog.backoff import delays
from tidelog.cli.run.channel import LINE_BYTES_MAX, Order, Report, decode_report, line
from tidelog.cli.run.policy import REASONS, Verdict, verdict
from tidelog.errors import TidelogError
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

DRAIN_S = 1.0  # for what a process said last: processes of its own may hold its output open for longer
FIRST_S, LONGEST_S = 0.25, 60.0  # of the pauses between tries

_log = logger("run")


class Child:
    """A process by its name.

    Args:
        command: what starts it.
        config: the text that it gets as its configuration; set it again for the next start.
    """

    def __init__(
        self, name: str, command: list[str], environ: Mapping[str, str], config: str, runtime: Runtime, stable_s: float
    ) -> None:
        self.name = name
        self.config = config
        self.stable_s = stable_s
        self.restarts = 0
        self.last_exit: int | None = None
        self.running = False  # it has said so, and lives
        self.down: str | None = None  # why it stays down
        self.trouble: str | None = None  # why it ended last, until it runs again
        self._said: str | None = None  # why this run of it fails, in its words
        self._command = command
        self._environ = dict(environ)
        self._runtime = runtime
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._task = asyncio.create_task(self._live())

    def tell(self, order: Order) -> bool:
        """Tell the process, if it lives and the order is not too long; whether it was sent."""
        if self._process is None or self._process.stdin is None:
            return False
        text = line(order)
        if order.config is None and len(text) > LINE_BYTES_MAX:
            return False
        self._process.stdin.write(text)
        return True

    async def stop(self, timeout_s: float, hurry: asyncio.Event) -> None:
        """End it: in order, and by force when the time is over or `hurry` is set."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        if self._task is None:
            return
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait((self._task, hurried), timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not self._task.done():
            _log.warning("child_killed", child=self.name, pid=self.pid, after_s=round(timeout_s, 1))
            self._signal(signal.SIGKILL)
        await self._task

    def _signal(self, number: int) -> None:
        """SIGTERM goes to the process, SIGKILL to those of its own too."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.send_signal(number)

    async def _live(self) -> None:
        pauses = delays(self._runtime.random(f"run-{self.name}"), first_s=FIRST_S, max_s=LONGEST_S)
        while not self._stopping.is_set():
            began_s = self._runtime.monotonic()
            code = self.last_exit = await self._once()
            lived_s = self._runtime.monotonic() - began_s
            if self._stopping.is_set():
                _log.info("child_ended", child=self.name, code=code)
                return
            self.trouble = self._said or f"it ended with {_ending(code)}"
            what = verdict(code, lived_s, self.stable_s)
            facts = {"child": self.name, "code": code, "lived_s": round(lived_s, 1), "reason": self.trouble}
            if what is Verdict.DOWN:
                self.down = f"{REASONS[code]}: {self.trouble}"
                _log.error("child_down", **facts)
                return
            pause_s = 0.0
            if what is Verdict.BACKOFF:
                pause_s = next(pauses)
            else:
                pauses = delays(self._runtime.random(f"run-{self.name}"), first_s=FIRST_S, max_s=LONGEST_S)
            _log.warning("child_restarts", pause_s=round(pause_s, 2), **facts)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            self.restarts += 1

    async def _once(self) -> int:
        """Start it, and wait for its end; its exit code."""
        self._said = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._environ,
                start_new_session=True,  # Ctrl-C on a terminal is ours to pass on, in order
                limit=LINE_BYTES_MAX,
            )
        except OSError as error:
            self._said = f"it could not be started: {error.strerror}"
            return TidelogError.exit_code
        self._process = process
        _log.info("child_started", child=self.name, pid=process.pid)
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        self.tell(Order(config=self.config))
        assert process.stdout is not None
        hearing = asyncio.create_task(self._hear(process.stdout))
        try:
            code = await process.wait()
            await asyncio.wait((hearing,), timeout=DRAIN_S)
        finally:
            hearing.cancel()
            self._process, self.running = None, False
            if process.stdin is not None:
                process.stdin.close()
        return code

    async def _hear(self, output: asyncio.StreamReader) -> None:
        while True:
            try:
                said = await output.readline()
            except ValueError:  # a line over the limit: it is no report
                continue
            if not said:
                return
            try:
                report = decode_report(said)
            except msgspec.DecodeError:
                _log.warning("child_said", child=self.name, text=said.decode("utf-8", "replace").strip()[:200])
                continue
            self._take(report)

    def _take(self, report: Report) -> None:
        if report.running:
            self.running, self.trouble = True, None
        if report.failed is not None:
            self.trouble = self._said = report.failed


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def command_of(name: str, file: str) -> list[str]:
    """Starts the process of a source, or of the API. No secret is in it: every user can read a command line."""
    # -P: what lies in the current folder is no module of ours
    return [sys.executable, "-P", "-m", "tidelog", "run-source", name, "--config", file, "--supervised"]
