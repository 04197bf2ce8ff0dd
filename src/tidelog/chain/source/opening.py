"""Endpoints by their URLs: a pool of them over HTTP, for as long as a context lasts."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from tidelog.chain.endpoint.budget import Said
from tidelog.chain.source.client import RPC_LIMITS, Endpoint, RpcLimits
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.standing import POOL_LIMITS, PoolLimits
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics

__all__ = ["RpcEndpoint", "open_pool"]


class RpcEndpoint(Struct, frozen=True):
    """A JSON-RPC endpoint, with its key, and what is known of its plan. What is None is found out.

    Raises:
        ConfigError: of a plan with such a rate or such batches nothing could be asked.
    """

    url: str
    rate: float | None = None  # calls a second, each call of a batch counted
    batch: int | None = None  # calls a request; 1: no batches

    def __post_init__(self) -> None:
        if self.rate is not None and not (isinstance(self.rate, int | float) and 0 < self.rate < math.inf):
            raise ConfigError(f"rate {self.rate!r:.80}: give calls a second, more than 0")
        if self.batch is not None and not (isinstance(self.batch, int) and self.batch >= 1):
            raise ConfigError(f"batch {self.batch!r:.80}: give calls a request, 1 or more")


@asynccontextmanager
async def open_pool(
    rpc: Sequence[RpcEndpoint],
    runtime: Runtime,
    metrics: ChainMetrics,
    *,
    limits: PoolLimits = POOL_LIMITS,
    rpc_limits: RpcLimits = RPC_LIMITS,
) -> AsyncIterator[Pool]:
    """A pool over these endpoints, distinguished by their redacted names; leaving the context closes its connections.

    Raises:
        ConfigError: a URL is none, or there is none.
    """
    if isinstance(rpc, str | RpcEndpoint) or not all(isinstance(given, RpcEndpoint) for given in rpc):
        raise ConfigError("endpoints: give a list of them, as [RpcEndpoint(url)]")  # a URL in it may have a key
    if not rpc:
        raise ConfigError("endpoints: give one or more, as [RpcEndpoint(url)]")
    http = AioHttp()
    names: dict[str, int] = {}
    endpoints = []
    try:
        for given in rpc:
            url, said = EndpointUrl(given.url), Said(given.rate, given.batch)
            names[url.name] = names.get(url.name, 0) + 1
            name = url.name if names[url.name] == 1 else f"{url.name}#{names[url.name]}"
            endpoints.append(Endpoint(url, http, runtime, metrics, name=name, said=said, rpc=rpc_limits))
        yield Pool(endpoints, runtime, metrics, limits=limits)
    finally:
        await http.close()
