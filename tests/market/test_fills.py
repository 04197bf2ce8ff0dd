"""Own fills: those of an outage are news, those that come again are not, and what may be missing is said."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tidelog.market.events import Executions, OwnTrade
from tidelog.market.fills import FILLS_KNOWN, FILLS_SHOWN, Fills, take_fills


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
    fills, first = take_fills(Fills(), message(before))
    assert len(first) == len(before)
    after, found = take_fills(fills, message(shown, snapshot=True))
    assert (len(found), after.doubted) == (news, doubted)
    again, none = take_fills(after, message(shown, snapshot=True))
    assert (none, again.doubted) == ((), doubted)


def test_after_a_restart_a_full_snapshot_is_doubted_and_a_shorter_one_is_not() -> None:
    assert take_fills(Fills(earlier=True), message(range(FILLS_SHOWN), snapshot=True))[0].doubted == 1
    shorter, _ = take_fills(Fills(earlier=True), message(range(FILLS_SHOWN - 1), snapshot=True))
    assert (shorter.doubted, shorter.earlier) == (0, False)


def test_what_is_remembered_is_bounded() -> None:
    fills = Fills()
    for number in range(1_000):
        fills, news = take_fills(fills, message(range(number, number + 1)))
        assert len(news) == 1
    assert fills.known == tuple([f"T{number}" for number in range(1_000 - FILLS_KNOWN, 1_000)])
