"""The WebSocket's commands, and the places that clients resume from: what each means, and what is refused how."""

import json
from typing import Any

import pytest

from tidelog.api.http.problems import Refused
from tidelog.api.live.commands import MESSAGE_BYTES_MAX, Command, Ping, Subscribe, Unsubscribe, answer, event, parse
from tidelog.api.live.feeds.messages import Message, as_events, lagged, place
from tidelog.api.live.feeds.topics import (
    Book,
    Candles,
    Changes,
    Place,
    Trades,
    interval_of,
    number_of,
    place_of,
    place_text,
    symbol_of,
)
from tidelog.batch import INT_MAX
from tidelog.chain.forks import bookmarks as followed
from tidelog.market.events import EventId

GOOD: list[tuple[dict[str, Any], Command]] = [
    ({"op": "ping"}, Ping(None)),
    ({"op": "ping", "id": 7}, Ping("7")),
    ({"op": "unsubscribe", "id": "a"}, Unsubscribe("a")),
    ({"op": "subscribe", "channel": "changes", "chain": 1}, Subscribe(None, Changes(1))),
    (
        {"op": "subscribe", "id": "a", "channel": "changes", "chain": 1, "after": 0, "blocks": "header"},
        Subscribe("a", Changes(1, followed.BEGIN, True)),
    ),
    (
        {"op": "subscribe", "channel": "changes", "chain": 1, "after": "17"},
        Subscribe(None, Changes(1, followed.Place(17))),
    ),
    ({"op": "subscribe", "channel": "trades", "symbol": "BTC-USD"}, Subscribe(None, Trades("BTC/USD"))),
    (
        {"op": "subscribe", "channel": "trades", "symbol": "BTC/USD", "recording": "k", "after": "3-1200"},
        Subscribe(None, Trades("BTC/USD", "k", Place(EventId(3, 1200)))),
    ),
    (
        {"op": "subscribe", "channel": "trades", "symbol": "BTC/USD", "after": "3-1200-88"},
        Subscribe(None, Trades("BTC/USD", None, Place(EventId(3, 1200), 88))),
    ),
    ({"op": "subscribe", "channel": "book", "symbol": "BTC/USD"}, Subscribe(None, Book("BTC/USD"))),
    ({"op": "subscribe", "channel": "book", "symbol": "A/B", "levels": 1}, Subscribe(None, Book("A/B", None, 1))),
    ({"op": "subscribe", "channel": "candles", "symbol": "A/B"}, Subscribe(None, Candles("A/B"))),
    (
        {"op": "subscribe", "channel": "candles", "symbol": "A/B", "interval": "1h", "after": 5},
        Subscribe(None, Candles("A/B", None, 3_600, 5)),
    ),
    ({"op": "subscribe", "channel": "candles", "symbol": "A/B", "interval": 60}, Subscribe(None, Candles("A/B"))),
]

BAD: list[tuple[Any, str]] = [
    ("", "not a command"),
    ("{", "not a command"),
    ("[]", "not a command"),
    ("[" * 4_000, "not a command"),
    ("\ud800", "not a command"),
    ({"op": "sing"}, "not a command"),
    ({"op": "ping", "loud": True}, "not a command"),
    ({"op": "ping", "id": ""}, "an id has 1 to 64 characters"),
    ({"op": "ping", "id": "a" * 65}, "an id has 1 to 64 characters"),
    ({"op": "unsubscribe"}, "unsubscribe needs the id"),
    ({"op": "subscribe"}, "channel 'None': say changes, trades, book, candles"),
    ({"op": "subscribe", "channel": "weather"}, "channel 'weather': say changes"),
    ({"op": "subscribe", "channel": "changes"}, "changes needs chain"),
    ({"op": "subscribe", "channel": "changes", "chain": -1}, "chain '-1' is no place"),
    ({"op": "subscribe", "channel": "changes", "chain": 1, "symbol": "A/B"}, "changes does not take symbol"),
    ({"op": "subscribe", "channel": "changes", "chain": 1, "after": "1-2"}, "after '1-2' is no place"),
    ({"op": "subscribe", "channel": "changes", "chain": 1, "blocks": "all"}, "not a command"),
    ({"op": "subscribe", "channel": "trades"}, "trades needs symbol"),
    ({"op": "subscribe", "channel": "trades", "symbol": ""}, "the symbol is none"),
    ({"op": "subscribe", "channel": "trades", "symbol": "A/B", "after": 3}, "after '3' is no place"),
    ({"op": "subscribe", "channel": "book", "symbol": "A/B", "levels": 0}, "levels is 0: give 1 to 100"),
    ({"op": "subscribe", "channel": "book", "symbol": "A/B", "levels": 101}, "levels is 101: give 1 to 100"),
    ({"op": "subscribe", "channel": "book", "symbol": "A/B", "after": "1-2"}, "book does not take after"),
    ({"op": "subscribe", "channel": "candles", "symbol": "A/B", "interval": "0m"}, "interval '0m' is no length"),
    ({"op": "subscribe", "channel": "candles", "symbol": "A/B", "interval": 0}, "interval '0' is no length"),
    ({"op": "subscribe", "channel": "candles", "symbol": "A/B", "interval": "1 m"}, "interval '1 m' is no length"),
    ({"op": "ping", "id": "a" * MESSAGE_BYTES_MAX}, f"a command has at most {MESSAGE_BYTES_MAX} bytes"),
]


@pytest.mark.parametrize(("said", "meant"), GOOD)
def test_parses_commands(said: dict[str, Any], meant: Command) -> None:
    assert parse(json.dumps(said)) == meant
    assert parse(json.dumps(said).encode()) == meant


@pytest.mark.parametrize(("said", "sentence"), BAD)
def test_rejects_what_is_no_command(said: Any, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(said if isinstance(said, str) else json.dumps(said))
    assert sentence in refused.value.message


def test_a_good_command_cut_anywhere_is_refused_in_a_sentence() -> None:
    said = json.dumps(GOOD[5][0])
    for end in range(len(said)):
        with pytest.raises(Refused, match="not a command"):
            parse(said[:end])


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-2-", "1-2-3-4", "1-2 ", "a-b", "١-٢", f"1-{10**18}"])
def test_rejects_what_is_no_position(text: str) -> None:
    with pytest.raises(Refused, match="is no place in this stream"):
        place_of("after", text)


def test_places_are_read_as_they_are_written() -> None:
    for place_ in (Place(EventId(1, 0)), Place(EventId(3, 1200), 88)):
        assert place_of("after", place_text(place_.record, place_.trade_id)) == place_


@pytest.mark.parametrize("text", ["-1", "", "1.0", "1e3", str(INT_MAX + 1), "9" * 5_000, "١"])
def test_rejects_what_is_no_number(text: str) -> None:
    with pytest.raises(Refused, match="is no place in this stream"):
        number_of("after", text)


@pytest.mark.parametrize(
    ("text", "interval_s"), [("60", 60), ("1s", 1), ("1m", 60), ("15m", 900), ("4h", 14_400), ("1d", 86_400)]
)
def test_parses_intervals(text: str, interval_s: int) -> None:
    assert interval_of(text) == interval_s


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTC/USD", "BTC/USD"),
        ("BTC-USD", "BTC/USD"),
        ("BTC%2FUSD", "BTC/USD"),
        ("btc_usd", "BTC/USD"),
        ("xbt-usd", "BTC/USD"),
        ("A-B-C", "A-B-C"),
        ("BTC", "BTC"),
    ],
)
def test_parses_symbols(text: str, symbol: str) -> None:
    assert symbol_of(text) == symbol


def test_an_event_is_written_for_both_carriers() -> None:
    made = Message("apply", b'{"seq":1}', "1")
    assert as_events([made]) == b'id: 1\nevent: apply\ndata: {"seq":1}\n\n'
    assert event("a", made) == b'{"op":"event","id":"a","event":"apply","at":"1","data":{"seq":1}}'
    assert as_events([place("3-7")]) == b"id: 3-7\n\n"
    assert as_events([lagged(2, "slow")]) == b'event: lagged\ndata: {"missed":2,"reason":"slow"}\n\n'
    assert answer("pong", id=None) == b'{"op":"pong"}'
