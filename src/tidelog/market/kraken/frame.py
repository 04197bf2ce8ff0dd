"""The outside of a frame, the same in both protocols: JSON. No I/O."""

import msgspec
from msgspec import Raw

from tidelog.market.events import Request, Unknown

HEAD_BYTES_READ = 256  # ... in which its channel is looked for: exchanges name it first
NAME_CHARS_SHOWN = 64  # of an unknown channel: real names have at most 20
REDACTED = "<redacted>"

ABSENT = Raw(b"")

# All that decoding can raise, for any bytes: JSON or a type is wrong, a number or a time is out of
# range, the nesting is deeper than the decoder goes. Anything else is a mistake in here.
BROKEN = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)

encode = msgspec.json.Encoder().encode


def unknown(name: str) -> Unknown:
    return Unknown(name[:NAME_CHARS_SHOWN])


def request(message: object, redacted: object) -> Request:
    return Request(encode(message), encode(redacted))
