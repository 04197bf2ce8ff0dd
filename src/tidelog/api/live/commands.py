"""The commands of the WebSocket, and their answers. No I/O.

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

from inspect import signature
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct, to_builtins

from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.messages import Message
from tidelog.api.live.feeds.topics import CHANNELS, Topic

__all__ = ["MESSAGE_BYTES_MAX", "Command", "Ping", "Subscribe", "Unsubscribe", "answer", "event", "parse"]

MESSAGE_BYTES_MAX = 4_096  # of a command: many times the longest that there is
ID_CHARS_MAX = 64


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
    channel = CHANNELS.get(wire.channel or "")
    if channel is None:
        raise Refused(400, f"channel {str(wire.channel)[:40]!r}: say {', '.join(CHANNELS)}")
    said = {name: value for name, value in to_builtins(wire).items() if name not in ("op", "id", "channel")}
    taken = signature(channel).parameters
    needed = {name for name, each in taken.items() if each.default is each.empty}
    if missing := sorted(needed - said.keys()):
        raise Refused(400, f"{wire.channel} needs {', '.join(missing)}")
    if beyond := sorted(said.keys() - taken.keys()):
        raise Refused(400, f"{wire.channel} does not take {', '.join(beyond)}")
    return channel(**said)


def answer(op: str, **fields: Any) -> bytes:
    """What the server says of a command, or of a subscription's end."""
    return _encode({"op": op, **{name: value for name, value in fields.items() if value is not None}})


def event(id_: str, message: Message) -> bytes:
    """An event of a subscription."""
    data = msgspec.Raw(message.data)
    return _encode({"op": "event", "id": id_, "event": message.event, "at": message.id, "data": data})
