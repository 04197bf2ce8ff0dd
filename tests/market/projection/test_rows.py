"""Market values as rows: exact, each with its scale, and back."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.ladder import snapshot
from tests.market.recorded import trade
from tidelog.batch import INT_MAX, NUMBER_MAX
from tidelog.market.book.levels import Book
from tidelog.market.events import MAGNITUDE_MAX, EventId, Instrument, micros
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.projection.candles import Bar, Tick, bars
from tidelog.market.projection.rows import (
    SAMPLED_LEVELS,
    SCALE_MAX,
    SCALE_USUAL,
    bar_of_row,
    book_row,
    candle_row,
    decimal_text,
    instrument_row,
    levels_of,
    scaled,
    tick_of_row,
    trade_row,
)
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, INSTRUMENTS, TRADES

ID = EventId(3, 4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("100.0", (1000, 1)),
        ("0.03740000", (3740000, 8)),
        ("1E-8", (1, 8)),
        ("1E+3", (1000, 0)),
        ("100000000000.00000000", (10**18, 7)),  # 64 bits do not hold it as it was written
        ("9223372036854775807", (INT_MAX, 0)),
        ("9223372036854775808", (INT_MAX + 1, 0)),
        ("123456789012.12345678", (12345678901212345678, 8)),
        ("0.1234567890123450000000", (123456789012345, SCALE_USUAL)),
        ("0.1234567890123456", (1234567890123456, 16)),
        ("1." + "0" * (SCALE_MAX - 1) + "1", (10**SCALE_MAX + 1, SCALE_MAX)),
        ("1." + "0" * SCALE_MAX + "1", None),
        ("1E+30", (10**30, 0)),
        ("0", None),
        ("-1", None),
    ],
)
def test_a_number_at_its_scale(text: str, found: tuple[int, int] | None) -> None:
    assert scaled(Decimal(text)) == found


@given(st.decimals(min_value=Decimal("1E-30"), max_value=Decimal("1E30"), allow_nan=False))
def test_scaled_numbers_are_exact(number: Decimal) -> None:
    found = scaled(number)
    if found is not None:
        assert Decimal(decimal_text(*found)) == number
        assert 0 < found.value <= NUMBER_MAX
        assert found.scale <= SCALE_MAX


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(1000, 1, "100.0"), (5, 3, "0.005"), (0, 2, "0.00"), (-5, 1, "-0.5"), (7, 0, "7"), (-70, 0, "-70")],
)
def test_a_number_as_text(value: int, scale: int, text: str) -> None:
    assert decimal_text(value, scale) == text


def test_a_trade_and_its_tick() -> None:
    found = trade(77, 5, price="27116.8", qty="0.14741986")
    row = trade_row("market:x", found, 9, ID, 123)
    assert row is not None
    named = dict(zip(TRADES.names, row, strict=True))
    assert (named["price"], named["price_scale"], named["qty"], named["qty_scale"]) == (271168, 1, 14741986, 8)
    assert (named["ordinal"], named["trade_id"], named["run"], named["seq"]) == (77, 77, 3, 4)
    assert tick_of_row(row) == Tick(micros(found.timestamp), 77, 271168, 1, 14741986, 8)
    unnumbered = trade_row("market:x", msgspec.structs.replace(found, trade_id=None), 9, ID, 123)
    assert unnumbered is not None
    assert tick_of_row(unnumbered).ordinal == 9


BARS = st.builds(
    Bar,
    st.integers(0, 2**60),
    *[st.integers(1, INT_MAX)] * 4,
    st.integers(0, SCALE_MAX),
    st.integers(1, 2**120),
    st.integers(0, SCALE_MAX),
    st.integers(1, 2**250),
    st.integers(1, 2**40),
)


@given(BARS)
def test_a_candle_comes_back(bar: Bar) -> None:
    row = candle_row("market:x", "BTC/USD", 60, bar)
    assert row is not None
    assert len(row) == len(CANDLES.columns)
    assert bar_of_row(row) == bar


def test_the_largest_trades_make_a_candle_that_fits() -> None:
    """What 64 bits hold at 15 decimals: the sums of a million of them stay within 256 bits."""
    large = trade(1, price=str(INT_MAX), qty=str(INT_MAX))
    small = trade(2, price="0." + "0" * (SCALE_USUAL - 1) + "1", qty="0." + "0" * (SCALE_USUAL - 1) + "1")
    rows = [trade_row("market:x", each, 0, ID, 0) for each in (large, small)]
    [bar] = bars([tick_of_row(row) for row in rows], 60_000_000)
    assert bar.turnover * 10**6 < 2**256
    row = candle_row("market:x", "BTC/USD", 60, bar)
    assert row is not None
    assert bar_of_row(row) == bar


def test_a_candle_whose_sums_256_bits_do_not_hold_has_no_row() -> None:
    [bar] = bars([Tick(0, 1, 2**130, 0, 2**130, 0)], 60_000_000)
    assert candle_row("market:x", "BTC/USD", 60, bar) is None


def test_book_row_has_the_top_of_the_book() -> None:
    book = Book("BTC/USD", 100, ChecksumProof)
    prices = range(1000, 1000 - 2 * SAMPLED_LEVELS, -1)
    book.apply(snapshot([(f"{price}.5", "2.25") for price in prices], [("2000.0", "1.00")]))
    row = book_row("market:x", book, 0, ID, 5, None)
    assert row is not None
    assert len(row) == len(BOOK_SNAPSHOTS.columns)
    assert levels_of(row) == book.top(SAMPLED_LEVELS)
    assert len(levels_of(row)[0]) == SAMPLED_LEVELS


@pytest.mark.parametrize("qty", ["123456789012.12345678", "9" * 40, str(2**64 - 1)])
def test_a_book_beyond_64_bits_comes_back(qty: str) -> None:
    book = Book("BTC/USD", 10, ChecksumProof)
    book.apply(snapshot([("1", qty)], []))
    assert levels_of(book_row("market:x", book, 0, ID, 5, None)) == book.top(SAMPLED_LEVELS)


@pytest.mark.parametrize(
    ("increment", "fits"), [("0.1", True), ("1E-8", True), ("1.5E-30", True), (f"1E-{MAGNITUDE_MAX}", True)]
)
def test_instrument_row(increment: str, fits: bool) -> None:
    found = Instrument("BTC/USD", "BTC", "USD", "online", 1, 8, Decimal(increment), Decimal("1E-8"))
    row = instrument_row("market:x", found, 7)
    assert (row is not None) is fits
    assert row is None or len(row) == len(INSTRUMENTS.columns)
    assert instrument_row("market:x", msgspec.structs.replace(found, base="B\0"), 7) is None
