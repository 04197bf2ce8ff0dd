"""Publishing a chain's changes, and reading them."""

from contextlib import aclosing, suppress
from datetime import datetime

import msgspec
from msgspec import Struct

from tidelog.cli.options import LogLevel
from tidelog.cli.out import say
from tidelog.cli.sources.status import StoreSize, status_served
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened, the_chain
from tidelog.runtime import SystemRuntime, run
from tidelog.stream import Login, changes
from tidelog.stream.jetstream import JetStream, StreamSettings
from tidelog.stream.messages import Detail, changes_subject, stream_name
from tidelog.stream.publisher import Publisher
from tidelog.telemetry import StreamMetrics, configure_logs

__all__ = ["Publishing", "print_changes", "publish"]


class Publishing(Struct, frozen=True):
    """What `tidelog stream run` was asked for."""

    nats: tuple[str, ...]
    db: str
    chain_id: int | None
    stream: str | None
    detail: Detail
    replicas: int
    max_bytes: int | None
    max_age: int | None
    login: Login


def publish(asked: Publishing, status: str | None, log_level: LogLevel) -> int:
    """Publish until it is interrupted; the exit code."""
    configure_logs(level=log_level)
    return run(_publish(asked, status))


async def _publish(asked: Publishing, status: str | None) -> int:
    stop = Stop()
    stop.on_signals()
    runtime, metrics = SystemRuntime(), StreamMetrics()
    async with opened(asked.db, runtime=runtime) as store:
        chain = await the_chain(store, asked.chain_id)
        settings = StreamSettings(
            asked.stream or stream_name(chain), changes_subject(chain), asked.replicas, asked.max_bytes, asked.max_age
        )
        transport = JetStream(asked.nats, settings, asked.login)
        publisher = Publisher(store, transport, runtime, chain, detail=asked.detail, metrics=metrics)
        size = StoreSize(metrics.store_size, runtime, lambda: store)
        async with status_served(status, metrics.registry, metrics.readiness, size):
            await stop.unless(publisher.run())
    return 0


def print_changes(
    nats: tuple[str, ...],
    chain: int,
    stream: str | None,
    after: str,
    count: int | None,
    login: Login,
    log_level: LogLevel,
) -> None:
    configure_logs(level=log_level)
    run(_print_changes(nats, chain, stream, _begin(after), count, login))


def _begin(after: str) -> str | datetime:
    if "T" in after or ":" in after:
        with suppress(ValueError):
            return datetime.fromisoformat(after)
    return after


async def _print_changes(
    nats: tuple[str, ...], chain: int, stream: str | None, after: str | datetime, count: int | None, login: Login
) -> None:
    encode = msgspec.json.Encoder().encode
    left = count
    async with aclosing(changes(nats, chain=chain, after=after, stream=stream, login=login)) as items:
        async for item in items:
            say(encode(item).decode(), flush=True)
            if left is not None:
                left -= 1
                if left == 0:
                    return
