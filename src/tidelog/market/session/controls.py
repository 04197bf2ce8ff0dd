"""What a feed notices and decides, as values: the control records of a journal. No I/O.

A control record is written before it takes effect. *Observations* come from outside: a socket opened or was lost, the
user wants something. *Decisions* come from `Session.decide`, and depend on time or chance: a replay applies them and
decides nothing again. Those that consumers want to know of are events as well, and defined with those.
A class's tag is its name in the journal, which does not change.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tidelog.errors import Corruption
from tidelog.market.book.levels import BookState
from tidelog.market.events import ClockStepped, Connected, Disconnected, Resync, Started, Stream
from tidelog.market.session.subscription.subscriptions import SessionState


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


class AckTimeout(Struct, frozen=True, tag="Lapse"):
    """No answer to a request came in time: it is taken as lost."""

    req_id: int


class Ping(Struct, frozen=True, tag=True):
    req_id: int


class Drop(Struct, frozen=True, tag=True):
    """Close the socket, and come back."""

    reason: str


class Stopped(Struct, frozen=True, tag=True):
    """The feed has ended in order; nothing comes after this in its run."""


class CoreSnapshot(Struct, frozen=True, tag="FullState"):
    """The whole state of a core, so that another one can start from it."""

    protocol: str
    session: SessionState
    books: tuple[BookState, ...]
    begun_us: int | UnsetType = UNSET  # when its run began; journals of older versions do not say it
    decoder: str | UnsetType = UNSET  # what the decoder knows of earlier frames; in no encoding where that is nothing


Observation: TypeAlias = (
    Started | Wanted | Unwanted | Closing | Connected | Refused | Disconnected | Authorized | Denied | ClockStepped
)
Decision: TypeAlias = Connect | BackOff | Subscribe | Unsubscribe | AckTimeout | Ping | Resync | Drop | Stopped
Control: TypeAlias = Observation | Decision | CoreSnapshot

encode_control = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Control).decode


def decode_control(payload: bytes) -> Control:
    """Corruption if it is none: a journal's blocks are proven, so nothing but a mistake can have written it."""
    try:
        control: Control = _decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Corruption(f"a marker of the journal cannot be read: {error}") from None
    return control


def attempts_of(controls: Iterable[tuple[int, bytes]]) -> tuple[int, ...]:
    """The times of all connection attempts that control records, each with its time, tell of; oldest first."""
    times: set[int] = set()
    for at_us, payload in controls:
        control = decode_control(payload)
        if isinstance(control, Connect):
            times.add(at_us)
        elif isinstance(control, Started):
            times.update(control.attempts)
    return tuple(sorted(times))


def ended_in_order(payload: bytes) -> bool:
    """Whether a run's last record says that nothing was to come."""
    return isinstance(decode_control(payload), Stopped)
