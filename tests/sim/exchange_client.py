"""A client of the simulated exchange for its tests: no socket, the engine's own codecs and books."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from msgspec import Struct

from tidelog.market.book.books import Books
from tidelog.market.book.proof import Check
from tidelog.market.events import BookDelta, BookSnapshot, Event, Stream
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.delivery import Close, Delivery, Frame, Message
from tidelog.sim.exchange.session import Session

CODECS: dict[str, ModuleType] = {"v1": v1, "v2": v2}
PATHS = {"v1": "/", "v2": "/v2"}
SYMBOLS = ("BTC/USD", "ETH/USD")


def connect(exchange: SimExchange, protocol: str = "v2", *, private: bool = False) -> Session:
    session = exchange.connect(("/auth" if private else "") + PATHS[protocol])
    assert isinstance(session, Session)
    return session


def drain(session: Session) -> list[Delivery]:
    deliveries = list(session.outbox)
    session.outbox.clear()
    return deliveries


def frames(session: Session) -> list[Frame]:
    """What was sent; nothing but whole messages is expected."""
    return [message.frame for message in drain(session) if isinstance(message, Message)]


def closes(deliveries: Iterable[Delivery]) -> list[int]:
    return [delivery.code for delivery in deliveries if isinstance(delivery, Close)]


def ask(session: Session, stream: Stream, symbols: Sequence[str] = ("BTC/USD",), **more: Any) -> None:
    codec = CODECS[session.dialect.NAME]
    session.receive(codec.subscribe(stream, symbols, more.pop("req_id", 1), **more).frame)


def give_up(session: Session, stream: Stream, symbols: Sequence[str] = ("BTC/USD",)) -> None:
    session.receive(CODECS[session.dialect.NAME].unsubscribe(stream, symbols, 2).frame)


def events(session: Session) -> list[Event]:
    decode = CODECS[session.dialect.NAME].decode
    return [decode(frame.data) for frame in frames(session)]


class Follower(Struct):
    """Books fed with a connection's messages; every one that is shown as proven is compared with the truth."""

    exchange: SimExchange
    books: Books
    connection_id: int
    index: int = 0  # of the next message
    proven: int = 0
    mismatched: int = 0

    def take(self, message: bytes) -> Event:
        event, check = self.books.apply_frame(message)
        if isinstance(event, BookDelta | BookSnapshot):
            book = self.books.by_symbol.get(event.symbol)
            if book is not None and book.proven:
                top = self.exchange.truth.top10(self.connection_id, self.index)
                assert top is not None
                assert book.top(10) == (top.bids, top.asks), "a proven book is the exchange's"
                self.proven += 1
            self.mismatched += check is Check.MISMATCHED
        self.index += 1
        return event


def follower(exchange: SimExchange, protocol: str, connection_id: int, depth: int) -> Follower:
    books = Books(CODECS[protocol].decode, ChecksumProof)
    for symbol in exchange.markets:
        books.open(symbol, depth)
    return Follower(exchange, books, connection_id)
