"""The books of a connection: what a compiled path that replaces `Books` has to do as well."""

from collections import Counter
from types import ModuleType

import pytest

from tests.market.conftest import Recording
from tests.market.kraken.frames import V1, V2
from tests.market.ladder import crc, snapshot
from tests.market.paths import books_on_either_path
from tidelog.errors import Rejected
from tidelog.market.book.books import Books
from tidelog.market.book.levels import Precision
from tidelog.market.book.proof import Check
from tidelog.market.events import Heartbeat
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof

__all__ = ["books_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("books_on_either_path")

RECORDED = [
    ("book-v1-depth10-xbtusd", v1, {None: 170, Check.UNCHECKED: 1, Check.MATCHED: 979}),
    ("book-v2-depth10-btcusd", v2, {Check.MATCHED: 510}),
]


@pytest.mark.parametrize(("name", "codec", "checks"), RECORDED)
def test_every_recorded_frame_is_taken_and_proven(
    recording: Recording, name: str, codec: ModuleType, checks: dict[Check | None, int]
) -> None:
    books = Books(codec.decode, ChecksumProof)
    book = books.open("BTC/USD", 10)
    assert Counter(books.apply_frame(frame)[1] for frame in recording(name)) == checks
    assert book.proven
    assert books.by_symbol == {"BTC/USD": book}


def test_a_worked_example_of_the_exchange_needs_the_precision_of_its_instrument() -> None:
    books = Books(v2.decode, ChecksumProof)
    books.open("MATIC/USD", 10, Precision(4, 8))
    assert books.apply_frame(V2["book snapshot"])[1] is Check.MISMATCHED  # one level of the example's ten
    assert books.by_symbol["MATIC/USD"].asks == ((5668, 441079769741),)


def test_one_symbol_does_not_touch_another() -> None:
    books = Books(v1.decode, ChecksumProof)
    bitcoin, siacoin = books.open("BTC/USD", 10), books.open("SC/EUR", 1000)
    books.apply_frame(V1["book snapshot"])
    before_bids = bitcoin.bids
    assert books.apply_frame(V1["book update of both sides"])[1] is Check.REFUSED  # it has no snapshot yet
    assert (bitcoin.bids, siacoin.refusal) == (before_bids, "a book update without a snapshot before it")


def test_what_is_about_no_open_book_passes_by() -> None:
    books = Books(v2.decode, ChecksumProof)
    assert books.apply_frame(V2["heartbeat"]) == (Heartbeat(), None)
    event, check = books.apply_frame(V2["book snapshot"])
    assert (event, check) == (v2.decode(V2["book snapshot"]), None)
    books.open("MATIC/USD", 10)
    assert books.apply_frame(V2["book snapshot"])[1] is Check.MISMATCHED
    books.close("MATIC/USD")
    assert books.apply_frame(V2["book snapshot"])[1] is None
    books.close("MATIC/USD")


@pytest.mark.parametrize(
    ("symbols", "doubted"),
    [
        (("A/USD",), {"A/USD"}),
        (("A/USD", "B/USD"), {"A/USD", "B/USD"}),
        (("A/USD", "unheard of"), {"A/USD"}),
        (("unheard of",), {"A/USD", "B/USD"}),
        (None, {"A/USD", "B/USD"}),
        ((), set()),
    ],
)
def test_lost_frame_has_the_books_in_doubt_that_it_may_have_been_about(
    symbols: tuple[str, ...] | None, doubted: set[str]
) -> None:
    books = Books(v2.decode, ChecksumProof)
    bids, asks = [("1.0", "1.0")], [("2.0", "1.0")]
    for symbol in ("A/USD", "B/USD"):
        books.open(symbol, 10).apply(snapshot(bids, asks, crc(asks, bids), symbol))
        assert books.by_symbol[symbol].proven
    assert set(books.suspect(symbols)) == doubted
    assert {symbol for symbol, book in books.by_symbol.items() if not book.proven} == doubted


def test_a_malformed_frame_changes_no_book() -> None:
    books = Books(v2.decode, ChecksumProof)
    book = books.open("MATIC/USD", 10)
    books.apply_frame(V2["book snapshot"])
    before_bids = book.bids
    with pytest.raises(Rejected, match="malformed frame"):
        books.apply_frame(V2["book update"][:-3])
    assert book.bids == before_bids
