"""What events of the journal become in the store, and that stopping a projection anywhere changes nothing."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.market.ladder import snapshot
from tests.market.recorded import START_US, SYMBOL, Recording, levels, trade
from tests.market.stretches import raise_fault, records_of
from tidelog.batch import Row, Table
from tidelog.errors import ConfigError
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import (
    BookDelta,
    BookUpdates,
    Connected,
    Disconnected,
    EventId,
    Malformed,
    Missed,
    Rejection,
    Resync,
    Trades,
)
from tidelog.market.projection.inputs import Baseline, ProjectionInput
from tidelog.market.projection.ordinals import MOMENT_TRADES
from tidelog.market.projection.projection import SYMBOLS_MAX, Projection
from tidelog.market.projection.rows import levels_of
from tidelog.market.projection.state import ProjectionState, decode_state, encode_state
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, GAPS, INSTRUMENTS, TRADES
from tidelog.tables import TABLES

SOURCE = "market:test"
SAMPLE_US = 10_000_000


class Rows:
    """What a store would hold."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Row, Row]] = {table.name: {} for table in TABLES}

    def commit(self, projection: Projection) -> str:
        """Take the changes; the position that would be committed with them."""
        changes = projection.drain()
        for rows in changes.add:
            stored_rows = self.tables[rows.table.name]
            for row in rows.rows:
                assert _key(rows.table, row) not in stored_rows, "a trade is stored twice"
                stored_rows[_key(rows.table, row)] = row
        for rows in changes.replaced:
            self.tables[rows.table.name] |= {_key(rows.table, row): row for row in rows.rows}
        return encode_state(projection.state)

    def of(self, table: Table) -> list[Row]:
        return sorted(self.tables[table.name].values(), key=lambda row: _key(table, row))

    def shown(self, table: Table, *names: str) -> list[str]:
        """The rows' named columns, times counted from the start in milliseconds."""
        return [" ".join(_text(name, row[table.index(name)]) for name in names) for row in self.of(table)]


def _key(table: Table, row: Row) -> Row:
    return tuple([row[table.index(name)] for name in table.key])


def _text(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_us"):
        return f"{(value - START_US) / 1000:g}"
    if isinstance(value, int) and name.endswith("ed_at"):
        return f"{value - START_US // 1000}"
    return str(value)


def projected(entries: Sequence[ProjectionInput]) -> Rows:
    rows = Rows()
    projection = Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
    for entry in entries:
        projection.apply(entry)
    rows.commit(projection)
    return rows


def gaps(rows: Rows) -> list[str]:
    return rows.shown(GAPS, "scope", "first", "last", "reason", "opened_at", "closed_at")


def coverage(rows: Rows, channel: str) -> list[str]:
    shown = rows.shown(COVERAGE, "channel", "since_us", "until_us", "state", "reason", "closed_at")
    return [line.removeprefix(f"{channel} ") for line in shown if line.startswith(channel)]


class TestNumberedTrades:
    def test_are_stored_once(self) -> None:
        made = Recording()
        made.trades(1, 2)
        made.trades(2, 3, snapshot=True)
        made.trades(3, 3)
        rows = projected(made.events)
        assert rows.shown(TRADES, "trade_id", "time_us", "run", "seq") == [
            "1 1000 1 1",
            "2 2000 1 1",
            "3 3000 1 2",
        ]
        assert gaps(rows) == []
        assert coverage(rows, "trade") == ["1 3 proven None None"]

    def test_a_jump_is_a_gap(self) -> None:
        made = Recording()
        made.trades(1)
        made.trades(5)
        rows = projected(made.events)
        assert gaps(rows) == ["trades:BTC/USD 2 4 trade_id 2 None"]
        assert coverage(rows, "trade") == [
            "1 1.001 proven None None",
            "1.001 2 gap trade_id None",
            "2 2 proven None None",
        ]

    def test_a_snapshot_closes_a_gap(self) -> None:
        made = Recording()
        made.trades(1)
        made.trades(5)
        made.trades(1, 2, 3, 4, 5, 6, snapshot=True)
        rows = projected(made.events)
        assert gaps(rows) == ["trades:BTC/USD 2 4 trade_id 2 3"]
        assert coverage(rows, "trade") == [
            "1 1.001 proven None None",
            "1.001 2 gap trade_id 3",
            "2 3 proven None None",
        ]
        assert len(rows.of(TRADES)) == 6

    def test_late_trades_cut_a_gap(self) -> None:
        made = Recording()
        made.trades(1)
        made.trades(6)
        made.trades(3)
        rows = projected(made.events)
        assert gaps(rows) == [
            "trades:BTC/USD 2 2 trade_id 2 None",
            "trades:BTC/USD 3 3 trade_id 2 3",
            "trades:BTC/USD 4 5 trade_id 2 None",
        ]
        assert coverage(rows, "trade")[1] == "1.001 2 gap trade_id None"
        made.trades(2, 4, 5)
        rows = projected(made.events)
        assert {line.split()[-1] for line in gaps(rows)} == {"3", "4"}
        assert coverage(rows, "trade")[1] == "1.001 2 gap trade_id 4"

    def test_a_disconnect_without_a_loss_is_a_gap_that_was_closed(self) -> None:
        made = Recording()
        made.trades(1)
        made.heartbeat()
        made.note(Disconnected("reset by peer"))
        made.note(Disconnected("refused"))
        made.note(Connected())
        made.heartbeat()
        made.trades(1, 2, snapshot=True)
        rows = projected(made.events)
        assert gaps(rows) == ["connection " + f"{START_US + 2000} {START_US + 6000} reset by peer 3 6"]
        assert coverage(rows, "trade") == [
            "1 1.001 proven None None",
            "1.001 7 gap reset by peer 7",
            "7 7 proven None None",
        ]

    def test_a_disconnect_with_a_loss_is_a_gap_until_the_trades_have_come(self) -> None:
        made = Recording()
        made.trades(1, 2)
        made.trades(3)
        made.note(Missed("journal_stalled"))
        made.trades(7, 8, snapshot=True)
        rows = projected(made.events)
        assert gaps(rows)[1:] == ["trades:BTC/USD 4 6 journal_stalled 4 None"]
        assert coverage(rows, "trade")[1:] == ["2 4 gap journal_stalled None", "4 4 proven None None"]
        made.trades(4, 5, 6)
        rows = projected(made.events)
        assert gaps(rows)[1:] == ["trades:BTC/USD 4 6 journal_stalled 4 5"]
        assert coverage(rows, "trade")[1:] == ["2 4 gap journal_stalled 5", "4 5 proven None None"]

    def test_another_run_is_a_restart(self) -> None:
        made = Recording()
        made.trades(1)
        made.restart()
        made.trades(2)
        rows = projected(made.events)
        assert gaps(rows) == [f"connection {START_US + 1000} {START_US + 2000} restart 2 2"]
        assert coverage(rows, "trade")[1] == "1.001 2 gap restart 2"

    def test_each_symbol_has_its_own_ids(self) -> None:
        made = Recording()
        both = (trade(1), trade(900, symbol="ETH/USD"), trade(2), trade(901, symbol="ETH/USD"))
        made.note(Trades(both))
        rows = projected(made.events)
        assert rows.shown(TRADES, "symbol", "trade_id") == ["BTC/USD 1", "BTC/USD 2", "ETH/USD 900", "ETH/USD 901"]
        assert gaps(rows) == []

    @pytest.mark.parametrize("number", ["price", "qty", "id", "word"])
    def test_a_trade_that_no_row_can_hold_is_missing(self, number: str) -> None:
        made = Recording()
        made.trades(1)
        bad = trade(2, price="1." + "0" * 40 + "1" if number == "price" else "1", qty="0" if number == "qty" else "1")
        if number == "id":
            bad = trade(2**63)
        elif number == "word":
            bad = msgspec.structs.replace(bad, ord_type="a\0b")
        made.note(Trades((bad,)))
        made.trades(3)
        rows = projected(made.events)
        assert rows.shown(TRADES, "trade_id") == ["1", "3"]
        assert gaps(rows) == ["trades:BTC/USD 2 2 trade_id 3 None"]

    def test_numbers_beyond_64_bits_are_stored_exactly(self) -> None:
        """Of 123456789012.12345678 at its scale there was no row: a gap in the ids, a sample without a word."""
        text = "123456789012.12345678"
        made = Recording()
        made.ack("book", 10)
        made.book([("1.00000000", text)], [(text, "1.00000000")], whole=True)
        made.note(Trades((trade(1), trade(2, price=text, qty=text), trade(3))))
        rows = projected(made.events)
        whole = int(text.replace(".", ""))
        assert rows.shown(TRADES, "trade_id", "price", "price_scale", "qty", "qty_scale") == [
            "1 1000 1 100 2",
            f"2 {whole} 8 {whole} 8",
            "3 1000 1 100 2",
        ]
        assert gaps(rows) == []
        [sample] = rows.of(BOOK_SNAPSHOTS)
        assert levels_of(sample) == (((10**8, whole),), ((whole, 10**8),))

    def test_trades_without_ids_do_not_mix_with_them(self) -> None:
        for first, second in ((1, None), (None, 1)):
            made = Recording()
            made.trades(first)
            made.trades(second)
            with pytest.raises(ConfigError, match="BTC/USD"):
                projected(made.events)


class TestUnnumberedTrades:
    def test_come_again_once_their_subscription_has_ended(self) -> None:
        """With the snapshot of a new one, whose acknowledgement may be lost."""
        made = Recording()
        frame = Trades((trade(None, 5), trade(None, 6)))
        made.note(frame)
        made.ack("trade", method="unsubscribe")
        made.note(frame)
        made.note(Trades((trade(None, 6),)))  # news again
        assert projected(made.events).shown(TRADES, "time_us", "ordinal") == ["0.005 0", "0.006 0", "0.006 1"]

    def test_are_told_apart_by_their_content_and_place(self) -> None:
        made = Recording()
        frame = Trades((trade(None, 5), trade(None, 5), trade(None, 5, price="100.1"), trade(None, 6)))
        made.note(frame)
        made.ack("trade")
        made.note(frame)  # a snapshot repeats them: nothing new
        made.note(Disconnected("1006"))
        made.note(frame)
        made.note(Trades((trade(None, 5, price="100.2"),)))  # late
        rows = projected(made.events)
        assert rows.shown(TRADES, "time_us", "ordinal", "price", "trade_id") == [
            "0.005 0 1000 None",
            "0.005 0 1002 None",
            "0.005 1 1000 None",
            "0.005 2 1001 None",
            "0.006 0 1000 None",
        ]

    def test_equal_fills_in_frames_of_their_own_are_all_kept(self) -> None:
        made = Recording()
        for _ in range(3):
            made.note(Trades((trade(None, 5), trade(None, 5))))
        made.note(Trades((trade(None, 6),)))
        expected = [f"0.005 {ordinal}" for ordinal in range(6)] + ["0.006 0"]
        assert projected(made.events).shown(TRADES, "time_us", "ordinal") == expected
        made.note(Resync("trade", SYMBOL, None, "", 0))
        made.note(Trades((*[trade(None, 5)] * 6, trade(None, 6), trade(None, 6))))
        made.note(Trades((trade(None, 6),)))
        assert projected(made.events).shown(TRADES, "time_us", "ordinal") == [*expected, "0.006 1", "0.006 2"]

    def test_a_snapshot_may_begin_in_the_middle_of_a_moment(self) -> None:
        """Numbered from their own beginning, its trades of that moment were there twice, and twice in the candles."""
        made = Recording()
        made.note(Trades((*(trade(None, 5, price=price) for price in ("100", "101", "102")), trade(None, 6))))
        made.note(Disconnected("1006"))
        made.note(Trades((*(trade(None, 5, price=price) for price in ("101", "102")), trade(None, 6), trade(None, 7))))
        rows = projected(made.events)
        assert rows.shown(TRADES, "time_us", "ordinal", "price") == [
            "0.005 0 100",
            "0.005 1 101",
            "0.005 2 102",
            "0.006 0 1000",
            "0.007 0 1000",
        ]

    def test_remember_the_moments_of_what_a_snapshot_can_repeat_and_no_more(self) -> None:
        made = Recording()
        for at in range(200):
            made.note(Trades((trade(None, at), trade(None, at))))
        projection = Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
        for entry in made.events:
            projection.apply(entry)
        moments = projection.state.symbols[SYMBOL].moments
        assert len(moments) == MOMENT_TRADES // 2
        assert {count for _, count in moments} == {2}

    def test_are_never_proven(self) -> None:
        made = Recording()
        made.trades(None)
        made.trades(None)
        made.note(Disconnected("1006"))
        made.trades(None)
        assert coverage(projected(made.events), "trade") == [
            "1 2 unproven no_trade_ids None",
            "2 4 gap 1006 None",
            "4 4 unproven no_trade_ids None",
        ]


class TestBooks:
    def started(self) -> Recording:
        made = Recording()
        made.ack("book", 10)
        made.book(levels([99, 98]), levels([101, 102]), whole=True)
        return made

    def test_are_proven_by_each_message_that_matches(self) -> None:
        made = self.started()
        made.book(levels([97]), [])
        made.heartbeat()
        rows = projected(made.events)
        assert coverage(rows, "book") == ["2 3 proven None None"]
        [row] = rows.of(BOOK_SNAPSHOTS)
        bids, asks = levels_of(row)
        assert bids == ((990, 100), (980, 100))
        assert asks == ((1010, 100), (1020, 100))
        names = ("time_us", "depth", "proven_depth", "price_scale", "qty_scale", "exchange_us")
        assert rows.shown(BOOK_SNAPSHOTS, *names) == ["2 10 10 1 2 None"]

    @pytest.mark.parametrize("spoil", ["mismatched", "resync", "unsubscribed", "refused", "malformed", "outdated"])
    def test_are_not_beyond_the_last_that_did(self, spoil: str) -> None:
        made = self.started()
        made.heartbeat()
        if spoil == "mismatched":
            made.book(levels([97]), [], wrong=True)
        elif spoil == "malformed":
            made.note(Malformed("cut"))
            made.events[-1] = msgspec.structs.replace(made.events[-1], suspected=(SYMBOL, "of no book/USD"))
        elif spoil == "outdated":
            made.note(BookDelta(SYMBOL, (), (), 1), check=Check.OUTDATED)
        elif spoil == "resync":
            made.note(Resync("book", SYMBOL, None, "", 0))
        elif spoil == "unsubscribed":
            made.ack("book", 10, "unsubscribe")
        else:
            made.note(BookDelta(SYMBOL, (), (), 1), check=Check.REFUSED)
        made.book(levels([96]), [], whole=spoil == "refused")  # then nothing but a snapshot can prove it again
        state = "gap" if spoil == "unsubscribed" else "unproven"
        assert coverage(projected(made.events), "book") == [
            "2 2.001 proven None None",
            f"2.001 5 {state} {spoil} None",
            "5 5 proven None None",
        ]

    def test_that_cross_are_not_proven(self) -> None:
        made = self.started()
        made.book(levels([103]), [])
        assert coverage(projected(made.events), "book")[1:] == ["2.001 3 unproven crossed None"]

    def test_without_a_check_are_not_proven(self) -> None:
        made = self.started()
        made.note(BookDelta(SYMBOL, (), (), None), check=Check.UNCHECKED)
        made.note(BookDelta(SYMBOL, (), (), None))
        assert coverage(projected(made.events), "book")[1:] == ["2.001 4 unproven unchecked None"]

    def test_that_are_refused_are_a_gap_in_the_words_of_the_exchange(self) -> None:
        made = Recording()
        for _ in range(2):  # it is asked again, and refused again
            made.note(Rejection("Currency pair not supported XX/USD", "subscribe", None, "XX/USD", 3))
            refused = (("book", "XX/USD"), ("trade", "XX/USD"), ("ohlc", "XX/USD"), ("executions", None))
            made.events[-1] = msgspec.structs.replace(made.events[-1], refused=refused)
        rows = projected(made.events)
        assert rows.shown(COVERAGE, "symbol", "channel", "since_us", "state", "reason") == [
            f"XX/USD {channel} 1 gap refused: Currency pair not supported XX/USD" for channel in ("book", "trade")
        ]

    def test_of_one_frame_are_each_judged(self) -> None:
        made = self.started()
        parts = (BookDelta(SYMBOL, (), (), None), BookDelta("ETH/USD", (), (), None))
        made.note(BookUpdates(parts))
        made.events[-1] = msgspec.structs.replace(made.events[-1], checks=(Check.UNCHECKED, None), depths=(10, None))
        rows = projected(made.events)
        assert rows.shown(COVERAGE, "symbol", "state", "reason") == [
            "BTC/USD proven None",
            "BTC/USD unproven unchecked",
            "ETH/USD unproven unchecked",
        ]

    def test_have_the_depth_that_was_subscribed_where_no_ack_said_it(self) -> None:
        made = Recording()
        made.book(levels([99]), levels([101]), whole=True)
        made.events[-1] = msgspec.structs.replace(made.events[-1], depth=25)
        assert projected(made.events).shown(BOOK_SNAPSHOTS, "depth") == ["25"]

    def test_of_one_frame_have_the_depths_that_were_subscribed(self) -> None:
        depths = {SYMBOL: 25, "ETH/USD": 100}
        book = ',"bids":[{"price":99,"qty":1}],"asks":[{"price":101,"qty":1}],"checksum":1}'
        books = ",".join(f'{{"symbol":"{symbol}"{book}' for symbol in depths)
        frame = f'{{"channel":"book","type":"snapshot","data":[{books}]}}'.encode()
        events = filter(None, map(Core().apply, records_of("v2", [frame], depths)))
        assert projected([*events]).shown(BOOK_SNAPSHOTS, "symbol", "depth") == ["BTC/USD 25", "ETH/USD 100"]

    def test_a_disconnect_ends_proven_coverage(self) -> None:
        made = self.started()
        made.note(Disconnected("1006"))
        made.heartbeat()
        made.book(levels([99]), levels([101]), whole=True)
        assert coverage(projected(made.events), "book")[1:] == ["2.001 5 gap 1006 None", "5 5 proven None None"]

    def test_have_the_depth_that_was_subscribed(self) -> None:
        made = Recording()
        for depth in (100, 1000):
            made.ack("book", depth)
            made.book(levels([99]), levels([101]), whole=True, after_us=20_000_000)
        assert projected(made.events).shown(BOOK_SNAPSHOTS, "depth") == ["100", "1000"]

    def test_are_stored_once_in_each_interval(self) -> None:
        made = self.started()
        for qty in range(2, 32):
            made.book(levels([99], qty), [], after_us=1_000_000)
        rows = projected(made.events)
        assert rows.shown(BOOK_SNAPSHOTS, "time_us") == ["2", "10002", "20002", "30002"]
        assert [levels_of(row)[0][0].qty for row in rows.of(BOOK_SNAPSHOTS)] == [100, 1100, 2100, 3100]

    @pytest.mark.parametrize("size", [2, 12])
    def test_a_depth_that_no_ack_told_is_the_next_that_fits(self, size: int) -> None:
        made = Recording()
        made.book(levels(range(100, 100 - size, -1)), levels([101]), whole=True)
        assert projected(made.events).shown(BOOK_SNAPSHOTS, "depth") == [{2: "10", 12: "25"}[size]]


class TestBehindDroppedRecords:
    """The journal had to drop what was not read: a gap, and books as they stand behind it."""

    def test_a_baseline_is_proven_by_the_next_message(self) -> None:
        made = Recording()
        made.ack("book", 10)
        made.book(levels([99]), levels([101]), whole=True)
        made.book(levels([98]), [])
        before = list(made.events)
        made.book(levels([97]), [])  # never read
        lost = JournalEvent(made.events[-1].id, made.at_us, Missed("journal_full"))
        book = snapshot(levels([99, 98, 97]), levels([101]))
        made.book(levels([96]), [], after_us=SAMPLE_US)
        baseline = Baseline(lost.id, 0, 25, book)
        rows = projected([*before, lost, baseline, made.events[-1]])
        assert [line.split()[2:4] for line in coverage(rows, "book")] == [
            ["proven", "None"], ["gap", "journal_full"], ["proven", "None"],
        ]  # fmt: skip
        assert gaps(rows) == [
            f"connection {START_US + 3000} {made.at_us} journal_full 4 {(made.at_us - START_US) // 1000}"
        ]
        stored = rows.of(BOOK_SNAPSHOTS)[-1]
        assert stored[BOOK_SNAPSHOTS.index("depth")] == 25
        assert len(levels_of(stored)[0]) == 4

    def test_a_projection_that_begins_with_baselines_knows_its_books(self) -> None:
        made = Recording()
        made.book(levels([99]), levels([101]), whole=True)
        made.book(levels([98]), [])
        baseline = Baseline(EventId(0, 0), 0, 10, snapshot(levels([99]), levels([101])))
        rows = projected([baseline, made.events[-1]])
        assert [line.split()[2] for line in coverage(rows, "book")] == ["proven"]
        assert gaps(rows) == []

    def test_trades_that_are_gone_lie_in_the_gap(self) -> None:
        made = Recording()
        made.trades(1, 2)
        made.note(Missed("journal_full"))
        made.trades(7)
        rows = projected(made.events)
        assert gaps(rows)[1:] == ["trades:BTC/USD 3 6 journal_full 3 None"]


def test_instruments_are_as_last_told() -> None:
    made = Recording()
    made.instrument()
    made.instrument("cancel_only")
    names = ("symbol", "status", "price_increment", "price_increment_scale", "qty_increment", "qty_increment_scale")
    assert projected(made.events).shown(INSTRUMENTS, *names) == ["BTC/USD cancel_only 1 1 1 8"]


def test_times_that_go_back_are_clamped() -> None:
    made = Recording()
    made.trades(1, after_us=5_000)
    made.trades(2, after_us=-3_000)
    made.trades(4, after_us=500)
    assert coverage(projected(made.events), "trade") == [
        "5 5.001 proven None None",
        "5.001 5.002 gap trade_id None",
        "5.002 5.002 proven None None",
    ]

    made.note(Disconnected("1006"), after_us=-10_000)
    made.heartbeat(-10_000)
    assert gaps(projected(made.events))[0] == f"connection {START_US + 5_000} {START_US + 5_000} 1006 5 5"


def test_outages_of_one_moment_are_told_apart() -> None:
    made = Recording()
    made.heartbeat()
    for _ in range(3):
        made.note(Disconnected("1006"), after_us=0)
        made.heartbeat(0)
    assert len(gaps(projected(made.events))) == 3


def test_made_up_symbols_do_not_fill_the_memory() -> None:
    made = Recording()
    for n in range(SYMBOLS_MAX + 5):
        made.trades(1, symbol=f"X{n}")
    made.trades(1, symbol="A\0")
    projection = Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
    for entry in made.events:
        projection.apply(entry)
    assert len(projection.state.symbols) == SYMBOLS_MAX
    assert projection.refused == 6


def test_a_trade_timed_before_1970_is_missing() -> None:
    """A bit of its year flipped: no row was stored, and no gap said so."""
    long_ago = datetime(26, 11, 29, tzinfo=UTC)
    made = Recording()
    made.trades(1)
    made.note(Trades((msgspec.structs.replace(trade(2), timestamp=long_ago),)))
    made.trades(3)
    rows = projected(made.events)
    assert rows.shown(TRADES, "trade_id") == ["1", "3"]
    assert gaps(rows) == ["trades:BTC/USD 2 2 trade_id 3 None"]
    projection = Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
    made = Recording()
    made.note(Trades((msgspec.structs.replace(trade(None), timestamp=long_ago),)))
    projection.apply(made.events[0])
    assert projection.refused == 1


def test_a_reason_is_fit_for_a_store() -> None:
    made = Recording()
    made.trades(1)
    made.note(Disconnected("\0" + "x" * 10_000))
    [row] = projected(made.events).of(GAPS)
    reason = row[GAPS.index("reason")]
    assert isinstance(reason, str)
    assert reason == "x" * len(reason)
    assert len(reason) < 250


# -- begun again anywhere ---------------------------------------------------------------------------------------

STEPS: list[Callable[[Recording, int], object]] = [
    lambda made, n: made.trades(n),
    lambda made, n: made.trades(*range(n, n + 7), snapshot=True),
    lambda made, n: made.trades(n, n + 2, after_us=0),
    lambda made, n: made.trades(n, symbol="ETH/USD", after_us=0),
    lambda made, n: made.book(levels([90 - n], n + 1), levels([101 + n]), after_us=n * 700_000),
    lambda made, n: made.book(levels(range(99, 85, -1), n + 1), levels(range(101, 115)), whole=True),
    lambda made, n: made.book(levels([95]), [], wrong=True),
    lambda made, n: made.book(levels([200]), []),
    lambda made, n: made.note(Disconnected(f"{n}")),
    lambda made, n: made.note(Resync("book", SYMBOL, None, "", 0)),
    lambda made, n: made.note(Missed(""), after_us=0),
    lambda made, n: made.restart(),
    lambda made, n: made.heartbeat(-500),
    lambda made, n: made.ack("book", 10 if n % 2 else 25),
    lambda made, n: made.book(levels(range(99, 99 - n, -1), n), levels(range(101, 115)), whole=True),
    lambda made, n: made.book(levels([99, 98, 97], 0), [], after_us=3_000_000),
    lambda made, n: made.ack("trade", method="unsubscribe"),
    lambda made, n: made.instrument(f"{n}"),
]
SCRIPTS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 30)), max_size=40)


def written(script: list[tuple[Callable[[Recording, int], object], int]]) -> list[JournalEvent]:
    made = Recording()
    for step, n in script:
        step(made, n)
    return made.events


@settings(max_examples=200)
@given(SCRIPTS, st.data())
def test_projection_stopped_anywhere_gives_the_same_rows(
    script: list[tuple[Callable[[Recording, int], object], int]], data: st.DataObject
) -> None:
    entries = written(script)
    whole = projected(entries)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(entries)), max_size=6)))
    rows, position = Rows(), encode_state(ProjectionState())
    for cut in [*cuts, len(entries)]:
        projection = Projection(
            SOURCE, decode_state(position), SAMPLE_US, on_fault=raise_fault
        )  # a new process: it knows the position only
        for entry in entries[:cut]:  # the journal from its beginning: what is in the store builds books only
            projection.apply(entry)
        position = rows.commit(projection)
    assert rows.tables == whole.tables
    assert position == encode_state(decode_state(position))


@given(SCRIPTS, st.data())
def test_commits_of_any_size_give_the_same_rows(
    script: list[tuple[Callable[[Recording, int], object], int]], data: st.DataObject
) -> None:
    entries = written(script)
    rows, projection = Rows(), Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
    for entry in entries:
        projection.apply(entry)
        if data.draw(st.booleans()):
            rows.commit(projection)
    rows.commit(projection)
    assert rows.tables == projected(entries).tables


@given(SCRIPTS)
def test_every_trade_is_stored_once_or_lies_in_a_gap(
    script: list[tuple[Callable[[Recording, int], object], int]],
) -> None:
    entries = written(script)
    rows = projected(entries)
    for symbol in (SYMBOL, "ETH/USD"):
        came = {
            each.trade_id
            for entry in entries
            if isinstance(entry.event, Trades)
            for each in entry.event.trades
            if each.symbol == symbol and each.trade_id is not None
        }
        stored_rows = [row[TRADES.index("trade_id")] for row in rows.of(TRADES) if row[1] == symbol]
        assert sorted(stored_rows) == sorted(came)  # type: ignore[type-var]
        lost: set[int] = set()
        for _, scope, first, last, _, _, closed in rows.of(GAPS):
            if scope == f"trades:{symbol}" and closed is None:
                assert isinstance(first, int)
                assert isinstance(last, int)
                lost |= set(range(first, last + 1))
        if came:
            assert lost == set(range(min(came), max(came) + 1)) - came


def test_a_position_is_small_whatever_came() -> None:
    made = Recording()
    for n in range(400):
        made.trades(3 * n)
        made.book(levels([90], n + 1), levels([101]), whole=True)
    projection = Projection(SOURCE, ProjectionState(), SAMPLE_US, on_fault=raise_fault)
    for entry in made.events:
        projection.apply(entry)
    assert len(encode_state(projection.state)) < 10_000
    assert projection.state.id == EventId(1, 800)
