"""Every frame of v2 becomes one typed event, or `Rejected`; requests are as the exchange reads them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.conftest import Recording
from tests.market.kraken.frames import V2
from tests.market.kraken.mutations import mutated
from tests.market.paths import codec_on_either_path
from tidelog.errors import Rejected
from tidelog.market.events import (
    Ack,
    Balance,
    Balances,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Candle,
    Candles,
    Event,
    Executions,
    Heartbeat,
    Instrument,
    Instruments,
    OrderUpdate,
    OwnTrade,
    Pong,
    Rejection,
    Request,
    Status,
    Stream,
    Ticker,
    Tickers,
    Trade,
    Trades,
    Unknown,
)
from tidelog.market.kraken import v2

__all__ = ["codec_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("codec_on_either_path")

D = Decimal
Builder = Callable[..., Request]
FILLED_AT = datetime(2023, 9, 22, 10, 33, 5, 709982, UTC)

MEANINGS: dict[str, Event] = {
    "status": Status("online", 12072546403441331453, "2.0.10"),
    "heartbeat": Heartbeat(),
    "pong": Pong(101),
    "trade": Trades(
        (
            Trade(
                "MATIC/USD", "sell", D("0.5117"), D("40.00000000"),
                datetime(2023, 9, 25, 7, 49, 37, 708706, UTC), "market", 4665906,
            ),
        )
    ),
    "ticker": Tickers(
        (
            Ticker(
                "ALGO/USD", D("0.10025"), D("740.0"), D("0.10036"), D("1361.44813783"), D("0.10035"),
                D("997038.98383185"), D("0.10148"), D("0.09979"), D("0.10285"), D("-0.00017"), D("-0.17"),
            ),
        )
    ),
    "ohlc": Candles(
        (
            Candle(
                "MATIC/USD", 5, datetime(2023, 10, 4, 16, 25, tzinfo=UTC), D("0.5624"), D("0.5628"),
                D("0.5622"), D("0.5627"), D("0.5626"), D("30927.68066226"), 12,
            ),
        )
    ),
    "instrument": Instruments(
        (Instrument("BTC/USD", "BTC", "USD", "online", 1, 8, D("0.1"), D("1E-8")),), snapshot=True
    ),
    "subscribed": Ack("subscribe", "book", "BTC/USD", 10, None, 1),
    "unsubscribed": Ack("unsubscribe", "trade", "BTC/USD", None, None, 2, ("late",)),
    "refused": Rejection("Currency pair not supported XX/USD", "subscribe", None, "XX/USD", 3),
    "refused bare": Rejection("Event(s) not found", "subscribe"),
    "too fast": Rejection("Exceeded msg rate"),
    "executions": Executions(
        "executions",
        10,
        (
            OrderUpdate("OK4GJX-KSTLS-7DZZO5", "filled", "BTC/USD", "sell", "market"),
            OrderUpdate("OHOXWJ-3HO33-ZJRAJ4", "new", "BTC/USD", "buy", None, D("0.10"), None, D("26500.0")),
        ),
        (
            OwnTrade(
                "TXGLTL-Y6VHO-MBVFNT", "OK4GJX-KSTLS-7DZZO5", "BTC/USD", "sell", D("26599.9"), D("0.005"),
                FILLED_AT, D("132.9995"), 365573,
            ),
        ),
    ),
    "balances": Balances(
        "balances",
        5,
        (
            Balance(
                "BTC", D("0.0956281208"), D("-0.0050000000"), D("0E-10"), "DATKX6-PEHL5-B73JTE",
                datetime(2023, 9, 25, 14, 4, 28, 197000, UTC),
            ),
        ),
    ),
    "unknown channel": Unknown("level3"),
    "unknown method": Unknown("add_order"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANINGS)
def test_a_frame_means(name: str) -> None:
    event = v2.decode(V2[name])
    assert event == MEANINGS[name]
    assert repr(event) == repr(MEANINGS[name])  # decimals included, which equality does not see


def test_a_book_message_keeps_the_text_of_its_numbers() -> None:
    snapshot, update = v2.decode(V2["book snapshot"]), v2.decode(V2["book update"])
    assert isinstance(snapshot, BookSnapshot)
    assert isinstance(update, BookDelta)
    assert [(level.price_text, level.qty_text) for level in snapshot.asks] == [("0.5668", "4410.79769741")]
    assert [(level.price_text, level.qty_text) for level in update.bids] == [("0.5657", "1098.3947558")]
    assert (update.symbol, update.asks, update.checksum) == ("MATIC/USD", (), 2114181697)
    assert update.timestamp == datetime(2023, 10, 6, 17, 35, 55, 440295, UTC)
    assert snapshot.timestamp is None  # snapshots of 2023 have none


@pytest.mark.parametrize("name", V2)
def test_the_order_of_keys_white_space_and_new_fields_do_not_matter(name: str) -> None:
    frame = b' {"new":{"a":[1,null]}, ' + V2[name].removeprefix(b"{")
    assert repr_of_levels(v2.decode(frame)) == repr_of_levels(v2.decode(V2[name]))


def repr_of_levels(event: Event) -> object:
    if isinstance(event, (BookSnapshot, BookDelta)):
        levels = [(level.price_text, level.qty_text) for level in (*event.bids, *event.asks)]
        return (event.__class__, event.symbol, event.checksum, levels)
    return event


MALFORMED = {
    "nothing": b"",
    "no JSON": b"<html>502 Bad Gateway</html>",
    "cut": V2["book update"][:-20],
    "something behind": V2["heartbeat"] + b"{}",
    "an array": b"[1,2,3]",
    "no data": b'{"channel":"trade","type":"update"}',
    "a checksum of 33 bits": V2["book update"].replace(b"2114181697", b"4294967296"),
    "a book without a symbol": V2["book update"].replace(b'"symbol"', b'"symbul"'),
    "a type it has not": V2["book update"].replace(b"update", b"upsert"),
    "a quoted price": V2["trade"].replace(b"0.5117", b"[]"),
    "a price beyond measure": V2["trade"].replace(b"0.5117", b"1E+999999999"),
    "a price below measure": V2["trade"].replace(b"0.5117", b"1E-999999999"),
    "a side it has not": V2["trade"].replace(b"sell", b"hold"),
    "a trade without its id": V2["trade"].replace(b"trade_id", b"trade_ie"),
    "a time without zone": V2["trade"].replace(b"708706Z", b"708706"),
    "no sequence": V2["balances"].replace(b',"sequence":5', b""),
    "half a fill": V2["executions"].replace(b'"last_qty":0.005,', b""),
    "an ack of nothing": b'{"method":"subscribe","success":true}',
    "a precision of millions": V2["instrument"].replace(b'"price_precision":1', b'"price_precision":1000000'),
    "no UTF-8": b'{"channel":"trade\xff"}',
    "nested too deep": b'{"new":' + b"[" * 100_000,
    "a known channel nested too deep": b'{"channel":"book","new":' + b'{"a":' * 100_000,
}


def book_frame(*rows: bytes) -> bytes:
    return b'{"channel":"book","type":"update","data":[%b]}' % b",".join(rows)


BID = b'"bids":[{"price":9.9,"qty":1.0}]'


def test_reads_a_book_message_without_a_checksum_or_without_one_side() -> None:
    bare = v2.decode(book_frame(b'{"symbol":"X/USD",%b}' % BID))
    assert isinstance(bare, BookDelta)
    assert (bare.checksum, len(bare.bids), bare.asks) == (None, 1, ())
    one_sided = v2.decode(book_frame(b'{"symbol":"X/USD","asks":[],"checksum":7}'))
    assert one_sided == BookDelta("X/USD", (), (), 7)


def test_reads_the_books_of_several_symbols_in_one_frame() -> None:
    event = v2.decode(book_frame(b'{"symbol":"X/USD",%b,"checksum":1}' % BID, b'{"symbol":"Y/USD","checksum":2}'))
    assert isinstance(event, BookUpdates)
    assert [(part.symbol, part.checksum, len(part.bids)) for part in event.parts] == [("X/USD", 1, 1), ("Y/USD", 2, 0)]
    assert v2.decode(book_frame()) == BookUpdates(())


UPDATE = V2["book update"]
BOOKS_IN = [
    (UPDATE[: len(UPDATE) // 2], ("MATIC/USD",)),
    (UPDATE.replace(b"0.5657", b'0.56"57'), ("MATIC/USD",)),
    (b'{"\xc3(\xffchannel' + UPDATE[len('{"channel') :], ("MATIC/USD",)),
    (UPDATE[:30], None),  # a book, and not which
    (UPDATE[:10], None),
    (UPDATE.replace(b'"book"', b'"boek"'), None),
    (V2["trade"][:-20], ()),
    (V2["status"][:-20], ()),
    (b'{"method":"subscribe","result":{"channel"', ()),
    (b"[" * 100, None),
    (b"", None),
]


@pytest.mark.parametrize(("frame", "symbols"), BOOKS_IN)
def test_books_in_says_which_books_an_unreadable_frame_may_be_about(
    frame: bytes, symbols: tuple[str, ...] | None
) -> None:
    assert v2.books_in(frame) == symbols


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_rejected_with_its_head(name: str) -> None:
    frame = MALFORMED[name]
    with pytest.raises(Rejected) as caught:
        v2.decode(frame)
    assert f"malformed frame of {len(frame)} bytes" in caught.value.reason
    assert repr(frame[:40])[2:-1] in caught.value.reason
    assert len(caught.value.reason) < 1000


@given(st.one_of(st.binary(), mutated(V2.values())))
def test_nothing_but_rejected_is_raised_whatever_the_bytes(frame: bytes) -> None:
    try:
        event = v2.decode(frame)
    except Rejected:
        return
    if isinstance(event, Unknown):
        assert len(event.name) <= 64


def test_every_recorded_frame_is_read(recording: Recording) -> None:
    events = [v2.decode(frame) for frame in recording("book-v2-depth10-btcusd")]
    assert [event.__class__ for event in events] == [BookSnapshot] + [BookDelta] * 509


REQUESTS = [
    (
        v2.subscribe(Stream("book", depth=10, snapshot=True), ["BTC/USD"], 1),
        b'{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10,"snapshot":true},'
        b'"req_id":1}',
    ),
    (
        v2.unsubscribe(Stream("book", depth=10, snapshot=True), ["BTC/USD", "ETH/USD"], 2),
        b'{"method":"unsubscribe","params":{"channel":"book","symbol":["BTC/USD","ETH/USD"],"depth":10},"req_id":2}',
    ),
    (
        v2.subscribe(Stream("ohlc", interval=5), ["BTC/USD"], 3),
        b'{"method":"subscribe","params":{"channel":"ohlc","symbol":["BTC/USD"],"interval":5},"req_id":3}',
    ),
    (v2.ping(101), b'{"method":"ping","req_id":101}'),
]


@pytest.mark.parametrize(("request_made", "frame"), REQUESTS)
def test_a_request_is_written(request_made: Request, frame: bytes) -> None:
    assert request_made.frame == request_made.redacted == frame


def test_executions_are_asked_for_with_the_fills_of_the_time_before() -> None:
    asked = v2.subscribe(Stream("executions"), (), 4, token="T").redacted
    assert b'"snap_orders":true,"snap_trades":true' in asked
    assert b"snap" not in v2.unsubscribe(Stream("executions"), (), 4, token="T").redacted
    assert b"snap_" not in v2.subscribe(Stream("balances"), (), 4, token="T").redacted


@pytest.mark.parametrize("build", [v2.subscribe, v2.unsubscribe])
def test_a_token_is_sent_and_never_shown(build: Builder) -> None:
    made = build(Stream("executions"), (), 4, token="WW91ciBhdXRo")
    assert b'"token":"WW91ciBhdXRo"' in made.frame
    assert made.redacted == made.frame.replace(b"WW91ciBhdXRo", b"<redacted>")
    assert "WW91ciBhdXRo" not in repr(made)
    assert "WW91ciBhdXRo" not in str([made])
