"""The outside of a frame, the same in both protocols: JSON, and how a broken one is told. No I/O."""

import msgspec
from msgspec import Raw

from tidelog.errors import Rejected
from tidelog.market.events import Request, Unknown

HEAD_BYTES_SHOWN = 120  # of a broken frame: enough to recognise it, little enough for a log line
HEAD_BYTES_READ = 256  # ... in which its channel is looked for: exchanges name it first
NAME_CHARS_SHOWN = 64  # of an unknown channel: real names have at most 20
REDACTED = "<redacted>"

ABSENT = Raw(b"")

# All that decoding can raise, whatever the bytes: JSON or a type is wrong, a number or a time is out of
# range, the nesting is deeper than the decoder goes. Anything else is a mistake in here.
BROKEN = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)

encode = msgspec.json.Encoder().encode


def malformed(frame: bytes, why: object) -> Rejected:
    """What to raise for a frame that cannot be read: its head, its length, and why."""
    head = frame[:HEAD_BYTES_SHOWN]
    cut = "..." if len(frame) > HEAD_BYTES_SHOWN else ""
    return Rejected(f"malformed frame of {len(frame)} bytes: {why}: {head!r}{cut}")


def unknown(name: str) -> Unknown:
    return Unknown(name[:NAME_CHARS_SHOWN])


def request(message: object, redacted: object) -> Request:
    return Request(encode(message), encode(redacted))
