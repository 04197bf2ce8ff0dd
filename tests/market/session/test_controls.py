"""Control records are part of the journal's format: they are stored under the names that they always had."""

import msgspec
import pytest

from tidelog.errors import Corruption
from tidelog.market.book.levels import Book
from tidelog.market.events import ClockStepped, Connected, Disconnected, Resync, Started, Stream
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.session.controls import (
    AckTimeout,
    Authorized,
    BackOff,
    Closing,
    Connect,
    Control,
    CoreSnapshot,
    Denied,
    Drop,
    Ping,
    Refused,
    Stopped,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
    decode_control,
    encode_control,
)
from tidelog.market.session.subscription.subscriptions import SessionState, Subscription

BOOK = Stream("book", depth=10)
_BOOK = '{"channel":"book","depth":10,"interval":null,"snapshot":null}'
_SUBSCRIPTION = (
    f'{{"stream":{_BOOK},"symbol":"A","phase":"wanted","unwanted":false,"req_id":0,"asked_us":0,"due_us":1,'
    '"lapses":2,"refusals":0,"acked_us":0,"data_us":0,"doubt":"why","resyncs":0,"stales":3,"stale":false,"calm":0,'
    '"moved_us":0,"seen":0,"again":false,"sequence":0,"pace":{"since_us":0,"longest_us":0,"before_us":0},"pauses":0,'
    '"acks_from":0}'
)
_SESSION = (
    f'{{"state":"live","private":false,"closing":false,"subscriptions":[{_SUBSCRIPTION}],"next_req_id":1,"attempts":[],'
    '"failures":0,"opened_us":0,"heard_us":4,"answered_us":0,"stale_us":0,"pinged_us":0,"paced_us":5,'
    '"fills":{"known":[],"earlier":false,"doubted":0},"expired":false,"retry_us":0}'
)
_STORED_BOOK = (
    '{"symbol":"A","depth":10,"given":null,"precision":{"price":0,"qty":0},"ready":false,"proven":false,"mismatches":0,'
    '"unknown_removals":0,"refusal":null,"bids":[],"asks":[],"stamp":null}'
)
STORED: list[tuple[Control, str]] = [
    (
        Started("v2"),
        '{"type":"Started","protocol":"v2","private":false,"attempts":[],"previous_us":null,"clean":true}',
    ),
    (Wanted(BOOK, ("A",)), f'{{"type":"Wanted","stream":{_BOOK},"symbols":["A"]}}'),
    (Unwanted(BOOK, ("A",)), f'{{"type":"Unwanted","stream":{_BOOK},"symbols":["A"]}}'),
    (Closing(), '{"type":"Closing"}'),
    (Connected(), '{"type":"Connected"}'),
    (Refused("no"), '{"type":"Refused","reason":"no","retry_after_us":0}'),
    (Disconnected("gone"), '{"type":"Disconnected","reason":"gone"}'),
    (Authorized(), '{"type":"Authorized"}'),
    (Denied("no"), '{"type":"Denied","reason":"no","retry_after_us":0}'),
    (ClockStepped(5), '{"type":"ClockStepped","by_us":5}'),
    (Connect(), '{"type":"Connect"}'),
    (BackOff(7, "why"), '{"type":"BackOff","until_us":7,"reason":"why"}'),
    (Subscribe(BOOK, ("A",), 1), f'{{"type":"Subscribe","stream":{_BOOK},"symbols":["A"],"req_id":1}}'),
    (Unsubscribe(BOOK, ("A",), 1), f'{{"type":"Unsubscribe","stream":{_BOOK},"symbols":["A"],"req_id":1}}'),
    (AckTimeout(1), '{"type":"Lapse","req_id":1}'),
    (Ping(1), '{"type":"Ping","req_id":1}'),
    (
        Resync("book", "A", None, "why", 7),
        '{"type":"Resync","channel":"book","symbol":"A","interval":null,"reason":"why","until_us":7}',
    ),
    (Drop("why"), '{"type":"Drop","reason":"why"}'),
    (Stopped(), '{"type":"Stopped"}'),
]


@pytest.mark.parametrize(("control", "stored"), STORED, ids=[type(control).__name__ for control, _ in STORED])
def test_control_record_is_stored_as_it_always_was(control: Control, stored: str) -> None:
    assert encode_control(control).decode() == stored
    assert decode_control(stored.encode()) == control


def test_snapshot_of_a_core_is_stored_as_it_always_was() -> None:
    subscription = Subscription(BOOK, "A", not_before_us=1, ack_timeouts=2, suspect_reason="why", stale_count=3)
    state = msgspec.convert({"state": "live"}, SessionState)
    state.subscriptions, state.attempts = [subscription], []
    state.last_received_us, state.next_send_us = 4, 5
    control = CoreSnapshot("v2", state, (Book("A", 10, ChecksumProof).state,))
    stored = f'{{"type":"FullState","protocol":"v2","session":{_SESSION},"books":[{_STORED_BOOK}]}}'
    assert encode_control(control).decode() == stored
    assert decode_control(stored.encode()) == control


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"type":"Explode"}', b'{"type":"Ping"}', b"[" * 10_000])
def test_what_is_no_control_record_is_corruption(payload: bytes) -> None:
    with pytest.raises(Corruption, match="cannot be read"):
        decode_control(payload)
