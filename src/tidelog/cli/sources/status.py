"""The status of a command that runs for long: its metrics and its readiness, on the address of `--status`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Gauge

from tidelog.errors import StoreError
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import Readiness, rendered

SIZE_S = 15.0  # between looks at the size of the store: a server sums up files for it


class StoreSize:
    """Keeps a gauge at the size of a store; it is looked at when somebody asks, and not each time."""

    def __init__(self, gauge: Gauge, runtime: Runtime, store: Callable[[], Store | None]) -> None:
        self._store = store  # gives None while it is not open
        self._gauge = gauge
        self._runtime = runtime
        self._looked: float | None = None

    async def refresh(self) -> None:
        now, store = self._runtime.monotonic(), self._store()
        if store is None or (self._looked is not None and now - self._looked < SIZE_S):
            return
        self._looked = now
        try:
            self._gauge.set((await store.info()).size_bytes)
        except StoreError:  # it is busy or away, which other metrics tell
            return


@asynccontextmanager
async def status_served(
    address: str | None, registry: CollectorRegistry, ready: Callable[[], Readiness], size: StoreSize
) -> AsyncIterator[None]:
    """Serve the status while the context lasts; nothing without an address."""
    if address is None:
        yield
        return
    from tidelog.net.status import StatusServer  # here, as nothing else in a command needs a web server

    async def metrics() -> bytes:
        await size.refresh()
        return rendered(registry)

    async with StatusServer(address, metrics=metrics, ready=ready):
        yield
