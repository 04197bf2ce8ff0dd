"""Candles are a function of the set of trades: exact, whatever the order, late ones included."""

from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.conftest import Recording
from tidelog.market.events import EventId, Trades
from tidelog.market.kraken import v1
from tidelog.market.projection.candles import MINUTE_US, Bar, Tick, bars, bucket, coarser
from tidelog.market.projection.rows import tick_of_row, trade_row
from tidelog.market.projection.tables import TRADES as TRADE_ROWS

# second, ordinal, price and quantity in hundredths
TRADES = [
    Tick(0, 1, 100, 2, 50, 2),
    Tick(59_999_999, 2, 110, 2, 100, 2),
    Tick(60_000_000, 3, 90, 2, 10, 2),
    Tick(190_000_000, 4, 120, 2, 10, 2),
]


def test_candles_of_a_minute() -> None:
    assert bars(TRADES, MINUTE_US) == [
        Bar(0, 100, 110, 100, 110, 2, 150, 2, 100 * 50 + 110 * 100, 2),
        Bar(60_000_000, 90, 90, 90, 90, 2, 10, 2, 900, 1),
        Bar(180_000_000, 120, 120, 120, 120, 2, 10, 2, 1200, 1),  # nobody traded in the third minute
    ]


def test_no_trades_no_candles() -> None:
    assert bars([], MINUTE_US) == []


LATE = [
    # a late trade                     changes the candle  and of it
    (Tick(30_000_000, 9, 80, 2, 5, 2), 0, "low"),
    (Tick(30_000_000, 9, 500, 2, 5, 2), 0, "high"),
    (Tick(119_000_000, 9, 95, 2, 5, 2), 60_000_000, "close"),
    (Tick(60_000_000, 2, 95, 2, 5, 2), 60_000_000, "open"),
    (Tick(-1, 9, 95, 2, 5, 2), -60_000_000, None),
]


@pytest.mark.parametrize(("late", "begin", "field"), LATE)
def test_a_late_trade_changes_the_right_candle_only(late: Tick, begin: int, field: str | None) -> None:
    before = {bar.begin_us: bar for bar in bars(TRADES, MINUTE_US)}
    after = {bar.begin_us: bar for bar in bars([*TRADES, late], MINUTE_US)}
    assert bucket(late.time_us, MINUTE_US) == begin
    assert {at for at in after if after[at] != before.get(at)} == {begin}
    if field is not None:
        assert getattr(after[begin], field) == late.price != getattr(before[begin], field)


def test_trades_of_one_time_are_ordered_by_their_ordinal() -> None:
    (bar,) = bars([Tick(5, 11, 300, 2, 1, 2), Tick(5, 9, 100, 2, 1, 2), Tick(5, 10, 200, 2, 1, 2)], MINUTE_US)
    assert (bar.open, bar.close) == (100, 300)


def test_scales_may_change_within_a_candle() -> None:
    (bar,) = bars([Tick(1, 1, 15, 1, 2, 0), Tick(2, 2, 14999, 4, 25, 1)], MINUTE_US)
    assert (bar.open, bar.close, bar.price_scale) == (15000, 14999, 4)
    assert (bar.volume, bar.qty_scale) == (45, 1)
    assert bar.turnover == 15000 * 20 + 14999 * 25


@pytest.mark.parametrize(
    ("prices", "scale", "vwap"),
    [([1, 2], 0, 2), ([1, 2], 1, 15), ([1, 1, 2], 2, 133), ([1, 2, 2], 2, 167), ([1, 2], 4, 15000)],
)
def test_the_mean_is_rounded_once_at_the_end(prices: list[int], scale: int, vwap: int) -> None:
    (bar,) = bars([Tick(n, n, price, 0, 7, 3) for n, price in enumerate(prices)], MINUTE_US)
    assert bar.vwap(scale) == vwap


TICKS = st.builds(
    Tick,
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**6),
    st.integers(1, 10**12),
    st.integers(0, 8),
    st.integers(1, 10**12),
    st.integers(0, 8),
)


@given(st.lists(TICKS, max_size=30), st.randoms(use_true_random=False), st.sampled_from([1, 5, 60]))
def test_the_order_of_arrival_does_not_matter_and_nothing_is_lost(
    ticks: list[Tick], random: Random, minutes: int
) -> None:
    made = bars(ticks, minutes * MINUTE_US)
    shuffled = list(ticks)
    random.shuffle(shuffled)
    assert bars(shuffled, minutes * MINUTE_US) == made
    assert sum(bar.trades for bar in made) == len(ticks)
    assert {bar.begin_us for bar in made} == {bucket(tick.time_us, minutes * MINUTE_US) for tick in ticks}
    for bar in made:
        own = [tick for tick in ticks if bucket(tick.time_us, minutes * MINUTE_US) == bar.begin_us]
        prices = [Fraction(tick.price, 10**tick.price_scale) for tick in own]
        qtys = [Fraction(tick.qty, 10**tick.qty_scale) for tick in own]
        assert Fraction(bar.volume, 10**bar.qty_scale) == sum(qtys)
        assert Fraction(bar.high, 10**bar.price_scale) == max(prices)
        assert Fraction(bar.low, 10**bar.price_scale) == min(prices)
        turnover = sum(price * qty for price, qty in zip(prices, qtys, strict=True))
        assert Fraction(bar.turnover, 10 ** (bar.price_scale + bar.qty_scale)) == turnover


@given(st.lists(TICKS, max_size=30))
def test_longer_candles_are_the_same_from_shorter_ones(ticks: list[Tick]) -> None:
    minutes = bars(ticks, MINUTE_US)
    fives = coarser(minutes, 5 * MINUTE_US)
    assert fives == bars(ticks, 5 * MINUTE_US)
    assert coarser(fives, 60 * MINUTE_US) == bars(ticks, 60 * MINUTE_US)


def test_recorded_trades(recording: Recording) -> None:
    events = [v1.decode(frame) for frame in recording("trade-v1")]
    trades = [trade for event in events if isinstance(event, Trades) for trade in event.trades]
    found = [trade_row("market:x", trade, n, EventId(1, 1), 0) for n, trade in enumerate(trades)]
    rows = [row for row in found if row is not None]
    ticks = [tick_of_row(row) for row in rows if row[TRADE_ROWS.index("symbol")] == "SC/EUR"]
    made = bars(ticks, MINUTE_US)
    assert sum(bar.trades for bar in made) == len(ticks) > 5
    volume = sum((trade.qty for trade in trades if trade.symbol == "SC/EUR"), Decimal(0))
    assert sum(Decimal(bar.volume).scaleb(-8) for bar in made) == volume
