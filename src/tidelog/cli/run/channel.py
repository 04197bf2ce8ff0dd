"""What the supervisor and a process tell each other, a JSON object a line, over its standard input and output.

The configuration goes this way, so that a process gets what the supervisor has accepted, whatever the file says by
then; and when the input ends, the supervisor is gone.
"""

from typing import Literal

import msgspec
from msgspec import Struct

Level = Literal["debug", "info", "warning", "error"]


class Order(Struct, frozen=True, omit_defaults=True):
    """From the supervisor."""

    config: str | None = None  # the text of the file; the first order has it, and no other
    level: Level | None = None  # of the logs


class Report(Struct, frozen=True, omit_defaults=True):
    """From the process."""

    running: bool = False
    failed: str | None = None  # why it ends, in a sentence


_encode = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(Order).decode
decode_report = msgspec.json.Decoder(Report).decode


def line(message: Order | Report) -> bytes:
    return _encode(message) + b"\n"
