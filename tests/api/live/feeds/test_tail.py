"""A journal followed: books and readiness as they are, and begun again after whatever happens to the file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from tests.api.live.recorder import A, B, recording, source
from tests.api.live.serving import USUAL
from tests.market.exchange import Script, until
from tests.market.recorded import trade
from tests.patience import HANGS_S
from tidelog.api.live.feeds.tail import JournalTail, by_symbol, follows
from tidelog.errors import Displaced
from tidelog.market.events import EventId, Started, Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import open_journal
from tidelog.market.live.batches import Item
from tidelog.market.records import Kind
from tidelog.market.session.controls import encode_control
from tidelog.runtime import Runtime, SystemRuntime

SECOND = "SELECT min(first_seq) FROM blocks WHERE first_seq > 1"


HASTY = replace(USUAL, look_s=0.01, retry_s_max=0.02)


class Clock(SystemRuntime):
    """The real one, and a wall clock that a test sets ahead."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


@asynccontextmanager
async def following(path: Path, runtime: Runtime | None = None) -> AsyncIterator[JournalTail]:
    tail = JournalTail(source(path), runtime or SystemRuntime(), HASTY)
    running = asyncio.create_task(tail.run())
    try:
        yield tail
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def last(path: Path) -> EventId:
    reader = JournalReader(str(path))
    try:
        ends = reader.ends()
        assert ends is not None
        return ends.last
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("before", "after", "so"),
    [
        ((1, 5), (1, 6), True),
        ((1, 5), (1, 7), False),
        ((1, 5), (2, 1), True),
        ((1, 5), (3, 1), True),  # runs that were killed before their first commit have no records
        ((1, 5), (2, 2), False),
        ((1, 5), (1, 5), False),
        ((0, 0), (1, 1), True),
    ],
)
def test_records_that_follow_each_other_are_recognised(
    before: tuple[int, int], after: tuple[int, int], so: bool
) -> None:
    assert follows(EventId(*before), EventId(*after)) is so


class TestBooks:
    async def test_books_are_those_of_the_feed(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, following(path) as tail:
            for qty in (3, 4, 5):
                await recorder.update(qty)
                await until(lambda: tail.at == recorder.feed.progress.last)
                book, true = tail.book(A, 10), recorder.feed.book(A, 10)
                assert book is not None
                assert (book.view, book.proven, book.reason) == (true, True, None)
                assert tail.health.ready
            assert tail.listed("book") == tail.listed("trade") == [A, B]
            assert tail.book("C/USD") is None

    async def test_books_that_mismatch_are_not_proven_until_they_match(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, following(path) as tail:
            await until(lambda: tail.ready)
            version = tail.touched(A).version
            await recorder.push(recorder.script.update(A, 7, wrong=True))
            await tail.touched(A).beyond(version)
            seen = []
            while True:
                book = tail.book(A)
                assert book is not None
                assert book.proven == book.view.proven
                seen.append(book.reason)
                if book.proven:
                    break
                await tail.touched(A).beyond(tail.touched(A).version)
            assert seen[-1] is None
            assert set(seen[:-1]) <= {"its last message does not prove it", "no snapshot of it has come yet"}

    async def test_books_of_a_lost_connection_are_not_proven(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, following(path) as tail:
            await until(lambda: tail.ready)
            recorder.script.deaf = True
            recorder.wire.cut()
            await until(lambda: (book := tail.book(A)) is not None and not book.proven)
            book = tail.book(A)
            assert book is not None
            assert (book.reason, book.view.bids) == ("no snapshot of it has come yet", ())

    async def test_books_go_stale_when_the_recorder_is_gone(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        script, clock = Script(), Clock()
        async with following(path, clock) as tail, recording(path, script) as recorder:
            await recorder.update(3)
            await until(lambda: (book := tail.book(A)) is not None and book.proven)
            clock.ahead_s = HASTY.stale_s + 1
            await until(lambda: (book := tail.book(A)) is not None and not book.proven)
            assert "is the recorder running?" in (tail.health.reason or "")
            clock.ahead_s = 0.0
            await recorder.update(4)
            await until(lambda: (book := tail.book(A)) is not None and book.proven)


class TestTheFile:
    async def test_a_journal_that_is_not_there_yet_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with following(path) as tail:
            await until(lambda: "no journal" in (tail.health.reason or ""))
            async with recording(path):
                await until(lambda: tail.health.ready)

    async def test_a_journal_is_followed_into_a_new_run(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with following(path) as tail:
            for run in (1, 2, 3):
                async with recording(path):
                    await until(lambda: (book := tail.book(A)) is not None and book.proven)
                    assert tail.at.run == run
                await until(lambda: tail.at == last(path))

    async def test_a_journal_that_was_replaced_is_left_for_its_successor(self, tmp_path: Path) -> None:
        path, other = tmp_path / "journal", tmp_path / "other"
        async with recording(other) as recorder:
            await recorder.trade(50)

        async def replaced() -> None:
            async with recording(path), following(path) as tail:
                await until(lambda: tail.ready)
                path.unlink()
                for rest in tmp_path.glob("journal-*"):
                    rest.unlink()
                other.rename(path)
                await until(lambda: tail.at == last(path) and tail.ready)

        with pytest.raises(Displaced):  # its recorder ends
            await replaced()

    async def test_a_damaged_journal_is_reported_and_followed_again_once_repaired(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, following(path) as tail:
            await until(lambda: tail.ready)
            for qty in range(3, 6):
                await recorder.update(qty)
        damage(path, f"UPDATE blocks SET frames = zeroblob(20) WHERE first_seq = ({SECOND})")
        async with following(path) as tail:
            await until(lambda: tail.health.reason == "the journal is damaged")
            assert not tail.health.ready
            journal = await open_journal(str(path), SystemRuntime())  # a run begins with a restart point, and needs
            journal.append(
                Kind.CONTROL, encode_control(Started("v2")), now_us(), restart=True
            )  # nothing from before it
            await until(lambda: tail.health.ready)
            await journal.close()

    async def test_records_pruned_before_they_were_read_end_the_streams(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with following(path) as tail, recording(path) as recorder:
            await until(lambda: tail.ready)
            subscription = tail.trades(A)
            begun = tail.following.version
            await recorder.trade(1)
            assert isinstance(await anext(subscription), Item)
            damage(path, "UPDATE runs SET last_seq = last_seq + 5")
            with pytest.raises(StopAsyncIteration):  # so that whoever listens looks into the journal
                await anext(subscription)
            assert tail.following.version > begun
            assert tail.health.reason == "the journal is damaged"


def now_us() -> int:
    return int(SystemRuntime().now() * 1_000_000)


def damage(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(int(HANGS_S * 1_000))  # its recorder may just commit
    connection.execute(sql)
    connection.close()


def test_the_trades_of_a_frame_are_divided_by_symbol() -> None:
    one, two, three = trade(1, symbol=A), trade(2, symbol=B), trade(3, symbol=A)
    assert by_symbol(Trades((one, three))) == {A: Trades((one, three))}
    assert by_symbol(Trades((one, two, three), True)) == {A: Trades((one, three), True), B: Trades((two,), True)}
