"""JSON and msgpack: a message says which it is, both say the same, and a stream may have both."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.stream.market.test_market_messages import FIRST, NAME, NEXT, a_book
from tests.stream.test_chain_messages import CHAIN, PAYLOAD_MAX, a_block, change_row, parts
from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import BEGIN, Place
from tidelog.chain.written import BlockEvents, ContractEvent, MisfitLog
from tidelog.errors import Rejected
from tidelog.stream.bodies import ENCODINGS, Encoding
from tidelog.stream.chain.messages import ChainLanguage, Change, Content, messages_of, reset_message
from tidelog.stream.envelope import part_of
from tidelog.stream.following import Following
from tidelog.stream.market import messages as market
from tidelog.stream.market.messages import MarketEvent, MarketLanguage, Missing, ProofState
from tidelog.stream.port import Message, Stored

EXTRA = b'{"l1Fee": "0x0", "ratio": 1.5, "big": 123456789012345678901234567890, "nested": {"a": [1.5, null]}}'
TYPES = {"json": "application/json", "msgpack": "application/msgpack"}


def published(encoding: Encoding, content: Content, payload_max: int = PAYLOAD_MAX) -> list[Message]:
    block, _ = a_block(7, 60)
    extra = structs.replace(block, extra=msgspec.Raw(EXTRA))
    return messages_of(CHAIN, change_row(8), Place(7), extra, content, payload_max, encoding=encoding)


def joined(messages: list[Message]) -> Any:
    return ChainLanguage(CHAIN).joined(parts(messages), 7)


def events() -> BlockEvents:
    _, logs = a_block(7, 60)
    found: list[ContractEvent | MisfitLog] = []
    for log in logs[:40]:
        args = {"value": str(2**255), "tags": [1, "0x00"], "from_": log.address, "is_set": True}
        event = ContractEvent(
            contract="tide",
            event="Transfer",
            table="e_tide_transfer",
            log_index=log.log_index,
            tx_index=log.tx_index,
            transaction_hash=log.data,
            address=log.address,
            args=args,
        )
        misfit = MisfitLog(contract="tide", log_index=log.log_index, reason="the data ends", log=log)
        found += [event, misfit]
    return BlockEvents(events=found, uncovered=["shells"])


@pytest.mark.parametrize("kind", ["header", "logs", "events"])
def test_both_say_the_same_of_a_change(kind: str) -> None:
    content: Content = {"header": None, "logs": a_block(7, 60)[1], "events": events()}[kind]
    found = []
    for encoding in ENCODINGS:
        messages = published(encoding, content)
        assert {each.headers["Content-Type"] for each in messages} == {TYPES[encoding]}
        assert (len(messages) > 1) == (kind != "header")
        found.append(joined(messages))
    assert found[0] == found[1]
    assert isinstance(found[0], Change)
    assert found[0].block is not None
    assert found[0].block.extra == msgspec.json.decode(EXTRA)
    if kind == "events":
        assert (found[0].events, found[0].uncovered) == (events().events, ["shells"])


@given(count=st.integers(0, 60), payload_max=st.integers(6_000, 40_000))
def test_no_part_is_larger_than_the_server_takes(count: int, payload_max: int) -> None:
    logs = a_block(7, 60)[1][:count]
    for encoding in ENCODINGS:
        messages = published(encoding, logs, payload_max)
        assert all(len(each.payload) + sum(map(len, each.headers.values())) <= payload_max for each in messages)
        assert joined(messages).logs == logs


def test_both_say_the_same_of_a_reset() -> None:
    rows: list[Row] = [change_row(seq) for seq in range(1, 4)]
    after, place = BEGIN.advanced(rows), BEGIN.advanced(rows[:1])
    found = [joined([reset_message(CHAIN, after, place, encoding)]) for encoding in ENCODINGS]
    assert found[0] == found[1]
    language = MarketLanguage(NAME)
    told = [market.reset_message(NAME, "tidelog.market.kraken", NEXT, FIRST, encoding) for encoding in ENCODINGS]
    assert len({language.joined(parts([each]), 0) for each in told}) == 1


@given(levels=st.integers(1, 100), payload_max=st.integers(2_600, 20_000))
def test_both_say_the_same_of_a_recording(levels: int, payload_max: int) -> None:
    told: list[MarketEvent] = [
        a_book(levels),
        Missing(reason="restart"),
        ProofState(symbol="A/B", proven=True, levels=10),
    ]
    for encoding in ENCODINGS:
        messages = market.messages_of(NAME, FIRST, NEXT, 5, told, payload_max, encoding)
        assert {each.headers["Content-Type"] for each in messages} == {TYPES[encoding]}
        whole = MarketLanguage(NAME).joined(parts(messages), 0)
        assert isinstance(whole, market.Recorded)
        assert whole.events[-2:] == told[1:]
        bids = [level for each in whole.events[:-2] if isinstance(each, market.BookChange) for level in each.bids]
        assert bids == a_book(levels).bids


def test_a_stream_may_change_from_one_to_the_other_and_back() -> None:
    place, found = BEGIN, list[Message]()
    for seq, encoding in enumerate(("json", "msgpack", "json"), 1):
        row = change_row(seq)
        block, logs = a_block(seq - 1, 24)
        assert encoding in ENCODINGS
        found += messages_of(CHAIN, row, place, block, logs, PAYLOAD_MAX, encoding=encoding)
        place = place.advanced([row])
    following = Following(ChainLanguage(CHAIN), BEGIN)
    shown = [item for part in parts(found) if (item := following.take(part)) is not None]
    assert [item.seq for item in shown if isinstance(item, Change)] == [1, 2, 3]


def test_a_message_without_the_header_is_json() -> None:
    (message,) = messages_of(CHAIN, change_row(1), BEGIN, None, None, PAYLOAD_MAX)
    headers = {name: text for name, text in message.headers.items() if name != "Content-Type"}
    part = part_of(Stored(1, headers, message.payload))
    item = ChainLanguage(CHAIN).joined([part], 0)
    assert isinstance(item, Change)
    assert item.seq == 1


def test_another_type_of_body_is_refused_by_name() -> None:
    (message,) = messages_of(CHAIN, change_row(1), BEGIN, None, None, PAYLOAD_MAX)
    headers = message.headers | {"Content-Type": "application/cbor"}
    with pytest.raises(Rejected, match="message 4 of the stream has a body of type 'application/cbor': there are"):
        part_of(Stored(4, headers, message.payload))


@pytest.mark.parametrize("payload", [b"", b"\x80", b"{}", b"\xc1", b'{"kind": "apply"}'])
def test_msgpack_that_cannot_be_read_is_refused(payload: bytes) -> None:
    (message,) = published("msgpack", None)
    (told,) = market.messages_of(NAME, FIRST, NEXT, 0, [Missing(reason="x")], 100_000, "msgpack")
    for headers, language in ((message.headers, ChainLanguage(CHAIN)), (told.headers, MarketLanguage(NAME))):
        with pytest.raises(Rejected, match="message 5 of the stream cannot be read"):
            language.joined([part_of(Stored(5, headers, payload))], 0)
