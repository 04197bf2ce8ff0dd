"""Hundreds of markets, most of them quiet, recorded by the whole engine: nothing is lost, and nothing is cured that is
not ill. What is judged stands in `MarketRun`: no update of a book is missed, few resyncs, the pace of requests."""

import pytest

from tests.sim.exchange_client import ask, connect, give_up
from tidelog.market.events import Resync, Stream
from tidelog.sim.exchange import PAIRS, Rhythm, SimExchange
from tidelog.sim.runs.play import play
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.quiet import Calm
from tidelog.sim.world.world import Violation

BOOK = Stream("book", depth=10)
SYMBOLS = ("BTC/USD", "ETH/USD")
BY_PACE = "no data for 300 s"
LOST = "checksum differs"


def quiet(markets: int, calm_s: float, protocol: str = "v2") -> plan.Schedule:
    return plan.Schedule(plan.MARKET, 7, 1.0, (), protocol=protocol, spelled=True, markets=markets, calm_s=calm_s)


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_twenty_markets_of_which_most_are_quiet(protocol: str) -> None:
    verdict = play(quiet(20, 400.0, protocol))
    assert verdict.ok, verdict.violations


@pytest.mark.torture
def test_an_hour_of_five_hundred_markets_of_which_four_hundred_are_quiet() -> None:
    verdict = play(quiet(500, 3_600.0))
    assert verdict.ok, verdict.violations


def resync(symbol: str, reason: str) -> Resync:
    return Resync("book", symbol, None, reason, 0)


def test_what_was_followed_before_the_exchange_was_honest_is_cured_once_in_the_calm_time() -> None:
    exchange = SimExchange(seed=1)
    session = connect(exchange)
    ask(session, BOOK, SYMBOLS)
    calm = Calm(exchange)
    calm.begin(0)
    calm.end(1)
    calm.judge_resyncs([resync("BTC/USD", LOST), resync("ETH/USD", LOST)], 2)
    with pytest.raises(
        Violation, match="book of BTC/USD is asked for again while nothing went wrong: checksum differs"
    ):
        calm.judge_resyncs([resync("BTC/USD", LOST), resync("BTC/USD", LOST)], 2)


@pytest.mark.parametrize("reason", [LOST, "acknowledged, and no data for 15 s", "trades came, and no data for 31 s"])
def test_what_an_honest_exchange_was_asked_for_is_not_asked_for_again(reason: str) -> None:
    exchange = SimExchange(seed=1)
    session = connect(exchange)
    ask(session, BOOK, SYMBOLS)
    calm = Calm(exchange)
    give_up(session, BOOK)
    ask(session, BOOK)
    calm.begin(0)
    calm.end(1)
    calm.judge_resyncs([resync("ETH/USD", reason)], 2)
    with pytest.raises(Violation, match="book of BTC/USD is asked for again"):
        calm.judge_resyncs([resync("BTC/USD", reason)], 2)


def test_silence_is_suspicious_in_half_of_the_markets_at_most() -> None:
    calm = Calm(SimExchange(seed=1))
    calm.judge_resyncs([resync("BTC/USD", BY_PACE)] * 4, 8)
    with pytest.raises(Violation, match="5 resyncs of 8 markets"):
        calm.judge_resyncs([resync("BTC/USD", BY_PACE)] * 5, 8)


def test_updates_are_lost_to_a_book_that_is_ill_and_to_no_other() -> None:
    exchange = SimExchange(
        seed=1, pairs=[PAIRS[symbol] for symbol in SYMBOLS], rhythms=dict.fromkeys(SYMBOLS, Rhythm(100_000))
    )
    session = connect(exchange)
    ask(session, BOOK, SYMBOLS)
    exchange.advance(5_000_000)
    calm = Calm(exchange)
    calm.begin(0)
    give_up(session, BOOK)
    exchange.advance(5_000_000)
    calm.end(1)
    calm.judge_resyncs([resync("BTC/USD", LOST)], 2)
    with pytest.raises(Violation, match="updates were lost while nothing went wrong"):
        calm.judge_resyncs([resync("BTC/USD", BY_PACE)], 2)
