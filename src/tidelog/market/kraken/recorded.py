"""What Kraken's frames say of themselves where nothing but the frames was kept: protocol, time, depth, book. No I/O."""

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from tidelog.market.events import micros

_TIME_V1 = re.compile(rb'(?<!"expiretm":)(?<!"starttm":)"(\d{10}\.\d{6})"')
_TIME_V2 = re.compile(rb'"timestamp"\s*:\s*"([^"]{20,32})"')
_BEGIN_V2 = re.compile(rb'"interval_begin"\s*:\s*"([^"]{20,32})"')
_CANDLES = re.compile(rb'"channel"\s*:\s*"ohlc"|"ohlc-\d+"')
_V2_KEYS = re.compile(rb'\{\s*"(channel|method)"')
_DEPTH_V1 = re.compile(rb'"book-(\d+)"\s*,\s*"[^"]*"\s*\]\s*\Z')
_SYMBOL_V2 = re.compile(rb'"symbol"\s*:\s*"([^"\\]+)"')
_ANSWER = re.compile(rb'"method"\s*:|"subscriptionStatus"')


class KrakenFrames(Struct, frozen=True):
    """Recorded frames of one protocol; see `venue.RecordedFrames`."""

    protocol: str

    def is_spoken(self, frame: bytes) -> bool:
        return _protocol_of(frame) == self.protocol

    def time_us(self, frame: bytes) -> int:
        latest, numbered, written = 0, _TIME_V1.findall(frame), _TIME_V2.findall(frame)
        if (numbered or written) and _CANDLES.search(frame):  # whose second time is the end, which is still to come
            numbered = numbered[:1]
            written = _TIME_V2.findall(frame.partition(b'"data"')[0]) + _BEGIN_V2.findall(frame)
        for found in numbered:
            latest = max(latest, int(found.replace(b".", b"")))
        for found in written:
            try:
                latest = max(latest, micros(datetime.fromisoformat(found.decode())))
            except (ValueError, TypeError, UnicodeDecodeError):
                continue
        return latest

    def is_answer(self, frame: bytes) -> bool:
        return _ANSWER.search(frame) is not None

    def is_about_books(self, frame: bytes) -> bool:
        return b"book" in frame

    def is_snapshot(self, frame: bytes) -> bool:
        return b'"snapshot"' in frame[:256] or b'"as"' in frame or b'"bs"' in frame

    def books_named(self, frame: bytes) -> Sequence[bytes]:
        if self.protocol == "v2":
            return _SYMBOL_V2.findall(frame)
        return [frame[frame.rfind(b',"') + 2 : frame.rfind(b'"')]]

    def depth(self, frame: bytes) -> int | None:
        named = _DEPTH_V1.search(frame) if self.protocol == "v1" else None
        return None if named is None else int(named[1])


def _protocol_of(frame: bytes) -> str | None:
    """Which protocol a frame is of; None: it does not say."""
    if frame.startswith(b"["):
        return "v1"
    if _V2_KEYS.match(frame):
        return "v2"
    if frame.startswith(b"{"):
        return _by_keys(frame)
    return None


def _by_keys(frame: bytes) -> str | None:
    try:
        keys = msgspec.json.decode(frame, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if "channel" in keys or "method" in keys:
        return "v2"
    return "v1" if "event" in keys else None
