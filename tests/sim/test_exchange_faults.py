"""Each fault of the exchange, alone: what a client sees when it is shown. The table is whole."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from tests.sim.exchange_client import CODECS, ask, closes, connect, drain, follower, frames, give_up
from tests.sim.test_exchange_core import token_of
from tidelog.errors import Rejected
from tidelog.market.events import Ack, BookDelta, BookSnapshot, Executions, Rejection, Status, Stream, Trades
from tidelog.market.kraken.refusals import refusal_of
from tidelog.market.session.rules import Refusal
from tidelog.sim.exchange import FAULTS, PAIRS, SimExchange
from tidelog.sim.exchange.delivery import Delivery, Manner, Message
from tidelog.sim.exchange.faults.content import HUGE_BYTES
from tidelog.sim.node.answers import Answer, Ending

SECONDS = 5


class Run(Struct):
    """What a client of both protocols got in some seconds: a book, trades, and on v2 also executions."""

    exchange: SimExchange
    deliveries: list[Delivery]
    private: list[Delivery]
    decode: Callable[[bytes], Any]

    @property
    def messages(self) -> list[Message]:
        return [one for one in (*self.deliveries, *self.private) if isinstance(one, Message)]

    @property
    def events(self) -> list[Any]:
        """Decoded; what cannot be is the Rejected."""
        seen: list[Any] = []
        for message in self.messages:
            try:
                seen.append(self.decode(message.frame.data))
            except Rejected as error:
                seen.append(error)
        return seen

    def of(self, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def run(name: str | None, protocol: str = "v2", **how: Any) -> Run:
    exchange = SimExchange(seed=11, rate=100, pairs=(PAIRS["BTC/USD"],))
    token = token_of(exchange)["result"]["token"]
    if name is not None:
        exchange.tell(name, **how)
    session, private = connect(exchange, protocol), connect(exchange, protocol, private=True)
    ask(session, Stream("book", depth=10))
    ask(session, Stream("trade"))
    ask(private, Stream("executions" if protocol == "v2" else "openOrders"), (), token=token)
    exchange.advance(SECONDS * 1_000_000)
    return Run(exchange, drain(session), drain(private), CODECS[protocol].decode)


TRUE = {protocol: run(None, protocol) for protocol in ("v1", "v2")}


def data(of: Run, channel: str = "book", kind: str = "update") -> list[bytes]:
    return [one.frame.data for one in of.messages if (one.frame.channel, one.frame.kind) == (channel, kind)]


def mismatches(of: Run, protocol: str) -> int:
    client = follower(of.exchange, protocol, connection_of(of), 10)
    for message in of.deliveries:
        assert isinstance(message, Message)
        client.take(message.frame.data)
    return client.mismatched


def connection_of(of: Run) -> int:
    (status, *_) = of.of(Status)
    assert status.connection_id is not None
    number: int = status.connection_id
    return number


Seen = Callable[[Run, Run, str], bool]  # what was seen, the undisturbed run, the protocol


def one_less(channel: str = "book", kind: str = "update") -> Seen:
    return lambda seen, true, _: len(data(seen, channel, kind)) == len(data(true, channel, kind)) - 1


def mismatched(seen: Run, true: Run, protocol: str) -> bool:
    return mismatches(seen, protocol) > 0 == mismatches(true, protocol)


def rejected(words: str = "malformed") -> Seen:
    return lambda seen, true, _: words in str(seen.of(Rejected)[0]) and not true.of(Rejected)


def closed(code: int) -> Seen:
    return lambda seen, true, _: closes(seen.deliveries) == [code]


def sent(manner: Manner) -> Seen:
    return lambda seen, true, _: [one.manner for one in seen.messages].count(manner) == 1


def levels(of: Run) -> Any:
    (snapshot,) = of.of(BookSnapshot)
    return len(snapshot.bids) + len(snapshot.asks)


def entries(of: Run, side: str) -> list[list[str]]:
    return [[level.price_text for level in getattr(event, side)] for event in of.of(BookDelta)]


def trade_ids(of: Run) -> list[int]:
    return [trade.trade_id for event in of.of(Trades) for trade in event.trades]


def traded(of: Run) -> list[str]:
    return [
        f"{trade.timestamp} {trade.price} {trade.qty} {trade.side} id {trade.trade_id}"
        for event in of.of(Trades)
        for trade in event.trades
    ]


def jumps(ids: Sequence[int]) -> int:
    return sum(later - earlier != 1 for earlier, later in pairwise(ids))


def sequences(of: Run) -> list[int]:
    return [event.sequence for event in of.of(Executions)]


def two_dicts(of: Run) -> int:
    return sum(b'}]},{"b":' in each or b']},{"b":' in each or b'],{"b":' in each for each in data(of))


BOOK = {"channel": "book", "times": 1}

# name: how it is told, what is seen
FRAMES: dict[str, tuple[dict[str, Any], Seen]] = {
    "drop": (BOOK, one_less()),
    "duplicate": (BOOK, lambda seen, true, _: data(seen)[0] == data(seen)[1] and data(seen)[1:] == data(true)),
    "reorder": (
        BOOK,
        lambda seen, true, _: data(seen) == [data(true)[1], data(true)[0], *data(true)[2:]],
    ),
    "stall": (
        {**BOOK, "at": 5},
        lambda seen, true, _: len(data(seen)) == 3 and data(seen, "trade") == data(true, "trade"),
    ),
    "subscription_ended": (
        {**BOOK, "at": 3},
        lambda seen, true, _: (
            data(seen) == data(true)[:3]
            and ("unsubscribe", "book", None) in [(one.method, one.channel, one.req_id) for one in seen.of(Ack)]
        ),
    ),
    "ack_misnumbered": (
        BOOK,
        lambda seen, true, _: (
            [one.req_id for one in seen.of(Ack)][1:] == [one.req_id for one in true.of(Ack)][1:]
            and seen.of(Ack)[0].req_id == 999_999_999
        ),
    ),
    "time_ahead": (
        {**BOOK, "at": 3},
        lambda seen, true, _: (
            [
                event.timestamp - other.timestamp
                for event, other in zip(seen.of(BookDelta), true.of(BookDelta), strict=True)
                if event != other
            ]
            == [timedelta(hours=1)]
        ),
    ),
    "snapshot_twice": (
        BOOK,
        lambda seen, true, _: data(seen, "book", "snapshot") == data(true, "book", "snapshot") * 2,
    ),
    "snapshot_lost": (BOOK, one_less(kind="snapshot")),
    "ack_lost": (BOOK, lambda seen, true, _: len(seen.of(Ack)) == len(true.of(Ack)) - 1),
    "ack_late": (
        BOOK,
        lambda seen, true, _: (
            [one.frame.kind for one in seen.messages[1:3]] == ["snapshot", "ack"]
            and [one.frame.kind for one in true.messages[1:3]] == ["ack", "snapshot"]
        ),
    ),
    "sequence_gap": ({"times": 1}, lambda seen, true, _: jumps(sequences(seen)) == 1 and not jumps(sequences(true))),
    "corrupt": (BOOK, lambda seen, true, _: differing_bits(seen, true) == 1),
    "cut": (BOOK, rejected()),
    "invalid_utf8": (BOOK, lambda seen, true, _: b"\xff" in data(seen, "book", "snapshot")[0]),
    "checksum_wrong": (
        {**BOOK, "at": 3},
        lambda seen, true, protocol: mismatched(seen, true, protocol) and len(data(seen)) == len(data(true)),
    ),
    "checksum_absent": (
        BOOK,
        lambda seen, true, _: [event.checksum is None for event in seen.of(BookDelta)].count(True) == 1,
    ),
    "side_absent": (
        {},
        lambda seen, true, _: (
            len(seen.events) == len(true.events) and min(map(len, data(seen))) < min(map(len, data(true)))
        ),
    ),
    "snapshot_old": (
        {**BOOK, "at": 3},
        lambda seen, true, _: (
            data(seen) == data(true) and data(seen, kind="snapshot") == data(true, kind="snapshot") * 2
        ),
    ),
    "trades_apart": (
        {},
        lambda seen, true, _: (
            traded(seen) == traded(true) and {len(event.trades) for event in seen.of(Trades)[1:]} == {1}
        ),
    ),
    "trades_backwards": (
        {},
        lambda seen, true, _: traded(seen) != traded(true) and sorted(traded(seen)) == sorted(traded(true)),
    ),
    "snapshot_partial": (BOOK, lambda seen, true, _: levels(seen) == levels(true) // 2),
    "fields_new": ({}, lambda seen, true, _: not seen.of(Rejected) and seen.events == true.events),
    "channel_unknown": ({"times": 1}, lambda seen, true, _: "level3" in str(seen.events)),
    "nesting": ({"times": 1}, rejected()),
    "huge": ({"times": 1}, lambda seen, true, _: max(len(one.frame.data) for one in seen.messages) > HUGE_BYTES),
    "maintenance": ({}, lambda seen, true, _: {one.system for one in seen.of(Status)} == {"maintenance"}),
    "half_open": (
        {**BOOK, "at": 5},
        lambda seen, true, _: len(seen.deliveries) < 15 and closes(seen.deliveries) == [],
    ),
    "close_1006": (BOOK, closed(1006)),
    "close_1011": (BOOK, closed(1011)),
    "close_1012": (BOOK, closed(1012)),
    "close_1013": (BOOK, closed(1013)),
    "trickle": (BOOK, sent(Manner.TRICKLE)),
    "fragments": (BOOK, sent(Manner.FRAGMENTS)),
    "compressed": (BOOK, sent(Manner.COMPRESSED)),
    "reserved_bits": (BOOK, sent(Manner.RESERVED)),
    "market_refused": (
        BOOK,
        lambda seen, true, _: (
            [one.error for one in seen.of(Rejection)] == ["EService:Market in maintenance"] and not data(seen)
        ),
    ),
    "rate_exceeded": ({"times": 1}, lambda seen, true, _: refusal_of(seen.of(Rejection)[0]) is Refusal.THROTTLED),
}

MARKETS: dict[str, tuple[dict[str, Any], Seen]] = {
    "thin": (
        {},
        lambda seen, true, protocol: (
            mismatches(seen, protocol) == 0 and len(seen.exchange.markets["BTC/USD"].book.bids.keys) <= 4
        ),
    ),
    "crossed": ({"probability": 0.1}, lambda seen, true, protocol: crossings(seen, protocol) > 5),
    "both_sides": (
        {},
        lambda seen, true, protocol: (
            all(bids and asks for bids, asks in zip(entries(seen, "bids"), entries(seen, "asks"), strict=True))
            and (protocol == "v2" or two_dicts(seen) == len(data(seen)))
        ),
    ),
    "same_price_twice": (
        {},
        lambda seen, true, _: all(len(set(prices)) < len(prices) for prices in entries(seen, "bids")),
    ),
    "republished": (
        {},
        lambda seen, true, protocol: (
            len(data(seen)) > len(data(true))
            and (protocol == "v2" or all(re.search(rb',"r"\]', each) for each in data(seen)))
        ),
    ),
    "precision_change": (
        {"at": 60},
        lambda seen, true, protocol: len(price_widths(seen, protocol)) > len(price_widths(true, protocol)),
    ),
    "fills_alike": (
        {},
        lambda seen, true, _: max(Counter([text.partition(" id")[0] for text in traded(seen)]).values()) > 1,
    ),
    "trade_id_jump": (
        {"at": 60},
        lambda seen, true, protocol: protocol == "v1" or (jumps(trade_ids(seen)) == 1 and not jumps(trade_ids(true))),
    ),
}

CONNECTS = {
    "refused_429": (429, Ending.COMPLETE),
    "refused_503": (503, Ending.COMPLETE),
    "refused_reset": (503, Ending.RESET),
    "handshake_stalled": (503, Ending.STALL),
}


def price_widths(of: Run, protocol: str) -> set[int]:
    """How many decimals the prices of book frames have."""
    pattern = rb'"price":\d+\.(\d+)' if protocol == "v2" else rb'\["\d+\.(\d+)","'
    return {len(found) for each in data(of, "book") for found in re.findall(pattern, each)}


def differing_bits(seen: Run, true: Run) -> int:
    (one,), (other,) = data(seen, "book", "snapshot"), data(true, "book", "snapshot")
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def crossings(of: Run, protocol: str) -> int:
    client = follower(of.exchange, protocol, connection_of(of), 10)
    (book,) = client.books.by_symbol.values()
    count = 0
    for message in of.deliveries:
        assert isinstance(message, Message)
        client.take(message.frame.data)
        assert not (book.crossed and book.proven)
        count += book.crossed
    assert client.mismatched == 0, "its checksums are right"
    return count


def test_the_tables_are_whole() -> None:
    assert FRAMES.keys() | MARKETS.keys() | CONNECTS.keys() | {"heartbeats_lost"} == FAULTS.keys()
    assert all(fault.doc.endswith(".") for fault in FAULTS.values())


V2_ALONE = {  # v1 has no empty side in an update, and no time of a whole frame
    "side_absent",
    "time_ahead",
}


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("name", [*FRAMES, *MARKETS])
def test_a_fault_is_seen(name: str, protocol: str) -> None:
    if protocol == "v1" and name in V2_ALONE:
        assert run(name, protocol).events == TRUE[protocol].events
        return
    how, seen = {**FRAMES, **MARKETS}[name]
    disturbed = run(name, protocol, **how)
    assert disturbed.exchange.told[name] >= 1
    if "times" in how:
        assert disturbed.exchange.told[name] == 1
    assert seen(disturbed, TRUE[protocol], protocol)


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_quiet_connection_without_heartbeats(protocol: str) -> None:
    exchange = SimExchange()
    session = connect(exchange, protocol)
    exchange.tell("heartbeats_lost", times=2)
    exchange.advance(5_000_000)
    assert [frame.kind for frame in frames(session)] == ["status", "heartbeat", "heartbeat", "heartbeat"]


@pytest.mark.parametrize("name", CONNECTS)
def test_a_connection_is_refused(name: str) -> None:
    exchange = SimExchange()
    exchange.tell(name, times=1)
    answer = exchange.connect("/v2")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.ending) == CONNECTS[name]
    connect(exchange)


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_in_any_mixture_a_proven_book_is_the_exchange_s(protocol: str) -> None:
    """`Follower` holds every proven book against the truth; here most checksums do not match."""
    harmless = FRAMES.keys() - {
        *("half_open", "compressed", "reserved_bits", "huge", "nesting"),
        *("stall", "rate_exceeded", "subscription_ended"),
        "time_ahead",  # after which all is of the past for who does not begin its book again
    }
    exchange = SimExchange(seed=5, rate=500)
    for name in [*sorted(harmless), *MARKETS]:
        if not name.startswith("close_"):
            exchange.tell(name, probability=0.02)
    session = connect(exchange, protocol)
    client = follower(exchange, protocol, session.connection_id, 10)
    for _ in range(20):
        ask(session, Stream("book", depth=10), ("BTC/USD", "ETH/USD"))
        exchange.advance(1_000_000)
        for frame in frames(session):
            try:
                client.take(frame.data)
            except Rejected:
                client.index += 1
        session.give_up_all()
    assert client.proven > 200
    assert client.mismatched > 200


def test_faults_keep_to_where_they_were_told() -> None:
    exchange = SimExchange(seed=1, rate=200)
    first, second = connect(exchange), connect(exchange)
    exchange.tell("drop", symbol="ETH/USD", connection=second.connection_id)
    for session in (first, second):
        ask(session, Stream("book", depth=10), ("BTC/USD", "ETH/USD"))
    exchange.advance(2_000_000)
    got = [
        [sum(frame.symbol == symbol and frame.kind == "update" for frame in sent) for symbol in ("BTC/USD", "ETH/USD")]
        for sent in (frames(first), frames(second))
    ]
    assert got[0][0] == got[1][0] > 50
    assert got[0][1] > 50
    assert got[1][1] == 0


def test_a_stalled_subscription_lives_again_when_it_is_asked_for_again() -> None:
    exchange = SimExchange(rate=100, pairs=(PAIRS["BTC/USD"],))
    session = connect(exchange)
    exchange.tell("stall", times=1)
    ask(session, Stream("book", depth=10))
    exchange.advance(1_000_000)
    assert [frame.channel for frame in frames(session)].count("book") == 1, "the ack"
    give_up(session, Stream("book", depth=10))
    ask(session, Stream("book", depth=10))
    exchange.advance(1_000_000)
    assert [frame.channel for frame in frames(session)].count("book") > 50


def test_a_fault_can_be_switched_off_and_there_is_no_other() -> None:
    exchange = SimExchange(rate=100)
    exchange.tell("refused_429")
    exchange.tell("refused_503")
    exchange.honest("refused_429")
    answer = exchange.connect("/v2")
    assert isinstance(answer, Answer)
    assert answer.status == 503
    exchange.honest()
    connect(exchange)
    with pytest.raises(ValueError, match="no fault 'nonsense'"):
        exchange.tell("nonsense")


def test_a_partial_snapshot_is_still_sound_json() -> None:
    for protocol in ("v1", "v2"):
        for snapshot in data(run("snapshot_partial", protocol, channel="book"), "book", "snapshot"):
            msgspec.json.decode(snapshot)
