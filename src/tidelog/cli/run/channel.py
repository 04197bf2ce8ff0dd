"""What the supervisor and a process tell each other, a JSON object a line, over its standard input and output.

The configuration goes this way, so that a process gets what the supervisor has accepted, even if the file changed by
then, and its own part alone; and when the input ends, the supervisor is gone.
"""

from typing import Literal

import msgspec
from msgspec import Struct

Level = Literal["debug", "info", "warning", "error"]


class Order(Struct, frozen=True, omit_defaults=True):
    """From the supervisor."""

    config: str | None = None  # a `Part`, as `config.handed` writes it; the first order has it, and no other
    level: Level | None = None  # of the logs
    symbols: tuple[str, ...] | None = None  # that a recording has to follow from now on


class Report(Struct, frozen=True, omit_defaults=True):
    """From the process."""

    running: bool = False
    failed: str | None = None  # why it ends, in a sentence


_encode = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(Order).decode
decode_report = msgspec.json.Decoder(Report).decode


LINE_BYTES_MAX = 64 * 1024  # of an order, beside the first: some thousand symbols


def line(message: Order | Report) -> bytes:
    return _encode(message) + b"\n"
