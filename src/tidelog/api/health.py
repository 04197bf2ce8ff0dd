"""`/metrics`, `/livez`, `/readyz`: of this server, of the store that it reads, and of the processes that fill it.

Under `tidelog run` these are the answers for all its processes: each one's metrics have the label `process`.
"""

import asyncio
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from tidelog.api.backend import Backend
from tidelog.api.guard import METRICS, authorize
from tidelog.api.problems import Refused
from tidelog.api.stored import of_reading, read_store
from tidelog.errors import ConfigError, SourceError, StoreError
from tidelog.net.status import ask, scrape
from tidelog.telemetry import CONTENT_TYPE, Readiness, merged, rendered

__all__ = ["ROUTES"]

OWN = "api"  # what this process is called among the others
SCRAPE_S = 3.0  # for each of the others, all at once: well below REQUEST_S, and Prometheus' own 10 s
STORE_S = 2.0  # for a look at the store
REASONS_BYTES_MAX = 64 * 1024  # of another's answer to /readyz: its reasons are a few sentences
REASONS_MAX = 20  # of one process that are shown

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
    own, *others = await asyncio.gather(
        _own_metrics(backend), *(_scraped(address) for address in backend.options.scrape.values())
    )
    text = merged({OWN: own} | dict(zip(backend.options.scrape, others, strict=True)))
    return Response(text, media_type=_TEXT, headers=_NO_STORE)


def _backend(request: Request[Any, Any, Any]) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _own_metrics(backend: Backend) -> bytes:
    text = rendered(backend.metrics.registry)
    try:
        async with asyncio.timeout(STORE_S):
            return text + of_reading(await read_store(backend.store))
    except (StoreError, TimeoutError):
        return text  # what the store would tell is missing, which an alert can see


async def _scraped(address: str) -> bytes | None:
    try:
        return await scrape(address, timeout_s=SCRAPE_S)
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
    """200 or 503. The reasons are shown to whoever may read the metrics."""
    backend = _backend(request)
    found = await asyncio.gather(
        _own_reasons(backend), *(_reasons_of(name, address) for name, address in backend.options.scrape.items())
    )
    reasons = [reason for part in found for reason in part]
    shown = tuple(reasons) if await _may_see(request) else ()
    return Response(Readiness(not reasons, shown), status_code=503 if reasons else 200, headers=_NO_STORE)


async def _may_see(request: Request[Any, Any, Any]) -> bool:
    try:
        await authorize(request, metrics)
    except (Refused, StoreError):  # who cannot be checked is not let in
        return False
    return True


async def _own_reasons(backend: Backend) -> list[str]:
    try:
        async with asyncio.timeout(STORE_S), backend.store.snapshot() as snapshot:
            await snapshot.checkpoints()
    except TimeoutError:
        return [f"{OWN}: the store has not answered within {STORE_S:g} s"]
    except StoreError:
        return [f"{OWN}: the store cannot be read"]
    return []


async def _reasons_of(name: str, address: str) -> list[str]:
    try:
        answer = await ask(address, "/readyz", timeout_s=SCRAPE_S, bytes_max=REASONS_BYTES_MAX)
        readiness = msgspec.json.decode(answer.body, type=Readiness)
    except (SourceError, ConfigError):
        return [f"{name}: the process does not answer"]
    except (msgspec.DecodeError, RecursionError):
        return [f"{name}: the process answers with something else than its readiness"]
    if readiness.ready:
        return []
    return [f"{name}: {reason}" for reason in readiness.reasons[:REASONS_MAX]] or [f"{name}: it is not ready"]


ROUTES: list[ControllerRouterHandler] = [livez, metrics, readyz]
