"""True books: what of a change is told to whom, and the checksum."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.market.conftest import Recording
from tidelog.sim.exchange.markets.book import Change, Levels, Side, TrueBook, checksum
from tidelog.sim.exchange.markets.pairs import PAIRS, number


def side_of(text: str, name: str = "asks") -> Side:
    """A side from "price:qty price:qty"."""
    side = Side("asks" if name == "asks" else "bids")
    for price, qty in [level.split(":") for level in text.split()]:
        side.put(Change(side.name, int(price), int(qty), 0))
    return side


# what is there        what happens     what a subscriber to depth 3 is told; * is a level that came back
TOLD = [
    ("1:5 2:5 3:5 4:5", "2:7", "2:7"),
    ("1:5 2:5 3:5 4:5", "4:7", ""),  # outside of the window
    ("1:5 2:5 3:5 4:5", "2:0", "2:0 4:5*"),
    ("1:5 2:5 3:5 4:5", "1:0 2:0", "1:0 2:0 4:5*"),
    ("1:5 2:5 3:5 4:5 5:5", "1:0 2:0", "1:0 2:0 4:5* 5:5*"),
    ("2:5 3:5 4:5", "1:7", "1:7"),  # 4 falls out, and nothing says so
    ("2:5 3:5 4:5", "1:7 4:6", "1:7"),  # it changed, but fell out
    ("1:5 2:5 3:5 4:5", "2:0 4:6", "2:0 4:6"),  # it came in changed: no republication
    ("1:5 2:5 3:5", "2:0", "2:0"),  # thin: nothing comes in
    ("1:5 2:5", "3:5", "3:5"),
    ("1:5 2:5 3:5 4:5", "2:7 2:8", "2:7 2:8"),  # one price twice, in order
    ("1:5 2:5 3:5 4:5", "2:0 2:8", "2:0 2:8"),
    ("1:5 2:5 3:5 4:5", "9:1", ""),
    ("1:5 2:5 3:5 4:5", "3:0 4:0", "3:0"),  # what was never shown is not removed
]


@pytest.mark.parametrize("name", ["asks", "bids"])
@pytest.mark.parametrize(("shown_levels", "happens", "told"), TOLD)
def test_what_a_subscriber_is_told(name: str, shown_levels: str, happens: str, told: str) -> None:
    mirror = 1 if name == "asks" else -1
    side = Side("asks" if name == "asks" else "bids")

    def changes(text: str) -> list[Change]:
        pairs = [level.split(":") for level in text.split()]
        return [Change(side.name, int(price) if mirror == 1 else 100 - int(price), int(qty), 0) for price, qty in pairs]

    for change in changes(shown_levels):
        side.put(change)
    edge = side.edge(3)
    made = changes(happens)
    for change in made:
        side.put(change)
    shown = [
        f"{level.price if mirror == 1 else 100 - level.price}:{level.qty}{'*' * level.republished}"
        for level in side.told(made, edge, 3)
    ]
    assert " ".join(shown) == told


def test_the_checksum_is_that_of_the_exchange_s_own_example(kraken_data: Path) -> None:
    vector = json.loads((kraken_data / "checksum-vectors.json").read_text())[0]
    assert checksum(units(vector["asks"]), units(vector["bids"])) == 974947235


def test_the_checksum_is_that_of_a_recorded_snapshot(recording: Recording) -> None:
    (book,) = json.loads(recording("book-v2-depth10-btcusd")[0], parse_float=str)["data"]
    asks, bids = [units([(level["price"], level["qty"]) for level in book[side]]) for side in ("asks", "bids")]
    assert checksum(asks, bids) == book["checksum"]


def units(levels: Iterable[Sequence[str]]) -> Levels:
    return tuple((int(level[0].replace(".", "")), int(level[1].replace(".", ""))) for level in levels)


def test_a_book_is_crossed_when_its_sides_meet() -> None:
    book = TrueBook()
    book.asks = side_of("5:1")
    book.bids = side_of("4:1", "bids")
    assert not book.crossed
    book.bids.put(Change("bids", 5, 1, 0))
    assert book.crossed


def test_the_top_is_in_the_units_of_who_reads_it() -> None:
    book = TrueBook()
    book.asks, book.bids = side_of("294302:5"), side_of("294301:7", "bids")
    own, wide = [book.top(PAIRS["BTC/USD"], precision, 3) for precision in (1, 5)]
    assert own.asks == ((294302, 5),)
    assert wide.asks == ((2943020000, 5),)
    assert own.checksum == checksum(own.asks, own.bids) != wide.checksum


@pytest.mark.parametrize(
    ("units", "precision", "text"),
    [(3740000, 8, "0.03740000"), (294302, 1, "29430.2"), (0, 8, "0.00000000"), (-17, 5, "-0.00017"), (7, 0, "7")],
)
def test_numbers_are_written_with_all_their_decimals(units: int, precision: int, text: str) -> None:
    assert number(units, precision) == text
