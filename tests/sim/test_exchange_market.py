"""Markets that live by themselves: books that stay sane, trades that eat from them, candles of the trades."""

import pytest

from tidelog.sim.exchange.core import START_US
from tidelog.sim.exchange.markets.book import Side, checksum
from tidelog.sim.exchange.markets.market import INTERVALS, MINUTE_US, TRADES_BEFORE, Market, Step
from tidelog.sim.exchange.markets.natures import ODD_MARKETS
from tidelog.sim.exchange.markets.pairs import PAIRS, number

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


def an_odd(name: str) -> tuple[Market, list[Step]]:
    pair, nature = ODD_MARKETS[name]
    market = Market(pair, seed=1, start_us=START_US, levels=30, nature=nature)
    return market, steps(market, 800)


@pytest.mark.parametrize("name", ["new", "unshown"])
def test_in_a_new_market_nobody_trades(name: str) -> None:
    market, taken = an_odd(name)
    assert not market.trades
    assert not any(step.trades for step in taken)
    assert not market.quoted
    assert any(step.changes["bids"] for step in taken)


@pytest.mark.parametrize("name", ["empty", "vacant"])
def test_a_book_that_gets_empty_comes_back_as_whoever_follows_it_is_told(name: str) -> None:
    pair, nature = ODD_MARKETS[name]
    market = Market(pair, seed=1, start_us=START_US, levels=30, nature=nature)
    assert (market.book.bids.keys == []) is nature.begins_empty
    followed = {side.name: {level.price: level.qty for level in side.best(10)} for side in sides(market)}
    seen = set()
    for nth in range(1, 800):
        step = market.step(START_US + nth * STEP_US)
        for side in sides(market):
            levels = followed[side.name] | {level.price: level.qty for level in step.told(side.name, 10)}
            best = sorted(
                ((price, qty) for price, qty in levels.items() if qty), key=lambda level: level[0] * side.sign
            )
            followed[side.name] = dict(best[:10])
            assert list(followed[side.name].items()) == [(level.price, level.qty) for level in side.best(10)]
        seen.add((bool(market.book.bids.keys), bool(market.book.asks.keys)))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_an_empty_book_has_the_checksum_of_nothing() -> None:
    assert checksum((), ()) == 0


def test_prices_of_odd_markets_have_leading_zeros_and_their_books_few_levels() -> None:
    market, _ = an_odd("tiny")
    assert number(market.book.bids.best(1)[0].price, market.pair.price_precision).startswith("0.00000")
    market, _ = an_odd("thin")
    assert max(len(side.keys) for side in sides(market)) <= 4
