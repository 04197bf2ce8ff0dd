"""`/metrics`, `/livez`, `/readyz`: of this server, of the store that it reads, and of the processes that fill it.

Under `tidelog run` these are the answers for all its processes: each one's metrics have the label `process`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from tidelog.api.access.guard import METRICS, authorize
from tidelog.api.http.backend import Backend
from tidelog.api.http.limits import LookLimits
from tidelog.api.http.problems import Refused
from tidelog.api.operation.store_metrics import of_reading, read_store
from tidelog.errors import ConfigError, Corruption, SourceError, StoreError
from tidelog.net.status import ask, scrape
from tidelog.store import Lag
from tidelog.telemetry import CONTENT_TYPE, Readiness, merged, rendered

__all__ = ["ROUTES"]

T = TypeVar("T")

OWN = "api"  # what this process is called among the others

_TEXT = CONTENT_TYPE.removesuffix("; charset=utf-8")  # which Litestar adds
_NO_STORE = {"cache-control": "no-store"}


class Live(Struct, frozen=True):
    """The process runs, and its event loop turns."""

    live: bool = True


@get("/livez", operation_id="livez", summary="Whether the process runs", tags=["health"], opt={"scope": None})
async def livez() -> Response[Live]:
    """Answers as long as the process can answer anything."""
    return Response(Live(), headers=_NO_STORE)


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics of all processes, as Prometheus reads them",
    tags=["health"],
    media_type=MediaType.TEXT,
    opt={"scope": METRICS},
)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Every sample has the label `process`; one that could not be scraped shows as `tidelog_up` 0."""
    backend = _backend(request)
    text = await _shared(request, "metrics", lambda: _all_metrics(backend))
    return Response(text, media_type=_TEXT, headers=_NO_STORE)


async def _shared(request: Request[Any, Any, Any], name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The present result. Concurrent callers share one computation, so that many cost no more than one."""
    making: dict[str, asyncio.Task[T]] = request.app.state.making
    task = making.get(name)
    if task is None:
        task = making[name] = asyncio.create_task(make())
        task.add_done_callback(lambda done: making.pop(name))
    return await asyncio.shield(task)


async def _all_metrics(backend: Backend) -> bytes:
    own, *others = await asyncio.gather(
        _own_metrics(backend), *(_scraped(address, backend.limits.looks) for address in backend.options.scrape.values())
    )
    return merged({OWN: own} | dict(zip(backend.options.scrape, others, strict=True)))


def _backend(request: Request[Any, Any, Any]) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _own_metrics(backend: Backend) -> bytes:
    text = rendered(backend.metrics.registry)
    try:
        async with asyncio.timeout(backend.limits.looks.store_s):
            return text + of_reading(await read_store(backend.store))
    except (StoreError, Corruption, TimeoutError):
        return text  # what the store would tell is missing, which an alert can see


async def _scraped(address: str, limits: LookLimits) -> bytes | None:
    try:
        return await scrape(address, timeout_s=limits.scrape_s)
    except (SourceError, ConfigError):
        return None


@get(
    "/readyz",
    operation_id="readyz",
    summary="Whether everything is caught up, within limits",
    tags=["health"],
    opt={"scope": None},
)
async def readyz(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """200 or 503. Reasons and notes are shown to clients that may read the metrics."""
    backend = _backend(request)
    found = await _shared(request, "readiness", lambda: _all(backend))
    shown = found if await _may_see(request) else Readiness(found.ready)
    return Response(shown, status_code=200 if found.ready else 503, headers=_NO_STORE)


async def _all(backend: Backend) -> Readiness:
    found = await asyncio.gather(
        _own_readiness(backend),
        *(_readiness_of(name, address, backend.limits.looks) for name, address in backend.options.scrape.items()),
    )
    return Readiness.of(
        [said for each in found for said in each.reasons], [said for each in found for said in each.notes]
    )


async def _own_readiness(backend: Backend) -> Readiness:
    return Readiness.of(await _own_reasons(backend))


async def _may_see(request: Request[Any, Any, Any]) -> bool:
    try:
        await authorize(request, metrics)
    except (Refused, StoreError, Corruption):  # fails closed
        return False
    return True


async def _own_reasons(backend: Backend) -> list[str]:
    store_s = backend.limits.looks.store_s
    try:
        async with asyncio.timeout(store_s), backend.store.snapshot() as snapshot:
            await snapshot.checkpoints()
        async with asyncio.timeout(store_s):
            lag = await backend.store.lag()
    except TimeoutError:
        return [f"{OWN}: the store has not answered within {store_s:g} s"]
    except StoreError:
        return [f"{OWN}: the store cannot be read"]
    except Corruption:
        return [f"{OWN}: the store is damaged"]
    return _lagging(lag, backend.options.standby_lag_max_s)


def _lagging(lag: Lag | None, most_s: float) -> list[str]:
    if lag is None or lag.seconds <= most_s:
        return []
    paused = ", whose replay is paused," if lag.paused else ""
    return [
        f"{OWN}: the standby that is read{paused} lags {lag.seconds:.1f} s behind its primary: at most {most_s:g} s"
    ]


async def _readiness_of(name: str, address: str, limits: LookLimits) -> Readiness:
    """What another process says of itself, its name before each sentence."""
    try:
        answer = await ask(address, "/readyz", timeout_s=limits.scrape_s, bytes_max=limits.reasons_bytes_max)
        readiness = msgspec.json.decode(answer.body, type=Readiness)
    except (SourceError, ConfigError):
        return Readiness.of([f"{name}: the process does not answer"])
    except (msgspec.DecodeError, RecursionError):
        return Readiness.of([f"{name}: the process answers with something else than its readiness"])
    reasons, notes = (
        [f"{name}: {said}" for said in part[: limits.reasons_max]] for part in (readiness.reasons, readiness.notes)
    )
    if readiness.ready:
        return Readiness.of([], notes)
    return Readiness.of(reasons or [f"{name}: it is not ready"], notes)


ROUTES: list[ControllerRouterHandler] = [livez, metrics, readyz]
