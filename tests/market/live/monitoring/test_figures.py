"""A feed's metrics speak in fixed words, whatever a peer says; and the feed counts what happens."""

import random
import typing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tidelog.errors import Rejected, Throttled, Unreachable
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    Heartbeat,
    Missed,
    Resync,
    Spread,
    Started,
    Stream,
    Tickers,
    Trade,
    Trades,
)
from tidelog.market.kraken.venue import RULES
from tidelog.market.live.monitoring.figures import (
    CHANNELS,
    CLOSING,
    RECONNECT_REASONS,
    REFUSED_REASONS,
    exchange_time,
    journal_bytes,
    reconnect_reason,
    refused_reason,
)
from tidelog.market.session.controls import Drop
from tidelog.market.session.decisions import Look
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase, SessionState, Subscription

AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_every_event_of_an_exchange_has_a_channel() -> None:
    own = {Started, Connected, Disconnected, Resync, Missed, ClockStepped}  # these are no frames
    assert set(CHANNELS) == set(typing.get_args(Event)) - own


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("nothing came for 15 s", "silent"),
        ("no request is answered any more: book BTC/USD is not acknowledged, nor is a ping", "unacknowledged"),
        ("journal_stalled", "journal_stalled"),
        ("no token", "no_token"),
        ("the peer closed the connection with code 1012", "closed"),
        ("the connection was lost without a close", "lost"),
        ("the peer sent more than 8388608 bytes", "protocol"),
        ("the peer broke the protocol (rsv1)", "protocol"),
        ("closing", CLOSING),
        ("<script>whatever a peer may say", "other"),
        ("", "other"),
    ],
)
def test_metrics_labels_of_reasons_are_a_fixed_set(sentence: str, word: str) -> None:
    assert reconnect_reason(sentence) == word
    assert word in (*RECONNECT_REASONS, CLOSING)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (SessionState(ConnectionState.LIVE, last_received_us=1), "silent"),
        (
            SessionState(
                ConnectionState.LIVE,
                last_received_us=2 * RULES.limits.ack_us,
                pinged_us=1,  # and not even that was answered
                subscriptions=[
                    Subscription(
                        Stream("book"), "A", Phase.ASKED, asked_us=1, ack_timeouts=RULES.limits.ack_timeouts_max
                    )
                ],
            ),
            "unacknowledged",
        ),
        (SessionState(ConnectionState.LIVE, closing=True), CLOSING),
    ],
)
def test_each_reason_of_the_session_has_a_metrics_label(state: SessionState, word: str) -> None:
    decision = Look(
        state, max(state.last_received_us + RULES.limits.silent_us * (word == "silent"), 1), random.Random(1), RULES
    ).decide()
    assert isinstance(decision, Drop)
    assert reconnect_reason(decision.reason) == word


@pytest.mark.parametrize(
    ("error", "word"),
    [(Throttled("x"), "throttled"), (Rejected("x"), "rejected"), (Unreachable("x"), "unreachable")],
)
def test_refused_connection_has_a_metrics_label(error: Unreachable | Rejected | Throttled, word: str) -> None:
    assert refused_reason(error) == word
    assert word in REFUSED_REASONS


def a_trade(at: datetime) -> Trade:
    return Trade("A", "buy", Decimal(1), Decimal(1), at)


@pytest.mark.parametrize(
    ("event", "stamp"),
    [
        (BookDelta("A", [], [], None, AT), AT),
        (BookDelta("A", [], [], None), None),
        (BookDelta("A", [], [], None, AT.replace(tzinfo=None)), None),  # of which zone, nobody knows
        (BookSnapshot("A", [], [], None, AT), None),  # when it last changed
        (Trades((a_trade(AT.replace(hour=1)), a_trade(AT))), AT),
        (Trades((a_trade(AT),), snapshot=True), None),  # of the past
        (Trades(()), None),
        (Tickers(()), None),
        (Spread("A", Decimal(1), Decimal(2), Decimal(3), Decimal(4), AT), AT),
        (Heartbeat(), None),
    ],
)
def test_exchange_time_of_each_kind_of_event(event: Event, stamp: datetime | None) -> None:
    assert exchange_time(event) == stamp


def test_journal_size_includes_its_wal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert journal_bytes(str(path)) is None
    path.write_bytes(b"x" * 10)
    assert journal_bytes(str(path)) == 10
    (tmp_path / "j-wal").write_bytes(b"x" * 5)
    assert journal_bytes(str(path)) == 15
