"""The toy as a `Venue`: frames to events and back, its streams, limits and words.

| it sends | |
|---|---|
| `{"ok":"sub","id":7,"books":{"1":"A/USD","2":"B/USD"},"depth":5}` | one ack for a request: from now on 1 is A/USD |
| `{"ok":"unsub","id":8}`, `{"ok":"ping","id":9}`, `{"hb":1}` | |
| `{"no":"no such market","id":7}`, `{"no":"too fast"}` | a refusal; the second names no request |
| `[1,"all",100,[["100.0","1"]],[["101.0","2"]]]` | a book, as of its message 100: bids, asks |
| `[1,"new",101,103,[["100.0","3"]],[]]` | what changed in its messages 101 to 103 |
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tidelog.errors import ConfigError, Corruption
from tidelog.market.book.proof import SequenceProof
from tidelog.market.events import (
    Ack,
    BookDelta,
    BookSnapshot,
    Event,
    Heartbeat,
    Pong,
    Rejection,
    Request,
    SequenceSpan,
    Stream,
    Unknown,
)
from tidelog.market.session.limits import SECOND, SessionLimits, SilenceLimits
from tidelog.market.session.rules import Refusal, SessionRules
from tidelog.market.venue import Venue, unreadable

PROTOCOL = "toy-1"
DEPTHS = (5, 50)


class Level(Struct, frozen=True, array_like=True):
    price_text: str
    qty_text: str


Side = tuple[Level, ...]


class _Notice(Struct):
    ok: str = ""
    no: str = ""
    hb: int = 0
    id: int | None = None
    books: dict[int, str] = {}
    depth: int | None = None


_decode_notice = msgspec.json.Decoder(_Notice).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_side = msgspec.json.Decoder(Side).decode
_decode_number = msgspec.json.Decoder(int).decode
_decode_names = msgspec.json.Decoder(dict[int, str]).decode
_encode = msgspec.json.Encoder().encode


class ToyDecoder:
    """Knows which number is which book on this connection: its acks say it, its messages take it as known."""

    def __init__(self) -> None:
        self._symbols: dict[int, str] = {}

    def decode(self, frame: bytes) -> Event:
        try:
            return self._message(_decode_items(frame)) if frame.startswith(b"[") else self._notice(frame)
        except (msgspec.DecodeError, ValueError, KeyError, RecursionError) as error:
            raise unreadable(frame, error) from None

    def _message(self, items: list[msgspec.Raw]) -> Event:
        if len(items) not in (5, 6):
            raise ValueError(f"{len(items)} elements")
        symbol = self._symbols[_decode_number(items[0])]
        bids, asks = _decode_side(items[-2]), _decode_side(items[-1])
        first, last = _decode_number(items[2]), _decode_number(items[-3])
        event = BookSnapshot if len(items) == 5 else BookDelta
        return event(symbol, bids, asks, None, sequence=SequenceSpan(first, last))

    def _notice(self, frame: bytes) -> Event:
        notice = _decode_notice(frame)
        if notice.no:
            return Rejection(notice.no, req_id=notice.id)
        if notice.hb:
            return Heartbeat()
        match notice.ok:
            case "sub":
                self._symbols |= notice.books
                return Ack("subscribe", "book", None, notice.depth, None, notice.id)
            case "unsub":
                return Ack("unsubscribe", "book", None, None, None, notice.id)
            case "ping":
                return Pong(notice.id)
        return Unknown(notice.ok)

    def books_in(self, frame: bytes) -> tuple[str, ...] | None:
        number = frame[1:].partition(b",")[0] if frame.startswith(b"[") else b""
        symbol = self._symbols.get(int(number)) if number.isdigit() else None
        return None if symbol is None else (symbol,)

    @property
    def state(self) -> str | UnsetType:
        return _encode(self._symbols).decode() if self._symbols else UNSET

    def resume(self, state: str | UnsetType) -> None:
        if state is not UNSET:
            try:
                self._symbols = _decode_names(state)
            except msgspec.DecodeError:
                raise Corruption("the journal has a state of the toy's decoder that cannot be read") from None


class _Requests:
    def subscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
        return _request(op="sub", id=req_id, books=symbols, depth=stream.depth)

    def unsubscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
        return _request(op="unsub", id=req_id, books=symbols)

    def ping(self, req_id: int) -> Request:
        return _request(op="ping", id=req_id)


def _request(**message: Any) -> Request:
    frame = _encode(message)
    return Request(frame, frame)


class _Streams(Struct, frozen=True):
    depths: tuple[int, ...] = DEPTHS

    def stream(self, channel: str, *, depth: int, interval: int) -> Stream:
        if channel != "book" or depth not in DEPTHS:
            raise ConfigError(f"the toy has books of depth 5 and 50, and no {channel} of {depth}")
        return Stream("book", depth)

    def is_private(self, stream: Stream) -> bool:
        return False

    def has_symbols(self, stream: Stream) -> bool:
        return True


def _refusal(rejection: Rejection) -> Refusal:
    return Refusal.THROTTLED if rejection.error == "too fast" else Refusal.OTHER


LIMITS = SessionLimits(
    requests_per_s=1_000,
    symbols_per_request=2,
    throttled_us=SECOND // 100,
    attempts_window_us=SECOND,
    attempts_max=100,
    outage_first_us=SECOND // 10,
    outage_max_us=SECOND,
    ping_after_us=5 * SECOND,
    silent_us=15 * SECOND,
    fills_shown=1,
    silence=SilenceLimits(first_data_us=lambda stream: 10 * SECOND, stale_least_us={"book": 30 * SECOND}),
)

VENUES = {
    PROTOCOL: Venue(
        protocol=PROTOCOL,
        exchange="toy",
        url="ws://toy.example",
        private_url="",
        decoder=ToyDecoder,
        requests=_Requests(),
        streams=_Streams(),
        proof=SequenceProof,
        rules=SessionRules(LIMITS, _refusal, acks_name_symbols=False),
    )
}
