"""An HTTP answer as data, with how it ends: what a server, or a transport inside the process, plays back."""

import enum

from msgspec import Struct

from tidelog.sim.node.witness import Statement

TRICKLE_S = 1.0  # between two bytes
JSON_HEADERS = (("content-type", "application/json"),)


class Ending(enum.Enum):
    """What happens after the last byte of the body that was given."""

    COMPLETE = "complete"
    CUT = "cut"  # more was promised, and the connection dies
    STALL = "stall"  # nothing comes any more, not even the head of the answer; the connection stays open
    HANG = "hang"  # the head and the body so far are sent, and nothing behind them; the connection stays open
    TRICKLE = "trickle"  # the body comes byte by byte, one in TRICKLE_S
    ENDLESS = "endless"  # the body is sent over and over
    RESET = "reset"  # the connection dies before the head of the answer


class Answer(Struct, frozen=True):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS  # names in lower case
    ending: Ending = Ending.COMPLETE
    delay_s: float = 0.0  # before the head of the answer
    statement: Statement | None = None  # what it says of blocks, for who judges what came of it
