"""The status of a command that runs for long: its metrics and its readiness, on the address of `--status`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Gauge

from tidelog.errors import Corruption, StoreError
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import Readiness, rendered

SIZE_S = 15.0  # between looks at the size of the store: a server sums up files for it
LOOK_S = 2.0  # that one may take: well below `METRICS_S`, so that the other metrics are there while a store hangs


class StoreSize:
    """Keeps a gauge at the size of a store; it is looked at when somebody asks, and not each time."""

    def __init__(
        self, gauge: Gauge, runtime: Runtime, store: Callable[[], Store | None], look_s: float = LOOK_S
    ) -> None:
        self._look_s = look_s
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
            async with asyncio.timeout(self._look_s):
                self._gauge.set((await store.info()).size_bytes)
        except (StoreError, Corruption, TimeoutError):  # it is busy, away or damaged, which other metrics tell
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
