"""The journal as a fold sees it: decoded frames and the feed's own marks, in order, all of them durable.

A journal's reader makes these; the loader, and any other fold, is a function of them. No I/O.
"""

from typing import TypeAlias

from msgspec import Struct

from tidelog.market.book import Check
from tidelog.market.events import BookSnapshot, Event, EventId

CONNECTED, DISCONNECTED, GAP, RESYNC, CLOCK = "connected", "disconnected", "gap", "resync", "clock"


class Marker(Struct, frozen=True, gc=False):
    """What the feed itself noted between frames. A kind that a fold does not know means nothing to it.

    connected: a connection is up; nothing was received on it yet.
    disconnected: it ended; `detail` says why.
    clock: the wall clock was set back; no time was lost.
    gap: frames that were received are missing here; `detail` says why.
    resync: the book of the symbol in `detail` was given up, and asked for again.
    """

    kind: str
    detail: str = ""


class Standing(Struct, frozen=True, gc=False):
    """A book as it stands where a reader begins in the middle: news to a fold that has not seen how it came so.

    Its id and time mean nothing.
    """

    depth: int  # as it is subscribed
    book: BookSnapshot  # whole, its numbers written with all of their decimals


FoldedEvent: TypeAlias = Event | Marker | Standing


class Folded(Struct, frozen=True, gc=False):
    """One entry of the journal. Ids grow; times are the journal's, and may stand still or go back."""

    id: EventId
    at_us: int  # Unix time, microseconds: when it was received, or noted
    event: FoldedEvent
    check: Check | None = None  # what a message proved about its book; None: it is about no followed book
    checks: tuple[Check | None, ...] = ()  # of a `BookUpdates`, one for each of its parts
    doubted: tuple[str, ...] = ()  # symbols whose books it leaves in doubt, because it could not be read
    depth: int | None = None  # as subscribed, of the book of a snapshot; None: it is not known
    refused: tuple[tuple[str, str | None], ...] = ()  # channel and symbol of what a refusal keeps from us
