"""Hundreds of markets, most of them quiet, recorded by the whole engine: nothing is lost, and nothing is cured that is
not ill. What is judged stands in `MarketRun`: no update of a book is missed, few resyncs, the pace of requests."""

import pytest

from tidelog.sim import schedule as plan
from tidelog.sim.scenario import play


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
