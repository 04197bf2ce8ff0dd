"""An exchange of hundreds of markets: their names, paces, depths, and that time passes quickly all the same."""

from collections import Counter

import pytest

from tests.sim.exchange_client import Follower, ask, connect, drain, events, follower, frames
from tidelog.market.events import Ack, Instruments, Rejection, Stream
from tidelog.sim.exchange import MARKETS_MAX, PAIRS, Listing, Rhythm, SimExchange, listing
from tidelog.sim.exchange.control import Announce, Halt, List
from tidelog.sim.exchange.markets.listing import FASTEST_US, SLOWEST_US
from tidelog.sim.exchange.markets.rhythm import Timetable
from tidelog.sim.exchange.session import Session

HOUR_US = 3_600_000_000


def exchange_of(listed: Listing, **more: object) -> SimExchange:
    return SimExchange(pairs=listed.pairs, rhythms=listed.rhythms, levels=listed.levels, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 5, 6, 500, MARKETS_MAX])
def test_there_are_as_many_markets_as_asked_for_and_no_two_alike(count: int) -> None:
    listed = listing(count)
    assert len({pair.symbol for pair in listed.pairs}) == len({pair.name_v1 for pair in listed.pairs}) == count
    assert [pair.symbol for pair in listed.pairs[:5]] == [*PAIRS][:count]
    assert listed.rhythms.keys() == listed.levels.keys() == {pair.symbol for pair in listed.pairs}


def test_paces_reach_from_twenty_a_second_to_one_in_ten_minutes_and_most_are_quiet() -> None:
    every = [rhythm.every_us for rhythm in listing(500).rhythms.values()]
    assert (every[0], every[-1]) == (FASTEST_US, SLOWEST_US)
    assert every == sorted(every)
    assert 380 <= sum(pause >= 40_000_000 for pause in every) <= 420


def test_a_market_keeps_its_pace_and_its_moments_whoever_its_neighbours_are() -> None:
    rhythms = {"A": Rhythm(2_000_000), "B": Rhythm(60_000_000), "C": Rhythm(10_000_000, burst=0.1)}
    both, alone = Timetable(rhythms, seed=1, start_us=0), Timetable({"B": rhythms["B"]}, seed=1, start_us=0)
    moments: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    while both.next_us < HOUR_US:
        due_us = both.next_us
        moments[both.pop(0)].append(due_us)
    assert 1_650 <= len(moments["A"]) <= 1_950
    assert 40 <= len(moments["B"]) <= 80
    assert len(moments["C"]) > 2 * 360, "bursts come on top"
    again = []
    while alone.next_us < HOUR_US:
        again.append(alone.next_us)
        alone.pop(0)
    assert again == moments["B"]


def test_a_clock_that_was_away_does_not_bring_all_that_it_missed() -> None:
    exchange = exchange_of(listing(5))
    session = connect(exchange)
    ask(session, Stream("book", depth=10), ("BTC/USD",))
    drain(session)
    exchange.advance(HOUR_US)
    assert sum(frame.channel == "book" for frame in frames(session)) < 3_000, "about a minute of twenty a second"


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_every_one_of_many_books_is_the_exchange_s(protocol: str) -> None:
    listed = listing(60, seed=3)
    exchange = exchange_of(listed, seed=3)
    symbols = [pair.symbol for pair in listed.pairs]
    session = connect(exchange, protocol)
    client: Follower = follower(exchange, protocol, session.connection_id, 10)
    for symbol in symbols:
        client.books.open(symbol, 10)
    ask(session, Stream("book", depth=10), symbols)
    seen = Counter[str | None]()
    for _ in range(100):
        exchange.advance(3_000_000)
        for frame in frames(session):
            seen[frame.symbol] += frame.kind == "update" and frame.channel == "book"
            client.take(frame.data)
    assert client.mismatched == 0
    assert client.proven > 1_000
    assert seen[symbols[0]] > 20 * max(1, seen[symbols[30]])


def listed_by(exchange: SimExchange) -> Session:
    session = connect(exchange)
    ask(session, Stream("book", depth=10), ("BTC/USD", "ETH/USD"), req_id=7)
    return session


def test_a_symbol_can_be_refused_for_a_while() -> None:
    exchange = SimExchange()
    exchange.act(List("ETH/USD", "refused"))
    said = events(listed_by(exchange))
    assert [event.symbol for event in said if isinstance(event, Ack)] == ["BTC/USD"]
    (refused,) = [event for event in said if isinstance(event, Rejection)]
    assert (refused.error, refused.symbol, refused.req_id) == ("Currency pair not supported ETH/USD", "ETH/USD", 7)
    exchange.act(List("ETH/USD", "listed"))
    assert sum(isinstance(event, Ack) for event in events(listed_by(exchange))) == 2


def test_a_request_about_a_symbol_can_stay_without_an_answer() -> None:
    exchange = SimExchange(rate=100)
    exchange.act(List("ETH/USD", "ignored"))
    session = listed_by(exchange)
    exchange.advance(2_000_000)
    assert {frame.symbol for frame in frames(session) if frame.channel == "book"} == {"BTC/USD"}


def test_during_maintenance_nothing_moves_and_heartbeats_go_on() -> None:
    exchange = SimExchange(rate=100)
    session = listed_by(exchange)
    exchange.advance(1_000_000)
    exchange.act(Announce("maintenance"))
    drain(session)
    exchange.advance(5_000_000)
    assert {frame.kind for frame in frames(session)} == {"heartbeat"}
    exchange.act(Announce("online"))
    exchange.advance(1_000_000)
    assert {frame.channel for frame in frames(session)} >= {"book", "status"}


def test_one_market_s_status_is_told_to_those_who_follow_instruments() -> None:
    exchange = SimExchange(rate=100)
    session = listed_by(exchange)
    ask(session, Stream("instrument"), ())
    drain(session)
    exchange.act(Halt("ETH/USD", "maintenance"))
    (told,) = [event for event in events(session) if isinstance(event, Instruments)]
    assert not told.snapshot
    assert [(one.symbol, one.status) for one in told.instruments] == [("ETH/USD", "maintenance")]
    exchange.advance(2_000_000)
    assert {frame.symbol for frame in frames(session) if frame.channel == "book"} == {"BTC/USD"}
    with pytest.raises(ValueError, match="no market 'X/Y'"):
        exchange.act(Halt("X/Y", "online"))
