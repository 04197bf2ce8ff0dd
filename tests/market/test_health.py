"""When a recording is ready, as a table."""

import pytest

from tidelog.market.health import LOADER_LAG_S, Facts, Limits, Unproven, readiness
from tidelog.market.subscriptions import State

LIVE = State.LIVE


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (Facts(LIVE, 4, 4), ()),
        (Facts(State.SUBSCRIBING, 4, 4), ("the session is subscribing, and not live",)),
        (Facts(State.BACKING_OFF, 0, 0), ("the session is backing off, and not live",)),
        (
            Facts(State.BACKING_OFF, 4, 0, ended="the peer closed the connection with code 1013: busy"),
            (
                "the session is backing off, and not live: the peer closed the connection with code 1013: busy",
                "0 of 4 subscriptions are held",
            ),
        ),
        (Facts(LIVE, 4, 4, status="cancel_only"), ()),
        (Facts(LIVE, 4, 4, status="maintenance"), ("the exchange says of itself: maintenance",)),
        (
            Facts(LIVE, 4, 3, refused=["trade XX/USD: no such pair", "book XX/USD: no such pair"]),
            (
                "3 of 4 subscriptions are held",
                "the exchange refuses book XX/USD: no such pair; trade XX/USD: no such pair",
            ),
        ),
        (Facts(LIVE, 4, 3), ("3 of 4 subscriptions are held",)),
        (Facts(LIVE, 4, 4, ["B", "A"]), ("for more than 30 s no message has proven the book of A, B",)),
        (
            Facts(LIVE, 4, 4, list("GFEDCBA")),
            ("for more than 30 s no message has proven the book of A, B, C, D, E and 2 more",),
        ),
        (
            Facts(LIVE, 4, 4, journal_stalled=True),
            ("the journal cannot commit, or is full of what waits for its disk",),
        ),
        (Facts(LIVE, 4, 4, loading=False, loader_lag_s=1e6), ()),
        (Facts(LIVE, 4, 4, loading=True), ("nothing has been loaded into the store yet",)),
        (Facts(LIVE, 4, 4, loading=True, loader_lag_s=LOADER_LAG_S), ()),
        (
            Facts(LIVE, 4, 4, loading=True, loader_lag_s=LOADER_LAG_S + 1),
            ("the store is 31 s behind the journal, and at most 30 s are allowed",),
        ),
    ],
)
def test_readiness(facts: Facts, reasons: tuple[str, ...]) -> None:
    found = readiness(facts, Limits())
    assert (found.ready, found.reasons) == (not reasons, reasons)


def test_a_book_is_unproven_since_the_first_look_that_saw_it_so_without_another_between() -> None:
    unproven = Unproven()
    for now, symbols in ((0.0, ["A", "B"]), (10.0, ["A"]), (20.0, ["A", "B"])):
        unproven.look(symbols, now)
    assert unproven.longer_than(15, 20.0) == ["A"]
    assert unproven.longer_than(9, 30.0) == ["A", "B"]
    assert unproven.longer_than(20, 20.0) == []
