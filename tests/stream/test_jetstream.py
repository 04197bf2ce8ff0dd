"""Which server a publisher talks to, as it names it; and which streams it takes that somebody else has made."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from tests.nats_server import NatsServer
from tidelog.errors import ConfigError
from tidelog.stream import changes, events
from tidelog.stream.jetstream import JetStream
from tidelog.stream.port import Limits, StreamSettings

SETTINGS = StreamSettings("tidelog-chain-1", "tidelog.chain.1")


@pytest.mark.parametrize(
    ("servers", "connected", "named"),
    [
        (["nats://a.example"], "nats://a.example", "nats://a.example"),
        (["nats://a.example", "tls://b.example:4222"], "tls://b.example", "tls://b.example:4222"),
        (["nats://a.example:4223", "nats://a.example"], "nats://a.example", "nats://a.example"),
        (["ws://a.example", "ws://user:word@b.example"], "ws://user:word@b.example", "ws://b.example"),
        (["wss://a.example:443", "wss://a.example:80"], "wss://a.example", "wss://a.example:443"),
        (["ws://a.example:8080", "ws://A.example:80"], "ws://a.example", "ws://a.example:80"),
        (["nats://a.example", "nats://b.example"], "nats://10.0.0.3:4222", "nats://a.example"),  # the cluster named it
        (["nats://a.example"], "nats://10.0.0.3", "nats://a.example"),
    ],
)
async def test_a_server_is_named_as_it_was_given(
    servers: list[str], connected: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(client: Any, found: list[str], **options: Any) -> None:
        assert found == servers
        client._current_server = SimpleNamespace(uri=Client._parse_server_uri(connected))
        client._status = Client.CONNECTED

    async def close(client: Any) -> None:
        client._status = Client.CLOSED

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(Client, "close", close)
    stream = JetStream(servers, SETTINGS)
    async with stream.connect():
        assert stream.server == named


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"max_msgs_per_subject": 5}, "keeps 5 messages of a subject, and so drops some between others: lift that"),
        ({"max_msgs": 10, "discard": "new"}, r"takes no more messages once it is full \(discard: new\)"),
        ({"max_bytes": 10_000, "discard": "new"}, r"takes no more messages once it is full \(discard: new\)"),
        ({"storage": "memory"}, "is kept in memory"),
        ({"discard": "new"}, None),  # it is never full
        ({"max_msgs": 10}, None),
    ],
)
def test_a_stream_that_would_lose_messages_or_take_no_more_is_refused(
    made: dict[str, Any], said: str | None, nats: NatsServer
) -> None:
    async def case() -> None:
        async with JetStream([nats.url], SETTINGS).connect() as session:
            await session._js.add_stream(StreamConfig(name=SETTINGS.name, subjects=["tidelog.chain.1.>"], **made))
            if said is None:
                await session.ensure()
            else:
                with pytest.raises(ConfigError, match=said):
                    await session.ensure()

    asyncio.run(case())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (SETTINGS, "refuses to make the stream tidelog-chain-1: subjects overlap with an existing stream"),
        (
            StreamSettings("mine", "tidelog.chain.2", Limits(replicas=3)),
            "refuses to make the stream mine: replicas > 1 not supported in non-clustered mode",
        ),
    ],
)
def test_a_stream_that_the_server_can_never_make_is_refused(
    settings: StreamSettings, said: str, nats: NatsServer
) -> None:
    async def case() -> None:
        async with JetStream([nats.url], settings).connect() as session:
            await session._js.add_stream(StreamConfig(name="theirs", subjects=["tidelog.chain.1.>"]))
            with pytest.raises(ConfigError, match=said):
                await session.ensure()

    asyncio.run(case())


@pytest.mark.parametrize("name", ["a.b", ""])
def test_a_name_that_no_stream_can_have_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(ConfigError, match="a stream of NATS cannot be called"):
        changes("nats://h", chain=1, stream=name)
    with pytest.raises(ConfigError, match="a topic of Kafka cannot be called"):
        events("kafka://h:1", stream=f"{name} ")


def test_messages_are_no_larger_than_the_stream_takes(nats: NatsServer) -> None:
    async def case() -> None:
        async with JetStream([nats.url], SETTINGS).connect() as session:
            config = StreamConfig(name=SETTINGS.name, subjects=["tidelog.chain.1.>"], max_msg_size=5_000)
            await session._js.add_stream(config)
            assert session.payload_max == 1_048_576
            await session.ensure()
            assert session.payload_max == 5_000

    asyncio.run(case())
