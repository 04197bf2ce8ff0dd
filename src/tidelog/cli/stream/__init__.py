"""`tidelog stream`: a chain's changes to NATS JetStream, and read from there.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.cli.options import DEFAULT_DB, ChainId, Db, LogLevel, StatusAddress, at_least

app = cyclopts.App(name="stream", help="Streams: a chain's changes to NATS JetStream, and read from there.")

Nats = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="nats://HOST:PORT or tls://..; several servers of one cluster. Keys in it are never shown.",
        env_var="TIDELOG_NATS",
    ),
]
Name = Annotated[str | None, Parameter(name="--stream", help="The stream's name; tidelog-chain-ID if not given.")]
Creds = Annotated[str | None, Parameter(name="--creds", help="A .creds file of NATS.")]
Nkey = Annotated[str | None, Parameter(name="--nkey", help="A file with the seed of an nkey.")]
Token = Annotated[str | None, Parameter(name="--token", help="The server's token.", env_var="TIDELOG_NATS_TOKEN")]
Ca = Annotated[str | None, Parameter(name="--tls-ca", help="A PEM file of authorities to trust.")]
Cert = Annotated[str | None, Parameter(name="--tls-cert", help="Our certificate, PEM.")]
Key = Annotated[str | None, Parameter(name="--tls-key", help="The certificate's key, PEM.")]


@app.command(name="run")
def run_stream(
    *,
    nats: Nats,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    stream: Name = None,
    detail: Literal["header", "logs"] = "header",
    replicas: int = 1,
    max_bytes: int | None = None,
    max_age: int | None = None,
    creds: Creds = None,
    nkey: Nkey = None,
    token: Token = None,
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    status: StatusAddress = None,
    log_level: LogLevel = "info",
) -> None:
    """Publish each block that is applied or reverted, once and in order, until stopped.

    Reads the store beside the process that writes it. You may kill it at any moment, start a second one, delete the
    stream, or restore an older copy of it: it continues where the stream is.

    Args:
        detail: what a message says of a block: its header, or its header and its logs.
        replicas: servers that keep the stream.
        max_bytes: of the stream: then its oldest messages go.
        max_age: seconds: then its oldest messages go.
    """
    from tidelog.cli.stream.running import Publishing, publish
    from tidelog.stream import Login

    at_least("--replicas", replicas, 1)
    for flag, value in (("--max-bytes", max_bytes), ("--max-age", max_age)):
        if value is not None:
            at_least(flag, value, 1)
    login = Login(credentials=creds, nkey=nkey, token=token, ca=tls_ca, cert=tls_cert, key=tls_key)
    publishing = Publishing(nats, db, chain_id, stream, detail, replicas, max_bytes, max_age, login)
    sys.exit(publish(publishing, status, log_level))


@app.command
def read(
    *,
    nats: Nats,
    chain_id: Annotated[int, Parameter(help="Which chain.")],
    stream: Name = None,
    after: str = "0",
    count: int | None = None,
    creds: Creds = None,
    nkey: Nkey = None,
    token: Token = None,
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    log_level: LogLevel = "warning",
) -> None:
    """Print a chain's changes from a stream, one JSON object a line, and those that come, until stopped.

    Args:
        after: the place behind what you have; 0: the beginning; now: what comes from now on; a time as
            2026-05-01T12:30:00Z: what the stream took then or later.
        count: end after so many.
    """
    from tidelog.cli.stream.running import print_changes
    from tidelog.stream import Login

    if count is not None:
        at_least("--count", count, 1)
    login = Login(credentials=creds, nkey=nkey, token=token, ca=tls_ca, cert=tls_cert, key=tls_key)
    print_changes(nats, chain_id, stream, after, count, login, log_level)
