"""A subscription's phases: each cell of the table, as it is written and as a session carries it out."""

import copy
from collections.abc import Callable

import pytest

from tests.state_tables import PAGE, page
from tidelog.errors import Corruption
from tidelog.market.events import Ack, BookSnapshot, Disconnected, Rejection, Resync, Stream
from tidelog.market.kraken.venue import RULES
from tidelog.market.session.connection import Session
from tidelog.market.session.controls import (
    AckTimeout,
    Control,
    Ping,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
)
from tidelog.market.session.limits import SECOND
from tidelog.market.session.subscription.subscription_phases import STEPS, Action, Happening, Step, step_of
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase, SessionState, Subscription

TABLE = """
                 wanted          asked           held               resyncing          leaving
subscribe        asked/ask       asked/ask       asked/ask          -                  -
unsubscribe      -               -               leaving/leave      leaving/leave      -
timed_out        -               wanted/wait     -                  -                  resyncing/wait
resync           -               -               resyncing/suspect  -                  -
lost             wanted/reset    wanted/reset    wanted/reset       wanted/reset       wanted/reset
acked            held/hold       held/hold       held/nothing       resyncing/nothing  leaving/nothing
acked_earlier    wanted/nothing  held/hold       held/nothing       resyncing/nothing  leaving/nothing
left             wanted/nothing  asked/nothing   held/nothing       resyncing/nothing  wanted/return
ended            wanted/nothing  asked/nothing   wanted/return      resyncing/nothing  wanted/return
data             wanted/nothing  held/hold       held/nothing       resyncing/nothing  leaving/nothing
refused          -               wanted/delay    -                  -                  wanted/return
already          -               held/hold       -                  -                  wanted/return
unwanted         wanted/forget   asked/release   held/release       resyncing/release  leaving/release
unwanted_closed  wanted/forget   wanted/forget   wanted/forget      wanted/forget      wanted/forget
wanted_again     wanted/keep     asked/keep      held/keep          resyncing/keep     leaving/keep
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(Happening(row[0]), Phase(phase), cell) for row in ROWS for phase, cell in zip(HEAD, row[1:], strict=True)]
BOOK, SYMBOL, REQ_ID = Stream("book", depth=10), "A", 7
NOW_US = 1_000 * SECOND
CLOSED = [state for state in ConnectionState if state not in (ConnectionState.SUBSCRIBING, ConnectionState.LIVE)]

# What brings each about: the request under way has REQ_ID, the one before it REQ_ID - 1.
CAUSES: dict[Happening, Control | Ack | Rejection | BookSnapshot] = {
    Happening.SUBSCRIBE: Subscribe(BOOK, (SYMBOL,), REQ_ID + 1),
    Happening.UNSUBSCRIBE: Unsubscribe(BOOK, (SYMBOL,), REQ_ID + 1),
    Happening.RESYNC: Resync("book", SYMBOL, None, "why", NOW_US),
    Happening.LOST: Disconnected("gone"),
    Happening.ACKED: Ack("subscribe", "book", SYMBOL, 10, None, REQ_ID),
    Happening.ACKED_EARLIER: Ack("subscribe", "book", SYMBOL, 10, None, REQ_ID - 1),
    Happening.LEFT: Ack("unsubscribe", "book", SYMBOL, 10, None, REQ_ID),
    Happening.ENDED: Ack("unsubscribe", "book", SYMBOL, 10),
    Happening.DATA: BookSnapshot(SYMBOL, (), (), 0),
    Happening.UNWANTED: Unwanted(BOOK, (SYMBOL,)),
    Happening.UNWANTED_CLOSED: Unwanted(BOOK, (SYMBOL,)),
    Happening.WANTED_AGAIN: Wanted(BOOK, (SYMBOL,)),
}
# These reach what is under way alone: of anything else they are not.
UNDER_WAY: dict[Happening, Control | Rejection] = {
    Happening.TIMED_OUT: AckTimeout(REQ_ID),
    Happening.REFUSED: Rejection("no", "subscribe", "book", SYMBOL, REQ_ID),
    Happening.ALREADY: Rejection("Already subscribed", "subscribe", "book", SYMBOL, REQ_ID),
}


def session_in(phase: Phase, state: ConnectionState = ConnectionState.LIVE) -> Session:
    one = Subscription(BOOK, SYMBOL, phase, req_id=REQ_ID, asked_us=NOW_US, acked_us=NOW_US, suspect_reason="why")
    return Session(
        RULES, SessionState(state, subscriptions=[one], attempts=[], opened_us=NOW_US, next_req_id=REQ_ID + 1)
    )


def bring_about(session: Session, cause: Control | Ack | Rejection | BookSnapshot) -> None:
    if isinstance(cause, Ack | Rejection | BookSnapshot):
        session.observe(cause, None, NOW_US + SECOND)
    else:
        session.apply(cause, NOW_US + SECOND)


def test_table_has_a_row_for_all_that_can_happen_and_a_column_for_each_phase() -> None:
    assert [Happening(row[0]) for row in ROWS] == list(Happening)
    assert [Phase(name) for name in HEAD] == list(Phase)
    assert {step.action for step in STEPS.values()} == set(Action)


@pytest.mark.parametrize(("happening", "phase", "cell"), CELLS)
def test_subscription_table_is_what_is_written_down(happening: Happening, phase: Phase, cell: str) -> None:
    if cell == "-":
        with pytest.raises(Corruption, match=f"{happening.value} of a subscription that is {phase.value}"):
            step_of(phase, happening)
    else:
        after, action = cell.split("/")
        assert step_of(phase, happening) == Step(Phase(after), Action(action))


@pytest.mark.parametrize(("happening", "phase", "cell"), [each for each in CELLS if each[0] in CAUSES])
def test_session_does_what_the_subscription_table_says(happening: Happening, phase: Phase, cell: str) -> None:
    closed = happening is Happening.UNWANTED_CLOSED
    session = session_in(phase, ConnectionState.DRAINING if closed else ConnectionState.LIVE)
    before = copy.deepcopy(session.session_state)
    if cell == "-":
        with pytest.raises(Corruption):
            bring_about(session, CAUSES[happening])
        assert session.session_state == before, "nothing has changed"
        return
    bring_about(session, CAUSES[happening])
    after, action = cell.split("/")
    subscription = session.subscription(BOOK, SYMBOL)
    if action == "forget":
        assert subscription is None
        assert session.session_state.subscriptions == []
        return
    assert subscription is not None
    assert subscription.phase is Phase(after)
    (was,) = before.subscriptions
    done: dict[str, Callable[[], bool]] = {
        "ask": lambda: (subscription.req_id, subscription.acks_from) == (REQ_ID + 1, 0),
        "leave": lambda: (subscription.req_id, subscription.acks_from) == (REQ_ID + 1, REQ_ID + 1),
        "hold": lambda: (subscription.acked_us, subscription.suspect_reason) == (NOW_US + SECOND, None),
        "return": lambda: subscription.again,
        "suspect": lambda: (subscription.resyncs, subscription.suspect_reason) == (1, None),
        "reset": lambda: (subscription.acked_us, subscription.suspect_reason) == (0, None),
        "release": lambda: subscription.unwanted,
        "keep": lambda: subscription == was,
        "nothing": lambda: happening is Happening.DATA or subscription == was,
    }
    assert done[action]()


@pytest.mark.parametrize("happening", UNDER_WAY)
@pytest.mark.parametrize("phase", Phase)
def test_answers_and_timeouts_are_about_what_is_under_way_alone(happening: Happening, phase: Phase) -> None:
    session = session_in(phase)
    (before,) = copy.deepcopy(session.session_state.subscriptions)
    bring_about(session, UNDER_WAY[happening])
    (subscription,) = session.session_state.subscriptions
    step = STEPS.get((phase, happening))
    if step is None:
        assert subscription == before
        return
    assert subscription.phase is step.phase
    done = {
        Action.WAIT: subscription.ack_timeouts == 1,
        Action.DELAY: subscription.not_before_us > NOW_US + SECOND,
        Action.HOLD: subscription.acked_us == NOW_US + SECOND,
        Action.RETURN: subscription.again,
    }
    assert done[step.action]


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize(
    "control",
    [
        Subscribe(BOOK, (SYMBOL,), REQ_ID + 1),
        Unsubscribe(BOOK, (SYMBOL,), REQ_ID + 1),
        AckTimeout(REQ_ID),
        Ping(REQ_ID + 1),
        Resync("book", SYMBOL, None, "why", NOW_US),
    ],
)
@pytest.mark.parametrize("phase", Phase)
def test_requests_and_resyncs_are_refused_while_no_connection_is_open(
    state: ConnectionState, control: Control, phase: Phase
) -> None:
    session = session_in(phase, state)
    before = copy.deepcopy(session.session_state)
    with pytest.raises(Corruption, match=f"while {state.value}"):
        session.apply(control, NOW_US)
    assert session.session_state == before, "nothing has changed"


def test_request_of_which_one_symbol_cannot_be_asked_for_changes_none() -> None:
    session = session_in(Phase.WANTED)
    session.apply(Wanted(BOOK, ("B",)), NOW_US)
    session.apply(Subscribe(BOOK, ("B",), REQ_ID + 1), NOW_US)
    session.observe(Ack("subscribe", "book", "B", 10, None, REQ_ID + 1), None, NOW_US)
    before = copy.deepcopy(session.session_state)
    with pytest.raises(Corruption, match="unsubscribe of a subscription that is wanted"):
        session.apply(Unsubscribe(BOOK, ("B", SYMBOL), REQ_ID + 2), NOW_US)
    assert session.session_state == before


def test_page_shows_both_tables_as_the_code_has_them() -> None:
    text = PAGE.read_text()
    assert text.count("<!-- end -->") == 2
    assert page(text) == text, "python -m tests.state_tables writes them"
