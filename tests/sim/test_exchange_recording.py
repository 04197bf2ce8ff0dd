"""Recorded frames are played to who subscribes, and what the exchange makes itself looks like them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.market.conftest import Recording as Recorded
from tests.sim.exchange_client import CODECS, ask, connect, frames
from tidelog.errors import ConfigError
from tidelog.market.book.books import Books
from tidelog.market.book.proof import Check
from tidelog.market.events import Stream
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.sim.exchange import PAIRS, Recording, SimExchange

NAMES = {"v1": "book-v1-depth10-xbtusd", "v2": "book-v2-depth10-btcusd"}
REQUESTS = {
    "book-v1-depth10-xbtusd": b'{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book","depth":10}}',
    "book-v2-depth10-btcusd": b'{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}',
    "ticker-v1": b'{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"ticker"}}',
}
UPDATES = {"v1": 979, "v2": 510}


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_recording_is_played_at_a_rate_with_every_checksum_right(kraken_data: Path, protocol: str) -> None:
    recording = Recording.from_file(kraken_data / f"{NAMES[protocol]}.jsonl")
    assert recording.streams == ((protocol, "book", "BTC/USD"),)
    exchange = SimExchange(pairs=(PAIRS["ETH/USD"],), recording=recording, rate=100)
    session = connect(exchange, protocol)
    ask(session, Stream("book", depth=10), ("BTC/USD", "ETH/USD"))
    exchange.advance(1_000_000)
    played = [frame.data for frame in frames(session) if frame.symbol == "BTC/USD" and frame.kind != "ack"]
    assert len(played) == 100
    exchange.advance(20_000_000)
    played += [frame.data for frame in frames(session) if frame.symbol == "BTC/USD"]
    books = Books(CODECS[protocol].decode, ChecksumProof)
    books.open("BTC/USD", 10)
    checks = [books.apply_frame(frame)[1] for frame in played]
    assert checks.count(Check.MATCHED) == UPDATES[protocol]
    assert Check.MISMATCHED not in checks


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot play"):
        Recording.from_file(tmp_path / "nothing")
    for text in (b'{"channel":"heartbeat"}\n', b"nonsense\n", b"[]\n", b"5\n"):
        (tmp_path / "file").write_bytes(text)
        with pytest.raises(ConfigError, match="cannot play"):
            Recording.from_file(tmp_path / "file")


def parts(value: Any, path: str = "") -> set[str]:
    """What a message is made of: keys in their order, lengths of rows, types, the decimals of numbers."""
    if isinstance(value, dict):
        found = {f"{path} {','.join(value)}"}
        return found.union(*[parts(inner, f"{path}.{key}") for key, inner in value.items()])
    if isinstance(value, list):
        if path and value and isinstance(value[0], list | dict):
            return set().union(*[parts(each, f"{path}[]") for each in value])
        found = {f"{path} {len(value)} long"} if value else set()
        return found.union(*[parts(each, f"{path}[{at}]") for at, each in enumerate(value)])
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return {f"{path} {len(value.partition('.')[2])} decimals"}
    return {f"{path} {type(value).__name__}"}


def read(frame: bytes) -> Any:
    return json.loads(frame, parse_float=str)


def kind(message: Any) -> str:
    """What a message is about, as far as its shape depends on it."""
    if isinstance(message, dict):
        return str(message.get("event") or f"{message.get('channel')} {message.get('type')}")
    sides = "".join([key for part in message[1:-2] if isinstance(part, dict) for key in part])
    return f"{message[-2].partition('-')[0]} {sides}"


def made_of(sent: Sequence[bytes]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for frame in sent:
        message = read(frame)
        found.setdefault(kind(message), set()).update(parts(message))
    return found


@pytest.mark.parametrize(
    ("name", "protocol", "common"),
    [
        (
            "book-v1-depth10-xbtusd",
            "v1",
            {"systemStatus", "subscriptionStatus", "heartbeat", "book asbs", "book ac", "book bc", "book abc"},
        ),
        ("book-v2-depth10-btcusd", "v2", {"book snapshot", "book update"}),
        ("ticker-v1", "v1", {"systemStatus", "subscriptionStatus", "heartbeat", "ticker abcvptlho"}),
    ],
)
def test_frames_have_the_shapes_of_the_recorded_ones(
    recording: Recorded, name: str, protocol: str, common: set[str]
) -> None:
    """Keys, their order, types, and the decimals of numbers, for every kind of frame."""
    exchange = SimExchange(seed=1, rate=500)
    session = connect(exchange, protocol)
    session.receive(REQUESTS[name])
    exchange.advance(10_000_000)
    sent = [frame.data for frame in frames(session)]
    if name == "book-v2-depth10-btcusd":  # the recorded snapshot is of before they had a time
        sent[2] = re.sub(rb',"timestamp":"[^"]*"', b"", sent[2])
    ours, theirs = made_of(sent), made_of(recording(name))
    if "book abc" in theirs:  # bids that came back are recorded in frames of one side alone
        theirs["book abc"] |= {each.replace("[1].b", "[2].b") for each in theirs["book bc"]}
    assert common <= ours.keys() & theirs.keys()
    for each in sorted(common):
        assert ours[each] - theirs[each] == set(), each


def test_v1_trades_have_the_recorded_shape(recording: Recorded) -> None:
    exchange = SimExchange(seed=1, rate=100)
    session = connect(exchange, "v1")
    ask(session, Stream("trade"), ("ETH/USD",))
    exchange.advance(5_000_000)
    ours = [read(frame.data) for frame in frames(session) if frame.kind == "update"]
    theirs = [message for message in map(read, recording("trade-v1")) if isinstance(message, list)]

    def rows(messages: list[Any]) -> set[tuple[str, ...]]:
        return {tuple(type(field).__name__ for field in row) for message in messages for row in message[1]}

    assert rows(ours) == rows(theirs)
    assert {len(message) for message in ours} == {len(message) for message in theirs} == {4}
