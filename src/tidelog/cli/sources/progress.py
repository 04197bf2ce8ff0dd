"""How a command that runs for long shows where it is, one way for all of them.

On a terminal one line that stays put; elsewhere a log line a minute, and one when there is news; or one JSON object
a line on standard output. A reader that does not read delays nothing: what cannot be written now is left
out, since the next one says it all again.
"""

import asyncio
import json
import os
import select
import sys
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

from tidelog.cli.options import Mode
from tidelog.runtime import Runtime

if TYPE_CHECKING:
    from tidelog.cli.sources.terminal import TerminalLine

__all__ = ["Display", "ProgressReport", "Rates", "write_json"]

State: TypeAlias = Literal["running", "done", "stopped"]

LINE_S = 0.5  # between updates of the line
JSON_S = 1.0  # between objects, while something moves
LOOK_S = 10.0  # between looks whether there is news for the log
LOG_S = 60.0  # between log lines and objects without news
TERMINAL_ANYWAY = ("FORCE_COLOR", "TTY_COMPATIBLE")  # variables by which anything may count as a terminal
RATE_WINDOW_S = 15.0  # rates of a line are over this long: shorter jumps about, longer hides a stall


class ProgressReport(ABC):
    """A program that says where it is. `look` comes first, then any of the others."""

    @abstractmethod
    def look(self, now_s: float) -> None:
        """Take in where it is, at `now_s` of the monotonic clock."""

    @abstractmethod
    def line(self, width: int) -> str:
        """In at most `width` columns."""

    @abstractmethod
    def facts(self) -> dict[str, object]:
        """The same as fields, for a log line and for JSON; their units stand in docs/progress.md."""

    @abstractmethod
    def counts(self) -> tuple[object, ...]:
        """What moves while all is well."""

    @abstractmethod
    def news(self) -> tuple[object, ...]:
        """What is worth a log line when it changes."""

    @abstractmethod
    def log(self) -> None:
        """One structured line."""


class Rates:
    """How fast counts grow."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, tuple[int, ...]]] = deque()

    def per_s(self, now_s: float, *counts: int) -> list[float]:
        """The growth of each a second, over the last `window_s`, or since the look before that."""
        self._samples.append((now_s, counts))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= self._window_s:
            self._samples.popleft()
        (start_s, before), (end_s, after) = self._samples[0], self._samples[-1]
        seconds = max(0.001, end_s - start_s)
        return [(new - old) / seconds for old, new in zip(before, after, strict=True)]


class Display:
    """Shows while its context lasts; `end` says in the end how it ended."""

    def __init__(self, report: ProgressReport, runtime: Runtime, mode: Mode) -> None:
        self._report = report
        self._runtime = runtime
        self._mode = mode
        self._line: TerminalLine | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Display":
        match self._mode:
            case "auto" if (line := _terminal_line()) is not None:
                self._line = line
                line.start()
                self._task = asyncio.create_task(self._keep_line(line))
            case "auto" | "log":
                self._task = asyncio.create_task(self._keep_logging())
            case "json":
                self._task = asyncio.create_task(self._keep_writing())
            case "none":
                pass
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The line stays where it is, and says where it ended."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
                if not self._task.cancelled():
                    self._task.result()
            if self._line is not None:
                self._show(self._line)
        finally:
            if self._line is not None:
                self._line.stop()

    def end(self, state: State) -> None:
        """What a reader of JSON hears last."""
        if self._mode == "json":
            self._write(state)

    def _look(self) -> None:
        self._report.look(self._runtime.monotonic())

    async def _keep_line(self, line: "TerminalLine") -> None:
        while True:
            self._show(line)
            await self._runtime.sleep(LINE_S)

    def _show(self, line: "TerminalLine") -> None:
        self._look()
        line.show(self._report.line(line.width))

    async def _keep_logging(self) -> None:
        self._look()
        logged, logged_s = self._report.news(), self._runtime.monotonic()
        while True:
            await self._runtime.sleep(LOOK_S)
            self._look()
            now_s = self._runtime.monotonic()
            if self._report.news() != logged or now_s - logged_s >= LOG_S:
                logged, logged_s = self._report.news(), now_s
                self._report.log()

    async def _keep_writing(self) -> None:
        logged: tuple[object, ...] | None = None
        logged_s = 0.0
        while True:
            self._look()
            now_s = self._runtime.monotonic()
            state = (*self._report.counts(), *self._report.news())
            if state != logged or now_s - logged_s >= LOG_S:
                logged, logged_s = state, now_s
                self._write("running")
            await self._runtime.sleep(JSON_S)

    def _write(self, state: State) -> None:
        self._look()
        write_json({"state": state, **self._report.facts()})


def _terminal_line() -> "TerminalLine | None":
    """The line, where there is a terminal: what it needs takes longer to load than most of a sync's start."""
    if not sys.stderr.isatty() and not any(name in os.environ for name in TERMINAL_ANYWAY):
        return None
    from tidelog.cli.sources.terminal import TerminalLine

    line = TerminalLine()
    return line if line.is_terminal else None


def write_json(facts: dict[str, object]) -> None:
    """One object with the time, unless the reader is slow or gone: it must not delay the writer."""
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    text = json.dumps({"timestamp": time, **facts}) + "\n"
    try:
        if _takes_now():
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _takes_now() -> bool:
    """Whether standard output takes a line at once: a pipe that does has room for 4,096 bytes."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # no file: it is kept in memory
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
