"""The session: what it decides and when, told by a world that answers, or does not."""

import copy
import itertools
import random
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.market.paths import session_on_either_path
from tidelog.errors import Corruption
from tidelog.market.book.proof import Check
from tidelog.market.events import (
    Ack,
    BookDelta,
    BookSnapshot,
    Connected,
    Disconnected,
    Event,
    Executions,
    Heartbeat,
    Pong,
    Rejection,
    Resync,
    Started,
    Status,
    Stream,
    Trade,
    Trades,
)
from tidelog.market.kraken.venue import RULES
from tidelog.market.live.monitoring.figures import reconnect_reason
from tidelog.market.session.connection import Session
from tidelog.market.session.connection_states import TRANSITIONS, Input
from tidelog.market.session.controls import (
    AckTimeout,
    Authorized,
    BackOff,
    Closing,
    Connect,
    Control,
    Decision,
    Denied,
    Drop,
    Ping,
    Refused,
    Stopped,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
    decode_control,
    encode_control,
)
from tidelog.market.session.limits import SECOND
from tidelog.market.session.subscription.pace import Pace
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase, SessionState

__all__ = ["session_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("session_on_either_path")

TABLE = """
               connect    back_off    opened      opened_private refused      authorized  denied   settled unsettled   drop     lost         stop
disconnected   connecting backing_off -           -              -            -           -        -       -           -        -            closed
backing_off    connecting backing_off -           -              -            -           -        -       -           -        -            closed
connecting     -          -           subscribing authenticating disconnected -           -        -       -           -        -            -
authenticating -          -           -           -              -            subscribing draining -       -           draining disconnected -
subscribing    -          -           -           -              -            -           -        live    subscribing draining disconnected -
live           -          -           -           -              -            -           -        live    subscribing draining disconnected -
draining       -          -           -           -              -            -           -        -       -           -        disconnected -
closed         -          -           -           -              -            -           -        -       -           -        -            -
"""  # noqa: E501 - a table is read along its rows
BOOK = Stream("book", depth=10)
TRADE = Stream("trade", snapshot=True)


def test_connection_table_in_each_state_with_each_input() -> None:
    """Every state with every input: exactly one row, and what it says is what happens."""
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    assert [Input(name) for name in head] == list(Input)
    assert sorted(row[0] for row in rows) == sorted(state.value for state in ConnectionState)
    for name, *cells in rows:
        for what, cell in zip(head, cells, strict=True):
            state, given_input = ConnectionState(name), Input(what)
            session = Session(RULES, SessionState(state=state, subscriptions=[], attempts=[]))
            assert TRANSITIONS.get((state, given_input)) is (None if cell == "-" else ConnectionState(cell))
            if cell == "-":
                with pytest.raises(Corruption, match=f"{what} while {name}"):
                    session._move(given_input)
                assert session.state is state
            else:
                session._move(given_input)
                assert session.state is ConnectionState(cell)


class World:
    """A session, its clock, and everything that went in, to be folded again."""

    def __init__(self, *symbols: str, stream: Stream = BOOK, seed: int = 1, started: Started | None = None) -> None:
        self.session = Session(RULES)
        self.now_us = 1_000 * SECOND
        self.rng = random.Random(seed)
        self.log: list[tuple[Control | tuple[Event, Check | None], int]] = []
        self.apply(started or Started("v2"))
        self.apply(Wanted(stream, symbols))

    def apply(self, control: Control) -> None:
        self.log.append((control, self.now_us))
        self.session.apply(control, self.now_us)

    def hear(self, event: Event, check: Check | None = None) -> None:
        self.log.append(((event, check), self.now_us))
        self.session.observe(event, check, self.now_us)

    def decide(self) -> list[Decision]:
        """Everything that is to be done by now, done."""
        decisions: list[Decision] = []
        while (decision := self.session.decide(self.now_us, self.rng)) is not None:
            self.apply(decision)
            decisions.append(decision)
            assert len(decisions) < 100
        return decisions

    def until(self, seconds: float, *, beat_s: float | None = 1.0) -> list[tuple[float, Decision]]:
        """Let time pass: each decision with the second it came at. Heartbeats come meanwhile, or nothing."""
        begun_us, decided = self.now_us, []
        end_us = begun_us + int(seconds * SECOND)
        beat_us = begun_us + int((beat_s or 0) * SECOND) if beat_s else end_us + 1
        while True:
            if self.session.deadline_us <= self.now_us:  # as the shell does it
                decided += [((self.now_us - begun_us) / SECOND, decision) for decision in self.decide()]
            next_us = min(max(self.session.deadline_us, self.now_us), beat_us, end_us)
            self.now_us = next_us
            if next_us == beat_us:
                self.hear(Heartbeat())
                beat_us += int((beat_s or 0) * SECOND)
            if next_us == end_us:
                return decided

    def connect(self) -> list[Decision]:
        """Up to an open socket; what is asked for then."""
        assert self.decide()[-1] == Connect()
        self.apply(Connected())
        return self.decide()

    def acknowledge(self, request: Decision, *, snapshot: bool = True) -> None:
        assert isinstance(request, Subscribe | Unsubscribe)
        stream, symbols, req_id = request.stream, request.symbols, request.req_id
        method = "subscribe" if isinstance(request, Subscribe) else "unsubscribe"
        for symbol in symbols or (None,):
            self.hear(Ack(method, stream.channel, symbol, stream.depth, stream.interval, req_id))
            if snapshot and method == "subscribe" and stream.channel == "book":
                self.hear(BookSnapshot(symbol or "", (), (), 0), Check.MATCHED)

    def live(self) -> "World":
        pending = self.connect()
        while pending:
            for request in pending:
                self.acknowledge(request)
            self.now_us += SECOND
            pending = self.decide()
        assert self.session.state is ConnectionState.LIVE
        return self

    def is_in(self, state: ConnectionState) -> bool:
        return self.session.state is state

    def phases(self) -> dict[str | None, str]:
        return {one.symbol: one.phase.value for one in self.session.session_state.subscriptions}

    def folded_again(self) -> SessionState:
        session = Session(RULES)
        for what, at_us in self.log:
            if isinstance(what, tuple):
                session.observe(*what, at_us)
            else:
                session.apply(decode_control(encode_control(what)), at_us)
        return session.session_state


def test_from_nothing_to_live() -> None:
    world = World("A", "B")
    assert world.decide() == [Connect()]
    assert world.decide() == []  # the shell is at work
    world.apply(Connected())
    assert world.decide() == [Subscribe(BOOK, ("A", "B"), 1)]
    world.acknowledge(Subscribe(BOOK, ("A",), 1))
    assert (world.session.state, world.phases()) == (ConnectionState.SUBSCRIBING, {"A": "held", "B": "asked"})
    world.acknowledge(Subscribe(BOOK, ("B",), 1))
    assert (world.session.state, world.decide()) == (ConnectionState.LIVE, [])


def test_without_a_wish_nothing_is_done() -> None:
    world = World()
    world.session = Session(RULES)
    world.log = []
    world.apply(Started("v2"))
    assert world.until(1_000) == []


def test_requests_keep_a_pace_however_many_symbols() -> None:
    world = World(*[f"S{number}" for number in range(35)])
    world.connect()
    world.log.clear()
    asked = [(at_s, decision) for at_s, decision in world.until(5) if isinstance(decision, Subscribe)]
    assert [len(request.symbols) for _, request in asked] == [10, 10, 5]  # the first ten went on connecting
    assert [round(at_s, 1) for at_s, _ in asked] == [0.7, 1.3, 2.0]


def test_a_lost_ack_is_asked_for_again_and_where_nothing_is_answered_the_connection_is_given_up() -> None:
    world = World("A")
    world.connect()
    decided = world.until(100)
    kinds = [type(decision).__name__ for _, decision in decided]
    assert kinds == ["AckTimeout", "Subscribe"] * 4 + ["Ping", "Drop"]
    assert [at_s for at_s, decision in decided if isinstance(decision, AckTimeout)] == [10, 20, 30, 40]
    assert [at_s for at_s, decision in decided if isinstance(decision, Ping | Drop)] == [50, 60]
    assert len({decision.req_id for _, decision in decided if isinstance(decision, Subscribe)}) == 4
    assert world.folded_again() == world.session.session_state


@pytest.mark.parametrize("stuck", ["subscribe", "unsubscribe"])
def test_one_that_is_never_acknowledged_costs_the_others_nothing(stuck: str) -> None:
    world = World("A", "B")
    if stuck == "unsubscribe":
        world.live()
        world.hear(BookDelta("A", (), (), 1), Check.MISMATCHED)
    else:
        world.connect()
        world.acknowledge(Subscribe(BOOK, ("B",), 1))
    asked: list[float] = []
    for second in range(3_000):
        world.hear(BookDelta("B", (), (), second), Check.MATCHED)
        for _, decision in world.until(1):
            assert not isinstance(decision, Drop), decision
            if isinstance(decision, Subscribe | Unsubscribe):
                asked.append(second)
            elif isinstance(decision, Ping):
                world.hear(Pong(decision.req_id))
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert max(pauses) >= 300
    assert len(asked) <= 20
    assert world.phases()["B"] == "held"
    assert world.folded_again() == world.session.session_state


def test_one_that_is_never_acknowledged_keeps_nobody_from_being_resynced() -> None:
    world = World("A", "B")
    world.connect()
    world.acknowledge(Subscribe(BOOK, ("B",), 1))
    for _ in range(300):
        for _, decision in world.until(1):
            if isinstance(decision, Ping):
                world.hear(Pong(decision.req_id))
    world.hear(BookDelta("B", (), (), 1), Check.MISMATCHED)
    resync, leave = world.decide()
    assert isinstance(resync, Resync)
    assert isinstance(leave, Unsubscribe)


def test_a_late_ack_is_an_ack() -> None:
    world = World("A")
    (first,) = world.connect()
    world.until(11)
    world.acknowledge(first)
    assert (world.phases(), world.session.state) == ({"A": "held"}, ConnectionState.LIVE)
    world.hear(Rejection("Already subscribed", "subscribe", None, "A", 2))  # the answer to the second request
    assert world.phases() == {"A": "held"}


def test_data_is_as_good_as_an_ack_but_a_delta_is_not() -> None:
    world = World("A", "B")
    world.connect()
    world.hear(BookDelta("A", (), (), 0), Check.REFUSED)
    world.hear(BookSnapshot("B", (), (), 0), Check.MATCHED)
    assert world.phases() == {"A": "asked", "B": "held"}


def test_too_fast_names_no_request_so_all_under_way_are_asked_for_again() -> None:
    world = World("A", "B")
    (request,) = world.connect()
    world.acknowledge(Subscribe(BOOK, ("A",), 1))
    world.hear(Rejection("Exceeded msg rate"))
    assert world.until(5) == [(2, Subscribe(BOOK, ("B",), 2))]
    assert request == Subscribe(BOOK, ("A", "B"), 1)


@pytest.mark.parametrize(
    ("error", "symbol", "req_id", "phases"),
    [
        ("Currency pair not supported A", "A", 1, {"A": "wanted", "B": "asked"}),
        ("Currency pair not supported A", "A", None, {"A": "wanted", "B": "asked"}),
        ("no symbol said", None, 1, {"A": "wanted", "B": "wanted"}),
        ("nothing said", None, None, {"A": "asked", "B": "asked"}),
        ("of another request", "A", 7, {"A": "asked", "B": "asked"}),
        ("Already subscribed", "A", 1, {"A": "held", "B": "asked"}),
    ],
)
def test_a_refusal_is_about_what_it_names(
    error: str, symbol: str | None, req_id: int | None, phases: dict[str | None, str]
) -> None:
    world = World("A", "B")
    world.connect()
    world.hear(Rejection(error, "subscribe", None, symbol, req_id))
    assert world.phases() == phases


def test_what_was_refused_is_asked_for_once_the_exchange_is_back() -> None:
    world = World("A")
    pending: list[Decision] = list(world.connect())
    for _ in range(6):
        (request,) = pending
        assert isinstance(request, Subscribe)
        world.hear(Rejection("EService:Market in maintenance", "subscribe", None, "A", request.req_id))
        pending = []
        while not pending:
            pending = [decision for _, decision in world.until(1)]
    (request,) = pending
    assert isinstance(request, Subscribe)
    world.hear(Rejection("EService:Market in maintenance", "subscribe", None, "A", request.req_id))
    world.hear(Status("maintenance"))
    assert world.until(2) == []
    world.hear(Status("online"))
    (again,) = world.decide()
    assert isinstance(again, Subscribe)
    world.acknowledge(again)
    assert world.is_in(ConnectionState.LIVE)
    assert world.folded_again() == world.session.session_state


def test_what_is_refused_is_asked_for_ever_more_rarely_but_never_given_up() -> None:
    world = World("A")
    pending: list[Decision] = list(world.connect())
    times = []
    begun_us = world.now_us
    for _ in range(8):
        (request,) = pending
        assert isinstance(request, Subscribe)
        times.append((world.now_us - begun_us) // SECOND)
        world.hear(Rejection("not supported", "subscribe", None, "A", request.req_id))
        pending = []
        while not pending:
            pending = [decision for _, decision in world.until(1)]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert (pauses[0] // 10, pauses[-1] // 10) == (1, 30)
    assert world.is_in(ConnectionState.SUBSCRIBING)


@pytest.mark.parametrize("check", [Check.MISMATCHED, Check.REFUSED, Check.OUTDATED])
def test_a_doubtful_book_is_asked_for_again_and_no_other(check: Check) -> None:
    world = World("A", "B").live()
    world.hear(BookDelta("B", (), (), 1), check)
    resync, leave = world.decide()
    assert isinstance(resync, Resync)
    assert (resync.symbol, resync.until_us) == ("B", world.now_us)
    assert isinstance(leave, Unsubscribe)
    assert leave.symbols == ("B",)
    assert (world.session.resyncing, world.session.state) == (frozenset({"B"}), ConnectionState.LIVE)
    world.hear(BookDelta("B", (), (), 1), check)  # was on its way
    world.acknowledge(leave)
    assert world.session.resyncing == frozenset({"B"})
    (_, again), *rest = world.until(1)
    assert isinstance(again, Subscribe)
    assert (again.symbols, rest) == (("B",), [])
    world.acknowledge(again)
    assert (world.session.resyncing, world.phases()) == (frozenset(), {"A": "held", "B": "held"})


def test_a_book_that_never_holds_is_asked_for_ever_more_rarely() -> None:
    world = World("A").live()
    begun_us = world.now_us
    resyncs: list[int] = []
    for _ in range(400):
        if world.phases()["A"] == "held":
            world.hear(BookDelta("A", (), (), 1), Check.MISMATCHED)
        for _, decision in world.until(1):
            if isinstance(decision, Resync):
                resyncs.append((world.now_us - begun_us) // SECOND)
            elif isinstance(decision, Subscribe | Unsubscribe):
                world.acknowledge(decision)
    assert resyncs[2] <= 9
    assert 10 <= len(resyncs) <= 18
    pauses = [after - before for before, after in itertools.pairwise(resyncs)]
    assert pauses[-1] > 25


def test_a_book_that_held_for_a_while_is_asked_for_at_once_again() -> None:
    world = World("A").live()
    for _ in range(8):
        for _ in range(7):
            world.until(10)
            world.hear(BookDelta("A", (), (), 1), Check.MATCHED)
        world.hear(BookDelta("A", (), (), 1), Check.MISMATCHED)
        resync, leave = world.decide()
        assert isinstance(resync, Resync)
        assert resync.until_us == world.now_us
        world.acknowledge(leave)
        ((_, again),) = world.until(1)
        world.acknowledge(again)


def test_silence_is_asked_about_and_then_believed() -> None:
    world = World("A").live()
    decided = world.until(30, beat_s=None)
    assert [type(decision) for _, decision in decided] == [Ping, Ping, Drop]
    assert [round(at_s) for at_s, _ in decided] == [4, 9, 14]  # it was heard a second ago


@pytest.mark.parametrize(
    ("stream", "snapshot", "reason"),
    [
        (BOOK, False, "acknowledged, and no data for 15 s"),
        (BOOK, True, "no data for 3600 s"),
        (TRADE, False, "acknowledged, and no data for 30 s"),
        (Stream("trade"), False, "no data for 3600 s"),  # v1 promises no snapshot: as if trades had stopped
        (Stream("ticker"), False, "acknowledged, and no data for 30 s"),
        (Stream("ohlc", interval=5), False, "acknowledged, and no data for 60 s"),
        (Stream("spread"), False, "no data for 3600 s"),
    ],
)
def test_heartbeats_are_no_data(stream: Stream, snapshot: bool, reason: str) -> None:
    world = World("A", stream=stream)
    (request,) = world.connect()
    world.acknowledge(request, snapshot=snapshot)
    decided = world.until(4000)
    resyncs = [decision.reason for _, decision in decided if isinstance(decision, Resync)]
    assert resyncs[:1] == [reason]


@pytest.mark.parametrize("stream", [TRADE, Stream("ohlc", interval=5)])
def test_a_market_without_a_trade_is_asked_for_ever_more_rarely(stream: Stream) -> None:
    world = World("A", stream=stream).live()
    resyncs = 0
    for _ in range(24 * 360):
        for _, decision in world.until(10):
            if isinstance(decision, Resync):
                resyncs += 1
            elif isinstance(decision, Subscribe | Unsubscribe):
                world.acknowledge(decision, snapshot=False)
    assert 8 <= resyncs <= 16


def test_trades_that_are_heard_of_again_are_asked_for_at_once_again() -> None:
    world = World("A", stream=TRADE).live()
    for _ in range(2):
        reasons = list[str]()
        for _ in range(200):
            for _, decision in world.until(1):
                if isinstance(decision, Resync):
                    reasons.append(decision.reason)
                elif isinstance(decision, Subscribe | Unsubscribe):
                    world.acknowledge(decision, snapshot=False)
        assert reasons[:3] == ["acknowledged, and no data for 30 s"] * 3
        while world.phases()["A"] != "held":
            for _, decision in world.until(1):
                if isinstance(decision, Subscribe | Unsubscribe):
                    world.acknowledge(decision, snapshot=False)
        world.hear(Trades((trade(1),), snapshot=True))
        world.until(120)
        world.hear(Trades((trade(5),)))
        resync, leave = world.decide()
        assert isinstance(resync, Resync)
        world.acknowledge(leave)
        ((_, again),) = world.until(1)
        world.acknowledge(again)


def test_trades_that_were_never_heard_of_are_asked_for_ever_more_rarely() -> None:
    world = World("A", stream=Stream("trade")).live()
    begun_us, resyncs = world.now_us, list[int]()
    for _ in range(26_000):
        for _, decision in world.until(1):
            if isinstance(decision, Resync):
                resyncs.append((world.now_us - begun_us) // SECOND)
            elif isinstance(decision, Subscribe | Unsubscribe):
                world.acknowledge(decision, snapshot=False)
    pauses = [after - before for before, after in itertools.pairwise([0, *resyncs])]
    assert [round(pause / 3600) for pause in pauses] == [1, 2, 4]


class Quiet:
    """Books that move at times of their own, and an exchange that answers; `resyncs` are seconds and symbols."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.begun_us = world.now_us
        self.resyncs: list[tuple[int, str | None]] = []
        self.requests: list[int] = []
        self.away: set[str] = set()  # not subscribed now
        self.crc: dict[str | None, int] = {}
        self.lost: list[str] = []

    @property
    def second(self) -> int:
        return (self.world.now_us - self.begun_us) // SECOND

    def move(self, symbol: str) -> None:
        self.crc[symbol] = self.crc.get(symbol, 1) + 1
        if symbol in self.away:
            self.lost.append(symbol)
        else:
            self.world.hear(BookDelta(symbol, (), (), self.crc[symbol]), Check.MATCHED)

    def pass_second(self) -> None:
        for _, decision in self.world.until(1):
            if isinstance(decision, Resync):
                assert decision.until_us <= self.world.now_us, "the book is not left empty"
                self.resyncs.append((self.second, decision.symbol))
            elif isinstance(decision, Ping):
                self.world.hear(Pong(decision.req_id))
            elif isinstance(decision, Unsubscribe):
                self.requests += [self.second] * len(decision.symbols)
                self.away |= set(decision.symbols)
                self.world.acknowledge(decision)
            elif isinstance(decision, Subscribe):
                self.requests += [self.second] * len(decision.symbols)
                self.away -= set(decision.symbols)
                self.world.acknowledge(decision, snapshot=False)
                for symbol in decision.symbols:
                    self.world.hear(BookSnapshot(symbol, (), (), self.crc.get(symbol, 1)), Check.MATCHED)

    def pass_time(self, seconds: int, *, every: int | None = None, symbol: str = "A") -> None:
        for nth in range(1, seconds + 1):
            self.pass_second()
            if every is not None and nth % every == 0:
                self.move(symbol)


@pytest.mark.parametrize("every", [1, 40, 100, 600, 1_500])
def test_a_quiet_market_is_not_resynced_before_every_update(every: int) -> None:
    quiet = Quiet(World("A").live())
    quiet.pass_time(20_000, every=every)
    assert quiet.resyncs == []
    assert quiet.world.folded_again() == quiet.world.session.session_state


@pytest.mark.parametrize(
    # it moved      for so long   so its stall is found within
    ("every", "seconds", "found"),
    [
        (1, 30, 310),  # known for half a minute
        (1, 1_300, 35),
        (40, 1_300, 200),
        (100, 3_300, 410),
        (600, 1_300, 3_610),  # too little is known
        (600, 20_000, 2_410),
    ],
)
def test_a_book_that_really_stalls_is_found_within_a_bound(every: int, seconds: int, found: int) -> None:
    quiet = Quiet(World("A").live())
    quiet.pass_time(seconds, every=every)
    assert quiet.resyncs == []
    silent_from = quiet.second
    quiet.pass_time(4_000)
    assert quiet.resyncs[0][0] - silent_from <= found


def test_the_doubling_is_kept_over_data_that_merely_end_a_silence() -> None:
    quiet = Quiet(World("A").live())
    quiet.pass_time(1_300, every=1)
    for _ in range(10):  # it has fallen asleep: an update in five minutes, after none was longer away than a second
        quiet.pass_time(300)
        quiet.move("A")
    assert 1 <= len(quiet.resyncs) <= 4
    assert quiet.second - quiet.resyncs[-1][0] > 2_400, "what it learned is not forgotten at the next update"
    before = len(quiet.resyncs)
    quiet.pass_time(3_000, every=1)  # wide awake again
    silent_from = quiet.second
    quiet.pass_time(400)
    assert quiet.resyncs[before][0] - silent_from <= 35, "and in the end the doubling is taken back"


def test_a_stall_that_a_resync_ended_is_no_pause_of_the_market() -> None:
    quiet = Quiet(World("A").live())
    quiet.pass_time(1_300, every=1)
    quiet.crc["A"] += 7  # it goes on, and we hear nothing of it
    quiet.pass_time(60)
    assert len(quiet.resyncs) == 1
    quiet.pass_time(30, every=1)
    silent_from = quiet.second
    quiet.pass_time(60)
    assert quiet.resyncs[1][0] - silent_from <= 35
    assert quiet.world.folded_again() == quiet.world.session.session_state


def test_a_book_that_says_nothing_of_its_trades_is_found_however_slow_the_market_is() -> None:
    world = World("A")
    world.apply(Wanted(TRADE, ("A",)))
    quiet = Quiet(world.live())
    world.hear(Trades((trade(1),), snapshot=True))
    quiet.pass_time(400)
    world.hear(Trades((trade(2),)))
    quiet.move("A")
    quiet.pass_time(400)
    assert quiet.resyncs == []
    world.hear(Trades((trade(3),)))
    traded = quiet.second
    quiet.pass_time(60)
    assert [symbol for _, symbol in quiet.resyncs] == ["A"]
    assert 29 <= quiet.resyncs[0][0] - traded <= 32


def trading(quiet: Quiet, seconds: int) -> None:
    """A trade each second, of which the book says nothing."""
    for _ in range(seconds):
        quiet.world.hear(Trades((trade(None),)))
        quiet.pass_second()


def test_a_book_that_says_nothing_of_its_trades_is_found_while_they_go_on() -> None:
    world = World("A")
    world.apply(Wanted(TRADE, ("A",)))
    quiet = Quiet(world.live())
    world.hear(Trades((trade(None),), snapshot=True))
    quiet.pass_time(5, every=1)
    trading(quiet, 60)
    assert [symbol for _, symbol in quiet.resyncs[:1]] == ["A"]
    waited = 7  # for the first of them: so much later they may have begun, by all that is known
    assert 5 + 29 <= quiet.resyncs[0][0] <= 5 + 32 + waited


def test_the_first_trades_of_a_connection_are_no_reason_to_doubt_the_book() -> None:
    world = World("A")
    world.apply(Wanted(TRADE, ("A",)))
    quiet = Quiet(world.live())
    world.hear(Trades((trade(None),), snapshot=True))
    for _ in range(20):  # a trade each second, on the connection before
        world.hear(Trades((trade(None),)))
        quiet.move("A")
        quiet.pass_second()
    world.apply(Disconnected("reset"))
    while world.session.state is not ConnectionState.CONNECTING:
        world.until(0.1)
    world.apply(Connected())
    for request in [*world.decide(), *[request for _, request in world.until(1)]]:
        world.acknowledge(request)
    world.hear(BookSnapshot("A", (), (), quiet.crc["A"]), Check.MATCHED)
    world.hear(Trades((trade(None),), snapshot=True))
    quiet.pass_time(100)
    for _ in range(3):  # at once, after a long while: what the book says of them is still on its way
        world.hear(Trades((trade(None),)))
        assert world.until(0.1) == []
    quiet.move("A")
    quiet.pass_time(20)
    assert quiet.resyncs == []
    assert world.folded_again() == world.session.session_state


def test_when_hundreds_fall_silent_few_at_a_time_are_asked_for_again() -> None:
    symbols = [f"S{number}" for number in range(100)]
    quiet = Quiet(World(*symbols).live())
    for nth in range(1_300):
        for symbol in symbols[nth % 5 :: 5]:
            quiet.move(symbol)
        quiet.pass_second()
    assert quiet.resyncs == []
    quiet.requests.clear()
    silent_from = quiet.second
    most_away = 0
    while quiet.second < silent_from + 300:
        quiet.pass_second()
        most_away = max(most_away, len(quiet.away))
    assert len({symbol for _, symbol in quiet.resyncs}) == 100, "each is asked for all the same"
    assert most_away <= 4
    assert max(quiet.requests.count(second) for second in set(quiet.requests)) <= 4, "of fifteen"


def test_what_was_left_is_asked_for_before_anything_else_is_left() -> None:
    world = World(*[f"S{number}" for number in range(30)]).live()
    for number in range(30):
        world.hear(BookDelta(f"S{number}", (), (), 1), Check.MISMATCHED)
    order: list[str] = []
    for _ in range(200):
        for _, decision in world.until(0.1):
            if isinstance(decision, Subscribe | Unsubscribe):
                order.append(type(decision).__name__)
                world.acknowledge(decision)
    assert order == ["Unsubscribe", "Subscribe"] * 3


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([7, 8, 9], None), ([7, 9], "trade 7 to 9"), ([7, 7, 8], None), ([7, 6, 8], None), ([None, None], None)],
)
def test_a_jump_in_the_ids_of_trades_is_a_loss(ids: list[int | None], reason: str | None) -> None:
    world = World("A", stream=TRADE).live()
    world.hear(Trades((trade(3), trade(5)), snapshot=True))
    world.hear(Trades((trade(6),)))
    for number in ids:
        world.hear(Trades((trade(number),)))
    resyncs = [decision.reason for decision in world.decide() if isinstance(decision, Resync)]
    assert resyncs == ([] if reason is None else [reason])


def test_trades_of_a_frame_with_the_newest_first_are_whole() -> None:
    world = World("A", stream=TRADE).live()
    world.hear(Trades((trade(3), trade(5)), snapshot=True))
    world.hear(Trades((trade(8), trade(7), trade(6))))
    world.hear(Trades((trade(9),)))
    assert not [decision for decision in world.decide() if isinstance(decision, Resync)]
    world.hear(Trades((trade(13), trade(11))))
    assert [one.reason for one in world.decide() if isinstance(one, Resync)] == ["trade 9 to 11"]


def test_subscription_that_the_exchange_ends_is_asked_for_again() -> None:
    world = World("A", "B").live()
    world.hear(Ack("unsubscribe", "book", "A"))
    assert world.phases() == {"A": "wanted", "B": "held"}
    (again,) = [one for one in world.decide() if isinstance(one, Subscribe)]
    assert again.symbols == ("A",)


def trade(number: int | None) -> Trade:
    return Trade("A", "buy", Decimal(1), Decimal(1), datetime(2024, 1, 1, tzinfo=UTC), "limit", number)


def test_one_that_the_exchange_ends_again_and_again_keeps_nobody_from_being_asked_for() -> None:
    world = World("A")
    pending: list[Decision] = list(world.connect())
    world.apply(Wanted(BOOK, ("B",)))
    asked: dict[str, int] = {}
    for _ in range(1_200):  # two minutes
        for request in pending:
            assert isinstance(request, Subscribe)
            world.acknowledge(request, snapshot=False)
            for symbol in request.symbols:
                asked[symbol] = asked.get(symbol, 0) + 1
                if symbol == "A":
                    world.hear(Ack("unsubscribe", "book", "A", 10))
                else:
                    world.hear(BookSnapshot(symbol, (), (), 0), Check.MATCHED)
        world.hear(Heartbeat())
        pending = [decision for _, decision in world.until(0.1)]
    assert asked["B"] == 1
    assert 5 <= asked["A"] <= 9
    assert world.phases()["B"] == "held"


def test_trades_keep_their_subscription_alive() -> None:
    world = World("A", stream=TRADE).live()
    for number in range(1, 100):
        world.hear(Trades((trade(number),)))
        assert world.until(60) == []


def traded(world: World, *, every_s: float, for_s: float) -> None:
    """Trades at a steady pace, and nothing that has to be asked."""
    for _ in range(int(for_s / every_s)):
        world.hear(Trades((trade(None),)))
        assert world.until(every_s) == []


def silent(world: World, seconds: int) -> list[int]:
    """Seconds at which silent trades were asked for again, each time in vain: the snapshot is an old one."""
    begun_us, resyncs = world.now_us, []
    for _ in range(seconds):
        for _, decision in world.until(1):
            if isinstance(decision, Resync):
                resyncs.append((world.now_us - begun_us) // SECOND)
            elif isinstance(decision, Subscribe | Unsubscribe):
                world.acknowledge(decision)
                if isinstance(decision, Subscribe):
                    world.hear(Trades((trade(None),), snapshot=True))
    return resyncs


@pytest.mark.parametrize(
    # they came  for so long   so this is how long they may stay away
    ("every_s", "for_s", "stale_s"),
    [
        (1, 10, 3600),  # not known for long enough
        (1, 30, 300),  # a burst may have been all of it
        (1, 1300, 60),  # a busy market, which may hold its breath all the same
        (20, 1300, 80),
        (100, 3300, 400),
        (1500, 26000, 3600),  # a slow one
    ],
)
def test_how_long_trades_may_stay_away_is_told_by_their_own_pace(every_s: int, for_s: int, stale_s: int) -> None:
    world = World("A", stream=TRADE).live()
    world.hear(Trades((trade(None),), snapshot=True))
    traded(world, every_s=every_s, for_s=for_s)
    first, *_ = silent(world, 4_000)
    assert stale_s - every_s <= first <= stale_s + 1
    assert world.folded_again() == world.session.session_state


def test_trades_that_stay_away_are_asked_for_ever_more_rarely_and_the_pace_outlives_a_connection() -> None:
    world = World("A", stream=TRADE).live()
    world.hear(Trades((trade(None),), snapshot=True))
    traded(world, every_s=5, for_s=1_300)
    resyncs = silent(world, 1_000)
    assert [round(pause / 60) for pause in map(int.__sub__, resyncs[1:], resyncs)] == [2, 4, 8]
    world.apply(Disconnected("reset"))
    while world.session.state is not ConnectionState.CONNECTING:
        world.until(0.1)
    world.apply(Connected())
    (request,) = world.decide()
    world.acknowledge(request)
    world.hear(Trades((trade(None),), snapshot=True))
    traded(world, every_s=5, for_s=90)
    assert silent(world, 100)[0] <= 61, "the pause of the silence was not one between trades"


def test_a_market_that_falls_asleep_is_learned_from() -> None:
    world = World("A", stream=TRADE).live()
    world.hear(Trades((trade(None),), snapshot=True))
    traded(world, every_s=1, for_s=1_300)
    needless = 0
    for _ in range(30):  # a trade every 100 s now, after none was longer away than one
        needless += len(silent(world, 100))
        world.hear(Trades((trade(None),)))
    assert needless <= 3


def test_the_state_of_an_older_journal_has_no_pace_yet() -> None:
    world = World("A", stream=TRADE).live()
    traded(world, every_s=5, for_s=1_300)
    state = msgspec.to_builtins(world.session.session_state)
    for subscription in state["subscriptions"]:
        del subscription["pace"], subscription["acks_from"]
    older = Session(RULES, msgspec.convert(state, SessionState))
    old_subscription = older.subscription(TRADE, "A")
    assert old_subscription is not None
    assert (old_subscription.pace, old_subscription.acks_from) == (Pace(), 0)
    assert older.decide(world.now_us + 1_000 * SECOND, world.rng) == Drop("nothing came for 15 s")


def test_first_failures_are_retried_at_once_later_ones_ever_more_rarely() -> None:
    world = World("A")
    waited: list[float] = []
    for _ in range(12):
        begun_us = world.now_us
        while world.session.state is not ConnectionState.CONNECTING:
            world.until(0.1)
        waited.append((world.now_us - begun_us) / SECOND)
        world.apply(Refused("no"))
    assert waited[0] < 0.2
    assert all(wait < 0.8 for wait in waited[1:4])
    assert all(5 <= wait <= 21 for wait in waited[4:])
    assert waited[-1] > 9.9


def test_a_connection_that_lasted_was_no_failure() -> None:
    world = World("A")
    for _ in range(8):
        while world.session.state is not ConnectionState.CONNECTING:
            world.until(0.1)
        world.apply(Refused("no"))
    while world.session.state is not ConnectionState.CONNECTING:
        world.until(0.1)
    world.apply(Connected())
    (request,) = world.decide()
    world.acknowledge(request)
    world.until(70)
    world.apply(Disconnected("reset"))
    assert world.session.session_state.failures == 1
    assert [type(decision) for _, decision in world.until(1)] == [BackOff, Connect]


def test_the_budget_of_attempts_is_kept_across_restarts() -> None:
    spent = tuple(range(900 * SECOND, 900 * SECOND + RULES.limits.attempts_max))
    world = World("A", started=Started("v2", attempts=spent))
    (back_off,) = world.decide()
    assert back_off == BackOff(1_500 * SECOND, f"{RULES.limits.attempts_max} attempts in ten minutes")
    ((at_s, decision),) = world.until(600)
    assert (at_s, decision) == (500, Connect())
    assert world.session.session_state.attempts[-1] == 1_500 * SECOND


def test_attempts_from_a_clock_that_was_ahead_do_not_lock_us_out() -> None:
    ahead = (10**9 * SECOND,) * RULES.limits.attempts_max
    world = World("A", started=Started("v2", attempts=ahead))
    (back_off,) = world.decide()
    assert isinstance(back_off, BackOff)
    assert back_off.until_us <= world.now_us + 600 * SECOND


def test_the_exchange_asks_for_patience() -> None:
    world = World("A")
    world.decide()
    world.apply(Refused("HTTP 429", 40 * SECOND))
    assert world.until(50) == [(0, BackOff(world.now_us - 10 * SECOND, "failure 4")), (40, Connect())]


def test_where_the_exchange_asks_for_patience_nothing_is_tried_again_at_once() -> None:
    world = World("A")
    world.decide()
    world.apply(Refused("HTTP 429", 1 * SECOND))
    assert [type(decision) for _, decision in world.until(4)] == [BackOff]
    assert [type(decision) for _, decision in world.until(10)] == [Connect]
    private = World(stream=Stream("executions"), started=Started("v2", private=True))
    private.decide()
    private.apply(Connected())
    private.apply(Denied("HTTP 429 for a token", 30 * SECOND))
    private.apply(Disconnected("no token"))
    decided = private.until(60)
    assert [(round(at_s), type(decision)) for at_s, decision in decided] == [(0, BackOff), (30, Connect)]


def test_after_a_reconnect_everything_that_is_wanted_is_asked_for_once() -> None:
    world = World("A", "B", "C").live()
    world.apply(Unwanted(BOOK, ("B",)))
    world.apply(Disconnected("reset"))
    assert world.phases() == {"A": "wanted", "C": "wanted"}
    while world.session.state is not ConnectionState.CONNECTING:
        world.until(0.1)
    world.apply(Connected())
    (request,) = world.decide()
    assert isinstance(request, Subscribe)
    assert request.symbols == ("A", "C")


def test_wishes_change_while_it_is_live() -> None:
    world = World("A").live()
    world.apply(Wanted(BOOK, ("A", "B")))
    world.apply(Wanted(TRADE, ("A",)))
    assert world.is_in(ConnectionState.SUBSCRIBING)
    for _, request in world.until(2):
        world.acknowledge(request)
    assert world.is_in(ConnectionState.LIVE)
    world.apply(Unwanted(BOOK, ("A",)))
    ((_, leave),) = world.until(1)
    assert isinstance(leave, Unsubscribe)
    assert (leave.stream, leave.symbols) == (BOOK, ("A",))
    world.acknowledge(leave)
    assert [one.key for one in world.session.session_state.subscriptions] == [("book", "B", None), ("trade", "A", None)]


def test_a_wish_that_comes_back_before_the_leave_is_answered() -> None:
    world = World("A").live()
    world.apply(Unwanted(BOOK, ("A",)))
    (leave,) = world.decide()
    world.apply(Wanted(BOOK, ("A",)))
    world.acknowledge(leave)
    ((_, again),) = world.until(1)
    assert isinstance(again, Subscribe)


@pytest.mark.parametrize("answer", ["refused", "timed out", "throttled"])
def test_one_that_was_given_up_while_it_was_asked_for_is_not_asked_for_again(answer: str) -> None:
    world = World("A", "B")
    (request,) = world.connect()
    assert isinstance(request, Subscribe)
    world.acknowledge(Subscribe(BOOK, ("B",), request.req_id))
    world.apply(Unwanted(BOOK, ("A",)))
    assert world.is_in(ConnectionState.LIVE), "what is not wanted need not be acknowledged"
    if answer == "refused":
        world.hear(Rejection("Currency pair not supported A", "subscribe", "book", "A", request.req_id))
    elif answer == "throttled":
        world.hear(Rejection("Exceeded msg rate", "subscribe", None, None, None))
    decided = [type(decision) for _, decision in world.until(25)]
    assert decided == ([AckTimeout] if answer == "timed out" else [])
    assert (world.phases(), world.session.state) == ({"A": "wanted", "B": "held"}, ConnectionState.LIVE)
    assert world.folded_again() == world.session.session_state

    world.apply(Wanted(BOOK, ("A",)))
    assert world.is_in(ConnectionState.SUBSCRIBING)
    ((_, again),) = world.until(1)
    assert isinstance(again, Subscribe)
    world.acknowledge(again)
    assert (world.phases(), world.session.state) == ({"A": "held", "B": "held"}, ConnectionState.LIVE)


def test_one_that_was_given_up_and_is_granted_late_is_left() -> None:
    world = World("A")
    (request,) = world.connect()
    assert isinstance(request, Subscribe)
    world.apply(Unwanted(BOOK, ("A",)))
    assert [type(decision) for _, decision in world.until(15)] == [AckTimeout]
    world.acknowledge(request)
    ((_, leave),) = world.until(1)
    assert isinstance(leave, Unsubscribe)
    world.acknowledge(leave)
    assert world.phases() == {}


def test_journal_of_an_older_tidelog_that_asked_for_one_that_was_given_up_is_replayed() -> None:
    world = World("A")
    (request,) = world.connect()
    assert isinstance(request, Subscribe)
    world.apply(Unwanted(BOOK, ("A",)))
    for req_id in (request.req_id, request.req_id + 1):
        world.hear(Rejection("Currency pair not supported A", "subscribe", "book", "A", req_id))
        world.now_us += 300 * SECOND
        world.apply(Subscribe(BOOK, ("A",), req_id + 1))
    world.acknowledge(Subscribe(BOOK, ("A",), request.req_id + 2))
    assert world.phases() == {"A": "held"}
    assert world.folded_again() == world.session.session_state


def private_world() -> World:
    world = World(stream=Stream("executions"), started=Started("v2", private=True))
    world.decide()
    world.apply(Connected())
    assert (world.session.state, world.decide()) == (ConnectionState.AUTHENTICATING, [])
    world.apply(Authorized())
    assert world.decide() == [Subscribe(Stream("executions"), (), 1)]
    world.hear(Ack("subscribe", "executions", req_id=1))
    return world


def test_a_token_is_had_at_every_connection() -> None:
    world = private_world()
    world.apply(Disconnected("reset"))
    assert [type(decision) for _, decision in world.until(1)] == [BackOff, Connect]
    world.apply(Connected())
    assert world.is_in(ConnectionState.AUTHENTICATING)
    world.apply(Denied("EAPI:Invalid key"))
    assert world.is_in(ConnectionState.DRAINING)
    world.apply(Disconnected("no token"))
    assert type(world.decide()[0]) is BackOff


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_where_a_token_is_refused_the_next_connection_has_another(method: str) -> None:
    world = private_world()
    world.hear(Executions("executions", 1, snapshot=True))
    world.hear(Executions("executions", 3))
    assert [type(decision) for decision in world.decide()] == [Resync]
    ((_, leave),) = world.until(1)
    assert isinstance(leave, Unsubscribe)
    if method == "subscribe":
        world.acknowledge(leave)
        ((_, again),) = world.until(1)
        assert isinstance(again, Subscribe)
    world.hear(Rejection("ESession:Invalid session", method=method, req_id=world.session.session_state.next_req_id - 1))
    (drop,) = world.decide()
    assert isinstance(drop, Drop)
    assert reconnect_reason(drop.reason) == "no_token"
    world.apply(Disconnected(""))
    world.until(1)
    world.apply(Connected())
    world.apply(Authorized())
    assert [type(decision) for decision in world.decide()] == [Subscribe]


@pytest.mark.parametrize(
    ("sequences", "reason"),
    [
        ([1, 2, 3], None),
        ([5, 6], None),
        ([None, 2], "no snapshot"),
        ([1, 3], "sequence 1 to 3"),
        ([1, 2, 2], "sequence 2 to 2"),
    ],
)
def test_a_gap_in_a_private_sequence_is_a_loss(sequences: list[int | None], reason: str | None) -> None:
    """None: a snapshot that does not come."""
    world = private_world()
    for sequence in [number for number in sequences if number is not None]:
        world.hear(Executions("executions", sequence, snapshot=sequence == sequences[0]))
    resyncs = [decision.reason for decision in world.decide() if isinstance(decision, Resync)]
    assert resyncs == ([] if reason is None else [reason])


@pytest.mark.parametrize(
    "state", ["disconnected", "backing_off", "connecting", "authenticating", "subscribing", "live"]
)
def test_closing_ends_from_everywhere(state: str) -> None:
    if state == "authenticating":
        world = World(stream=Stream("executions"), started=Started("v2", private=True))
        world.decide()
        world.apply(Connected())
    else:
        world = World("A")
        if state == "backing_off":
            world.decide()
            world.apply(Refused("no"))
            world.decide()
        elif state == "connecting":
            world.decide()
        elif state == "subscribing":
            world.connect()
        elif state == "live":
            world.live()
    assert world.is_in(ConnectionState(state))
    world.apply(Closing())
    if state == "connecting":
        world.apply(Refused("closing"))
    elif state in ("authenticating", "subscribing", "live"):
        assert world.decide() == [Drop("closing")]
        world.apply(Disconnected("closing"))
    assert world.decide() == [Stopped()]
    assert world.is_in(ConnectionState.CLOSED)
    assert world.decide() == []


EVENTS: list[tuple[Event, Check | None]] = [
    (Heartbeat(), None),
    (BookSnapshot("A", (), (), 0), Check.MATCHED),
    (BookDelta("A", (), (), 0), Check.MISMATCHED),
    (BookDelta("B", (), (), 0), Check.REFUSED),
    (BookDelta("B", (), (), 0), Check.MATCHED),
    (Ack("subscribe", "book", "A", 10), None),
    (Ack("subscribe", "book", "B", 10), None),
    (Ack("unsubscribe", "book", "A", 10), None),
    (Ack("unsubscribe", "book", "B", 10), None),
    (Ack("subscribe", "trade", "Z"), None),
    (Rejection("Exceeded msg rate"), None),
    (Rejection("no", None, "book", "A"), None),
]
WISHES: list[Control] = [
    Wanted(BOOK, ("A", "B")),
    Unwanted(BOOK, ("A",)),
    Unwanted(BOOK, ("B",)),
    Wanted(TRADE, ("A",)),
]
step = st.one_of(
    st.sampled_from(EVENTS), st.sampled_from(WISHES), st.floats(0.01, 200), st.sampled_from(["lose", "open", "refuse"])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=60), st.integers(0, 9))
def test_whatever_happens_a_replay_comes_to_the_same_and_the_end_is_reached(
    steps: list[tuple[Event, Check | None] | Control | float | str], seed: int
) -> None:
    world = World("A", seed=seed)
    for what in steps:
        state = world.session.state
        if isinstance(what, float):
            world.until(what, beat_s=7)
        elif isinstance(what, tuple):
            if state in (ConnectionState.SUBSCRIBING, ConnectionState.LIVE):
                world.hear(*what)
        elif isinstance(what, str):
            if what == "lose" and state in (
                ConnectionState.SUBSCRIBING,
                ConnectionState.LIVE,
                ConnectionState.DRAINING,
            ):
                world.apply(Disconnected("lost"))
            elif state is ConnectionState.CONNECTING:
                world.apply(Connected() if what == "open" else Refused("no"))
        else:
            world.apply(what)
        world.decide()
        before = copy.deepcopy(world.session.session_state)
        assert world.session.decide(world.now_us, random.Random(99)) is None
        assert world.session.session_state == before  # deciding changes nothing
        assert world.session.deadline_us > world.now_us
    assert world.folded_again() == world.session.session_state
    encoded = msgspec.json.encode(world.session.session_state)
    assert msgspec.json.decode(encoded, type=SessionState) == world.session.session_state
    assert all(one.phase in Phase for one in world.session.session_state.subscriptions)
    world.apply(Closing())
    for _ in range(3):
        if world.session.state is ConnectionState.CONNECTING:
            world.apply(Refused("closing"))
        world.decide()
        if world.session.state is ConnectionState.DRAINING:
            world.apply(Disconnected("closing"))
    assert world.is_in(ConnectionState.CLOSED)


def test_an_ack_from_before_we_left_is_not_the_answer_to_what_was_asked_since() -> None:
    world = World("A").live()
    world.hear(BookDelta("A", (), (), 1), Check.MISMATCHED)
    _, leave = world.decide()
    world.acknowledge(leave)
    ((_, again),) = world.until(1)
    assert isinstance(again, Subscribe)
    world.hear(Ack("subscribe", "book", "A", 10, None, 1))  # of the first request, delayed until now
    assert world.phases() == {"A": "asked"}
    world.hear(Ack("subscribe", "book", "A", 10, None, again.req_id))
    assert world.phases() == {"A": "held"}
    assert world.folded_again() == world.session.session_state


def test_an_ack_from_before_a_wish_was_given_up_does_not_answer_the_request_after_it_came_back() -> None:
    world = World("A").live()
    world.apply(Unwanted(BOOK, ("A",)))
    (leave,) = world.decide()
    world.acknowledge(leave)
    world.apply(Wanted(BOOK, ("A",)))
    ((_, again),) = world.until(1)
    assert isinstance(again, Subscribe)
    world.hear(Ack("subscribe", "book", "A", 10, None, 1))
    assert world.phases() == {"A": "asked"}
    world.acknowledge(again)
    assert world.phases() == {"A": "held"}


def test_an_ack_of_an_older_request_is_one_as_long_as_we_have_not_left() -> None:
    world = World("A")
    (first,) = world.connect()
    ((_, lapse), (_, again)) = world.until(11)
    assert (type(lapse), type(again)) == (AckTimeout, Subscribe)
    assert world.phases() == {"A": "asked"}
    world.acknowledge(first, snapshot=False)
    assert world.phases() == {"A": "held"}


def test_an_ack_from_before_we_left_holds_nothing() -> None:
    session, stream = Session(RULES), Stream("book", depth=10)
    resync = Resync("book", "A/USD", None, "checksum differs", 1)
    for control in (
        Started("v1"),
        Wanted(stream, ("A/USD",)),
        Connect(),
        Connected(),
        Subscribe(stream, ("A/USD",), 1),
    ):
        session.apply(control, 1)
    session.observe(BookSnapshot("A/USD", (), (), None), None, 1)
    session.apply(resync, 2)
    session.apply(Unsubscribe(stream, ("A/USD",), 2), 2)
    session.observe(Ack("unsubscribe", "book", "A/USD", req_id=2), None, 3)
    session.observe(Ack("subscribe", "book", "A/USD", req_id=1), None, 3)  # its own, delayed until now
    old_subscription = session.subscription(stream, "A/USD")
    assert old_subscription is not None
    assert old_subscription.phase is Phase.WANTED
