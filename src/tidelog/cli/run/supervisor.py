"""`tidelog run`, at work: starts a process per source and the API, keeps them up, follows the file, ends in order.

Decides nothing by itself: `policy` says what a death and a new file mean.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec

from tidelog.cli.run import logs, surroundings
from tidelog.cli.run.channel import Order
from tidelog.cli.run.child import Child, command_of
from tidelog.cli.run.file.parts import environment_of, part_of
from tidelog.cli.run.file.processes import checked, options_by_process, symbols_alone, warnings_of
from tidelog.cli.run.file.settings import API, SUPERVISOR, Settings
from tidelog.cli.run.gathered import Gathered
from tidelog.cli.run.metrics import RunMetrics
from tidelog.cli.run.notify import Notifier
from tidelog.cli.run.policy import changes
from tidelog.config import Loaded, handed
from tidelog.errors import ConfigError
from tidelog.filelock import FileLock
from tidelog.net.status import StatusServer
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.telemetry import Readiness, logger, rendered

API_SHARE = 1 / 3  # of the time to stop, that the API may take before the sources are asked to stop
KILL_S = 1.0  # of the time to stop, kept for what has to be killed

_log = logger("run")


def supervise(config: str, data_dir: str | None) -> None:
    """Run what the file `config` says until it is to end; ConfigError: it cannot be meant."""
    environ = surroundings(data_dir)
    loaded = checked(config, environ)
    logs.configure(loaded.value.logs, SUPERVISOR)

    for warning in warnings_of(loaded, config):
        _log.warning("configuration", reason=warning)

    async def main() -> None:
        await Supervisor(config, loaded, environ, SystemRuntime()).run()

    run(main())


class Supervisor:
    """Everything of one file, or of a command that is as one.

    Args:
        file: read again on SIGHUP; None: there is none.
        environ: what overrides the file, and of which the processes get what they need.
        stored: whether there is a store.
        status: where to serve metrics and readiness of all processes, beside the socket with its own.
    """

    def __init__(
        self,
        file: str | None,
        loaded: Loaded[Settings],
        environ: Mapping[str, str],
        runtime: Runtime,
        *,
        stored: bool = True,
        status: str | None = None,
    ) -> None:
        self._stored = stored
        self._status = status
        self._file = file
        self._loaded = loaded
        self._settings = loaded.value
        self._environ = environ
        self._runtime = runtime
        self._children: dict[str, Child] = {}
        self._told: dict[str, Hashable] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reload = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None  # of the file, that was last begun
        self._notifier = Notifier(environ, os.getpid())
        self._metrics = RunMetrics()

    async def run(self) -> None:
        """Until a signal ends it.

        Raises:
            ConfigError: another one runs this file.
        """
        directory = self._settings.run.directory
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder {directory} cannot be made: {error.strerror}") from None
        with FileLock(os.path.join(directory, "lock")) as lock:
            if not lock.take():
                raise ConfigError(
                    f"process {lock.holder()} runs with {directory} already: stop it, or give run.directory another "
                    "folder"
                )
            self._on_signals()
            status = StatusServer(
                f"unix:{self._settings.socket(SUPERVISOR)}", metrics=self._exposition, ready=self.readiness
            )
            async with status, self._all_served():
                await self._supervise()
        self._notifier.close()

    @asynccontextmanager
    async def _all_served(self) -> AsyncIterator[None]:
        """Serve what all processes say, where that is wanted."""
        if self._status is None:
            yield
            return
        sockets = {name: f"unix:{self._settings.socket(name)}" for name in self._settings.processes}
        gathered = Gathered(SUPERVISOR, self._exposition, self.readiness, sockets, self._runtime)
        async with gathered, StatusServer(self._status, metrics=gathered.exposition, ready=gathered.readiness):
            yield

    async def _supervise(self) -> None:
        for name, what in options_by_process(self._settings).items():
            self._start(name, what)
        self._notifier.ready(self._summary())
        store = str(self._settings.store.url.shown()) if self._stored else None
        _log.info("run_started", file=self._file, store=store, children=list(self._children))
        watchdog = asyncio.create_task(self._feed_watchdog())
        try:
            await self._until_stopped()
        finally:
            self._notifier.stopping()
            works = [asyncio.create_task(self._end(tuple(self._children), self._settings.run.stop_timeout))]
            if self._reading is not None:  # what a new file ends had its time before: the others do not wait for it
                works.append(self._reading)
            await asyncio.wait(works)
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
            for work in works:
                work.result()
        _log.info("run_stopped")

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _ask(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _until_stopped(self) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        try:
            while not self._stop.is_set():
                wanted = asyncio.create_task(self._reload.wait())
                await asyncio.wait((stopped, wanted), return_when=asyncio.FIRST_COMPLETED)
                wanted.cancel()
                if self._reload.is_set() and not self._stop.is_set():
                    self._reload.clear()
                    self._reading = asyncio.create_task(self._read_again())
                    await asyncio.wait((stopped, self._reading), return_when=asyncio.FIRST_COMPLETED)
                    if self._reading.done():
                        self._reading.result()
        finally:
            stopped.cancel()

    async def _feed_watchdog(self) -> None:
        while self._notifier.watchdog_s is not None:
            self._notifier.alive()
            await self._runtime.sleep(self._notifier.watchdog_s)

    def _start(self, name: str, what: Hashable) -> None:
        child = Child(
            name,
            command_of(name, self._file or ""),
            environment_of(self._settings, name, self._environ),
            self._handed(self._settings, name),
            self._runtime,
            self._settings.run.stable,
        )
        self._children[name] = child
        self._told[name] = what
        child.start()

    def _handed(self, settings: Settings, name: str) -> str:
        """The part of a process, as text."""
        return handed(msgspec.structs.replace(part_of(settings, name), stored=self._stored))

    async def _end(self, names: Iterable[str], timeout_s: float) -> None:
        """In order: the API first, so that queries end, then all sources at once."""
        limit_s = self._runtime.monotonic() + max(0.0, timeout_s - KILL_S)
        ending = [self._children.pop(name) for name in names]
        ranks = ([child for child in ending if child.name == API], [child for child in ending if child.name != API])
        for rank, share in zip(ranks, (API_SHARE, 1.0), strict=True):
            left_s = (limit_s - self._runtime.monotonic()) * share
            await asyncio.gather(*(child.stop(left_s, self._hurry) for child in rank))
        for child in ending:
            del self._told[child.name]
            self._metrics.forget(child.name)

    async def _read_again(self) -> None:
        """Follow the file, if it is good."""
        if self._stop.is_set():
            return
        if self._file is None:
            _log.error("reload_refused", reason="there is no file to read: start it again with other options")
            return
        self._notifier.reloading(self._runtime.monotonic())
        try:
            loaded = checked(self._file, self._environ)
        except ConfigError as error:
            _log.error("reload_refused", reason=str(error))
        else:
            await self._follow(loaded)
        if not self._stop.is_set():
            self._notifier.ready(self._summary())

    async def _follow(self, loaded: Loaded[Settings]) -> None:
        old, new = self._settings, loaded.value
        if new.run.directory != old.run.directory:
            _log.warning("reload_incomplete", reason="run.directory is changed by a restart alone")
            new = msgspec.structs.replace(new, run=msgspec.structs.replace(new.run, directory=old.run.directory))
        self._loaded, self._settings = loaded, new
        logs.configure(new.logs, SUPERVISOR)
        what = options_by_process(new)
        found = changes(self._told, what)
        again = [name for name in found.same if self._children[name].down is not None]
        told_so = [name for name in found.changed if self._tell_symbols(name, what[name])]
        _log.info("reloaded", **msgspec.structs.asdict(found), again=again, told=told_so)
        ending = {*found.removed, *found.changed, *again} - {*told_so}
        for name, child in self._children.items():
            if name not in ending:  # before others are waited for: one that dies meanwhile starts as the new file says
                child.config, child.stable_s = self._handed(new, name), new.run.stable
                if new.logs.level != old.logs.level:
                    child.tell(Order(level=new.logs.level))
        await self._end([name for name in self._children if name in ending], new.run.stop_timeout)
        for name in what:
            if name not in self._children and not self._stop.is_set():
                self._start(name, what[name])

    def _tell_symbols(self, name: str, what: Hashable) -> bool:
        """Have a recording that runs follow other symbols, if nothing else has changed: the others have no gap then."""
        symbols = symbols_alone(self._told[name], what)
        if symbols is None or not self._children[name].tell(Order(symbols=symbols)):
            return False
        self._told[name] = what
        return True

    def readiness(self) -> Readiness:
        """Ready when every process runs; whether it has caught up, it says itself."""
        reasons = []
        for name, child in self._children.items():
            if child.down is not None:
                reasons.append(f"{name} stays down: {child.down}")
            elif not child.running:
                reasons.append(f"{name} does not run" + (f": {child.trouble}" if child.trouble else " yet"))
        return Readiness.of(reasons)

    async def _exposition(self) -> bytes:
        self._metrics.look(self._children.values())
        return rendered(self._metrics.registry)

    def _summary(self) -> str:
        return f"supervises {', '.join(self._children)}"
