"""`tidelog serve`: answer queries of a store over HTTP, until it is told to end."""

import os
from collections.abc import Callable
from typing import Annotated, Literal

from cyclopts import Parameter

from tidelog.api import options as limits
from tidelog.api.backend import Backend
from tidelog.api.options import ApiOptions, JournalSource
from tidelog.api.serve import ApiServer
from tidelog.cli.stopping import Stop
from tidelog.cli.stores import DEFAULT_DB, Db
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import open_store
from tidelog.store.tokens import listed
from tidelog.telemetry import ApiMetrics, configure_logs, logger

DEFAULT_RECORDING = "kraken"

_log = logger("api")

Several = Annotated[tuple[str, ...], Parameter(negative="")]


def serve(
    *,
    db: Db = DEFAULT_DB,
    host: str = limits.DEFAULT_HOST,
    port: int = limits.DEFAULT_PORT,
    journal: Several = (),
    allow_host: Several = (),
    cors: Several = (),
    page_max: int = limits.PAGE_MAX,
    body_bytes_max: int = limits.BODY_BYTES_MAX,
    block_range_max: int = limits.BLOCK_RANGE_MAX,
    request_timeout: float = limits.REQUEST_S,
    statement_timeout: float = limits.STATEMENT_S,
    readers: int = limits.READERS,
    requests_max: int = limits.REQUESTS_MAX,
    connections_max: int = limits.CONNECTIONS_MAX,
    streams_max: int = limits.STREAMS_MAX,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Answer queries of a store over HTTP, read-only, while others write it. /docs is the way in.

    Only this machine reaches it, unless --host says otherwise; then every request has to show a token, see
    `tidelog token create`. On this machine that is so as soon as there is one. Ends in order on Ctrl-C.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one, and prints it.
        journal: NAME=PATH: follow this journal of the recording NAME (kraken, when it is left out) for live streams.
        allow_host: a name under which the server is reached, beside the address it listens on.
        cors: an origin whose pages may read, such as https://app.example; none, unless given.
        page_max: rows of one answer.
        body_bytes_max: bytes of a request's body.
        block_range_max: blocks of one log search.
        request_timeout: seconds for one answer.
        statement_timeout: seconds for one read of the store.
        readers: reads of the store at once.
        requests_max: requests that are answered at once.
        connections_max: open connections.
        streams_max: open live streams.
        log_level: the least severe events that are logged, to standard error.
    """
    configure_logs(level=log_level)
    options = ApiOptions(
        host=host,
        port=port,
        hosts=allow_host,
        cors=cors,
        page_default=min(page_max, limits.PAGE_DEFAULT),
        page_max=page_max,
        body_bytes_max=body_bytes_max,
        block_range_max=block_range_max,
        request_timeout_s=request_timeout,
        statement_timeout_s=statement_timeout,
        readers=readers,
        requests_max=requests_max,
        connections_max=connections_max,
        streams_max=streams_max,
    )
    run(_serve(db, options, tuple(map(_journal, journal))))


async def _serve(db: str, options: ApiOptions, journals: tuple[JournalSource, ...]) -> None:
    stop = Stop()
    stop.on_signals()
    await serve_until(
        stop, db, SystemRuntime(), options, journals, ApiMetrics(), lambda url: print(f"listening on {url}", flush=True)
    )


def _journal(text: str) -> JournalSource:
    name, separator, path = text.partition("=")
    if not separator:
        name, path = DEFAULT_RECORDING, text
    if not name or not path:
        raise ConfigError(f"--journal {text[:80]!r}: give NAME=PATH, or PATH alone for {DEFAULT_RECORDING}")
    if not os.path.isfile(path):
        raise ConfigError(f"--journal {path}: there is no such file")
    return JournalSource(name, path)


async def serve_until(
    stop: Stop,
    db: str,
    runtime: Runtime,
    options: ApiOptions,
    journals: tuple[JournalSource, ...],
    metrics: ApiMetrics,
    listening: Callable[[str], None],
) -> None:
    """Serve until it is asked to stop; what is open then has `options.stop_s` to end.

    Raises:
        ConfigError: there is no such store, it is not up to date, or the address cannot be had.
    """
    store = await open_store(
        db,
        runtime,
        readonly=True,
        statement_timeout_s=options.statement_timeout_s,
        readers=options.readers,
        patience_s=options.store_patience_s,
    )
    try:
        server = ApiServer(Backend(store, runtime, options, journals, metrics))
        async with store.snapshot() as snapshot:
            tokens = await listed(snapshot)
        if not tokens and not options.loopback:
            _log.warning("no_token", advice="every request is refused until `tidelog token create` has made one")
        stop.then(server.stop)
        await server.run(listening)
    finally:
        await store.close()
