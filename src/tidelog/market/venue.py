"""What an exchange is to everything else: a `Venue`, one for each of its protocols. Interfaces and values alone.

An exchange is a folder that makes one `Venue` for each protocol it speaks, and a line in `venues`, which registers
them. A journal names the protocol of each of its runs, and what is stored under that name has to stay readable by it.

| part | what the exchange says by it |
|---|---|
| `decoder` | frames to events; with a state where frames mean nothing without the ones before them |
| `requests` | what is sent to subscribe, unsubscribe, ping |
| `streams` | which channels there are, with which depths, and which are private |
| `proof` | how a book is proven: a checksum over its levels, the numbers of its messages; see `book.proof` |
| `rules` | limits and silences, what a refusal means, whether acks name symbols; see `session.rules` |
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import UNSET, Struct, UnsetType

from tidelog.errors import Corruption, Rejected
from tidelog.market.book.proof import NewProof
from tidelog.market.events import Event, Level, Request, Stream
from tidelog.market.session.rules import SessionRules


class Decoder(Protocol):
    """Reads the frames of one connection, in order. What it does is a function of those frames alone."""

    @property
    def decode(self) -> Callable[[bytes], Event]:
        """Read one frame.

        Raises:
            Rejected: it is not JSON, or not of the shape that it promises. No other error is raised, for any bytes.
        """

    @property
    def books_in(self) -> Callable[[bytes], tuple[str, ...] | None]:
        """The symbols whose books a frame may be about that `decode` refused; None: any book."""

    @property
    def state(self) -> str | UnsetType:
        """What it knows of the frames before; UNSET: nothing. Part of a stored `CoreSnapshot`."""

    def resume(self, state: str | UnsetType) -> None:
        """Take up from a state that another decoder of this venue had.

        Raises:
            Corruption: it is no such state.
        """


class FrameDecoder:
    """A `Decoder` of a protocol whose frames each say all that they mean."""

    __slots__ = ("books_in", "decode")

    def __init__(self, decode: Callable[[bytes], Event], books_in: Callable[[bytes], tuple[str, ...] | None]) -> None:
        self.decode = decode
        self.books_in = books_in

    @property
    def state(self) -> str | UnsetType:
        return UNSET

    def resume(self, state: str | UnsetType) -> None:
        if state is not UNSET:
            raise Corruption("the journal has a decoder's state of a protocol that has none")


class Requests(Protocol):
    """What is sent. Symbols are in the normal form; see `symbols`."""

    def subscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
        """Ask for a stream; `token` for the private ones, which take no symbols."""

    def unsubscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
        """Give a stream up."""

    def ping(self, req_id: int) -> Request:
        """Ask for a `Pong` with that id."""


class Streams(Protocol):
    """What can be subscribed."""

    @property
    def depths(self) -> Sequence[int]:
        """Of books, in levels a side, ascending; the first is usual."""

    def stream(self, channel: str, *, depth: int, interval: int) -> Stream:
        """The stream of that name; `depth` serves for books, `interval` (minutes) for candles.

        Raises:
            ConfigError: there is none.
        """

    def is_private(self, stream: Stream) -> bool:
        """Whether it needs a token."""

    def has_symbols(self, stream: Stream) -> bool:
        """Whether it is subscribed by symbol; the others come as one."""


class RecordedFrames(Protocol):
    """What frames say of themselves where a file has nothing else; see `replay.recording`. No method decodes one."""

    def is_spoken(self, frame: bytes) -> bool:
        """Whether a frame is of this protocol, as far as it says."""

    def time_us(self, frame: bytes) -> int:
        """The latest time in it, Unix time; 0: it has none."""

    def is_answer(self, frame: bytes) -> bool:
        """Whether it may answer a request."""

    def is_about_books(self, frame: bytes) -> bool:
        """Whether it may be a message of a book, or the answer to a request for one."""

    def is_snapshot(self, frame: bytes) -> bool:
        """Whether it may begin a book."""

    def books_named(self, frame: bytes) -> Sequence[bytes]:
        """The names of the books that it updates, as they stand in it."""

    def depth(self, frame: bytes) -> int | None:
        """The depth that its book was subscribed with; None: it does not say."""


class CompiledFrames(Struct, frozen=True):
    """How the compiled core reads the frames of a protocol; its books have to be proven by Kraken's checksum."""

    scanner: str  # its name there
    name_of: Callable[[str], str | None]  # a symbol as frames have it; None: they have no such symbol
    decode: Callable[[bytes], Event]  # reads one, which says all that it means by itself
    level: type[Level]  # the class of the levels in what that gives
    level_is_text: bool  # ... is made of the texts of a price and a quantity; else by its `of_texts`


class Venue(Struct, frozen=True):
    """An exchange in one of its protocols."""

    protocol: str  # its name in journals, files of configuration and options: no two venues share one
    exchange: str
    url: str  # of the WebSocket
    private_url: str  # the same for private streams; "": there are none
    decoder: Callable[[], Decoder]  # a new one, for a new connection
    requests: Requests
    streams: Streams
    proof: NewProof
    rules: SessionRules
    trades_marked: bytes = b""  # is in each frame that has trades: others need not be decoded by who wants trades alone
    compiled: CompiledFrames | None = None  # None: the compiled core does not know them
    recorded: RecordedFrames | None = None  # None: a file of its frames is no recording that can be replayed


class TokenKey(Protocol):
    """What signs the REST call for a token of private streams. It does no I/O; `live.tokens` makes the call."""

    def token_call(self, nonce: str) -> tuple[str, Mapping[str, str], bytes]:
        """Path, headers and body of a POST. `nonce` grows from call to call."""

    def read_token(self, body: bytes, endpoint: str) -> str:
        """The token that an answer has.

        Raises:
            Rejected: the exchange does not accept the key.
            Throttled, Unreachable: there is none now.
        """

    def words_of(self, body: bytes) -> str:
        """What the exchange says in an answer that is no success; empty where it says nothing."""


def unreadable(frame: bytes, why: object) -> Rejected:
    """What a decoder raises for a frame that it cannot read: its length, why, and its head."""
    head = frame[:HEAD_BYTES_SHOWN]
    cut = "..." if len(frame) > HEAD_BYTES_SHOWN else ""
    return Rejected(f"malformed frame of {len(frame)} bytes: {why}: {head!r}{cut}")


HEAD_BYTES_SHOWN = 120  # of a broken frame: enough to recognise it, little enough for a log line
