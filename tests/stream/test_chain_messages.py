"""Changes as messages of a stream, and back: headers, parts, and what is refused."""

import json
import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.store.rows import block_rows
from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import BEGIN, Place, parse_place, place_text
from tidelog.chain.proof.outcome import CHECKS, PASSED, Proof
from tidelog.chain.rows.tables import BLOCKS, LOGS
from tidelog.chain.written import Block, Log, block_of, log_of
from tidelog.errors import ConfigError, Rejected
from tidelog.stream.chain.messages import ChainLanguage, Change, Reset, StreamItem, messages_of, reset_message
from tidelog.stream.envelope import ID, Part, lasting_id, part_of
from tidelog.stream.port import Message, Stored

CHAIN = 1
WRITER = 0x9F3C
PAYLOAD_MAX = 8_000
PROVEN = str(Proof(dict.fromkeys(CHECKS, PASSED)))


def change_row(seq: int, kind: str = "apply", writer: int = WRITER) -> Row:
    return (CHAIN, seq, kind, seq - 1, bytes([seq % 256]) * 32, bytes([(seq - 1) % 256]) * 32, writer)


@cache
def a_block(number: int, logs: int) -> tuple[Block, list[Log]]:
    rows = block_rows(number, random.Random(number), logs=logs, transactions=max(1, logs))
    (row,) = rows[BLOCKS.name]
    sound = tuple(
        PROVEN if name == "proof" else None if name == "extra" else value
        for name, value in zip(BLOCKS.names, row, strict=True)
    )
    return block_of(sound), [log_of(log) for log in rows[LOGS.name]]


def stored(messages: list[Message], first: int = 1) -> list[Stored]:
    return [Stored(number, each.headers, each.payload) for number, each in enumerate(messages, first)]


def parts(messages: list[Message]) -> list[Part]:
    return [part_of(each) for each in stored(messages)]


def joined(parts: list[Part]) -> StreamItem:
    return ChainLanguage(CHAIN).joined(parts, 0)


def test_a_change_whose_block_is_reverted_meanwhile_keeps_its_lasting_id() -> None:
    """A publisher that is killed before it could note that a message was taken sends it again, as it is then."""
    block, logs = a_block(4, 3)
    (there,) = messages_of(CHAIN, change_row(5), BEGIN, block, logs, 100_000)
    (gone,) = messages_of(CHAIN, change_row(5), BEGIN, None, [], 100_000)
    assert there.payload != gone.payload
    assert there.headers[ID] != gone.headers[ID]
    assert lasting_id(there) == lasting_id(gone) == f"{WRITER:016x}-5-1/1"


def test_a_change_is_a_message_with_its_places_and_its_id() -> None:
    block, _ = a_block(4, 0)
    after = BEGIN.advanced([change_row(seq) for seq in range(1, 5)])
    (message,) = messages_of(CHAIN, change_row(5), after, block, None, PAYLOAD_MAX)
    assert message.subject == "tidelog.chain.1.apply"
    assert message.headers["Tidelog-After"] == "4-0000000000009f3c.0"
    assert message.headers["Tidelog-Place"] == "5-0000000000009f3c.0"
    assert message.headers["Tidelog-Part"] == "1/1"
    assert message.headers["Nats-Msg-Id"].startswith("0000000000009f3c-5-1/1-")
    said = json.loads(message.payload)
    assert (said["kind"], said["seq"], said["number"], said["chain"]) == ("apply", 5, 4, CHAIN)
    assert said["hash"] == "0x" + "05" * 32
    assert said["block"]["number"] == 4
    assert "logs" not in said
    assert said["place"] == message.headers["Tidelog-Place"]


def test_a_reverted_block_has_no_header() -> None:
    (message,) = messages_of(CHAIN, change_row(1, "revert"), BEGIN, None, None, PAYLOAD_MAX)
    assert message.subject == "tidelog.chain.1.revert"
    assert json.loads(message.payload)["block"] is None


@given(logs=st.integers(0, 60), payload_max=st.integers(6_000, 40_000))
def test_a_change_comes_back_whole_from_its_parts(logs: int, payload_max: int) -> None:
    block, many = a_block(7, 60)
    some = many[:logs]
    messages = messages_of(CHAIN, change_row(8), Place(7), block, some, payload_max)
    assert all(len(each.payload) + sum(map(len, each.headers.values())) <= payload_max for each in messages)
    assert len({each.headers["Nats-Msg-Id"] for each in messages}) == len(messages)
    whole = joined(parts(messages))
    assert isinstance(whole, Change)
    assert whole.logs == some
    assert whole.block == block
    assert [part.is_last for part in parts(messages)] == [False] * (len(messages) - 1) + [True]


def test_no_size_of_messages_is_missed_by_some_bytes() -> None:
    """At each size, over more than a log's: the first message is filled to its last bytes at some of them."""
    block, some = a_block(7, 60)
    for payload_max in range(PAYLOAD_MAX, PAYLOAD_MAX + 1_000):
        messages = messages_of(CHAIN, change_row(8), Place(7), block, some[:12], payload_max)
        assert len(messages) > 1


def test_a_log_that_fits_into_no_message_is_refused_with_what_to_do() -> None:
    _, (log,) = a_block(7, 1)
    huge = structs.replace(log, data="0x" + "00" * 9_000)
    with pytest.raises(ConfigError, match=r"block 7 needs a message of \d+ bytes, and the server takes 8000: raise"):
        messages_of(CHAIN, change_row(8), Place(7), None, [huge], PAYLOAD_MAX)


def test_a_reset_says_to_what_it_goes_back() -> None:
    after = BEGIN.advanced([change_row(seq) for seq in range(1, 9)])
    place = BEGIN.advanced([change_row(seq) for seq in range(1, 6)])
    message = reset_message(CHAIN, after, place)
    assert message.subject == "tidelog.chain.1.reset"
    (part,) = parts([message])
    assert (part.after, part.place) == (after, place)
    assert joined([part]) == Reset(chain=CHAIN, seq=5, place=place_text(place))
    assert parse_place(joined([part]).place) == place


def altered(**headers: str) -> Stored:
    (message,) = messages_of(CHAIN, change_row(1), BEGIN, None, None, PAYLOAD_MAX)
    return Stored(77, {**message.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}, b"")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Stored(77, {}, b"{}"), "message 77 of the stream is not tidelog's: it has no Tidelog-Version"),
        (altered(Tidelog_Version="9"), "message 77 of the stream is of version 9: this tidelog reads 1"),
        (altered(Tidelog_Place="x"), "message 77 of the stream has headers that cannot be read"),
        (altered(Tidelog_Part="1"), "message 77 of the stream has headers that cannot be read"),
        (altered(Tidelog_Part="3/2"), "message 77 of the stream is part 3 of 2"),
        (altered(Tidelog_Part="0/2"), "message 77 of the stream is part 0 of 2"),
    ],
)
def test_what_tidelog_has_not_written_is_refused(message: Stored, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        part_of(message)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"kind": "apply"}', b"\xff", b'{"kind": "reset", "seq": "5"}'])
def test_a_payload_that_cannot_be_read_is_refused(payload: bytes) -> None:
    (message,) = messages_of(CHAIN, change_row(1), BEGIN, None, None, PAYLOAD_MAX)
    with pytest.raises(Rejected, match="message 5 of the stream cannot be read"):
        joined([part_of(Stored(5, message.headers, payload))])
