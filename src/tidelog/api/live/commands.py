"""The commands of the WebSocket: what a client may say, and what it is answered. No I/O.

    {"op": "subscribe", "id": "a", "channel": "changes", "chain": 1, "after": 17, "blocks": "header"}
    {"op": "subscribe", "id": "b", "channel": "trades", "symbol": "BTC/USD", "after": "3-1200"}
    {"op": "subscribe", "id": "c", "channel": "book", "symbol": "BTC/USD", "levels": 5}
    {"op": "subscribe", "id": "d", "channel": "candles", "symbol": "BTC/USD", "interval": "1m", "after": 0}
    {"op": "unsubscribe", "id": "a"}
    {"op": "ping", "id": "1"}

Every command is answered, in order: "subscribed", "unsubscribed", "pong", or "refused" with a sentence. Events are
{"op": "event", "id", "event", "at", "data"}: `id` is the subscription's, `at` what to give as `after` later. A
subscription that ends by itself ends with {"op": "ended", "id", "error"}.
"""

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from tidelog.api.live.messages import Message
from tidelog.api.live.topics import (
    LEVELS_DEFAULT,
    Book,
    Candles,
    Changes,
    Topic,
    Trades,
    interval_of,
    number_of,
    place_of,
    symbol_of,
)
from tidelog.api.problems import Refused

__all__ = ["MESSAGE_BYTES_MAX", "Command", "Ping", "Subscribe", "Unsubscribe", "answer", "event", "parse"]

MESSAGE_BYTES_MAX = 4_096  # of a command: many times the longest that there is
ID_CHARS_MAX = 64

_SHAPES = {
    "changes": ({"chain"}, {"after", "blocks"}),
    "trades": ({"symbol"}, {"recording", "after"}),
    "book": ({"symbol"}, {"recording", "levels"}),
    "candles": ({"symbol"}, {"recording", "interval", "after"}),
}  # channel to the fields that it needs, and those that it takes


class _Wire(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A command as it comes. None: it does not say."""

    op: Literal["subscribe", "unsubscribe", "ping"]
    id: str | int | None = None
    channel: str | None = None
    chain: int | None = None
    symbol: str | None = None
    recording: str | None = None
    after: str | int | None = None
    blocks: Literal["header"] | None = None
    levels: int | None = None
    interval: str | int | None = None


class Subscribe(Struct, frozen=True):
    id: str | None  # None: the server gives one
    topic: Topic


class Unsubscribe(Struct, frozen=True):
    id: str


class Ping(Struct, frozen=True):
    id: str | None


Command: TypeAlias = Subscribe | Unsubscribe | Ping

_decode = msgspec.json.Decoder(_Wire).decode
_encode = msgspec.json.Encoder().encode


def parse(text: str | bytes) -> Command:
    """What a client says. Raises Refused with a sentence where it cannot be meant."""
    if len(text) > MESSAGE_BYTES_MAX:
        raise Refused(413, f"a command has at most {MESSAGE_BYTES_MAX} bytes")
    try:
        wire = _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refused(400, f"not a command: {str(error)[:200]}") from None
    id_ = None if wire.id is None else str(wire.id)
    if id_ is not None and not 1 <= len(id_) <= ID_CHARS_MAX:
        raise Refused(400, f"an id has 1 to {ID_CHARS_MAX} characters")
    if wire.op == "ping":
        return Ping(id_)
    if wire.op == "unsubscribe":
        if id_ is None:
            raise Refused(400, "unsubscribe needs the id of a subscription")
        return Unsubscribe(id_)
    return Subscribe(id_, _topic(wire))


def _topic(wire: _Wire) -> Topic:
    shape = _SHAPES.get(wire.channel or "")
    if shape is None:
        raise Refused(400, f"channel {str(wire.channel)[:40]!r}: say {', '.join(_SHAPES)}")
    said = set(msgspec.to_builtins(wire)) - {"op", "id", "channel"}
    needed, taken = shape
    if missing := sorted(needed - said):
        raise Refused(400, f"{wire.channel} needs {', '.join(missing)}")
    if beyond := sorted(said - needed - taken):
        raise Refused(400, f"{wire.channel} does not take {', '.join(beyond)}")
    after = None if wire.after is None else str(wire.after)
    if wire.channel == "changes":
        assert wire.chain is not None
        seq = None if after is None else number_of("after", after)
        return Changes(number_of("chain", str(wire.chain)), seq, wire.blocks is not None)
    assert wire.symbol is not None
    symbol = symbol_of(wire.symbol)
    if wire.channel == "trades":
        return Trades(symbol, wire.recording, None if after is None else place_of("after", after))
    if wire.channel == "book":
        return Book(symbol, wire.recording, LEVELS_DEFAULT if wire.levels is None else wire.levels)
    interval_s = interval_of(str(wire.interval or "1m"))
    return Candles(symbol, wire.recording, interval_s, None if after is None else number_of("after", after))


def answer(op: str, **fields: Any) -> bytes:
    """What the server says of a command, or of a subscription's end."""
    return _encode({"op": op, **{name: value for name, value in fields.items() if value is not None}})


def event(id_: str, message: Message) -> bytes:
    """An event of a subscription."""
    data = msgspec.Raw(message.data)
    return _encode({"op": "event", "id": id_, "event": message.event, "at": message.id, "data": data})
