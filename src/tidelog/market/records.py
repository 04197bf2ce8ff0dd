"""What a journal is made of: records. No I/O."""

import enum

from msgspec import Struct

from tidelog.market.events import EventId

BEGINNING = EventId(0, 0)  # before every record


class Kind(enum.Enum):
    IN = 0  # a frame as it was received
    OUT = 1  # a frame that was sent, without its token
    MARK = 2  # something that the feed noticed or decided


class Record(Struct, frozen=True, gc=False):
    """One entry of the journal."""

    id: EventId
    at_us: int  # Unix time
    kind: Kind
    payload: bytes
    restart: bool = False
