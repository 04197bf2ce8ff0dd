"""What a journal is made of: records. No I/O."""

import enum

from msgspec import Struct

from tidelog.market.events import EventId

BEGINNING = EventId(0, 0)  # before every record


class Kind(enum.Enum):
    IN = 0  # a frame as it was received
    OUT = 1  # a frame that was sent, without its token
    MARK = 2  # something that the feed noticed or decided
    LOST = 3  # records that the reader had not read are gone, and this stands where they were; never written


JOURNALED = (Kind.IN, Kind.OUT, Kind.MARK)


class Record(Struct, frozen=True, gc=False):
    """One entry of the journal."""

    id: EventId
    at_us: int  # Unix time
    kind: Kind
    payload: bytes
    restart: bool = False
