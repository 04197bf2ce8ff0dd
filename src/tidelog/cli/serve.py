"""`tidelog serve`: answer queries of a store over HTTP, until it is stopped."""

import os
from typing import TYPE_CHECKING

from tidelog.api.http import defaults
from tidelog.cli.options import DEFAULT_DB, Db, LogLevel, Several
from tidelog.errors import ConfigError

if TYPE_CHECKING:
    from tidelog.api.http.options import JournalSource

DEFAULT_RECORDING = "kraken"


def serve(
    *,
    db: Db = DEFAULT_DB,
    host: str = defaults.DEFAULT_HOST,
    port: int = defaults.DEFAULT_PORT,
    journal: Several = (),
    allow_host: Several = (),
    cors: Several = (),
    page_max: int = defaults.PAGE_MAX,
    body_bytes_max: int = defaults.BODY_BYTES_MAX,
    block_range_max: int = defaults.BLOCK_RANGE_MAX,
    request_timeout: float = defaults.REQUEST_S,
    statement_timeout: float = defaults.STATEMENT_S,
    readers: int = defaults.READERS,
    requests_max: int = defaults.REQUESTS_MAX,
    connections_max: int = defaults.CONNECTIONS_MAX,
    streams_max: int = defaults.STREAMS_MAX,
    client_connections_max: int = defaults.CLIENT_CONNECTIONS_MAX,
    client_requests_max: int = defaults.CLIENT_REQUESTS_MAX,
    client_streams_max: int = defaults.CLIENT_STREAMS_MAX,
    delay_max: float = defaults.DELAY_MAX_S,
    standby_lag_max: float = defaults.STANDBY_LAG_MAX_S,
    trusted_proxy: Several = (),
    tls_cert: str | None = None,
    tls_key: str | None = None,
    health_port: int | None = None,
    log_level: LogLevel = "info",
) -> None:
    """Answer queries of a store over HTTP, read-only, while other processes write it. Begin at /docs.

    Only this machine reaches it, unless --host says otherwise; then every request needs a token, see tidelog token
    create. On this machine a request needs one as soon as there is one. Ctrl-C ends it in order.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one, and prints it.
        journal: NAME=PATH: follow this journal of the recording NAME (kraken, when it is left out) for live streams.
        allow_host: another name under which clients may reach the server, beside the address it listens on.
        cors: an origin whose pages may read, such as https://app.example; none by default.
        page_max: rows of one answer.
        body_bytes_max: bytes of a request's body.
        block_range_max: blocks of one log search.
        request_timeout: seconds for one answer.
        statement_timeout: seconds for one read of the store.
        readers: reads of the store at once; half of them may be long ones.
        requests_max: requests that are served at once.
        connections_max: open connections.
        streams_max: open live streams.
        client_connections_max: open connections of one address (of one /64 for IPv6).
        client_requests_max: requests of one address that are served at once.
        client_streams_max: open live streams of one address.
        delay_max: seconds that a refusal is delayed at most, for a client that sends wrong tokens; 0: never.
        standby_lag_max: seconds that a PostgreSQL standby may lag behind its primary and count as ready.
        trusted_proxy: an address or network whose X-Forwarded-For is believed.
        tls_cert: serve TLS with this certificate (PEM, with its chain); it is read again when it changes.
        tls_key: its key, not encrypted; in the same file, if not given.
        health_port: a port of its own for /livez, /readyz and /metrics, which other requests cannot use up.
        log_level: the least severe events that are logged, to standard error.
    """
    from tidelog.api.http.options import ApiOptions
    from tidelog.cli.sources.api import run_server

    options = ApiOptions(
        host=host,
        port=port,
        hosts=allow_host,
        cors=cors,
        page_default=min(page_max, defaults.PAGE_DEFAULT),
        page_max=page_max,
        body_bytes_max=body_bytes_max,
        block_range_max=block_range_max,
        request_timeout_s=request_timeout,
        statement_timeout_s=statement_timeout,
        readers=readers,
        requests_max=requests_max,
        connections_max=connections_max,
        streams_max=streams_max,
        client_connections_max=client_connections_max,
        client_requests_max=client_requests_max,
        client_streams_max=client_streams_max,
        delay_max_s=delay_max,
        standby_lag_max_s=standby_lag_max,
        trusted_proxies=trusted_proxy,
        tls_cert=tls_cert,
        tls_key=tls_key,
        health_port=health_port,
    )
    run_server(db, options, tuple(map(the_journal, journal)), log_level=log_level)


def the_journal(text: str) -> "JournalSource":
    from tidelog.api.http.options import JournalSource

    name, separator, path = text.partition("=")
    if not separator:
        name, path = DEFAULT_RECORDING, text
    if not name or not path:
        raise ConfigError(f"--journal {text[:80]!r}: give NAME=PATH, or PATH alone for {DEFAULT_RECORDING}")
    if not os.path.isfile(path):
        raise ConfigError(f"--journal {path}: there is no such file")
    return JournalSource(name, path)
