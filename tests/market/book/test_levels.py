"""The book: every recorded checksum, the exchange's worked examples, a model, and what a wrong book does."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.market.conftest import Recording
from tests.market.ladder import Pairs, crc, delta, snapshot
from tests.market.paths import books_on_either_path
from tidelog.market.book import levels
from tidelog.market.book.levels import Book, Precision, ScaledLevel, _Side
from tidelog.market.book.proof import Check
from tidelog.market.events import BookDelta, BookSnapshot
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of

__all__ = ["books_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("books_on_either_path")

RECORDED = [
    ("book-v1-depth10-xbtusd", v1, {Check.UNCHECKED: 1, Check.MATCHED: 979}, Precision(5, 8)),
    ("book-v2-depth10-btcusd", v2, {Check.MATCHED: 510}, Precision(1, 8)),
]


def book_messages(codec: ModuleType, frames: list[bytes]) -> list[BookSnapshot | BookDelta]:
    events = (codec.decode(frame) for frame in frames)
    return [event for event in events if isinstance(event, (BookSnapshot, BookDelta))]


@pytest.mark.parametrize(("name", "codec", "checks", "precision"), RECORDED)
def test_every_recorded_checksum_holds(
    recording: Recording, name: str, codec: ModuleType, checks: dict[Check, int], precision: Precision
) -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    outcome = Counter(book.apply(message) for message in book_messages(codec, recording(name)))
    assert outcome == checks
    assert book.precision == precision
    assert (len(book.bids), len(book.asks), book.proven, book.proven_depth) == (10, 10, True, 10)
    assert (book.mismatches, book.unknown_removals, book.crossed) == (0, 0, False)


# The exchange's own worked examples


def vectors(folder: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((folder / "checksum-vectors.json").read_text())
    return {f"{entry['protocol']} {entry.get('symbol', entry.get('channel'))}": entry for entry in entries}


def stripped(pairs: list[list[str]]) -> list[tuple[str, str]]:
    """As the documentation prints numbers: without trailing zeros."""
    return [(price.rstrip("0").rstrip("."), qty.rstrip("0").rstrip(".")) for price, qty in pairs]


@pytest.mark.parametrize("name", ["v2 BTC/USD", "v2 MATIC/USD"])
def test_the_worked_examples_of_v2_hold_with_and_without_trailing_zeros(kraken_data: Path, name: str) -> None:
    vector = vectors(kraken_data)[name]
    precision = Precision(vector["price_precision"], vector["qty_precision"])
    bids, asks, expected = vector["bids"], vector["asks"], vector["crc32"]
    assert Book(name, 10, ChecksumProof).apply(snapshot(bids, asks, expected)) is Check.MATCHED
    book = Book(name, 10, ChecksumProof, precision)
    assert book.apply(snapshot(stripped(bids), stripped(asks), expected)) is Check.MATCHED
    if update := vector.get("then_update"):
        message = delta(stripped(update["bids"]), stripped(update["asks"]), update["crc32"])
        assert book.apply(message) is Check.MATCHED
    assert checksum_of(book) == (update or vector)["crc32"]


def test_the_worked_example_of_v1_holds(kraken_data: Path) -> None:
    """The frame's four levels lie below the top 10, so the same checksum holds before and after."""
    vector = vectors(kraken_data)["v1 book-1000"]
    bids, asks = ([(level[0], level[1]) for level in vector[side]] for side in ("bids", "asks"))
    book = Book("BTC/USD", 1000, ChecksumProof)
    assert book.apply(snapshot(bids, asks)) is Check.UNCHECKED
    assert checksum_of(book) == 974947235
    message = v1.decode(json.dumps(vector["update_frame"]).encode())
    assert isinstance(message, BookDelta)
    assert book.apply(message) is Check.MATCHED
    assert (len(book.bids), len(book.asks)) == (12, 12)


# What is read


def test_levels_are_exact_integers_best_first() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    book.apply(snapshot([("1.10", "0.005"), ("1.30", "7.000")], [("1.50", "1.000"), ("1.40", "0.250")]))
    assert book.precision == Precision(2, 3)
    assert book.bids == ((130, 7000), (110, 5))
    assert book.asks == ((140, 250), (150, 1000))
    assert book.top(1) == (((130, 7000),), ((140, 250),))


# Depth 3, bids 1.3 and 1.1, asks 1.4 and 1.5, five of each.
STEPS = [
    # what happens           bids                  asks           bids then             asks then
    ("a level is added",    "1.2:3",              "",            "1.3:5 1.2:3 1.1:5",  "1.4:5 1.5:5"),
    ("a quantity changes",  "1.3:6",              "1.4:7",       "1.3:6 1.1:5",        "1.4:7 1.5:5"),
    ("a level goes",        "1.3:0",              "",            "1.1:5",              "1.4:5 1.5:5"),
    ("an unknown one goes", "1.2:0",              "",            "1.3:5 1.1:5",        "1.4:5 1.5:5"),
    ("the last of a price", "1.2:1 1.2:2",        "",            "1.3:5 1.2:2 1.1:5",  "1.4:5 1.5:5"),
    ("gone and back",       "1.3:0 1.3:4",        "",            "1.3:4 1.1:5",        "1.4:5 1.5:5"),
    ("come and gone",       "1.2:4 1.2:0",        "",            "1.3:5 1.1:5",        "1.4:5 1.5:5"),
    ("a better comes",      "1.2:1 1.25:1",       "1.35:1",      "1.3:5 1.25:1 1.2:1", "1.35:1 1.4:5 1.5:5"),
    ("a worse falls out",   "1.2:1 1:1",          "",            "1.3:5 1.2:1 1.1:5",  "1.4:5 1.5:5"),
    ("out, and gone",       "1.2:1 1.25:1 1.1:0", "",            "1.3:5 1.25:1 1.2:1", "1.4:5 1.5:5"),
    ("a side empties",      "",                   "1.5:0 1.4:0", "1.3:5 1.1:5",        ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "bids", "asks", "bids_then", "asks_then"), STEPS)
def test_a_message_changes_the_levels(what: str, bids: str, asks: str, bids_then: str, asks_then: str) -> None:
    book = Book("BTC/USD", 3, ChecksumProof, Precision(2, 0))
    book.apply(snapshot(pairs("1.3:5 1.1:5"), pairs("1.4:5 1.5:5")))
    book.apply(delta(pairs(bids), pairs(asks)))
    assert (ladder(book.bids), ladder(book.asks)) == (bids_then, asks_then)


def pairs(text: str) -> Pairs:
    return [(price, qty) for price, _, qty in (level.partition(":") for level in text.split())]


def ladder(side: Sequence[ScaledLevel]) -> str:
    return " ".join(f"{price / 100:g}:{qty}" for price, qty in side)


def test_removals_of_unknown_prices_are_counted() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    book.apply(snapshot([("1.3", "5.0")], [("1.4", "5.0")]))
    book.apply(delta([("1.2", "0.0"), ("1.3", "0.0")], [("1.9", "0.0"), ("1.9", "0.0")]))
    assert book.unknown_removals == 3


# What is proven


def test_proven_follows_each_message() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    bids, asks = [("1.3", "5.0")], [("1.4", "5.0")]
    assert (book.proven, book.proven_depth) == (False, 0)
    steps: list[tuple[BookSnapshot | BookDelta, Check, bool]] = [
        (snapshot(bids, asks, crc(asks, bids)), Check.MATCHED, True),
        (delta([], [("1.5", "1.0")]), Check.UNCHECKED, False),
        (delta([], [("1.5", "0.0")], crc(asks, bids)), Check.MATCHED, True),
        (delta([], [("1.5", "1.0")], 1), Check.MISMATCHED, False),
        (delta([], [("1.5", "0.0")], crc(asks, bids)), Check.MATCHED, True),
    ]
    for message, check, proven in steps:
        assert book.apply(message) is check
        assert book.proven is proven
        assert book.proven_depth == (10 if proven else 0)
    assert book.mismatches == 1


@pytest.mark.parametrize("ask", ["1.3", "1.2"])
def test_a_crossed_book_is_not_proven_though_its_checksum_holds(ask: str) -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    bids, asks = [("1.3", "5.0")], [(ask, "5.0")]
    assert book.apply(snapshot(bids, asks, crc(asks, bids))) is Check.MATCHED
    assert book.crossed
    assert not book.proven


@pytest.mark.parametrize("levels", [0, 1, 9, 10, 11])
def test_a_thin_book_is_proven_by_what_it_has(levels: int) -> None:
    bids = [(f"{100 - n}.0", f"{n + 1}.00") for n in range(levels)]
    asks = [(f"{200 + n}.0", f"{n + 1}.00") for n in range(levels // 2)]
    book = Book("BTC/USD", 25, ChecksumProof)
    assert book.apply(snapshot(bids, asks, crc(asks, bids))) is Check.MATCHED
    assert book.proven
    assert (len(book.bids), len(book.asks)) == (levels, levels // 2)


def test_empty_snapshot_leaves_the_decimals_to_the_first_message_that_has_any() -> None:
    book = Book("NEW/USD", 10, ChecksumProof)
    assert book.apply(snapshot([], [], 0)) is Check.MATCHED
    bids, asks = [("0.1234", "10.00000000")], [("0.1300", "5.00000000")]
    assert book.apply(delta(bids, [], crc([], bids))) is Check.MATCHED
    assert book.precision == Precision(4, 8)
    assert Book.restored(book.state, ChecksumProof).apply(delta([], asks, crc(asks, bids))) is Check.MATCHED
    assert book.apply(delta([], asks, crc(asks, bids))) is Check.MATCHED


@pytest.mark.parametrize(
    ("text", "plain"),
    [("9.30E-6", "0.00000930"), ("9.3e-06", "0.0000093"), ("1E+3", "1000"), ("1.25E1", "12.5"), ("0E-8", "0.00000000")],
)
def test_numbers_with_an_exponent_are_read_exactly(text: str, plain: str) -> None:
    book, other = Book("PEPE/USD", 10, ChecksumProof), Book("PEPE/USD", 10, ChecksumProof)
    price, again = (text, plain) if float(text) else ("1.5", "1.5")
    assert book.apply(snapshot([("1.00000000", text), (price, "1.00000000")], [])) is Check.UNCHECKED
    assert other.apply(snapshot([("1.00000000", plain), (again, "1.00000000")], [])) is Check.UNCHECKED
    assert (book.bids, book.precision) == (other.bids, other.precision)


def stamped(message: BookSnapshot | BookDelta, second: int) -> BookSnapshot | BookDelta:
    return replace(message, timestamp=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))


def test_message_older_than_the_one_before_is_outdated_though_its_checksum_holds() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    bids, asks, now = [("1.3", "5.0")], [("1.4", "5.0")], [("1.3", "7.0")]
    old = stamped(snapshot(bids, asks, crc(asks, bids)), 1)
    assert book.apply(old) is Check.MATCHED
    assert book.apply(stamped(delta(now, [], crc(asks, now)), 3)) is Check.MATCHED
    assert book.apply(stamped(delta(now, [], crc(asks, now)), 3)) is Check.MATCHED, "of one moment there may be several"
    for held in (Book.restored(book.state, ChecksumProof), book):
        assert held.apply(old) is Check.OUTDATED
        assert not held.proven
        assert held.mismatches == 0
    book.clear()
    assert book.apply(stamped(delta(now, []), 3)) is Check.REFUSED
    assert book.apply(old) is Check.OUTDATED, "what was refused said the time as well"
    book.begin()  # it is subscribed again: the exchange's word counts, whatever its clock
    assert book.apply(old) is Check.MATCHED


# What is refused

BAD_LEVELS = {
    "text": ("abc", "1.00"),
    "an empty price": ("", "1.00"),
    "an empty quantity": ("1.0", ""),
    "a point alone": (".", "1.00"),
    "two points": ("1.0.0", "1.00"),
    "a sign": ("-1.0", "1.00"),
    "a negative quantity": ("1.0", "-1.00"),
    "an exponent beyond measure": ("1E+500", "1.00"),
    "an exponent of nothing": ("E5", "1.00"),
    "a price too fine by its exponent": ("1E-2", "1.00"),
    "underscores": ("1.0", "1_0.00"),
    "white space": ("1.0", " 1.00"),
    "not a number": ("NaN", "1.00"),
    "a price of zero": ("0.0", "1.00"),
    "a price too fine": ("1.05", "1.00"),
    "a quantity too fine": ("1.0", "1.001"),
    "a quoted number": ('"1.0"', "1.00"),
    "five thousand digits of price": ("9" * 5000 + ".0", "1.00"),
    "five thousand digits of quantity": ("1.0", "9" * 5000 + ".00"),
}


@pytest.mark.parametrize("name", BAD_LEVELS)
def test_a_level_that_is_none_empties_the_book_until_a_snapshot(name: str) -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    good = snapshot([("1.3", "5.00")], [("1.4", "5.00")], crc([("1.4", "5.00")], [("1.3", "5.00")]))
    harmless = delta([("1.2", "1.00")], [])
    book.apply(good)
    assert book.apply(delta([("1.2", "1.00")], [BAD_LEVELS[name]])) is Check.REFUSED
    assert book.refusal is not None
    assert len(book.refusal) < 100
    assert (book.bids, book.asks, book.proven) == ((), (), False)
    assert book.apply(harmless) is Check.REFUSED
    assert book.apply(good) is Check.MATCHED
    assert book.apply(harmless) is Check.UNCHECKED


def test_a_snapshot_with_a_million_decimals_is_refused_before_anything_is_padded_to_them() -> None:
    book = Book("BTC/USD", 1000, ChecksumProof)
    bids = [(f"{n}.0", "1.0") for n in range(1, 1000)]
    assert book.apply(snapshot(bids, [("1000." + "0" * 1_000_000, "1.0")])) is Check.REFUSED


def test_an_update_before_any_snapshot_is_refused() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    assert book.apply(delta([("1.2", "1.00")], [])) is Check.REFUSED
    assert book.refusal == "a book update without a snapshot before it"


def test_more_prices_than_are_remembered_change_nothing() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    book.apply(snapshot([("1.0", "1.0")], [("9000.0", "1.0")]))
    for tenth in range(11, 6011):
        book.apply(delta([(f"{tenth / 10:.1f}", "1.0")], []))
    assert [price for price, _ in book.bids] == list(range(6010, 6000, -1))


# Against a model: the whole book as a dictionary, sorted anew each time

PRICES = st.integers(1, 30).map(lambda tick: f"{Decimal(tick) / 10:.1f}")
QTYS = st.sampled_from(["0.00", "0.00", "0.01", "1.00", "12.34"])
SIDES = st.lists(st.tuples(PRICES, QTYS), max_size=12)


ODD = ["1", "1.", ".5", "1.2.3", "-1.0", "1E1", "0.0", "00.10", "1.05", "0", "", "x.0", "\u0661.0"]
ODD += ["0" * 120 + "1.0", "9" * 119 + ".0"]
WRITTEN = st.integers(1, 12).map(lambda ticks: f"{ticks}.0")
WRITTEN_SIDE = st.lists(st.tuples(WRITTEN | st.sampled_from(ODD), WRITTEN | st.sampled_from(ODD)), max_size=4)


@given(WRITTEN_SIDE, WRITTEN_SIDE, st.booleans(), st.sampled_from([None, Precision(1, 1), Precision(2, 0)]))
def test_a_snapshot_that_is_put_at_once_is_as_level_by_level(
    bids: Pairs, asks: Pairs, ordered: bool, precision: Precision | None
) -> None:
    if ordered:
        bids, asks = sorted({pair[0]: pair for pair in bids}.values(), reverse=True), sorted(asks)
    message = snapshot(bids, asks)
    at_once, one_by_one = (Book("BTC/USD", 3, ChecksumProof, precision) for _ in range(2))
    check = at_once.apply(message)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Side, "put_at_once", lambda *_: False)
        assert one_by_one.apply(message) is check
    assert at_once.state == one_by_one.state


@given(st.lists(st.tuples(WRITTEN_SIDE, WRITTEN_SIDE), min_size=1, max_size=5))
def test_many_levels_that_are_put_together_are_as_one_by_one(messages: list[tuple[Pairs, Pairs]]) -> None:
    together, one_by_one = (Book("BTC/USD", 3, ChecksumProof, Precision(1, 1)) for _ in range(2))
    for book in (together, one_by_one):
        book.apply(snapshot([("5.0", "1.0"), ("4.0", "1.0")], [("6.0", "1.0")]))
    for message in messages:
        check = one_by_one.apply(delta(*message, crc([], [])))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(levels, "ONE_BY_ONE_MAX", 0)
            assert together.apply(delta(*message, crc([], []))) is check
        assert together.state == one_by_one.state


class Moving(list[Any]):
    """Counts how many of it insertions have moved."""

    moved = 0

    def insert(self, at: Any, value: Any) -> None:
        self.moved += len(self) - at
        super().insert(at, value)


def test_a_message_of_very_many_levels_does_not_move_them_again_and_again() -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    book.apply(snapshot([("1.0", "1.0")], []))
    keys = book._bids.keys = Moving(book._bids.keys)
    bids = [(f"{price}.0", "1.0") for price in range(2, 20_002)]
    best = bids[::-1][:10]
    assert book.apply(delta(bids, [], crc([], best))) is Check.MATCHED
    assert book.bids == tuple([ScaledLevel(price * 10, 10) for price in range(20_001, 19_991, -1)])
    assert keys.moved < len(bids)


@settings(max_examples=200)
@given(st.sampled_from([1, 3, 10, 25]), SIDES, SIDES, st.lists(st.tuples(SIDES, SIDES), max_size=12))
def test_a_book_equals_its_model(
    depth: int,
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    updates: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    book = Book("BTC/USD", depth, ChecksumProof, Precision(1, 2))
    held: list[dict[str, str]] = [{}, {}]
    for index, sides in enumerate([(bids, asks), *updates]):
        for position, pairs in enumerate(sides):
            held[position] |= dict(pairs)  # the last of a price wins
            for price in [price for price, qty in held[position].items() if qty == "0.00"]:
                del held[position][price]
            ranked = sorted(held[position], key=Decimal, reverse=position == 0)[:depth]
            held[position] = {price: held[position][price] for price in ranked}
        expected = crc(held[1].items(), held[0].items())
        message = snapshot(*sides, expected) if index == 0 else delta(*sides, expected)
        assert book.apply(message) is Check.MATCHED
        for side, model in zip((book.bids, book.asks), held, strict=True):
            assert side == tuple((int(Decimal(p) * 10), int(Decimal(q) * 100)) for p, q in model.items())


# A book that does one thing wrong, on the recorded frames: each fault is seen, and this often


class Naive:
    """A book in text, with one fault to choose; `matched` of `checked` checksums matched."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.matched = self.checked = 0

    def take(self, frame: Any) -> None:
        sides = frame[1:-2]
        if "as" in sides[0]:
            self.asks = {level[0]: level[1] for level in sides[0]["as"]}
            self.bids = {level[0]: level[1] for level in sides[0]["bs"]}
            return
        promised = sides[-1].get("c")
        if self.fault == "first object only":
            sides = sides[:1]
        for side in sides:
            self.put(self.asks, side.get("a", []), reverse=False)
            self.put(self.bids, side.get("b", []), reverse=True)
        self.checked += 1
        self.matched += str(self.checksum()) == promised

    def put(self, held: dict[str, str], levels: list[list[str]], *, reverse: bool) -> None:
        if self.fault == "by time":
            levels = sorted(levels, key=lambda level: level[2])
        for level in levels:
            if Decimal(level[1]):
                held[level[0]] = level[1]
            else:
                held.pop(level[0], None)
        if self.fault != "no truncation":
            for price in sorted(held, key=Decimal, reverse=reverse)[10:]:
                del held[price]

    def checksum(self) -> int:
        text: Callable[[str], str] = (lambda n: str(float(n))) if self.fault == "floats" else str
        asks = [(text(price), text(self.asks[price])) for price in sorted(self.asks, key=Decimal)]
        bids = [(text(price), text(self.bids[price])) for price in sorted(self.bids, key=Decimal)[::-1]]
        return crc(asks, bids)


FAULTS = [("none", 0), ("no truncation", 915), ("first object only", 41), ("floats", 979)]


@pytest.mark.parametrize(("fault", "mismatches"), FAULTS)
def test_a_wrong_book_mismatches(recording: Recording, fault: str, mismatches: int) -> None:
    naive = Naive(fault)
    for frame in recording("book-v1-depth10-xbtusd"):
        if frame.startswith(b"["):
            naive.take(json.loads(frame))
    assert naive.checked == 979
    assert naive.checked - naive.matched == mismatches


def test_a_book_by_time_mismatches_where_a_price_comes_back_with_its_old_time() -> None:
    """No recorded frame shows this fault: none has a price twice, with the earlier time last."""
    promised = crc([("1.4", "1.0")], [("1.3", "4.0")])
    frames = [
        b'[336,{"as":[["1.4","1.0","9.0"]],"bs":[["1.3","2.0","8.0"]]},"book-10","XBT/USD"]',
        b'[336,{"b":[["1.3","0.0","9.5"],["1.3","4.0","7.0","r"]],"c":"%d"},"book-10","XBT/USD"]' % promised,
    ]
    book = Book("BTC/USD", 10, ChecksumProof)
    assert [book.apply(message) for message in book_messages(v1, frames)] == [Check.UNCHECKED, Check.MATCHED]
    for fault, matched in [("none", 1), ("by time", 0)]:
        naive = Naive(fault)
        for frame in frames:
            naive.take(json.loads(frame))
        assert (naive.checked, naive.matched) == (1, matched)
