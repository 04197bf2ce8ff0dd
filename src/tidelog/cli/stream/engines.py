"""Where messages can go, as the user names it: an engine that keeps a stream, or a receiver of webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeAlias

from msgspec import Struct, structs

from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime
from tidelog.stream import KafkaLogin, Login
from tidelog.stream.backlog import Backlog
from tidelog.stream.bodies import Encoding
from tidelog.stream.kafka.login import SCHEME, broker_addresses
from tidelog.stream.naming import judge_stream, judge_topic
from tidelog.stream.port import Limits, StreamSettings, StreamTransport
from tidelog.stream.publisher import Publisher, PublisherLimits
from tidelog.stream.webhook.signing import key_of
from tidelog.telemetry import StreamFigures

__all__ = [
    "Destination",
    "Engine",
    "KafkaBrokers",
    "NatsServers",
    "Receiver",
    "Running",
    "judge_kept",
    "publisher_to",
    "receiver",
    "the_engine",
    "transport_to",
]


class NatsServers(Struct, frozen=True):
    """Servers of one cluster, and who we are to them."""

    urls: tuple[str, ...]
    login: Login = Login()

    def of_shard(self, shard: int) -> "NatsServers":
        """Each shard is a stream of the same engine."""
        return self


class KafkaBrokers(Struct, frozen=True):
    """Some brokers of one cluster, and who we are to them."""

    addresses: tuple[str, ...]
    login: KafkaLogin = KafkaLogin()

    def of_shard(self, shard: int) -> "KafkaBrokers":
        """As `NatsServers.of_shard`."""
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """As the library of readers takes them."""
        return tuple([SCHEME + address for address in self.addresses])


class Receiver(Struct, frozen=True):
    """Of webhooks."""

    url: str
    secret: str
    state: str  # a file of the publisher's own

    def of_shard(self, shard: int) -> "Receiver":
        """Of a recording's shard: each is published by itself."""
        return self if shard == 1 else structs.replace(self, state=f"{self.state}.{shard}")


Engine: TypeAlias = NatsServers | KafkaBrokers
Destination: TypeAlias = Engine | Receiver


class Running(Protocol):
    """A publisher."""

    async def run(self) -> None: ...


def receiver(url: str, secret: str | None, state: str | None, encoding: Encoding, frames: bool) -> Receiver:
    """ConfigError: something is missing, or cannot be sent so."""
    EndpointUrl(url)
    if secret is None:
        raise ConfigError("a webhook needs a secret, by which its receiver knows it: --secret")
    key_of(secret)
    if state is None:
        raise ConfigError("a webhook needs a file for how far it is: --state")
    if frames or encoding != "json":
        raise ConfigError("a webhook sends JSON: leave --frames and --encoding out")
    return Receiver(url, secret, state)


@asynccontextmanager
async def publisher_to(
    destination: Destination,
    settings: StreamSettings,
    backlog: Backlog,
    runtime: Runtime,
    metrics: StreamFigures,
    poll_s: float | None = None,
) -> AsyncIterator[Running]:
    """What publishes a backlog there.

    Args:
        poll_s: between looks at a backlog that has nothing further.
    """
    if not isinstance(destination, Receiver):
        limits = PublisherLimits() if poll_s is None else PublisherLimits(poll_s=poll_s)
        yield Publisher(backlog, transport_to(destination, settings), runtime, metrics=metrics, limits=limits)
        return
    from tidelog.net.http import AioHttp
    from tidelog.stream.webhook.kept import Kept
    from tidelog.stream.webhook.publisher import WebhookLimits, WebhookPublisher

    http = AioHttp()
    try:
        with Kept(destination.state, backlog.source) as kept:
            yield WebhookPublisher(
                backlog,
                EndpointUrl(destination.url),
                key_of(destination.secret),
                kept,
                http,
                runtime,
                metrics=metrics,
                limits=WebhookLimits() if poll_s is None else WebhookLimits(poll_s=poll_s),
            )
    finally:
        await http.close()


def the_engine(nats: tuple[str, ...], login: Login, kafka: str | None, kafka_login: KafkaLogin) -> Engine:
    """The one that is named. ConfigError: none is, or both are, or the login is for the other one."""
    if bool(nats) == (kafka is not None):
        raise ConfigError("say where the stream is: --nats, or --kafka")
    if kafka is None:
        if kafka_login != KafkaLogin(ca=login.ca, cert=login.cert, key=login.key):
            raise ConfigError("--user, --password, --sasl and --tls are for --kafka")
        return NatsServers(nats, login)
    if login.credentials is not None or login.nkey is not None:
        raise ConfigError("--creds and --nkey are for --nats: give --user and --password")
    return KafkaBrokers(tuple(broker_addresses(kafka.split(","))), kafka_login)


def judge_kept(destination: Destination, name: str | None, limits: Limits) -> None:
    """ConfigError: where messages go there can be no such stream; without a name it has its usual one."""
    settings = StreamSettings("usual" if name is None else name, "usual", limits)
    if isinstance(destination, NatsServers):
        judge_stream(settings)
    elif isinstance(destination, KafkaBrokers):
        judge_topic(settings)


def transport_to(engine: Engine, settings: StreamSettings) -> StreamTransport:
    """ConfigError: the engine's client is not installed, or cannot do what it is asked to."""
    if isinstance(engine, KafkaBrokers):
        from tidelog.stream.kafka.transport import Kafka

        return Kafka(engine.addresses, settings, engine.login)
    from tidelog.stream.jetstream import JetStream

    return JetStream(engine.urls, settings, engine.login)
