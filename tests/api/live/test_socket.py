"""The WebSocket, by a real client over a real socket: many subscriptions, each as its stream alone would be."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.api.live.feeds.test_changes import CHAIN, stored
from tests.api.live.feeds.test_tail import damage
from tests.api.live.feeds.test_trades import ready, served
from tests.api.live.recorder import A, B, recording, source
from tests.api.live.serving import USUAL, Served, serving
from tests.chain.rig import Rig, a_node, rig
from tests.market.exchange import until
from tests.patience import HANGS_S
from tidelog.api.http.limits import LiveLimits
from tidelog.api.http.options import ApiOptions
from tidelog.api.live.feeds.messages import Messages, message


class Client:
    """What a client says and hears. Events are kept by subscription, everything else comes by `heard`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **command: Any) -> None:
        await self.connection.send(json.dumps(command))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(HANGS_S):
            heard: dict[str, Any] = json.loads(await self.connection.recv())
        return heard

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Say something; the next that is no event."""
        await self.say(**command)
        while (heard := await self.hear())["op"] == "event":
            pass
        return heard

    async def events(self, id_: str, count: int) -> list[dict[str, Any]]:
        """Events with data of one subscription; those of others are passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            heard = await self.hear()
            assert heard["op"] == "event", heard
            if heard["id"] == id_ and heard["event"] != "place":
                found.append(heard)
        return found


@asynccontextmanager
async def client(server: Served, **options: Any) -> AsyncIterator[Client]:
    url = server.url.replace("http://", "ws://") + "/v1/live"
    async with connect(url, **options) as connection:
        yield Client(connection)


@asynccontextmanager
async def with_chain(tmp_path: Path, limits: LiveLimits = USUAL, **options: Any) -> AsyncIterator[tuple[Rig, Served]]:
    async with rig(tmp_path, a_node(blocks=20)) as chain:
        await chain.once()
        async with serving(chain.store, options=ApiOptions(port=0, **options), limits=limits) as server:
            yield chain, server


async def test_a_subscription_sends_changes(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (chain, server), client(server) as one:
        answer = await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN, after=0)
        assert answer == {"op": "subscribed", "id": "a"}
        events = await one.events("a", 21)
        assert [int(event["at"].partition("-")[0]) for event in events] == [*range(1, 22)]
        chain.tree.reorg(2)
        chain.tree.extend(1)
        await chain.once()
        events += await one.events("a", 6)
        assert [(event["data"]["seq"], event["event"], event["data"]["number"]) for event in events] == [
            change[:3] for change in await stored(chain.store)
        ]


async def test_many_subscriptions_of_every_kind_on_one_connection(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with rig(tmp_path, a_node(blocks=3)) as chain, recording(path) as recorder:
        await chain.once()
        async with serving(chain.store, source(path)) as server, client(server) as one:
            await until(lambda: server.live.tails["test"].at == recorder.feed.progress.last)
            assert (await one.ask(op="subscribe", channel="changes", chain=CHAIN, after=0))["id"] == "1"
            assert (await one.ask(op="subscribe", id="a", channel="trades", symbol=A))["op"] == "subscribed"
            assert (await one.ask(op="subscribe", id="b", channel="trades", symbol="B-USD"))["op"] == "subscribed"
            assert (await one.ask(op="subscribe", id="top", channel="book", symbol=A, levels=1))["op"] == "subscribed"
            await recorder.trade(1, B)
            await recorder.trade(1, A)
            await recorder.update(7)
            events: dict[str, list[Any]] = {}
            while not {"a", "b"} <= set(events) or [level["qty"] for level in events["top"][-1]["bids"]] != [
                "7.00000000"
            ]:
                heard = await one.hear()
                if heard["event"] != "place":
                    events.setdefault(heard["id"], []).append(heard["data"])
            assert [trade["trade_id"] for trade in events["b"][0]["trades"]] == [1]
            assert [trade["trade_id"] for trade in events["a"][0]["trades"]] == [2]
            assert events["top"][-1]["proven"]


async def test_a_subscription_resumes_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await ready(server)
        async with client(server) as one:
            await one.ask(op="subscribe", id="a", channel="trades", symbol=A, after="0-0")
            await recorder.trade(5)
            events = await one.events("a", 5)
        await recorder.trade(2)
        for cut, event in enumerate(events, 1):
            async with client(server) as one:
                await one.ask(op="subscribe", id="a", channel="trades", symbol=A, after=event["at"])
                again = await one.events("a", 7 - cut)
                assert [told["data"]["trades"][0]["trade_id"] for told in again] == list(range(cut + 1, 8))


async def test_an_ended_subscription_sends_nothing_more(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (chain, server), client(server) as one:
        await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN)
        assert await one.ask(op="unsubscribe", id="a") == {"op": "unsubscribed", "id": "a"}
        chain.tree.extend(3)
        await chain.once()
        await one.ask(op="subscribe", id="b", channel="changes", chain=CHAIN, after=21)
        while (heard := await one.hear())["data"]["seq"] < 24:
            assert heard["id"] == "b"
        assert (await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN))["op"] == "subscribed"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('{"op":"unsubscribe","id":"z"}', "there is no subscription z"),
        ('{"op":"subscribe","id":"a","channel":"changes","chain":1337}', "there is a subscription a already"),
        ('{"op":"subscribe","channel":"changes","chain":5}', "the store holds no chain 5"),
        ('{"op":"subscribe","channel":"changes","chain":1337,"after":99}', "the last change of chain 1337 is 21"),
        ('{"op":"subscribe","channel":"trades","symbol":"A/USD"}', "this server follows no journal of a recording"),
        ('{"op":"subscribe","channel":"candles","symbol":"A/USD"}', "this server has no recording in its store"),
        ("nonsense", "not a command"),
        (json.dumps({"op": "ping", "id": "x" * 5_000}), "a command has at most 4096 bytes"),
    ],
)
async def test_a_refused_command_ends_no_subscription(tmp_path: Path, said: str, sentence: str) -> None:
    async with with_chain(tmp_path) as (_, server), client(server) as one:
        await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN)
        await one.connection.send(said)
        heard = await one.hear()
        assert (heard["op"], sentence in heard["error"]) == ("refused", True), heard
        assert await one.ask(op="ping", id=1) == {"op": "pong", "id": "1"}
        await one.connection.send(said.encode())  # binary or text: it is the same
        assert sentence in (await one.hear())["error"]


async def test_a_subscription_that_comes_to_a_damaged_block_is_ended(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (_, server), client(server) as one:
        damage(tmp_path / "chain.db", "UPDATE blocks SET extra = '{' WHERE number = 5")
        with capture_logs() as logged:
            await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN, after=0, blocks="header")
            ended = {"op": "ended", "id": "a", "error": "the stream cannot continue: the server's log says why"}
            assert await one.hear() == ended
        (told,) = [entry for entry in logged if entry["event"] == "stream_failed"]
        assert told["error"].startswith(f"block 5 of chain {CHAIN} is damaged in the store")
        assert (await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN))["op"] == "subscribed"


async def test_a_fault_of_ours_ends_its_subscription_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty() -> Messages:
        yield [message("apply", {"seq": 1})]
        raise ZeroDivisionError

    async def opened(topic: object) -> Messages:
        return faulty()

    async with with_chain(tmp_path) as (chain, server), client(server) as one:
        await one.ask(op="subscribe", id="whole", channel="changes", chain=CHAIN)
        with capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr(server.live, "open", opened)
            await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN)
            await one.events("a", 1)
            assert await one.hear() == {"op": "ended", "id": "a", "error": "a fault in tidelog: its log says more"}
        (told,) = [entry for entry in logged if entry["event"] == "stream_failed"]
        assert told["error"] == "ZeroDivisionError"
        assert told["trace"].startswith("Traceback")
        assert (await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN))["op"] == "subscribed"
        chain.tree.extend(1)
        await chain.once()
        await one.events("whole", 1)


async def test_subscriptions_are_limited(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (_, server), client(server) as one:
        for _ in range(USUAL.subscriptions_max):
            assert (await one.ask(op="subscribe", channel="changes", chain=CHAIN))["op"] == "subscribed"
        refused = await one.ask(op="subscribe", channel="changes", chain=CHAIN)
        assert f"at most {USUAL.subscriptions_max} subscriptions" in refused["error"]
        await one.ask(op="unsubscribe", id="7")
        assert (await one.ask(op="subscribe", id="new", channel="changes", chain=CHAIN))["op"] == "subscribed"


async def test_connections_are_limited(tmp_path: Path) -> None:
    async with with_chain(tmp_path, streams_max=1) as (_, server):
        async with client(server) as one:
            assert await one.ask(op="ping") == {"op": "pong"}
            async with httpx.AsyncClient(base_url=server.url) as http:
                refused = await http.get(f"/v1/chains/{CHAIN}/live/changes")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            async with client(server) as two:
                with pytest.raises(ConnectionClosed) as closed:
                    await two.hear()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                    1013,
                    "1 live streams are open, which is the limit",
                )
        async with client(server) as one:
            assert await one.ask(op="ping") == {"op": "pong"}


async def test_a_message_that_is_far_too_long_ends_the_connection(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (_, server), client(server) as one:
        await one.connection.send("x" * 200_000)
        with pytest.raises(ConnectionClosed) as closed:
            await one.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_clients_learn_that_the_server_stops(tmp_path: Path) -> None:
    async with with_chain(tmp_path) as (_, server), client(server) as one:
        await one.ask(op="subscribe", channel="changes", chain=CHAIN)
        server.server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            await one.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)


async def test_a_client_that_reads_nothing_is_let_go_with_a_reason(tmp_path: Path) -> None:
    async with (
        with_chain(tmp_path, replace(USUAL, send_s=0.3)) as (_, server),
        client(server) as other,
        deaf(server) as one,
    ):
        for _ in range(USUAL.subscriptions_max):  # a megabyte in all: more than the sockets' own buffers
            await one.say(op="subscribe", channel="changes", chain=CHAIN, after=0, blocks="header")
        await until(lambda: server.live.connections == 1)
        one.connection.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            assert [message async for message in one.connection]
        assert one.connection.close_code == 1008
        assert one.connection.close_reason == "nothing was read for 0.3 s"
        assert await other.ask(op="ping", id=1) == {"op": "pong", "id": "1"}


async def test_a_client_that_never_reads_again_is_dropped(tmp_path: Path) -> None:
    async with (
        with_chain(tmp_path, replace(USUAL, send_s=0.1, linger_s=0.1)) as (_, server),
        client(server) as other,
        deaf(server) as one,
    ):
        chain = server.server._server.server_state.connections
        await until(lambda: len(chain) == 2)
        with suppress(ConnectionClosed):  # which it may be before the last is asked for
            for _ in range(USUAL.subscriptions_max):
                await one.say(op="subscribe", channel="changes", chain=CHAIN, after=0, blocks="header")
        await until(lambda: len(chain) == 1)
        assert await other.ask(op="ping", id=1) == {"op": "pong", "id": "1"}


@asynccontextmanager
async def deaf(server: Served) -> AsyncIterator[Client]:
    """A client that does not read, with small buffers."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", server.server.port))
    sock.setblocking(False)
    async with client(server, sock=sock, ping_interval=None, close_timeout=1, max_queue=None) as one:
        one.connection.transport.pause_reading()
        for chain in server.server._server.server_state.connections:  # or the kernel takes megabytes
            ours: Any = chain.transport.get_extra_info("socket")
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        yield one
        one.connection.transport.abort()
