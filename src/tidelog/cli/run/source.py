"""`tidelog run-source`: the process of one source, or of the API, as `tidelog run` starts it.

It gets its configuration from the supervisor, reports to it when it runs and why it fails, and ends in order when it
is asked to or when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from tidelog.cli.run import logs
from tidelog.cli.run.channel import LINE_BYTES_MAX, Order, Report, decode_order, line
from tidelog.cli.run.file.parts import Part, part_of
from tidelog.cli.run.file.processes import chain_source_of, checked, market_source_of, publishing_of
from tidelog.cli.run.file.settings import API
from tidelog.cli.sources.stopping import Stop
from tidelog.config import taken
from tidelog.errors import Busy, ConfigError, TidelogError
from tidelog.filelock import FileLock
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.telemetry import logger
from tidelog.telemetry.otel import traced

if TYPE_CHECKING:
    from tidelog.cli.sources.market import Recording

LOCK_POLL_S = 0.05  # between looks whether the process before us has ended

_log = logger("run")


def run_source(
    name: str,
    *,
    config: Annotated[str, Parameter(name=["--config", "-c"])] = "tidelog.toml",
    supervised: bool = False,
) -> None:
    """Run one source of a configuration, or its API, in this process.

    Args:
        name: of the source, or api.
        config: the file.
        supervised: standard input has what it is told of the configuration, and orders, and its end is an order to end.
    """
    reports = _reports() if supervised else None
    part = _first_order() if supervised else _read(config, name)
    logs.configure(part.settings.logs, name)
    try:
        with traced(f"run {name}"):
            code = run(_Process(name, part, reports).main())
    except TidelogError as error:
        _log.error("failed", reason=str(error), code=error.exit_code)
        _tell(reports, Report(failed=str(error)))
        code = error.exit_code
    except Exception as error:
        _log.error("crashed", exc_info=True)
        _tell(reports, Report(failed=f"a fault in tidelog ({type(error).__name__})"))
        code = TidelogError.exit_code
    sys.exit(code)


def _reports() -> int:
    """Where reports go: standard output, which from here on is standard error for everybody else."""
    reports = os.dup(1)
    os.dup2(2, 1)
    return reports


def _tell(reports: int | None, report: Report) -> None:
    if reports is not None:
        with suppress(OSError):  # the supervisor is gone
            os.write(reports, line(report))


def _read(file: str, name: str) -> Part:
    settings = checked(file, os.environ).value
    if name not in settings.names:
        raise ConfigError(f"{file} has no source {name}; there are {', '.join(settings.names) or 'none'}")
    return part_of(settings, name)


def _first_order() -> Part:
    with open(0, "rb", buffering=0, closefd=False) as orders:  # unbuffered: what follows is for the loop to read
        first = orders.readline()
    try:
        return taken(decode_order(first).config or "", Part)
    except msgspec.DecodeError:
        raise ConfigError("--supervised is for `tidelog run` alone: standard input has no configuration") from None


class _Process:
    """What every such process does beside its work."""

    def __init__(self, name: str, part: Part, reports: int | None) -> None:
        self._name = name
        self._part = part
        self._settings = part.settings
        self._reports = reports
        self._stop = Stop()
        self._recording: Recording | None = None  # that has begun
        self._symbols: tuple[str, ...] | None = None  # that it was ordered to follow; None: those of its configuration

    async def main(self) -> int:
        """Work until it is done or asked to end; the exit code."""
        runtime = SystemRuntime()
        self._stop.on_signals()
        os.makedirs(self._settings.run.directory, mode=0o700, exist_ok=True)
        hearing = None if self._reports is None else asyncio.create_task(self._hear())
        try:
            with FileLock(os.path.join(self._settings.run.directory, f"{self._name}.lock")) as lock:
                if not await self._take(lock, runtime):
                    return 0
                return await self._work()()
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _take(self, lock: FileLock, runtime: Runtime) -> bool:
        """Wait for the end of the process before us, whose supervisor may be gone; False: asked to end meanwhile."""
        limit_s = runtime.monotonic() + self._settings.run.stop_timeout
        while not lock.take():
            if self._stop.asked:
                return False
            if runtime.monotonic() > limit_s:
                raise Busy(f"process {lock.holder()}, which ran {self._name} before, has not ended")
            await runtime.sleep(LOCK_POLL_S)
        return True

    def _work(self) -> Callable[[], Awaitable[int]]:
        """Loads what this kind of process runs on, and nothing of the others."""
        status = f"unix:{self._settings.socket(self._name)}"
        if self._name == API:
            from tidelog.cli.run.api import serve_api

            return lambda: serve_api(self._part, self._stop, lambda url: self._runs())
        if any(chain.name == self._name for chain in self._settings.chain):
            from tidelog.cli.sources.chain import sync_chain

            source = chain_source_of(self._settings, self._name)
            return lambda: sync_chain(source, self._stop, status, running=self._runs)
        if (published := self._part.published) is not None:
            from tidelog.cli.stream.running import publish_on

            publishing = publishing_of(self._settings, self._name, published)
            return lambda: publish_on(publishing, self._stop, status, running=self._runs)
        return lambda: self._record(status)

    def _runs(self) -> None:
        _tell(self._reports, Report(running=True))

    def _records(self, recording: Recording) -> None:
        self._recording = recording
        self._runs()
        if self._symbols is not None:  # a new file came while it started
            self._follow(self._symbols)

    def _follow(self, symbols: tuple[str, ...]) -> None:
        """Have the recording follow these symbols, once it is there."""
        self._symbols = symbols
        if self._recording is None:
            return
        try:
            come, gone = self._recording.follow(symbols)
        except TidelogError as error:  # it ends, or is no symbol: who starts again gets the file
            _log.error("reload_refused", reason=str(error))
        else:
            _log.info("symbols_changed", come=list(come), gone=list(gone))

    async def _record(self, status: str) -> int:
        from tidelog.cli.sources.market import record_market

        source = market_source_of(self._settings, self._name)
        if not self._part.stored:
            source = msgspec.structs.replace(source, db=None)
        progress, digest = await record_market(source, self._stop, status, running=self._records)
        _log.info("recorded", run=progress.last.run, frames=progress.frames, digest=digest)
        return 0

    async def _hear(self) -> None:
        """Carry out orders; their end is the supervisor's."""
        orders = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while True:
            try:
                said = await orders.readline()
                if not said:
                    break
                self._carry_out(decode_order(said))
            except (ValueError, msgspec.DecodeError):  # too long, or no order: it must not keep us from hearing the end
                continue
        if not self._stop.asked:
            _log.warning("supervisor_gone")
        # a process that hangs would hang for ever: its supervisor, which could kill it, is gone
        asyncio.get_running_loop().call_later(self._settings.run.stop_timeout, os._exit, TidelogError.exit_code)
        self._stop.ask()

    def _carry_out(self, order: Order) -> None:
        if order.level is not None:
            logs.configure(self._settings.logs, self._name, level=order.level)
            _log.info("log_level", level=order.level)
        if order.symbols is not None:
            self._follow(order.symbols)
