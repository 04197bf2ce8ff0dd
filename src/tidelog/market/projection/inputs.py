"""What a projection takes: durable events in order, single or in stretches, and books where its reader begins. Pure."""

from typing import TypeAlias

from msgspec import Struct

from tidelog.market.book.lending import Stretch
from tidelog.market.core import JournalEvent
from tidelog.market.events import BookSnapshot, EventId
from tidelog.market.venues import DEFAULT

__all__ = ["Baseline", "ProjectionInput"]


class Baseline(Struct, frozen=True, gc=False):
    """A book as it is at a position in the journal, where a reader begins or continues behind what was dropped."""

    id: EventId  # the position
    at_us: int
    depth: int  # as it is subscribed
    book: BookSnapshot  # whole, its numbers written with all of their decimals
    is_news: bool = True  # the records before it were not read, so its changes are not known
    protocol: str = DEFAULT


ProjectionInput: TypeAlias = JournalEvent | Baseline | Stretch
