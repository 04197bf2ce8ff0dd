"""What markets really do, if seldom: books that are thin or crossed, levels told twice, ids that jump."""

import random

from tidelog.sim.exchange.faults.fault import on_market
from tidelog.sim.exchange.markets.book import CHECKED
from tidelog.sim.exchange.markets.market import Market

THIN_LEVELS = 4
IDS_SKIPPED_MAX = 50


@on_market
def thin(market: Market, rng: random.Random) -> None:
    """A book has fewer than 10 levels a side, as long as this is on."""
    for side in (market.book.bids, market.book.asks):
        for level in side.best(len(side.keys))[THIN_LEVELS:]:
            market.put(side.name, level.price, 0)


@on_market
def crossed(market: Market, rng: random.Random) -> None:
    """A bid above the best ask, with a right checksum; gone with the next step."""
    market.put("bids", market.book.asks.best(1)[0].price + 1, market.some_qty())


@on_market
def both_sides(market: Market, rng: random.Random) -> None:
    """One frame changes both sides: in v1 these are two objects, and the last has the checksum."""
    for side in (market.book.bids, market.book.asks):
        market.put(side.name, side.best(1)[0].price, market.some_qty())


@on_market
def same_price_twice(market: Market, rng: random.Random) -> None:
    """One frame sets one level several times: the last counts."""
    level = rng.choice(market.book.bids.best(CHECKED))
    for _ in range(2):
        market.put(level.side, level.price, market.some_qty())


@on_market
def republished(market: Market, rng: random.Random) -> None:
    """A level is sent again with its old time (in v1 marked "r"), though nothing happened to it."""
    market.republish(rng.choice(market.book.asks.best(CHECKED)))


@on_market
def fills_alike(market: Market, rng: random.Random) -> None:
    """An order is filled by several equal ones: equal trades of one moment, told apart by their ids alone."""
    market.repeat_trade(rng.randint(1, 3))


@on_market
def trade_id_jump(market: Market, rng: random.Random) -> None:
    """The next trade's id is not the next number."""
    market.next_trade_id += rng.randrange(1, IDS_SKIPPED_MAX)


@on_market
def precision_change(market: Market, rng: random.Random) -> None:
    """A market's prices get one more decimal: levels that were sent before have fewer."""
    market.refine()
