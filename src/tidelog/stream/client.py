"""A chain's changes, or a recording, from a stream, for programs of one's own: the front of `consumer`."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import TypeVar

from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime
from tidelog.stream.chain.messages import ChainLanguage, StreamItem, stream_of_chain
from tidelog.stream.consumer import consume
from tidelog.stream.durable import Item, consume_durably
from tidelog.stream.envelope import Language
from tidelog.stream.jetstream import JetStream
from tidelog.stream.kafka.login import SCHEME, KafkaLogin
from tidelog.stream.kafka.transport import Kafka
from tidelog.stream.login import Login
from tidelog.stream.market.messages import MarketItem, MarketLanguage, stream_of_recording
from tidelog.stream.port import StreamSettings

__all__ = ["changes", "events"]

T = TypeVar("T", bound=Item)


def changes(
    servers: str | Sequence[str],
    *,
    chain: int,
    after: str | datetime = "0",
    final: bool = False,
    durable: str | None = None,
    stream: str | None = None,
    login: Login | KafkaLogin | None = None,
) -> AsyncGenerator[StreamItem, None]:
    """A chain's changes from a stream, each once and in order, for ever.

    While the server is away, or the stream is filled again, it waits. Close it, or cancel its task, to stop.

    Args:
        servers: nats://host:port or kafka://host:port, or several of one cluster.
        chain: the chain id (EIP-155).
        after: the `place` behind what was applied; "0": the beginning; "now": what comes from now on; a time with its
            zone: what the stream took then or later.
        final: its final blocks alone, which are never reverted, where they are published.
        durable: a name by which the server keeps the place: then it goes on where the last turn by this name ended,
            and `after` counts the first time alone. A turn ends when the next item is asked for. One reader at a time.
            NATS alone.
        stream: the stream's (the topic's) name, if it is not `tidelog-chain-ID`, or `tidelog-final-ID`.
        login: credentials and TLS, where the server wants them; for Kafka, `KafkaLogin`.

    Raises:
        ConfigError: the server refuses us, `after` cannot be read, another process reads by the name, or the
            client of NATS or Kafka is not installed.
        Rejected: a message is not tidelog's, or of a later version.
    """
    settings = stream_of_chain(chain, stream, final=final)
    return _items(_transport(servers, settings, login), ChainLanguage(chain), after, durable)


def events(
    servers: str | Sequence[str],
    *,
    recording: str = "kraken",
    frames: bool = False,
    shard: int = 1,
    after: str | datetime = "0",
    durable: str | None = None,
    stream: str | None = None,
    login: Login | KafkaLogin | None = None,
) -> AsyncGenerator[MarketItem, None]:
    """A recording from a stream, record by record of its journal, each once and in order, for ever.

    While the server is away, or the stream is filled again, it waits. Close it, or cancel its task, to stop.

    Args:
        servers: nats://host:port or kafka://host:port, or several of one cluster.
        recording: its name.
        frames: the records as they were journaled (`Frames`), where they are published, instead of events (`Recorded`).
        shard: of a recording with shards, which one's journal: each is a stream.
        after: the `place` behind what was applied; "0": the beginning; "now": what comes from now on; a time with its
            zone: what the stream took then or later.
        durable: a name by which the server keeps the place: then it goes on where the last turn by this name ended,
            and `after` counts the first time alone. A turn ends when the next item is asked for. One reader at a time.
            NATS alone.
        stream: the stream's (the topic's) name, if it is not `tidelog-market-NAME`, or `tidelog-frames-NAME`; without
            the shard's number behind it.
        login: credentials and TLS, where the server wants them; for Kafka, `KafkaLogin`.

    Raises:
        ConfigError: the server refuses us, `after` cannot be read, another process reads by the name, or the
            client of NATS or Kafka is not installed.
        Rejected: a message is not tidelog's, or of a later version.
    """
    settings = stream_of_recording(recording, shard, stream, frames=frames)
    return _items(_transport(servers, settings, login), MarketLanguage(recording, shard), after, durable)


def _items(
    transport: JetStream | Kafka, language: Language[T], after: str | datetime, durable: str | None
) -> AsyncGenerator[T, None]:
    if durable is None:
        return consume(transport, SystemRuntime(), language, after=after)
    if isinstance(transport, Kafka):
        raise ConfigError("durable: places are kept by NATS alone; with Kafka keep them beside what you do")
    return consume_durably(transport, SystemRuntime(), language, durable, after=after)


def _transport(
    servers: str | Sequence[str], settings: StreamSettings, login: Login | KafkaLogin | None
) -> JetStream | Kafka:
    urls = [servers] if isinstance(servers, str) else list(servers)
    if not any(url.startswith(SCHEME) for url in urls):
        if isinstance(login, KafkaLogin):
            raise ConfigError("login: KafkaLogin is for kafka://host:port")
        return JetStream(urls, settings, login)
    if isinstance(login, Login):
        raise ConfigError("login: give a KafkaLogin to kafka://host:port")
    return Kafka(urls, settings, login)
