"""The exchange as its clients see it: subscriptions, answers, limits, time, private channels, and true books."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.sim.exchange_client import (
    CODECS,
    SYMBOLS,
    ask,
    closes,
    connect,
    drain,
    events,
    follower,
    frames,
    give_up,
)
from tidelog.market.events import (
    Ack,
    Balances,
    BookSnapshot,
    Candles,
    Event,
    Executions,
    Heartbeat,
    Instruments,
    Pong,
    Rejection,
    Spread,
    Status,
    Stream,
    Tickers,
    Trades,
    scaled_int,
)
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey, token_body
from tidelog.sim.exchange import PAIRS, Limits, SimExchange
from tidelog.sim.exchange.control import Announce, Disconnect, Tell
from tidelog.sim.exchange.protocol.tokens import API_KEY, API_SECRET
from tidelog.sim.exchange.session import Session
from tidelog.sim.node.answers import Answer

PROTOCOLS = ("v1", "v2")
BOOK = Stream("book", depth=10)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
def test_every_book_can_be_followed_and_is_the_exchange_s(protocol: str, depth: int) -> None:
    exchange = SimExchange(seed=7, rate=1_000)
    session = connect(exchange, protocol)
    client = follower(exchange, protocol, session.connection_id, depth)
    ask(session, Stream("book", depth=depth), SYMBOLS)
    for _ in range(40):
        exchange.advance(50_000)
        for frame in frames(session):
            client.take(frame.data)
    assert client.mismatched == 0
    assert client.proven > 1_500
    assert [book.unknown_removals for book in client.books.by_symbol.values()] == [0, 0]


def test_the_truth_is_bounded_and_can_be_asked_by_checksum() -> None:
    exchange = SimExchange(rate=100, remembered=20)
    session = connect(exchange)
    ask(session, BOOK)
    exchange.advance(2_000_000)
    sent = frames(session)
    known = [exchange.truth.top10(session.connection_id, index) for index in range(len(sent))]
    assert [top is not None for top in known] == [False] * (len(sent) - 20) + [True] * 20
    assert exchange.truth.tops() == known[-20:]
    for frame, top in list(zip(sent, known, strict=True))[-20:]:
        assert top is not None
        assert b'"checksum":%d,' % top.checksum in frame.data
        by_checksum = exchange.truth.with_checksum("BTC/USD", top.checksum)
        assert by_checksum is not None
        assert (by_checksum.bids, by_checksum.asks) == (top.bids, top.asks)
    assert exchange.truth.with_checksum("BTC/USD", 0) is None


def test_a_subscriber_that_does_not_cut_would_notice() -> None:
    exchange = SimExchange(seed=7, rate=1_000)
    session = connect(exchange)
    client = follower(exchange, "v2", session.connection_id, 1_000)  # keeps what fell out
    ask(session, BOOK, SYMBOLS)
    exchange.advance(1_000_000)
    for frame in frames(session):
        client.take(frame.data)
    assert client.mismatched > 100


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_seed_gives_the_same_bytes(protocol: str) -> None:
    def run(seed: int, slice_us: int) -> str:
        exchange = SimExchange(seed=seed, rate=100)
        for name in ("drop", "corrupt", "both_sides", "reorder"):
            exchange.tell(name, probability=0.1)
        session = connect(exchange, protocol)
        for stream in (BOOK, Stream("trade"), Stream("ticker"), Stream("ohlc", interval=5)):
            ask(session, stream, SYMBOLS)
        for _ in range(10_000_000 // slice_us):
            exchange.advance(slice_us)
        return hashlib.sha256(b"\n".join(frame.data for frame in frames(session))).hexdigest()

    assert run(1, 20_000) == run(1, 20_000) == run(1, 1_000_000), "however time is sliced"
    assert run(1, 20_000) != run(2, 20_000)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_connecting_says_the_status_and_a_number_beyond_63_bits(protocol: str) -> None:
    session = connect(SimExchange(), protocol)
    (status,) = events(session)
    assert isinstance(status, Status)
    assert status.system == "online"
    assert status.connection_id == session.connection_id >= 2**63


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_symbol_is_acked_with_the_request_s_id(protocol: str) -> None:
    session = connect(SimExchange(), protocol)
    ask(session, Stream("book", depth=25), SYMBOLS, req_id=42)
    acks = [event for event in events(session) if isinstance(event, Ack)]
    assert acks == [Ack("subscribe", "book", symbol, 25, None, 42) for symbol in SYMBOLS]
    give_up(session, Stream("book", depth=25), SYMBOLS)
    assert [event.method for event in events(session) if isinstance(event, Ack)] == ["unsubscribe"] * 2
    session.receive(CODECS[protocol].ping(9).frame)
    assert events(session) == [Pong(9)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("channel", "depth", "interval"), [("book", 10, None), ("ohlc", None, 1), ("trade", None, None)]
)
def test_an_ack_says_what_was_left_to_the_exchange(
    protocol: str, channel: str, depth: int | None, interval: int | None
) -> None:
    session = connect(SimExchange(), protocol)
    ask(session, Stream(channel))
    assert events(session)[1] == Ack("subscribe", channel, "BTC/USD", depth, interval, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("stream", "symbols", "words"),
    [
        (BOOK, ("XX/USD",), "Currency pair not supported XX/USD"),
        (Stream("book", depth=42), ("BTC/USD",), "Subscription depth not supported"),
        (Stream("ohlc", interval=7), ("BTC/USD",), "interval not supported"),
        (Stream("nonsense"), ("BTC/USD",), "Subscription name invalid"),
        (Stream("trade"), ("BTC/USD", "BTC/USD"), "Already subscribed"),
    ],
)
def test_the_exchange_refuses_unknown_channels_and_symbols(
    protocol: str, stream: Stream, symbols: Sequence[str], words: str
) -> None:
    session = connect(SimExchange(), protocol)
    ask(session, stream, symbols, req_id=5)
    (rejection,) = [event for event in events(session) if isinstance(event, Rejection)]
    assert words in rejection.error
    assert rejection.req_id == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("message", [b"", b"[", b"[]", b"{}", b'{"method":5}', b"\xff", b'{"event":"x","method":"x"}'])
def test_nonsense_gets_an_error_and_the_connection_stays(protocol: str, message: bytes) -> None:
    session = connect(SimExchange(), protocol)
    drain(session)
    session.receive(message)
    (event,) = events(session)
    assert isinstance(event, Rejection) or event.__class__.__name__ == "Unknown"
    assert not session.closed


def test_unsubscribing_without_a_subscription_is_refused() -> None:
    session = connect(SimExchange())
    ask(session, BOOK)
    drain(session)
    give_up(session, Stream("book", depth=25))
    (rejection,) = events(session)
    assert isinstance(rejection, Rejection)
    assert "Not Found" in rejection.error


@pytest.mark.parametrize(
    ("stream", "snapshot"),
    [
        (BOOK, True),
        (Stream("book", depth=10, snapshot=False), False),
        (Stream("trade"), False),
        (Stream("trade", snapshot=True), True),
        (Stream("ticker"), True),
        (Stream("ohlc", interval=1), True),
        (Stream("instrument"), True),
    ],
)
def test_v2_shows_a_snapshot_by_default_or_as_asked(stream: Stream, snapshot: bool) -> None:
    session = connect(SimExchange())
    ask(session, stream, () if stream.channel == "instrument" else ("BTC/USD",))
    kinds = [frame.kind for frame in frames(session)]
    assert kinds == ["status", "ack", "snapshot"][: 3 if snapshot else 2]


def test_time_brings_heartbeats() -> None:
    exchange = SimExchange(rate=1)
    idle, v1 = connect(exchange, "v2"), connect(exchange, "v1")
    exchange.advance(3_500_000)
    assert [type(event) for event in events(idle)] == [Status, Heartbeat, Heartbeat, Heartbeat]
    assert [type(event) for event in events(v1)] == [Status, Heartbeat, Heartbeat, Heartbeat]
    busy = SimExchange(rate=100, pairs=(PAIRS["BTC/USD"],))
    v2, v1 = connect(busy, "v2"), connect(busy, "v1")
    for session in (v2, v1):
        ask(session, BOOK)
        drain(session)
    busy.advance(2_000_000)
    assert Heartbeat not in [type(event) for event in events(v2)], "v2 has them when nothing else is sent"
    assert [type(event) for event in events(v1)].count(Heartbeat) == 2


def test_a_connection_without_subscriptions_is_closed_after_a_minute() -> None:
    exchange = SimExchange()
    idle, busy = connect(exchange), connect(exchange)
    ask(busy, Stream("trade"))
    exchange.advance(59_000_000)
    assert closes(drain(idle)) == []
    exchange.advance(1_000_000)
    assert closes(drain(idle)) == [1000]
    assert closes(drain(busy)) == []
    give_up(busy, Stream("trade"))
    exchange.advance(60_000_000)
    assert closes(drain(busy)) == [1000]


def test_requests_that_come_too_fast_are_refused_without_saying_which() -> None:
    exchange = SimExchange(limits=Limits(requests_per_s=3))
    session = connect(exchange)
    drain(session)
    for number in range(4):
        session.receive(CODECS["v2"].ping(number).frame)
    *_, last = frames(session)
    assert last.data == b'{"Error":"Exceeded msg rate"}'
    exchange.advance(1_000_000)
    drain(session)
    session.receive(CODECS["v2"].ping(9).frame)
    assert events(session) == [Pong(9)]


def test_too_many_attempts_mean_a_ban() -> None:
    exchange = SimExchange(limits=Limits(attempts=3))
    for _ in range(3):
        assert isinstance(exchange.connect("/v2", address="a"), Session)
    refusal = exchange.connect("/v2", address="a")
    assert isinstance(refusal, Answer)
    assert refusal.status == 429
    assert isinstance(exchange.connect("/v2", address="b"), Session), "addresses are counted apart"
    exchange.advance(599_000_000)
    assert isinstance(exchange.connect("/v2", address="a"), Answer)
    exchange.advance(601_000_000)
    assert isinstance(exchange.connect("/v2", address="a"), Session)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_public_channel_speaks(protocol: str) -> None:
    exchange = SimExchange(seed=2, rate=200)
    session = connect(exchange, protocol)
    streams = {
        Trades: Stream("trade", snapshot=True if protocol == "v2" else None),
        Tickers: Stream("ticker"),
        Candles: Stream("ohlc", interval=5),
    }
    for stream in (BOOK, *streams.values()):
        ask(session, stream)
    ask(session, Stream("instrument"), ()) if protocol == "v2" else ask(session, Stream("spread"))
    exchange.advance(5_000_000)
    seen: dict[type, list[Any]] = {}
    for event in events(session):
        seen.setdefault(type(event), []).append(event)
    assert set(seen) >= {BookSnapshot, *streams, Instruments if protocol == "v2" else Spread}
    made = [trade for trade in exchange.markets["BTC/USD"].trades if trade.time_us > exchange.now_us - 5_000_000]
    sent = [trade for event in seen[Trades][1:] for trade in event.trades]
    pair = PAIRS["BTC/USD"]
    assert [(scaled_int(each.price, 1), scaled_int(each.qty, 8)) for each in sent] == [
        (each.price, each.qty) for each in made
    ]
    if protocol == "v2":
        assert [trade.trade_id for trade in sent] == [trade.trade_id for trade in made]
        assert len(seen[Trades][0].trades) == 50
        (instrument,) = [one for one in seen[Instruments][0].instruments if one.symbol == "BTC/USD"]
        assert (instrument.price_precision, instrument.qty_precision) == (pair.price_precision, pair.qty_precision)


def token_of(exchange: SimExchange, *, nonce: str = "1", key: str = API_KEY, secret: str = API_SECRET) -> Any:
    body = token_body(nonce)
    headers = ApiKey(key, secret).headers(TOKEN_PATH, body, nonce)
    return json.loads(exchange.post(TOKEN_PATH, headers, body.encode()).body)


def test_a_token_is_had_for_a_signature() -> None:
    exchange = SimExchange()
    answer = token_of(exchange)
    assert answer["error"] == []
    assert len(answer["result"]["token"]) == 48
    assert token_of(exchange)["error"] == ["EAPI:Invalid nonce"]
    assert token_of(exchange, nonce="2", key="other")["error"] == ["EAPI:Invalid key"]
    assert token_of(exchange, nonce="2", secret="b3RoZXI=")["error"] == ["EAPI:Invalid signature"]
    assert json.loads(exchange.post("/0/private/Balance", {}, b"").body)["error"] == ["EGeneral:Unknown method"]


@pytest.mark.parametrize(
    ("protocol", "channels"), [("v1", ("ownTrades", "openOrders")), ("v2", ("executions", "balances"))]
)
def test_private_channels_count_their_frames_from_1(protocol: str, channels: Sequence[str]) -> None:
    exchange = SimExchange(seed=3)
    token = token_of(exchange)["result"]["token"]
    session = connect(exchange, protocol, private=True)
    for channel in channels:
        ask(session, Stream(channel), (), token=token)
    exchange.advance(30_000_000)
    counted: dict[str, list[Executions | Balances]] = {channel: [] for channel in channels}
    for event in events(session):
        if isinstance(event, Executions | Balances):
            counted[event.channel].append(event)
    for sent in counted.values():
        assert len(sent) > 5
        assert [event.sequence for event in sent] == list(range(1, len(sent) + 1))
        assert [event.snapshot for event in sent] == [True] + [False] * (len(sent) - 1)
    fills = [trade.exec_id for event in counted[channels[0]] if isinstance(event, Executions) for trade in event.trades]
    assert fills == [fill.exec_id for fill in exchange.account.fills] != []


@pytest.mark.parametrize(
    ("private", "stream", "wait_us", "words"),
    [
        (False, Stream("executions"), 0, "Try ws-auth.kraken.com"),
        (True, BOOK, 0, "Try ws.kraken.com"),
        (True, Stream("executions"), 15 * 60_000_000 + 1, "Invalid session"),
    ],
)
def test_private_channels_are_refused(private: bool, stream: Stream, wait_us: int, words: str) -> None:
    exchange = SimExchange()
    token = token_of(exchange)["result"]["token"]
    exchange.advance(wait_us)
    session = connect(exchange, private=private)
    symbols = ("BTC/USD",) if stream is BOOK else ()
    ask(session, stream, symbols, token=token)
    rejection = events(session)[-1]
    assert isinstance(rejection, Rejection)
    assert words in rejection.error


def test_actions_come_by_call_by_schedule_and_by_post() -> None:
    exchange = SimExchange(schedule=((2_000_000, Disconnect(1012)), (1_000_000, Announce("cancel_only"))))
    session = connect(exchange)
    exchange.act(Tell("heartbeats_lost"))
    exchange.advance(1_500_000)
    statuses: list[Event] = events(session)
    assert [status.system for status in statuses if isinstance(status, Status)] == ["online", "cancel_only"]
    exchange.advance(1_000_000)
    assert closes(drain(session)) == [1012]
    assert exchange.post("/sim", {}, b'["fault","refused_429",1.0,1]').status == 200
    assert isinstance(exchange.connect("/v2"), Answer)
    assert isinstance(exchange.connect("/v2"), Session)
    assert exchange.post("/sim", {}, b'["fault","nonsense"]').status == 400
    assert exchange.post("/sim", {}, b'["explode"]').status == 400


def test_other_paths_are_not_there() -> None:
    answer = SimExchange().connect("/v3")
    assert isinstance(answer, Answer)
    assert answer.status == 404


def test_a_reader_that_never_reads_is_hung_up_on() -> None:
    exchange = SimExchange(rate=100, limits=Limits(outbox_max=50))
    session = connect(exchange)
    ask(session, BOOK, SYMBOLS)
    exchange.advance(2_000_000)
    assert closes(drain(session)) == [1008]
    assert exchange.sessions == []
