"""What a feed notices and decides, as values: the markers of the journal. No I/O.

A marker is written before it takes effect. *Observations* come from outside: a socket opened or was lost, the user
wants something. *Decisions* come from `Session.decide`, and depend on time or chance: a replay applies them and
decides nothing again. Markers that consumers want to know of are events as well, and defined with those.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from tidelog.errors import Corruption
from tidelog.market.book import BookState
from tidelog.market.events import ClockStepped, Connected, Disconnected, Resync, Started, Stream
from tidelog.market.subscriptions import SessionState


class Wanted(Struct, frozen=True, tag=True):
    """The user wants these; a stream without symbols comes as one."""

    stream: Stream
    symbols: tuple[str, ...]


class Unwanted(Struct, frozen=True, tag=True):
    stream: Stream
    symbols: tuple[str, ...]


class Closing(Struct, frozen=True, tag=True):
    """The user wants the feed to end."""


class Refused(Struct, frozen=True, tag=True):
    """A connection could not be had."""

    reason: str
    retry_after_us: int = 0


class Authorized(Struct, frozen=True, tag=True):
    """A token was had. It is not in here."""


class Denied(Struct, frozen=True, tag=True):
    """No token could be had."""

    reason: str
    retry_after_us: int = 0


class Connect(Struct, frozen=True, tag=True):
    """Open a socket. Counts against the exchange's budget."""


class BackOff(Struct, frozen=True, tag=True):
    """Do nothing until a time."""

    until_us: int
    reason: str


class Subscribe(Struct, frozen=True, tag=True):
    stream: Stream
    symbols: tuple[str, ...]
    req_id: int


class Unsubscribe(Struct, frozen=True, tag=True):
    stream: Stream
    symbols: tuple[str, ...]
    req_id: int


class Lapse(Struct, frozen=True, tag=True):
    """No answer to a request came in time: it is taken as lost."""

    req_id: int


class Ping(Struct, frozen=True, tag=True):
    req_id: int


class Drop(Struct, frozen=True, tag=True):
    """Close the socket, and come back."""

    reason: str


class Stopped(Struct, frozen=True, tag=True):
    """The feed has ended in order; nothing comes after this in its run."""


class FullState(Struct, frozen=True, tag=True):
    """Everything a fold has come to, so that one can begin here."""

    protocol: str
    session: SessionState
    books: tuple[BookState, ...]


Observation: TypeAlias = (
    Started | Wanted | Unwanted | Closing | Connected | Refused | Disconnected | Authorized | Denied | ClockStepped
)
Decision: TypeAlias = Connect | BackOff | Subscribe | Unsubscribe | Lapse | Ping | Resync | Drop | Stopped
Mark: TypeAlias = Observation | Decision | FullState

encode_mark = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


def decode_mark(payload: bytes) -> Mark:
    """Corruption if it is none: a journal's blocks are proven, so nothing but a mistake can have written it."""
    try:
        mark: Mark = _decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Corruption(f"a marker of the journal cannot be read: {error}") from None
    return mark


def attempts_of(marks: Iterable[tuple[int, bytes]]) -> tuple[int, ...]:
    """The times of all connection attempts that markers, each with its time, tell of; oldest first."""
    times: set[int] = set()
    for at_us, payload in marks:
        mark = decode_mark(payload)
        if isinstance(mark, Connect):
            times.add(at_us)
        elif isinstance(mark, Started):
            times.update(mark.attempts)
    return tuple(sorted(times))


def ended_in_order(payload: bytes) -> bool:
    """Whether a run's last record says that nothing was to come."""
    return isinstance(decode_mark(payload), Stopped)
