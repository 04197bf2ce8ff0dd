"""When a recording is ready, as a table."""

import pytest

from tidelog.market.live.monitoring.health import LOADER_LAG_S, ReadinessLimits, RecordingFacts, Unproven, readiness
from tidelog.market.session.subscription.subscriptions import ConnectionState

LIVE = ConnectionState.LIVE


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (RecordingFacts(LIVE, 4, 4), ()),
        (RecordingFacts(ConnectionState.SUBSCRIBING, 4, 4), ("the session is subscribing, and not live",)),
        (RecordingFacts(ConnectionState.BACKING_OFF, 0, 0), ("the session is backing off, and not live",)),
        (
            RecordingFacts(
                ConnectionState.BACKING_OFF, 4, 0, ended="the peer closed the connection with code 1013: busy"
            ),
            (
                "the session is backing off, and not live: the peer closed the connection with code 1013: busy",
                "0 of 4 subscriptions are acknowledged",
            ),
        ),
        (RecordingFacts(LIVE, 4, 4, status="cancel_only"), ()),
        (RecordingFacts(LIVE, 4, 4, status="maintenance"), ("the exchange says of itself: maintenance",)),
        (
            RecordingFacts(LIVE, 4, 3, refused=["trade XX/USD: no such pair", "book XX/USD: no such pair"]),
            (
                "3 of 4 subscriptions are acknowledged",
                "the exchange refuses book XX/USD: no such pair; trade XX/USD: no such pair",
            ),
        ),
        (RecordingFacts(LIVE, 4, 3), ("3 of 4 subscriptions are acknowledged",)),
        (RecordingFacts(LIVE, 4, 4, ["B", "A"]), ("for more than 30 s no message has proven the book of A, B",)),
        (
            RecordingFacts(LIVE, 4, 4, list("GFEDCBA")),
            ("for more than 30 s no message has proven the book of A, B, C, D, E and 2 more",),
        ),
        (
            RecordingFacts(LIVE, 4, 4, journal_stalled=True),
            ("the journal cannot commit, or is full of what waits for its disk",),
        ),
        (RecordingFacts(LIVE, 4, 4, loading=False, loader_lag_s=1e6), ()),
        (RecordingFacts(LIVE, 4, 4, loading=True), ("nothing has been loaded into the store yet",)),
        (RecordingFacts(LIVE, 4, 4, loading=True, loader_lag_s=LOADER_LAG_S), ()),
        (
            RecordingFacts(LIVE, 4, 4, loading=True, loader_lag_s=LOADER_LAG_S + 1),
            ("the store is 31 s behind the journal, and at most 30 s are allowed",),
        ),
        (
            RecordingFacts(LIVE, 4, 4, loading=True, waits="shard 1/1 waits for B", left="2.journal is damaged"),
            ("2.journal is damaged", "shard 1/1 waits for B"),
        ),
        (RecordingFacts(LIVE, 4, 4, loading=True, loader_lag_s=0.0, left="it is damaged"), ("it is damaged",)),
    ],
)
def test_readiness(facts: RecordingFacts, reasons: tuple[str, ...]) -> None:
    found = readiness(facts, ReadinessLimits())
    assert (found.ready, found.reasons) == (not reasons, reasons)


def test_unproven_time_counts_from_the_first_look_without_a_proven_one_between() -> None:
    unproven = Unproven()
    for now, symbols in ((0.0, ["A", "B"]), (10.0, ["A"]), (20.0, ["A", "B"])):
        unproven.look(symbols, now)
    assert unproven.longer_than(15, 20.0) == ["A"]
    assert unproven.longer_than(9, 30.0) == ["A", "B"]
    assert unproven.longer_than(20, 20.0) == []
