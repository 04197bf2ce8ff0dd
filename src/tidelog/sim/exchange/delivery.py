"""What a session sends, as data, for a shell to carry out."""

import enum
from typing import TypeAlias

from msgspec import Struct

from tidelog.sim.exchange.markets.book import TrueTop

ABNORMAL = 1006  # no close frame: the connection is simply gone


class Manner(enum.Enum):
    """How a message goes over the wire."""

    WHOLE = "whole"
    FRAGMENTS = "fragments"  # several frames
    COMPRESSED = "compressed"  # deflated, rsv1 set, though nobody agreed on it
    RESERVED = "reserved"  # rsv2 set, though nobody agreed on it
    TRICKLE = "trickle"  # a byte at a time


class Frame(Struct, frozen=True):
    """A message and what it is about. `kind`: snapshot, update, ack, pong, status, heartbeat, error."""

    data: bytes
    kind: str
    channel: str = ""
    symbol: str | None = None
    top: TrueTop | None = None  # of a book frame: the truth when it was made


class Message(Struct, frozen=True):
    frame: Frame
    manner: Manner = Manner.WHOLE


class Close(Struct, frozen=True):
    """The end of the connection; what would come after it is not sent."""

    code: int


class Hold(Struct, frozen=True):
    """The frame is kept back until the next one of its channel and symbol has gone."""

    frame: Frame


class Stall(Struct, frozen=True):
    """The frame's subscription is dead from now on, though nobody says so."""

    frame: Frame


class End(Struct, frozen=True):
    """The frame, and after it the exchange ends its subscription and says so, though nobody has asked for that."""

    frame: Frame


class Again(Struct, frozen=True):
    """The frame, and after it the snapshot that its channel and symbol began with, as it was then."""

    frame: Frame


class HalfOpen(Struct, frozen=True):
    """The connection stays, and nothing comes through it any more, in either direction."""


Delivery: TypeAlias = Message | Close
Effect: TypeAlias = Message | Close | Hold | Stall | End | Again | HalfOpen
