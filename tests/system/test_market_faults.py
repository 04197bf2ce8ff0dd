"""Every fault of the exchange alone, and mixtures of them: what is shown as proven is true, what is missing is said,
and everything comes back by itself. On real sockets, through the feed, its journal and the loader."""

import asyncio
import json
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.market.exchange import until
from tests.patience import HANGS_S
from tests.system.disturbed import HURRIED, Hurried, contents, digest_of, hurry, judge, named, recording, records
from tidelog.market.core import Core
from tidelog.market.events import Disconnected, Resync
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey, token_body
from tidelog.market.kraken.limits import LIMITS
from tidelog.market.live.batches import Item
from tidelog.market.live.fanout import Subscription
from tidelog.market.live.feed import Feed
from tidelog.market.projection.tables import GAPS
from tidelog.market.session.limits import PaceLimits
from tidelog.market.session.subscription.silence import stale_limit_us
from tidelog.sim.exchange import FAULTS, SimExchange
from tidelog.sim.exchange.control import Disconnect
from tidelog.sim.exchange.protocol.tokens import API_KEY, API_SECRET
from tidelog.sim.exchange.wire.server import ExchangeServer

__all__ = ["hurry"]  # a fixture


class Case(Struct, frozen=True):
    """How a fault is brought about, and how often it has to be shown."""

    probability: float = 0.05
    shown: int = 3
    channel: str | None = None
    reconnecting: bool = False  # it is about how a connection begins
    protocol: str = "v2"
    rate: float = 15.0


CASES = {
    **dict.fromkeys(FAULTS, Case()),
    **dict.fromkeys(
        (
            "snapshot_partial", "snapshot_twice", "snapshot_lost", "ack_lost", "ack_late", "ack_misnumbered",
            "refused_429", "refused_503", "refused_reset", "handshake_stalled", "rate_exceeded",
        ),
        Case(probability=1.0, shown=2, reconnecting=True),
    ),
    "maintenance": Case(1.0, shown=1, reconnecting=True),
    "market_refused": Case(1.0, shown=1, reconnecting=True),
    **dict.fromkeys(("close_1006", "close_1011", "close_1012", "close_1013"), Case(0.02)),
    **dict.fromkeys(("compressed", "huge", "half_open"), Case(0.02, shown=1)),
    "stall": Case(0.02, shown=1, channel="book"),  # of trades: below
    "nesting": Case(0.02, shown=2),
    "corrupt": Case(0.3, shown=60),  # of every kind and place
    "thin": Case(1.0, shown=20),
    "crossed": Case(0.2),
    "both_sides": Case(0.2, protocol="v1"),
    "drop of trades": Case(0.2, shown=6, channel="trade"),
    "duplicate of trades": Case(0.2, shown=6, channel="trade"),
    "reorder of trades": Case(0.2, shown=6, channel="trade"),
    "heartbeats_lost": Case(1.0, shown=10, rate=0.5),
}  # fmt: skip
del CASES["sequence_gap"]  # of private channels, below
STALLED_S = 0.5  # after which a handshake is given up; one that is slow because the machine is, is begun again
STALLED_BOOK_S = 300.0  # by the exchange's clock; by the market's own pace alone it would be found after an hour
V2_ALONE = {  # an update of v1 has no empty side that could be left out, and no time
    "side_absent",
    "time_ahead",
}


@pytest.mark.parametrize("label", CASES)
async def test_feed_recovers_from_a_single_fault(label: str, hurry: Hurried, tmp_path: Path) -> None:
    await alone(label, CASES[label], hurry, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize(
    "label", [label for label, case in CASES.items() if case.protocol == "v2" and label not in V2_ALONE]
)
async def test_feed_recovers_from_a_single_fault_in_v1(label: str, hurry: Hurried, tmp_path: Path) -> None:
    await alone(label, replace(CASES[label], protocol="v1"), hurry, tmp_path)


async def alone(label: str, case: Case, hurry: Hurried, tmp_path: Path) -> None:
    name = label.split()[0]
    limits = replace(HURRIED, connect_s=STALLED_S) if name == "handshake_stalled" else HURRIED
    async with recording(hurry, tmp_path, protocol=case.protocol, rate=case.rate, limits=limits) as running:
        exchange = running.exchange
        exchange.tell(name, probability=case.probability, times=case.shown, channel=case.channel)
        if case.reconnecting:
            exchange.act(Disconnect(1012))
        await running.until(lambda: exchange.told[name] >= case.shown, f"{name} to be shown")
        shown_us = exchange.now_us
        await running.recovers()
        if name == "stall":
            took_s = (exchange.now_us - shown_us) / 1_000_000
            assert took_s < STALLED_BOOK_S, "a book that says nothing of its trades is dead, however little is known"
    await judge(running, tmp_path, bits_flip=name == "corrupt")
    if label == "drop of trades" and case.protocol == "v2":  # most are closed again by the next snapshot
        gaps = named(GAPS, await contents(running.url))
        assert any(gap["scope"].startswith("trades:") for gap in gaps), "the gaps are not for show"


@pytest.mark.parametrize("protocol", ["v2", "v1"])
async def test_a_silent_stall_of_trades_is_noticed(protocol: str, hurry: Hurried, tmp_path: Path) -> None:
    silence = replace(
        LIMITS.silence, pace=PaceLimits(stretch_us=20_000_000)
    )  # instead of ten minutes to know the market
    limits = replace(HURRIED, session=replace(LIMITS, silence=silence))
    async with recording(hurry, tmp_path, protocol=protocol, limits=limits) as running:
        exchange, feed = running.exchange, running.feed

        def knows_the_pace() -> bool:
            trades = [one for one in feed._core.session.session_state.subscriptions if one.stream.channel == "trade"]
            least_us = silence.stale_least_us["trade"]
            return all(stale_limit_us(one, least_us, silence) == least_us for one in trades)

        await running.until(knows_the_pace, "the market's pace")
        resyncs = feed.events(kinds=[Resync])
        exchange.tell("stall", channel="trade")  # again and again: a busy machine may lose the connection meanwhile
        noticed = asyncio.create_task(resync(resyncs, lambda event: event.channel == "trade"))
        running.own.add(noticed)
        await running.until(noticed.done, "the silence to be noticed")
        assert "no data for" in noticed.result().reason
        await running.recovers()
    await judge(running, tmp_path)


async def test_a_gap_in_a_private_sequence_resyncs(hurry: Hurried, tmp_path: Path) -> None:
    exchange = SimExchange(seed=1, start_us=int(hurry.now() * 1_000_000))
    key = ApiKey(API_KEY, API_SECRET)
    nonces = count(1)

    async def token() -> str:
        nonce = str(next(nonces))
        body = token_body(nonce)
        headers = {"API-Key": API_KEY, "API-Sign": key.sign(TOKEN_PATH, body, nonce)}
        answer = exchange.post(TOKEN_PATH, headers, body.encode())
        return str(json.loads(answer.body)["result"]["token"])

    path, core = tmp_path / "journal", Core()
    async with (
        ExchangeServer(exchange, runtime=hurry) as server,
        Feed(
            [], ["executions", "balances"], journal=str(path), url=server.url(private=True), tokens=token,
            digest=True, runtime=hurry, limits=HURRIED,
        ) as feed,
    ):  # fmt: skip
        resyncs = feed.events(kinds=[Resync])
        exchange.tell("sequence_gap", times=1)
        async with asyncio.timeout(HANGS_S):
            await resync(resyncs, is_of_sequence)
            await until(lambda: feed.progress.held == feed.progress.subscriptions == 2)
    assert await digest_of(path) == feed.digest
    events = [item.event for record in records(path) if (item := core.apply(record)) is not None]
    assert len([event for event in events if isinstance(event, Resync) and is_of_sequence(event)]) == 1
    # on a machine that stands still the hurried connection may be lost, but never for a gap
    lost = [event.reason for event in events if isinstance(event, Disconnected)]
    assert [reason for reason in lost if not reason.startswith("nothing came for")] == ["closing"]


def is_of_sequence(event: Resync) -> bool:
    return event.reason.startswith("sequence")


async def resync(events: Subscription, wanted: Callable[[Resync], bool]) -> Resync:
    """The first that is wanted: a machine that stands still makes others, since the hurried clock goes on."""
    async for item in events:
        if isinstance(item, Item) and isinstance(item.event, Resync) and wanted(item.event):
            return item.event
    raise AssertionError("the feed has ended")


SLOW = {"huge", "half_open", "handshake_stalled", "stall", "heartbeats_lost", "sequence_gap"}  # alone is enough
ENDING = {"close_1006", "close_1011", "close_1012", "close_1013", "compressed"}  # of a connection: after each a pause


async def mixture(seed: int, protocol: str, hurry: Hurried, folder: Path, *, frames: int) -> None:
    rng = random.Random(seed)
    async with recording(hurry, folder, seed=seed, protocol=protocol) as running:
        exchange = running.exchange
        names = rng.sample(sorted(FAULTS.keys() - SLOW), 12)
        for name in names:
            exchange.tell(name, probability=0.001 if name in ENDING else rng.choice((0.002, 0.01, 0.03)))
        enough = running.watched.frames + frames
        await running.until(lambda: running.watched.frames >= enough, "frames, in spite of it all")
        await running.recovers()
    assert sum(exchange.told.values()) > 5, names
    await judge(running, folder, bits_flip="corrupt" in names)


@pytest.mark.parametrize(("seed", "protocol"), [(1, "v2"), (2, "v2"), (3, "v1"), (4, "v1")])
async def test_feed_recovers_from_faults_together(seed: int, protocol: str, hurry: Hurried, tmp_path: Path) -> None:
    await mixture(seed, protocol, hurry, tmp_path, frames=600)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10, 60))
async def test_faults_together_for_long(seed: int, hurry: Hurried, tmp_path: Path) -> None:
    await mixture(seed, "v2" if seed % 2 else "v1", hurry, tmp_path, frames=4_000)
