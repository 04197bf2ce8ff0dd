"""Every frame of v1 becomes one typed event, or `Rejected`; requests are as the exchange reads them."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.conftest import Recording
from tests.market.kraken.frames import V1
from tests.market.kraken.mutations import mutated
from tests.market.paths import codec_on_either_path
from tidelog.errors import Rejected
from tidelog.market import events
from tidelog.market.events import (
    Ack,
    BookDelta,
    BookSnapshot,
    Candle,
    Candles,
    Event,
    Executions,
    Heartbeat,
    OrderUpdate,
    OwnTrade,
    Pong,
    Rejection,
    Request,
    Spread,
    Status,
    Stream,
    Ticker,
    Tickers,
    Trade,
    Trades,
    Unknown,
)
from tidelog.market.kraken import v1

__all__ = ["codec_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("codec_on_either_path")

D = Decimal
Builder = Callable[..., Request]

MEANINGS: dict[str, Event] = {
    "status": Status("online", 18239578009413566319, "1.8.3"),
    "heartbeat": Heartbeat(),
    "pong": Pong(7),
    "trade": Trades(
        (
            Trade(
                "LTC/BTC", "sell", D("0.01136500"), D("2.51146536"),
                datetime(2019, 7, 1, 0, 0, 1, 587070, UTC), "limit",
            ),
            Trade(
                "LTC/BTC", "buy", D("0.01136600"), D("1.00000000"),
                datetime(2019, 7, 1, 0, 0, 1, 587071, UTC), "market",
            ),
        )
    ),
    "ticker": Tickers(
        (
            Ticker(
                "XMR/USD", D("105.77000"), D("45.00000000"), D("105.85000"), D("0.46100000"), D("105.83000"),
                D("120.00000000"), D("106.00000"), D("100.00000"), D("110.00000"),
            ),
        )
    ),
    "ohlc": Candles(
        (
            Candle(
                "BTC/USD", 5, datetime(2018, 11, 12, 21, 11, tzinfo=UTC), D("3586.70000"), D("3586.70000"),
                D("3586.60000"), D("3586.60000"), D("3586.68894"), D("0.03373000"), 2,
            ),
        )
    ),
    "spread": Spread(
        "BTC/USD", D("5698.40000"), D("5700.00000"), D("1.01234567"), D("0.98765432"),
        datetime(2018, 11, 12, 21, 14, 59, 545897, UTC),
    ),
    "subscribed": Ack("subscribe", "book", "BTC/USD", 10, None, 42),
    "unsubscribed": Ack("unsubscribe", "ohlc", "DOGE/USD", None, 5),
    "refused": Rejection("Subscription depth not supported", None, "book", "BTC/USD"),
    "error": Rejection("Malformed request", req_id=3),
    "too fast": Rejection("Exceeded msg rate"),
    "own trades": Executions(
        "ownTrades",
        2,
        trades=(
            OwnTrade(
                "TDLH43-DVQXD-2KHVYY", "TDLH43-AAAAA-BBBBBB", "BTC/EUR", "sell", D("100000.00000"),
                D("10.00000000"), datetime(2019, 6, 14, 12, 40, 23, 70651, UTC), D("1000000.00000"),
            ),
        ),
    ),
    "open orders": Executions(
        "openOrders",
        1,
        orders=(
            OrderUpdate(
                "OGTT3Y-C6I3P-XRI6HX", "open", "BTC/EUR", "sell", "limit", D("10.00345345"), D("0.00000000"),
                D("34.50000"), D("0.00000"),
            ),
            OrderUpdate("OGTT3Y-C6I3P-X2I6HX", "closed"),
        ),
        snapshot=True,
    ),
    "unknown channel": Unknown("level3"),
    "unknown event": Unknown("addOrderStatus"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANINGS)
def test_a_frame_means(name: str) -> None:
    event = v1.decode(V1[name])
    assert event == MEANINGS[name]
    assert repr(event) == repr(MEANINGS[name])  # decimals included, which equality does not see


BOOKS = {
    # frame: event, symbol, bids, asks, checksum
    "book snapshot": (
        BookSnapshot, "BTC/USD", [("27119.90000", "13.54067548")], [("27120.00000", "4.28732553")], None,
    ),
    "book update": (
        BookDelta, "BTC/USD", [("27117.40000", "0.00000000"), ("27116.80000", "0.14741986")], [], 3139033408,
    ),
    "book update of both sides": (
        BookDelta, "SC/EUR", [("0.009", "2.0")], [("0.01", "1.0")], 4105471083,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOOKS)
def test_a_book_message_keeps_the_text_of_its_numbers(name: str) -> None:
    assert book_facts(v1.decode(V1[name])) == BOOKS[name]


def book_facts(event: Event) -> object:
    if not isinstance(event, (BookSnapshot, BookDelta)):
        return event
    bids, asks = ([(level.price_text, level.qty_text) for level in side] for side in (event.bids, event.asks))
    return event.__class__, event.symbol, bids, asks, event.checksum


@pytest.mark.parametrize("name", V1)
def test_white_space_does_not_matter(name: str) -> None:
    frame = b" " + V1[name].replace(b'",', b'" , ').replace(b"},", b"} , ") + b"\n"
    assert book_facts(v1.decode(frame)) == book_facts(v1.decode(V1[name]))


@pytest.mark.parametrize("name", [name for name in V1 if V1[name].startswith(b"{")])
def test_new_fields_do_not_matter(name: str) -> None:
    frame = b'{"new":{"a":[1,null]},' + V1[name].removeprefix(b"{")
    assert v1.decode(frame) == v1.decode(V1[name])


def test_an_empty_book_is_a_snapshot() -> None:
    frame = b'[336,{"as":[],"bs":[]},"book-10","XBT/USD"]'
    assert v1.decode(frame) == BookSnapshot("BTC/USD", (), (), None)


MALFORMED = {
    "nothing": b"",
    "no JSON": b"<html>502 Bad Gateway</html>",
    "cut": V1["book update"][:-20],
    "something behind": V1["heartbeat"] + b"[]",
    "a number": b"1",
    "too short": b'["trade","XBT/USD"]',
    "no channel name": b"[1,2,3,4]",
    "a checksum that is none": V1["book update"].replace(b"3139033408", b"high"),
    "a book of one level": b'[336,["1.0","2.0","3.0"],"book-10","XBT/USD"]',
    "five elements, no second side": b'[336,{"a":[]},"x","book-10","XBT/USD"]',
    "a price that is none": V1["trade"].replace(b"0.01136500", b"NaN"),
    "an endless price": V1["trade"].replace(b"0.01136500", b"Infinity"),
    "a price beyond measure": V1["ticker"].replace(b"105.83000", b"1E+999999999"),
    "a time that is none": V1["trade"].replace(b"1561939201.587070", b"now"),
    "a time beyond all": V1["spread"].replace(b"1542057299.545897", b"9e99"),
    "an interval that is none": V1["ohlc"].replace(b"ohlc-5", b"ohlc-x"),
    "an interval beyond all": V1["ohlc"].replace(b"ohlc-5", b"ohlc-99999999999999"),
    "a side it has not": V1["trade"].replace(b'"s"', b'"x"'),
    "no sequence": V1["own trades"].replace(b"sequence", b"sequel"),
    "an ack of nothing": V1["subscribed"].replace(b'"subscribed"', b'"considered"'),
    "no UTF-8": V1["book update"].replace(b"XBT", b"\xff\xfe"),
    "nested too deep": b'{"new":' + b"[" * 100_000,
    "an array nested too deep": b"[" * 100_000,
}


SIDED = V1["book update"]
BOOKS_IN = [
    (SIDED[1:], ("BTC/USD",)),
    (SIDED.replace(b'"27117.40000"', b'"27117\xff"'), ("BTC/USD",)),
    (SIDED[: len(SIDED) // 2], None),  # the name stands at the end
    (V1["trade"][:-1] + b",]", None),
    (V1["trade"].replace(b'"s"', b'"x"'), ()),
    (V1["own trades"][2:], ()),
    (V1["subscribed"][:-20], ()),
    (b'{"event":"heart', ()),
    (b"", None),
    (b"[" * 100_000, None),
]


@pytest.mark.parametrize(("frame", "symbols"), BOOKS_IN)
def test_books_in_says_which_books_an_unreadable_frame_may_be_about(
    frame: bytes, symbols: tuple[str, ...] | None
) -> None:
    assert v1.books_in(frame) == symbols


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_rejected_with_its_head(name: str) -> None:
    frame = MALFORMED[name]
    with pytest.raises(Rejected) as caught:
        v1.decode(frame)
    assert f"malformed frame of {len(frame)} bytes" in caught.value.reason
    assert repr(frame[:40])[2:-1] in caught.value.reason
    assert len(caught.value.reason) < 1000


@given(st.one_of(st.binary(), mutated(V1.values())))
def test_nothing_but_rejected_is_raised_whatever_the_bytes(frame: bytes) -> None:
    try:
        event = v1.decode(frame)
    except Rejected:
        return
    if isinstance(event, Unknown):
        assert len(event.name) <= 64


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (
            "book-v1-depth10-xbtusd",
            {BookDelta: 979, Heartbeat: 152, Pong: 16, BookSnapshot: 1, Status: 1, Ack: 1},
        ),
        ("trade-v1", {Heartbeat: 30, Ack: 10, Trades: 8, Status: 1}),
        ("ticker-v1", {Heartbeat: 31, Tickers: 18, Ack: 10, Status: 1}),
    ],
)
def test_every_recorded_frame_is_read(recording: Recording, name: str, counts: dict[type, int]) -> None:
    assert Counter(v1.decode(frame).__class__ for frame in recording(name)) == counts


@given(st.integers(0, 2**33 * 10**6 - 1))
def test_times_are_exact_to_the_microsecond(micros: int) -> None:
    text = f"{micros // 10**6}.{micros % 10**6:06}"
    event = v1.decode(V1["spread"].replace(b"1542057299.545897", text.encode()))
    assert isinstance(event, Spread)
    assert events.micros(event.timestamp) == micros


def test_names_made_up_by_a_peer_do_not_fill_memory() -> None:
    for number in range(3 * v1.PAIRS_CACHED):
        v1.decode(V1["spread"].replace(b"XBT/USD", b"%d/USD" % number))
    assert len(v1._SYMBOLS) <= v1.PAIRS_CACHED


REQUESTS = [
    (
        v1.subscribe(Stream("book", depth=10), ["BTC/USD", "DOGE/USD"], 42),
        b'{"event":"subscribe","reqid":42,"pair":["XBT/USD","XDG/USD"],"subscription":{"name":"book","depth":10}}',
    ),
    (
        v1.unsubscribe(Stream("ohlc", interval=5), ["ETH/BTC"], 43),
        b'{"event":"unsubscribe","reqid":43,"pair":["ETH/XBT"],"subscription":{"name":"ohlc","interval":5}}',
    ),
    (v1.ping(7), b'{"event":"ping","reqid":7}'),
]


@pytest.mark.parametrize(("made", "frame"), REQUESTS)
def test_a_request_is_written(made: Request, frame: bytes) -> None:
    assert made.frame == made.redacted == frame


@pytest.mark.parametrize("build", [v1.subscribe, v1.unsubscribe])
def test_a_token_is_sent_and_never_shown(build: Builder) -> None:
    made = build(Stream("ownTrades"), (), 4, token="WW91ciBhdXRo")
    assert b'"subscription":{"name":"ownTrades","token":"WW91ciBhdXRo"}' in made.frame
    assert b"pair" not in made.frame
    assert made.redacted == made.frame.replace(b"WW91ciBhdXRo", b"<redacted>")
    assert "WW91ciBhdXRo" not in repr(made)
