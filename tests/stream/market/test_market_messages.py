"""Events of a recording as messages, and back; what is too large is divided and means the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.market.folded import Folded
from tests.stream.test_chain_messages import stored
from tidelog.batch import INT_MAX
from tidelog.chain.forks.bookmarks import BEGIN, parse_place
from tidelog.errors import ConfigError, Rejected
from tidelog.market.events import EventId
from tidelog.market.records import Kind
from tidelog.market.shards.layout import SHARDS_MAX, first_run
from tidelog.stream.envelope import part_of
from tidelog.stream.market.messages import (
    BookChange,
    Frame,
    Frames,
    Level,
    MarketEvent,
    MarketLanguage,
    MarketReset,
    Missing,
    ProofState,
    Recorded,
    RecordedTrade,
    TradesMade,
    frames_messages,
    frames_stream,
    market_stream,
    messages_of,
    reset_message,
    stream_of_recording,
)
from tidelog.stream.market.places import behind, id_of, number_of
from tidelog.stream.port import Message, Stored

NAME = "kraken"
BEGUN_US = 1_700_000_000_000_000
LANGUAGE = MarketLanguage(NAME)
FIRST = behind(BEGIN, EventId(1, 5), BEGUN_US)
NEXT = behind(FIRST, EventId(1, 9), BEGUN_US)


def joined(messages: list[Message], have: int = 0) -> object:
    return LANGUAGE.joined([part_of(each) for each in stored(messages)], have)


def a_book(levels: int) -> BookChange:
    bids = [Level(f"{1000 - n}.00", f"{n}.00000000") for n in range(1, levels + 1)]
    asks = [Level(f"{1000 + n}.00", f"{n}.00000000") for n in range(1, levels // 2 + 1)]
    return BookChange(symbol="BTC/USD", snapshot=True, depth=100, bids=bids, asks=asks, check="matched", proven=True)


def test_an_event_is_a_message_that_says_where_it_is_from() -> None:
    trade = RecordedTrade(BEGUN_US, 7, 7, "buy", "limit", "1.5", "2.0")
    events: list[MarketEvent] = [
        TradesMade(symbol="BTC/USD", trades=[trade]),
        ProofState(symbol="X.Y/Z", proven=True, levels=10),
    ]
    messages = messages_of(NAME, FIRST, NEXT, BEGUN_US + 4, events, 100_000)
    assert [each.subject for each in messages] == [
        "tidelog.market.kraken.BTC-USD.trade",
        "tidelog.market.kraken.X-Y-Z.proof",
    ]
    assert [each.headers["Tidelog-Part"] for each in messages] == ["1/2", "2/2"]
    said = json.loads(messages[0].payload)
    assert (said["recording"], said["run"], said["seq"], said["event"]["kind"]) == (NAME, 1, 9, "trade")
    whole = joined(messages)
    assert isinstance(whole, Recorded)
    assert (whole.events, whole.place, whole.received_us) == (
        events,
        messages[0].headers["Tidelog-Place"],
        BEGUN_US + 4,
    )


@given(levels=st.integers(1, 200), payload_max=st.integers(2_600, 20_000))
def test_a_book_that_is_divided_means_the_same(levels: int, payload_max: int) -> None:
    event = a_book(levels)
    messages = messages_of(NAME, FIRST, NEXT, 0, [event], payload_max)
    assert all(len(each.payload) + sum(map(len, each.headers.values())) <= payload_max for each in messages)
    assert len({each.headers["Nats-Msg-Id"] for each in messages}) == len(messages)
    whole = joined(messages)
    assert isinstance(whole, Recorded)
    assert whole.events == [event]
    more = [json.loads(each.payload).get("more") for each in messages]
    assert more == [*[True] * (len(messages) - 1), None]


@pytest.mark.parametrize("payload_max", [2_600, 3_000])
def test_levels_that_leave_the_depth_with_one_piece_are_there_after_all(payload_max: int) -> None:
    """Better ones come and go within one change: a book is cut to its depth once all of it is there."""
    bids = [Level(f"{1000 - n}.00", "1.0") for n in range(1, 11)]
    book = BookChange(symbol="BTC/USD", snapshot=True, depth=10, bids=bids, asks=[], proven=True)
    moved = [*[Level(f"{1000 + n}.00", "1.0") for n in range(5)], *[Level(f"{1000 + n}.00", "0.0") for n in range(5)]]
    change = BookChange(symbol="BTC/USD", snapshot=False, depth=10, bids=moved, asks=[], proven=True)
    trades = [RecordedTrade(BEGUN_US, n, n, "buy", "limit", "1.5", "2.0") for n in range(1, 31)]
    events: list[MarketEvent] = [book, change, TradesMade(symbol="BTC/USD", trades=trades)]
    messages = messages_of(NAME, FIRST, NEXT, 0, events, payload_max)
    assert len(messages) > 5
    whole = joined(messages)
    assert isinstance(whole, Recorded)
    folded = Folded()
    for event in whole.events:
        folded.hear(event)
    assert [str(price) for price in folded.books["BTC/USD"][0]] == [level.price for level in bids]
    assert whole.events == events


def test_an_event_that_cannot_be_divided_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        ConfigError, match=r"record 1\.9 needs a message of \d+ bytes, and the server takes 2100: raise"
    ):
        messages_of(NAME, FIRST, NEXT, 0, [Missing(reason="x" * 500)], 2_100)


def test_a_reset_says_to_what_it_goes_back() -> None:
    message = reset_message(NAME, "tidelog.market.kraken", NEXT, FIRST)
    assert message.subject == "tidelog.market.kraken.all.reset"
    found = joined([message])
    assert isinstance(found, MarketReset)
    assert (found.run, found.seq, parse_place(found.place)) == (1, 5, FIRST)


def test_raw_records_come_back_as_they_were_and_those_that_are_known_are_left_out() -> None:
    packed = [(Kind.IN.value, 70 + n, b"{%d}" % n) for n in range(4)]
    message = frames_messages(NAME, FIRST, NEXT, EventId(1, 6), packed, 10_000)
    assert message.subject == "tidelog.frames.kraken.journal"
    frames = [Frame(1, 6 + n, 70 + n, "in", b"{%d}" % n) for n in range(4)]
    assert joined([message]) == Frames(recording=NAME, place=message.headers["Tidelog-Place"], frames=frames)
    assert joined([message], number_of(EventId(1, 7))) == Frames(
        recording=NAME, place=message.headers["Tidelog-Place"], frames=frames[2:]
    )


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"kind": "gap"}', b"\xff", b"{", b'{"kind": "reset", "seq": "5"}'])
def test_a_payload_that_cannot_be_read_is_refused(payload: bytes) -> None:
    (message,) = messages_of(NAME, FIRST, NEXT, 0, [Missing(reason="x")], 100_000)
    with pytest.raises(Rejected, match="message 5 of the stream cannot be read"):
        LANGUAGE.joined([part_of(Stored(5, message.headers, payload))], 0)


@given(run=st.integers(1, 2**26), seq=st.integers(0, 2**36 - 1), shard=st.integers(1, SHARDS_MAX))
def test_a_record_is_known_by_its_number_in_its_shards_journal(run: int, seq: int, shard: int) -> None:
    id_ = EventId(first_run(shard) - 1 + run, seq)
    assert id_of(number_of(id_), shard) == id_
    assert number_of(id_) < INT_MAX, "a place can have it"
    assert id_of(number_of(EventId(0, 0))) == EventId(0, 0)


def test_shards_have_streams_of_their_own_and_events_say_their_run() -> None:
    assert (market_stream(NAME), market_stream(NAME, 2)) == ("tidelog-market-kraken", "tidelog-market2-kraken")
    assert (frames_stream(NAME), frames_stream(NAME, 2)) == ("tidelog-frames-kraken", "tidelog-frames2-kraken")
    assert [stream_of_recording("kraken", shard, "mine").name for shard in (1, 3)] == ["mine", "mine-3"]
    id_ = EventId(first_run(2) + 4, 9)
    place = behind(BEGIN, id_, BEGUN_US)
    proof = ProofState(symbol="X/Y", proven=True, levels=10)
    messages = messages_of(NAME, BEGIN, place, 5, [proof], 100_000, shard=2)
    assert [each.subject for each in messages] == ["tidelog.market2.kraken.X-Y.proof"]
    language = MarketLanguage(NAME, 2)
    whole = language.joined([part_of(each) for each in stored(messages)], 0)
    assert isinstance(whole, Recorded)
    assert (whole.run, whole.seq) == id_
    back = language.joined([part_of(each) for each in stored([reset_message(NAME, "x", NEXT, place, "json", 2)])], 0)
    assert isinstance(back, MarketReset)
    assert (back.run, back.seq) == id_
    assert language.reset(place) == back
    packed = [(Kind.IN.value, 70, b"{}")]
    frames = frames_messages(NAME, BEGIN, place, id_, packed, 10_000)
    assert frames.subject == "tidelog.frames2.kraken.journal"
    assert language.joined([part_of(each) for each in stored([frames])], number_of(id_) - 1) == Frames(
        recording=NAME, place=frames.headers["Tidelog-Place"], frames=[Frame(*id_, 70, "in", b"{}")]
    )
