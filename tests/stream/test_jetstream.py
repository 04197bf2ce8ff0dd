"""Which server a publisher talks to, as it names it, whichever of them the library has chosen."""

from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client

from tidelog.stream.jetstream import JetStream
from tidelog.stream.port import StreamSettings

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
