"""What records come to: from wherever it is begun the same, and a reader's books are the core's."""

import json
import random

import pytest

from tests.market.stretches import TRADES_AND_TICKERS, MadeUp, records_of
from tests.stream.market.folded import Folded
from tidelog.market.core import Core
from tidelog.market.events import Connected, Disconnected, EventId, Started, Stream
from tidelog.market.records import Kind, Record
from tidelog.market.session.controls import Connect, Control, Subscribe, encode_control
from tidelog.stream.market.messages import BookChange, EventKind, MarketEvent, Missing, TradesMade
from tidelog.stream.market.telling import Teller


def a_journal(protocol: str, seed: int, frames: int = 400) -> list[Record]:
    """A connection, another one, frames that cannot be read, and now and then the core's whole state."""
    rng, made = random.Random(seed), MadeUp(protocol, seed)
    subscribed = [
        Subscribe(stream, (symbol,), number)
        for number, (symbol, depth) in enumerate(made.depths.items(), 1)
        for stream in (Stream("book", depth), *TRADES_AND_TICKERS)
    ]
    cut = rng.randrange(frames // 3, frames)
    again: list[bytes | Control] = [Disconnected("lost"), Connect(), Connected(), *subscribed]
    entries = [*made.frames(cut), *again, *made.frames(frames - cut)]
    unread = (b"{", b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD"}]}')
    for _ in range(4):
        entries.insert(rng.randrange(20, frames), rng.choice(unread))
    return with_states(records_of(protocol, entries, made.depths, TRADES_AND_TICKERS), every=120)


def with_states(records: list[Record], every: int) -> list[Record]:
    """As a feed writes a journal: with a state now and then."""
    core, found = Core(), list[Record]()
    for record in records:
        id_ = EventId(record.id.run, len(found) + 1)
        core.apply(Record(id_, record.at_us, record.kind, record.payload, record.restart))
        found.append(Record(id_, record.at_us, record.kind, record.payload, record.restart))
        if id_.seq % every == 0:
            state = Record(
                EventId(id_.run, id_.seq + 1), record.at_us, Kind.CONTROL, encode_control(core.snapshot()), True
            )
            core.apply(state)
            found.append(state)
    return found


def told(records: list[Record]) -> list[list[MarketEvent]]:
    teller = Teller(Core())
    return [teller.take(record) for record in records]


@pytest.mark.each_choice
@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("seed", range(6))
def test_whoever_begins_anywhere_tells_the_same(protocol: str, seed: int) -> None:
    records = a_journal(protocol, seed)
    whole = told(records)
    rng = random.Random(seed)
    for _ in range(8):
        begin = rng.randrange(1, len(records))
        restart = max(i for i in range(begin) if records[i].restart)
        teller = Teller(Core())
        for record in records[restart:begin]:
            teller.pass_by(record)
        teller.begin()
        assert [teller.take(record) for record in records[begin:]] == whole[begin:]


@pytest.mark.each_choice
@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("seed", range(6))
def test_a_readers_books_are_the_cores(protocol: str, seed: int) -> None:
    core, teller, folded = Core(), Teller(Core()), Folded()
    matched = 0
    for record in a_journal(protocol, seed):
        core.apply(record)
        for event in teller.take(record):
            if not isinstance(event, TradesMade):
                folded.hear(event)
            matched += isinstance(event, BookChange) and event.proven
        if record.id.seq % 20 == 0 or record.kind is Kind.CONTROL:
            folded.equals(core)
    assert matched > 100


def test_whoever_begins_in_the_middle_has_each_book_at_the_next_state() -> None:
    records = a_journal("v2", 3)
    teller = Teller(Core())
    states = [i for i, record in enumerate(records) if record.restart and record.id.seq > 1]
    for record in records[: states[0]]:
        teller.pass_by(record)
    teller.begin()
    again = [event for event in teller.take(records[states[0]]) if isinstance(event, BookChange)]
    assert again
    assert all(event.again and event.snapshot for event in again)


def test_trades_that_are_left_out_are_told() -> None:
    frames = [
        json.dumps(
            {
                "channel": "trade",
                "type": "update",
                "data": [
                    {
                        "symbol": "BTC/USD", "side": "buy", "price": 1.5, "qty": 1.0, "ord_type": "limit",
                        "trade_id": number, "timestamp": "2026-05-01T12:00:00.000000Z",
                    }
                ],
            }
        ).encode()
        for number in (7, 8, 11, 12)
    ]  # fmt: skip
    records = records_of("v2", frames, {"BTC/USD": 10}, TRADES_AND_TICKERS)
    gaps = [event for events in told(records) for event in events if isinstance(event, Missing)]
    assert gaps == [Missing(symbol="BTC/USD", reason="trade_ids", first=9, last=10)]


def test_a_run_that_follows_another_says_since_when_it_missed() -> None:
    started = Record(EventId(2, 1), 9_000, Kind.CONTROL, encode_control(Started("v2", previous_us=5_000)), True)
    assert told([started]) == [[Missing(reason="restart", since_us=5_000)]]


def test_only_the_kinds_that_are_wanted_are_told() -> None:
    records = a_journal("v2", 1)
    kinds: tuple[EventKind, ...] = ("trade",)
    teller = Teller(Core(), kinds)
    found = [event for record in records for event in teller.take(record)]
    assert found
    assert all(isinstance(event, TradesMade) for event in found)
