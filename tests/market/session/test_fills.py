"""Own fills: those of an outage are news, those that come again are not, and what may be missing is said."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tidelog.market.events import Executions, OwnTrade
from tidelog.market.kraken.limits import LIMITS
from tidelog.market.session.fills import Fills
from tidelog.market.session.fills import apply_fills as apply_fills_within


def apply_fills(fills: Fills, event: Executions) -> tuple[Fills, tuple[OwnTrade, ...]]:
    return apply_fills_within(fills, event, LIMITS)


def message(numbers: range, *, snapshot: bool = False) -> Executions:
    trades = tuple([fill(number) for number in numbers])
    return Executions("executions", 1, trades=trades, snapshot=snapshot)


def fill(number: int) -> OwnTrade:
    return OwnTrade(f"T{number}", "O1", "BTC/USD", "buy", Decimal(1), Decimal(1), datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    # known before   the snapshot shows            so many are news   and some may be missing
    ("before", "shown", "news", "doubted"),
    [
        (range(0), range(50), 50, 0),  # the first time
        (range(10), range(10), 0, 0),  # nothing has happened meanwhile
        (range(10), range(5, 15), 5, 0),
        (range(60), range(10, 60), 0, 0),
        (range(60), range(59, 109), 49, 0),  # one is known: the others follow on it
        (range(60), range(60, 110), 50, 1),  # none is known, and it shows no more than so many
        (range(60), range(60, 90), 30, 0),  # none is known, and that is all there is
        (range(60), range(0), 0, 0),
    ],
)
def test_a_snapshot_after_an_outage(before: range, shown: range, news: int, doubted: int) -> None:
    fills, first = apply_fills(Fills(), message(before))
    assert len(first) == len(before)
    after, found = apply_fills(fills, message(shown, snapshot=True))
    assert (len(found), after.doubted) == (news, doubted)
    again, none = apply_fills(after, message(shown, snapshot=True))
    assert (none, again.doubted) == ((), doubted)


def test_after_a_restart_a_full_snapshot_is_doubted_and_a_shorter_one_is_not() -> None:
    assert apply_fills(Fills(earlier=True), message(range(LIMITS.fills_shown), snapshot=True))[0].doubted == 1
    shorter, _ = apply_fills(Fills(earlier=True), message(range(LIMITS.fills_shown - 1), snapshot=True))
    assert (shorter.doubted, shorter.earlier) == (0, False)


def test_what_is_remembered_is_bounded() -> None:
    fills = Fills()
    for number in range(1_000):
        fills, news = apply_fills(fills, message(range(number, number + 1)))
        assert len(news) == 1
    assert fills.known == tuple([f"T{number}" for number in range(1_000 - LIMITS.fills_known, 1_000)])
