"""What a live stream sends: one value for both carriers, and its form as a server-sent event. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html has the form. Data is JSON on one line.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import TypeAlias

import msgspec
from msgspec import Struct

__all__ = [
    "HEARTBEAT",
    "LAGGED",
    "PLACE",
    "RESET",
    "WAIT",
    "Message",
    "Messages",
    "as_events",
    "error_message",
    "lagged",
    "message",
    "place",
    "reset",
]

HEARTBEAT = b": still here\n\n"  # a comment: clients ignore it, and proxies see that the stream lives
LAGGED, RESET, WAIT, ERROR, PLACE = "lagged", "reset", "wait", "error", "place"

_encode = msgspec.json.Encoder().encode


class Message(Struct, frozen=True, gc=False):
    """One event. `id` is where a client resumes once it has it; None where it is not to be resumed from here.

    An event named "place" has no data: it only moves the place from which a quiet stream would be resumed.
    """

    event: str
    data: bytes  # JSON, one line
    id: str | None = None


Messages: TypeAlias = AsyncGenerator[list[Message], None]  # what a stream is; a list is sent in one go, and bounded


def message(event: str, data: object, id_: str | None = None) -> Message:
    return Message(event, _encode(data), id_)


def place(id_: str) -> Message:
    return Message(PLACE, b"null", id_)


def lagged(missed: int | None, reason: str) -> Message:
    """Events are missing here: how many, where that is known."""
    return message(LAGGED, {"missed": missed, "reason": reason})


def reset(reason: str) -> Message:
    """The place that was asked for means nothing here: what follows begins now."""
    return message(RESET, {"reason": reason})


def error_message(sentence: str) -> Message:
    """The last one of a stream that cannot continue."""
    return message(ERROR, {"message": sentence})


def as_events(messages: Iterable[Message]) -> bytes:
    """Messages as server-sent events."""
    parts: list[bytes] = []
    for each in messages:
        if each.id is not None:
            parts.append(b"id: %s\n" % each.id.encode())
        if each.event == PLACE:  # without data a client notes the id, and shows nothing
            parts.append(b"\n")
        else:
            parts.append(b"event: %s\ndata: %s\n\n" % (each.event.encode(), each.data))
    return b"".join(parts)
