"""`tidelog stream`: a chain's changes and recordings to NATS JetStream or Kafka, and read from there.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.cli.options import DEFAULT_DB, ChainId, Db, LogLevel, StatusAddress, at_least, flag
from tidelog.cli.stream.belonging import Source, destined_for, refuse_foreign
from tidelog.errors import ConfigError

if TYPE_CHECKING:
    from tidelog.cli.stream.engines import Engine
    from tidelog.stream import Login

app = cyclopts.App(
    name="stream", help="Publish a chain's changes or a recording to NATS JetStream, Kafka or a webhook; read streams."
)

Nats = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="nats://HOST:PORT or tls://..; several servers of one cluster. Keys in it are never shown.",
        env_var="TIDELOG_NATS",
    ),
]
Kafka = Annotated[
    str | None,
    Parameter(help="HOST:PORT of a Kafka broker, or of several, separated by commas.", env_var="TIDELOG_KAFKA"),
]
Name = Annotated[
    str | None, Parameter(name="--stream", help="The stream's name, instead of the usual one: see docs/stream.md.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class LoginFlags:
    """Who we are to the server, and whom we trust."""

    creds: Annotated[str | None, Parameter(name="--creds", help="A .creds file of NATS.")] = None
    nkey: Annotated[str | None, Parameter(name="--nkey", help="A file with the seed of an nkey.")] = None
    token: Annotated[
        str | None, Parameter(name="--token", help="The server's token.", env_var="TIDELOG_NATS_TOKEN")
    ] = None
    ca: Annotated[str | None, Parameter(name="--tls-ca", help="A PEM file of authorities to trust.")] = None
    cert: Annotated[str | None, Parameter(name="--tls-cert", help="Our certificate, PEM.")] = None
    key: Annotated[str | None, Parameter(name="--tls-key", help="The certificate's key, PEM.")] = None
    user: Annotated[
        str | None, Parameter(name="--user", help="User name at the Kafka brokers.", env_var="TIDELOG_KAFKA_USER")
    ] = None
    password: Annotated[
        str | None, Parameter(name="--password", help="Of Kafka's user.", env_var="TIDELOG_KAFKA_PASSWORD")
    ] = None
    sasl: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Parameter(name="--sasl", help="SASL mechanism for Kafka's user."),
    ] = "PLAIN"
    tls: Annotated[bool, Parameter(name="--tls", negative="", help="Kafka over TLS, without files too.")] = False

    @property
    def login(self) -> "Login":
        from tidelog.stream import Login

        return Login(credentials=self.creds, nkey=self.nkey, token=self.token, ca=self.ca, cert=self.cert, key=self.key)

    def engine(self, nats: tuple[str, ...], kafka: str | None) -> "Engine":
        """The one that is named."""
        from tidelog.cli.stream.engines import the_engine
        from tidelog.stream import KafkaLogin

        login = KafkaLogin(self.user, self.password, self.sasl, self.tls, self.ca, self.cert, self.key)
        return the_engine(nats, self.login, kafka, login)


NO_LOGIN = LoginFlags()


@Parameter(name="*")
@dataclass(frozen=True)
class WebhookFlags:
    """A receiver of webhooks instead of a stream."""

    url: Annotated[
        str | None, Parameter(name="--webhook", help="POST each message to this URL, instead of a stream.")
    ] = None
    secret: Annotated[
        str | None,
        Parameter(name="--secret", help="whsec_..: what the POSTs are signed with.", env_var="TIDELOG_WEBHOOK_SECRET"),
    ] = None
    state: Annotated[str | None, Parameter(name="--state", help="The file of how far the webhook is.")] = None


NO_WEBHOOK = WebhookFlags()
State = Annotated[str, Parameter(name="--state", help="The webhook's file.")]


def _given(command: Callable[..., None], options: dict[str, Any], *several: LoginFlags | WebhookFlags) -> Iterator[str]:
    """The options that differ from their defaults, by their names in the file."""
    usual = signature(command).parameters
    for name, value in options.items():
        if value != usual[name].default and not _of_environment(usual[name].annotation, value):
            yield name
    for flags in several:
        for field in fields(flags):
            value = getattr(flags, field.name)
            if value != field.default and not _of_environment(field.type, value):
                (parameter,) = field.type.__metadata__  # type: ignore[union-attr]
                yield parameter.name[0].removeprefix("--").replace("-", "_")


def _of_environment(annotation: Any, value: Any) -> bool:
    """Whether the environment has it: it is for other commands too."""
    variables = [each.env_var for each in getattr(annotation, "__metadata__", ()) if each.env_var]
    return any(value in map(os.environ.get, names) for names in variables)


@app.command(name="run")
def run_stream(
    *,
    nats: Nats = (),
    kafka: Kafka = None,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    journal: str | None = None,
    recording: str = "kraken",
    stream: Name = None,
    detail: Literal["header", "logs", "events"] = "header",
    delivery: Literal["latest", "final"] = "latest",
    events: str = "trade,book,top,candle,proof,gap",
    frames: Annotated[bool, Parameter(negative="")] = False,
    encoding: Literal["json", "msgpack"] = "json",
    replicas: int = 1,
    max_bytes: int | None = None,
    max_age: int | None = None,
    login: LoginFlags = NO_LOGIN,
    webhook: WebhookFlags = NO_WEBHOOK,
    status: StatusAddress = None,
    log_level: LogLevel = "info",
) -> None:
    """Publish each block that is applied or reverted, or a recording, once and in order, until stopped.

    Reads the store or the journal beside the process that writes it. You may kill it at any moment, start a second
    one, delete the stream, or restore an older copy of it: it continues where the stream is.

    Args:
        journal: publish this journal's recording instead of a chain; with the journals of its shards, which are beside
            it, each to a stream of its own.
        recording: what the recording is called.
        detail: what a message says of a block: its header; its logs too; or the events of the store's contracts,
            decoded, too.
        delivery: each change at the head, with reverts; or final blocks alone, which are never reverted.
        events: which events of a recording.
        frames: of a recording, publish the records as they were journaled instead of its events.
        encoding: of messages. It may change: each message says its own. Frames are msgpack always.
        replicas: servers that keep the stream.
        max_bytes: size limit of the stream; beyond it the oldest messages are deleted.
        max_age: seconds; messages that are older are deleted.
    """
    from tidelog.cli.stream.engines import Destination, receiver
    from tidelog.cli.stream.running import ChainPublishing, MarketPublishing, kinds_of, publish
    from tidelog.stream.port import Limits

    at_least("--replicas", replicas, 1)
    for limit, value in (("--max-bytes", max_bytes), ("--max-age", max_age)):
        if value is not None:
            at_least(limit, value, 1)
    limits = Limits(replicas, max_bytes, max_age)
    destination: Destination
    if webhook.url is None:
        destination = login.engine(nats, kafka)
    elif nats or kafka is not None:
        raise ConfigError("--webhook, --nats and --kafka: say one of them")
    else:
        destination = receiver(webhook.url, webhook.secret, webhook.state, encoding, frames)
    source: Source = "a chain" if journal is None else "a recording"
    said = {"recording": recording, "events": events, "frames": frames, "detail": detail, "delivery": delivery}
    said |= {"db": db, "stream": stream, "replicas": replicas, "max_bytes": max_bytes, "max_age": max_age}
    refuse_foreign(_given(run_stream, said, login, webhook), source, destined_for(kafka, webhook.url), flag)
    publishing: ChainPublishing | MarketPublishing
    if journal is None:
        publishing = ChainPublishing(destination, stream, limits, db, chain_id, detail, delivery, encoding)
    elif chain_id is not None:
        raise ConfigError("--chain-id and --journal: a stream has a chain's changes or a recording")
    else:
        publishing = MarketPublishing(
            destination, stream, limits, journal, recording, kinds_of(events, frames), encoding
        )
    sys.exit(publish(publishing, status, log_level))


@app.command
def read(
    *,
    nats: Nats = (),
    kafka: Kafka = None,
    chain_id: Annotated[int | None, Parameter(help="Which chain.")] = None,
    recording: Annotated[str | None, Parameter(help="Which recording, instead of a chain.")] = None,
    final: Annotated[bool, Parameter(negative="")] = False,
    frames: Annotated[bool, Parameter(negative="")] = False,
    shard: int = 1,
    stream: Name = None,
    after: str = "0",
    durable: str | None = None,
    count: int | None = None,
    login: LoginFlags = NO_LOGIN,
    log_level: LogLevel = "warning",
) -> None:
    """Print a chain's changes, or a recording, from a stream, one JSON object a line, and those that come.

    Args:
        final: of a chain, its final blocks alone.
        frames: of a recording, the records as they were journaled; payloads in Base64.
        shard: of a recording with shards, which one's stream.
        after: the place behind what you have; 0: the beginning; now: what comes from now on; a time as
            2026-05-01T12:30:00Z: what the stream took then or later.
        durable: a name by which the server keeps how far you are; `after` counts the first time alone.
        count: end after so many.
    """
    from tidelog.cli.stream.running import print_chain, print_recording

    if count is not None:
        at_least("--count", count, 1)
    at_least("--shard", shard, 1)
    if (chain_id is None) == (recording is None):
        raise ConfigError("say what to read: --chain-id, or --recording")
    engine = login.engine(nats, kafka)
    given = _given(read, {"final": final, "frames": frames, "shard": shard}, login)
    source: Source = "a recording" if chain_id is None else "a chain"
    refuse_foreign(given, source, destined_for(kafka), flag)
    if chain_id is not None:
        print_chain(engine, chain_id, final, stream, after, durable, count, log_level)
    elif recording is not None:
        print_recording(engine, recording, frames, shard, stream, after, durable, count, log_level)


@app.command
def aside(*, state: State) -> None:
    """List the messages of a webhook that its receiver refused too often, one JSON object a line."""
    from tidelog.cli.stream.aside import print_asides

    print_asides(state)


@app.command
def resend(*ids: str, state: State, everything: Annotated[bool, Parameter(name="--all", negative="")] = False) -> None:
    """Let messages that were put aside be sent again, by the publisher that runs, or the next one.

    They come after what was sent meanwhile. One that is refused again stays aside.

    Args:
        ids: which ones, as `stream aside` names them.
        everything: all of them.
    """
    from tidelog.cli.stream.aside import mark_asides

    if everything == bool(ids):
        raise ConfigError("say which messages: their ids, or --all")
    mark_asides(state, None if everything else ids)
