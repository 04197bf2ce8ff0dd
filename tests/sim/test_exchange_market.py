"""Markets that live by themselves: books that stay sane, trades that eat from them, candles of the trades."""

import pytest

from tidelog.sim.exchange.core import START_US
from tidelog.sim.exchange.markets.book import Side
from tidelog.sim.exchange.markets.market import INTERVALS, MINUTE_US, TRADES_BEFORE, Market, Step
from tidelog.sim.exchange.markets.pairs import PAIRS

STEP_US = 50_000


def steps(market: Market, count: int) -> list[Step]:
    return [market.step(START_US + nth * STEP_US) for nth in range(1, count + 1)]


@pytest.mark.parametrize("symbol", PAIRS)
def test_a_book_stays_full_ordered_and_uncrossed(symbol: str) -> None:
    market = Market(PAIRS[symbol], seed=1, start_us=START_US, levels=50)
    for nth in range(1, 3_001):
        market.step(START_US + nth * STEP_US)
        assert not market.book.crossed
        for side in (market.book.bids, market.book.asks):
            assert len(side.keys) <= 52
            assert len(side.keys) >= 40 or nth < 100, "the first trades have eaten a little"
    for side in (market.book.bids, market.book.asks):
        assert side.keys == sorted(set(side.keys))
        assert side.levels.keys() == set(side.keys)
        assert all(level.price > 0 < level.qty for level in side.levels.values())


def test_the_sides_stay_together() -> None:
    market = Market(PAIRS["BTC/USD"], seed=1, start_us=START_US, levels=50)
    gaps = []
    for nth in range(1, 10_001):
        market.step(START_US + nth * STEP_US)
        gaps.append(market.book.asks.best(1)[0].price - market.book.bids.best(1)[0].price)
    assert sum(gaps) / len(gaps) < 20


def test_every_step_tells_what_it_did_and_nothing_else() -> None:
    market = Market(PAIRS["BTC/USD"], seed=2, start_us=START_US, levels=30)
    copy = {side.name: {key: level.qty for key, level in side.levels.items()} for side in sides(market)}
    for step in steps(market, 500):
        for name, changes in step.changes.items():
            for change in changes:
                key = change.price * market.book.side(name).sign
                copy[name][key] = change.qty
    for side in sides(market):
        copied = {key: qty for key, qty in copy[side.name].items() if qty}
        assert copied == {key: level.qty for key, level in side.levels.items()}


def test_trades_are_numbered_in_a_row_and_are_at_the_touch() -> None:
    market = Market(PAIRS["BTC/USD"], seed=3, start_us=START_US, levels=30)
    before = len(market.trades)
    assert before >= TRADES_BEFORE
    made = [trade for step in steps(market, 2_000) for trade in step.trades]
    assert len(made) > 200
    assert list(market.trades)[before:] == made
    assert [trade.trade_id for trade in market.trades] == list(range(1, len(market.trades) + 1))
    assert {(trade.side, trade.ord_type) for trade in made} == {
        (side, kind) for side in ("buy", "sell") for kind in ("limit", "market")
    }


@pytest.mark.parametrize("interval", INTERVALS[:3])
def test_candles_are_those_of_the_trades(interval: int) -> None:
    market = Market(PAIRS["ETH/USD"], seed=4, start_us=START_US, levels=30)
    steps(market, 10_000)
    for candle in market.candles[interval]:
        inside = [
            trade
            for trade in market.trades
            if candle.begin_us <= trade.time_us < candle.begin_us + interval * MINUTE_US
        ]
        prices = [trade.price for trade in inside]
        assert (candle.open, candle.high, candle.low, candle.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )
        assert (candle.volume, candle.trades) == (sum(trade.qty for trade in inside), len(inside))
        assert candle.low <= candle.vwap <= candle.high


def sides(market: Market) -> tuple[Side, Side]:
    return market.book.bids, market.book.asks
