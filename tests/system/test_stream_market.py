"""A recording through a real NATS server: whoever is killed, whatever the stream loses, the stream folds to the
journal's books and the store's trades, and the reader that is shipped has each trade once."""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest

from tests.command import Running, environment, tidelog
from tests.command import until as command_until
from tests.nats_server import NatsServer
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.status import metric, readiness
from tests.stream.market.folded import Folded
from tests.system.disturbed import SYMBOLS, contents, named
from tests.system.test_market_kill import NAME, Exchange, position
from tests.system.test_stream import LOOK_S, UNTIL_S, times_away
from tidelog.market.core import Core
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.projection.tables import TRADES
from tidelog.stream import Frame, Frames, events
from tidelog.stream.market.telling import Teller

EXAMPLE = Path(__file__).parents[2] / "examples" / "stream_trades.py"
LIFE_S = 0.3  # of a process: what is tested is any moment
GOES_ON = 200  # records that are journaled while the stream has no quorum
GROWN_S = 5.0  # of a journal's records, that the stream lacks while its server is away
BOOKS_EVERY = 25  # records of the stream

Told = tuple[int, str, tuple[int, int], tuple[int, int]]  # of a trade: its time, side, price and quantity

pytestmark = pytest.mark.timeout(600)


def until(condition: Callable[[], bool], what: str) -> None:
    def look() -> bool:
        time.sleep(LOOK_S)
        return condition()

    command_until(look, what, timeout_s=UNTIL_S)


class Story:
    """An exchange, a recorder, a publisher, a NATS server and a reader of trades."""

    def __init__(self, folder: Path, exchange: str, nats: str, *options: str) -> None:
        self.folder = folder
        self.nats = nats
        self.journal = folder / "journal"
        self.db = f"sqlite:///{folder / 'market.db'}"
        self.log = folder / "log"
        self.kept = folder / "trades.db"
        self._commands = {
            "recorder": (
                "market", "record", "--symbols", ",".join(SYMBOLS), "--url", exchange,
                "--journal", str(self.journal), "--db", self.db, "--depth", "25",
            ),
            "publisher": ("stream", "run", "--nats", nats, "--journal", str(self.journal), *options),
        }  # fmt: skip
        self.running: dict[str, Running] = {}
        self.reader: subprocess.Popen[bytes] | None = None
        self.compared = 0  # times that the stream's books were compared with the journal's

    def start(self, name: str) -> None:
        if name != "reader":
            self.running[name] = Running(*self._commands[name], log=self.log)
            return
        command = [sys.executable, str(EXAMPLE), "--nats", self.nats, "--db", str(self.kept)]
        with self.log.open("ab") as log:
            self.reader = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)

    def kill9(self, name: str) -> None:
        if name != "reader":
            self.running[name].kill9()
        elif self.reader is not None:
            self.reader.kill()
            self.reader.wait(HANGS_S)

    def begin(self) -> None:
        self.start("recorder")
        until(lambda: self.end().seq > 50, "frames")
        self.start("publisher")
        self.start("reader")
        self.moves("the beginning")

    def end(self) -> EventId:
        """The last record of the journal."""
        if not self.journal.exists():
            return EventId(0, 0)
        try:
            reader = JournalReader(str(self.journal))
        except Exception:  # it is being made
            return EventId(0, 0)
        try:
            ends = reader.ends()
            return EventId(0, 0) if ends is None else ends.last
        finally:
            reader.close()

    def read(self) -> EventId:
        """The last record whose trades the reader has."""
        if not self.kept.exists():
            return EventId(0, 0)
        with closing(sqlite3.connect(self.kept, timeout=10)) as file:
            try:
                found = file.execute("SELECT run, seq FROM records ORDER BY run DESC, seq DESC LIMIT 1").fetchone()
            except sqlite3.OperationalError:  # it is being made
                return EventId(0, 0)
        return EventId(0, 0) if found is None else EventId(*found)

    def trades(self) -> dict[tuple[str, int], Told]:
        """What the reader has. Of a journal that went back it has what was lost, until it is told."""
        query = "SELECT symbol, trade_id, time_us, side, price, qty FROM trades"
        with closing(sqlite3.connect(self.kept, timeout=10)) as file:
            return {(symbol, trade_id): plain(*rest) for symbol, trade_id, *rest in file.execute(query)}

    def moves(self, why: str) -> None:
        """The reader has trades of records that are journaled from now on."""
        end = self.end()

        def has_moved() -> bool:
            assert self.reader is not None
            assert self.reader.poll() is None, self.log.read_text()[-2_000:]
            assert self.running["publisher"].process.poll() is None, self.log.read_text()[-2_000:]
            return self.read() > end

        until(has_moved, f"the reader to go on after {why}")

    def judge(self, *, went_back: bool = False) -> Folded:
        """The recorder ends in order; then the stream, the reader's file and the store are held against each other."""
        assert self.running["recorder"].interrupt() == 0
        stored = asyncio.run(contents(self.db, NAME))
        rows = {
            (row["symbol"], row["trade_id"]): (
                row["time_us"],
                row["side"],
                (row["price"], row["price_scale"]),
                (row["qty"], row["qty_scale"]),
            )
            for row in named(TRADES, stored)
        }
        assert asyncio.run(position(self.db)).run == self.end().run
        until(lambda: self.trades() == rows, "the reader to have what the store has")
        with closing(sqlite3.connect(self.kept, timeout=10)) as file:
            ((applied, count),) = file.execute("SELECT applied, (SELECT count(*) FROM records) FROM position")
        assert applied == count, "each record was applied once"
        folded = asyncio.run(self.fold(self.last_told(), went_back=went_back))
        assert {key: plain(*value) for key, value in folded.trades.items()} == rows
        return folded

    def last_told(self) -> EventId:
        """The last record of the journal of which something is told."""
        teller, last = Teller(Core()), EventId(0, 0)
        reader = JournalReader(str(self.journal))
        for record in reader.records():
            if teller.take(record):
                last = record.id
        reader.close()
        return last

    async def fold(self, last: EventId, *, went_back: bool) -> Folded:
        """The stream from its first message on; its books are the journal's, if that did not go back."""
        folded, core = Folded(), Core()
        reader = JournalReader(str(self.journal))
        records = iter(()) if went_back else reader.records()
        try:
            async with asyncio.timeout(UNTIL_S), aclosing(events(self.nats)) as items:
                async for item in items:
                    folded.take(item)
                    for record in records:
                        core.apply(record)
                        if record.id >= folded.at:
                            assert record.id == folded.at
                            break
                    if not went_back and folded.records % BOOKS_EVERY == 0:
                        folded.equals(core)
                        self.compared += 1
                    if folded.at >= last and folded.resets == went_back:
                        return folded
        finally:
            reader.close()
        raise AssertionError


def plain(time_us: int, side: str, price: str, qty: str) -> Told:
    numbers = [(int(text.replace(".", "")), len(text.partition(".")[2])) for text in (price, qty)]
    return time_us, side, numbers[0], numbers[1]


@contextmanager
def told(folder: Path, nats: str, *options: str, seed: int = 0) -> Iterator[Story]:
    with Exchange(seed) as exchange:
        story = Story(folder, exchange.url, nats, *options)
        try:
            story.begin()
            yield story
        finally:
            story.kill9("reader")
            for each in story.running.values():
                each.kill9()


def kill_everybody_in_turn(folder: Path, nats: NatsServer, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    with told(folder, nats.url, seed=seed) as story:
        for kill in range(kills):
            time.sleep(rng.uniform(0, LIFE_S))  # what is tested: any moment will do
            victim = ("publisher", "nats", "reader", "recorder")[kill % 4]
            if victim == "nats":
                nats.restart()
            else:
                story.kill9(victim)
                story.start(victim)
            if kill % 4 == 3:
                story.moves(f"{victim} was killed")
        folded = story.judge()
        assert not folded.resets
        assert story.compared > 10
        assert [gap.reason for gap in folded.gaps if gap.symbol is None].count("restart") == kills // 4


def test_through_kills_of_all_the_stream_has_each_record_once(tmp_path: Path, nats: NatsServer) -> None:
    kill_everybody_in_turn(tmp_path, nats, 8, 1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 4))
def test_through_hundreds_of_kills(tmp_path: Path, nats: NatsServer, seed: int) -> None:
    kill_everybody_in_turn(tmp_path, nats, 200, seed)


def test_a_stream_that_is_lost_and_one_that_went_back_are_filled_again(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        nats.kill()
        shutil.copytree(nats.folder, tmp_path / "copy")
        nats.start()
        story.moves("a copy was taken")
        nats.kill()
        nats.lose()
        nats.start()
        story.moves("the folder was deleted")
        nats.kill()
        nats.lose()
        shutil.copytree(tmp_path / "copy", nats.folder)
        nats.start()
        story.moves("an older copy was restored")
        assert not story.judge().resets


def test_the_lag_grows_while_the_server_is_away(tmp_path: Path, nats: NatsServer) -> None:
    port = reserved_port()

    def lag_s() -> float:
        return metric(port, "tidelog_stream_lag_seconds") or 0.0

    with told(tmp_path, nats.url, "--status", f"127.0.0.1:{port}") as story:
        nats.kill()
        until(lambda: lag_s() > GROWN_S, "the lag to grow with the journal")
        until(lambda: "the stream's server does not answer" in readiness(port)[1], "the reason")
        story.kill9("publisher")
        story.start("publisher")
        until(lambda: 0 < lag_s() < GROWN_S, "the lag to grow from its first look on")
        nats.start()
        story.moves("the server is back")
        until(lambda: readiness(port) == (200, []), "its readiness")
        assert not story.judge().resets


def test_a_journal_that_went_back_is_told(tmp_path: Path, nats: NatsServer) -> None:
    """Its trades come again from the exchange; the store would refuse the journal, so it has none here."""
    with told(tmp_path, nats.url) as story:
        assert story.running["recorder"].interrupt() == 0
        copy = shutil.copy(story.journal, tmp_path / "copy")
        story.start("recorder")
        story.moves("the copy was taken")
        story.kill9("recorder")
        story.kill9("publisher")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{story.journal}{suffix}").unlink(missing_ok=True)
        shutil.copy(copy, story.journal)
        for path in tmp_path.glob("market.db*"):
            path.unlink()
        before = story.end()
        story.start("recorder")
        until(lambda: story.end().run > before.run, "the restored journal to go on")
        story.start("publisher")
        story.moves("the journal went back")
        assert story.judge(went_back=True).resets == 1


def test_a_cluster_loses_one_server_then_two_and_has_all_again(
    tmp_path: Path, nats_cluster: Sequence[NatsServer]
) -> None:
    servers, urls = nats_cluster, [server.url for server in nats_cluster]
    options = ("--replicas", "3", *(word for url in urls[1:] for word in ("--nats", url)))
    with told(tmp_path, urls[0], *options) as story:
        servers[2].kill()
        story.moves("one of three servers is away")
        before = times_away(story.log, "recording kraken")  # of the first one, if it led
        servers[1].kill()
        until(lambda: times_away(story.log, "recording kraken") > before, "the publisher to say that it is away")
        end = story.end()  # what is journaled from now on is not taken by one server of three
        until(lambda: story.end().seq > end.seq + GOES_ON, "the recorder, which does not notice")
        assert story.end().run == end.run, "nor is it connected anew"
        assert story.read() <= end
        servers[1].start()
        servers[2].start()
        story.moves("all are there again")
        assert not story.judge().resets


def test_read_prints_a_recording_and_its_frames(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url, "--events", "trade,gap") as story:
        common = ("stream", "read", "--nats", nats.url, "--recording", "kraken", "--count")
        done = tidelog(*common, "3", timeout_s=UNTIL_S)
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert {event["kind"] for line in lines for event in line["events"]} <= {"trade", "gap"}
        done = tidelog(*common, "1", "--after", lines[1]["place"], timeout_s=UNTIL_S)
        assert json.loads(done.out) == lines[2]
        command = ("stream", "run", "--nats", nats.url, "--journal", str(story.journal), "--frames")
        with Running(*command, log=tmp_path / "frames"):
            frames = asyncio.run(some_frames(nats.url, 100))
        reader = JournalReader(str(story.journal))
        for frame, record in zip(frames, reader.records(), strict=False):
            assert (frame.run, frame.seq, frame.at_us, frame.payload) == (*record.id, record.at_us, record.payload)
        reader.close()


async def some_frames(nats: str, count: int) -> list[Frame]:
    found: list[Frame] = []
    async with asyncio.timeout(UNTIL_S), aclosing(events(nats, frames=True)) as reading:
        async for item in reading:
            assert isinstance(item, Frames)
            found += item.frames
            if len(found) >= count:
                break
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--journal", "{}/none"), "none cannot be opened"),
        (("--journal", "{}/none", "--events", "trades"), "--events 'trades': there are trade, book, top"),
        (("--journal", "{}/none", "--chain-id", "1"), "a stream has a chain's changes or a recording"),
    ],
)
def test_what_cannot_be_done_as_asked_is_one_sentence(
    tmp_path: Path, nats: NatsServer, arguments: tuple[str, ...], said: str
) -> None:
    words = [word.format(tmp_path) for word in arguments]
    done = tidelog("stream", "run", "--nats", nats.url, *words, timeout_s=UNTIL_S)
    assert (done.code, said in done.err) == (2, True), done.err
    assert "Traceback" not in done.err
