"""kill -9 of a recording at random moments: the journal is whole after each, the store is a fold of it, and what
was missed meanwhile is said in a gap."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytest

from tests.command import Running, tidelog
from tests.patience import HANGS_S
from tests.system.disturbed import LEVELS, SYMBOLS, contents, judge_trades, named, records
from tidelog.errors import ConfigError
from tidelog.market.events import EventId, Started
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import Loader
from tidelog.market.load.recorded import source_of
from tidelog.market.projection.state import decode_state
from tidelog.market.projection.tables import GAPS
from tidelog.market.records import Kind, Record
from tidelog.market.replay.position import events_to_load
from tidelog.market.session.controls import decode_control
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import PAIRS, SimExchange
from tidelog.sim.exchange.state import Limits
from tidelog.sim.exchange.wire.server import ExchangeServer
from tidelog.store import open_store

T = TypeVar("T")

NAME = "kraken"  # the command's own
RATE = 300.0
KILL_WITHIN_S = 1.3  # after the first frame of a run: the loader's first commits are within it, and often not yet


class Exchange:
    """A simulated exchange on a socket, in real time, served from a thread of its own."""

    def __init__(self, seed: int, symbols: Sequence[str] = SYMBOLS, rate: float = RATE) -> None:
        runtime = SystemRuntime()
        pairs = [PAIRS[symbol] for symbol in symbols]
        start_us = int(runtime.now() * 1_000_000)
        # a recording that is killed without end would be banned, and rightly so
        limits = Limits(attempts=1_000_000)
        self._exchange = SimExchange(seed=seed, pairs=pairs, rate=rate, levels=LEVELS, start_us=start_us, limits=limits)
        self._server = ExchangeServer(self._exchange, runtime=runtime)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="exchange")

    def __enter__(self) -> "Exchange":
        self._thread.start()
        self._run(self._server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._server.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(HANGS_S)
            self._loop.close()

    @property
    def url(self) -> str:
        return self._server.url("v2")

    @property
    def exchange(self) -> SimExchange:
        """What was true, once it stands still: while it is served, it changes under who reads it."""
        assert not self._thread.is_alive(), "the exchange is still served"
        return self._exchange

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_S)


def runs_with_frames(journal: Path) -> int:
    """How far the journal is: the last run that has a frame."""
    try:
        reader = JournalReader(str(journal))
    except ConfigError:  # there is none yet
        return 0
    try:
        last = reader.last()
        return 0 if last is None or last.kind is not Kind.IN else last.id.run
    finally:
        reader.close()


async def position(url: str) -> EventId:
    """How far the store is."""
    store = await open_store(url, SystemRuntime(), readonly=True)
    try:
        async with store.snapshot() as snapshot:
            found = [one for one in await snapshot.checkpoints() if one.source == source_of(NAME)]
        text = found[0].position if found else None
        return EventId(0, 0) if text is None else decode_state(text).id
    finally:
        await store.close()


async def fold(journal: Path, url: str, up_to: EventId) -> None:
    """The journal into an empty store, in one go, as far as another one is."""
    runtime = SystemRuntime()
    store = await open_store(url, runtime)
    try:
        loader = await Loader.open(store, runtime, NAME)
        whole = [item async for item in events_to_load(str(journal), runtime, ending=lambda: True)]
        await loader.load([item for item in whole if item.id <= up_to])
    finally:
        await store.close()


def judge_store(url: str, journal: Path, folder: Path) -> None:
    """The store is a fold of the journal up to its own position."""
    again = folder / "again.db"
    for path in folder.glob("again.db*"):
        path.unlink()
    asyncio.run(fold(journal, f"sqlite:///{again}", asyncio.run(position(url))))
    assert asyncio.run(contents(url, NAME)) == asyncio.run(contents(f"sqlite:///{again}", NAME))


def judge_gaps(url: str, journal: Path) -> int:
    """Between the last frame of a run and the first of the next lies a gap, and it is said; how many there are."""
    frames: dict[int, list[int]] = {}
    for record in records(journal):
        if record.kind is Kind.IN:
            frames.setdefault(record.id.run, []).append(record.at_us)
    stored = asyncio.run(contents(url, NAME))
    gaps = [gap for gap in named(GAPS, stored) if gap["scope"] == "connection"]
    for before, after in pairwise(frames.values()):
        lost = [gap for gap in gaps if gap["first"] <= before[-1] and after[0] <= gap["last"]]
        assert [gap["reason"] for gap in lost] == ["restart"]
    return len(frames) - 1


def has_since(journal: Path, moment_us: int) -> Callable[[], bool]:
    """Whether what was received after a moment is in the journal: commits go on, while frames do.

    After how long is the machine's matter; that the loop's clock says within the window is tested with the writer.
    """

    def look() -> bool:
        reader = JournalReader(str(journal))
        try:
            last = reader.last()
            return last is not None and last.at_us > moment_us
        finally:
            reader.close()

    return look


def judge_starts(journal: Path) -> None:
    """Every run but the first says that the one before did not end in order, and when it was last heard of."""
    previous: Record | None = None
    for record in records(journal):
        if previous is None or record.id.run != previous.id.run:
            control = decode_control(record.payload)
            assert isinstance(control, Started)
            assert (control.clean, control.previous_us) == (previous is None, previous and previous.at_us)
        previous = record


def kill_in_a_loop(url: str, folder: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    journal, log = folder / "journal", folder / "log"
    with Exchange(seed) as served:
        command = (
            "market", "record", "--symbols", ",".join(SYMBOLS), "--url", served.url,
            "--journal", str(journal), "--db", url,
        )  # fmt: skip
        for _ in range(kills):
            before = runs_with_frames(journal)
            with Running(*command, log=log) as recording:
                recording.until(goes_on(journal, before), "frames")
                recording.until(has_since(journal, time.time_ns() // 1000), "what came since")
                time.sleep(moments.uniform(0, KILL_WITHIN_S))  # what is tested: any moment will do
                recording.kill9()
            judge_store(url, journal, folder)
        judge_starts(journal)
        before = runs_with_frames(journal)
        with Running(*command, log=log) as recording:
            recording.until(goes_on(journal, before), "frames")
            assert recording.interrupt() == 0
    end = records(journal)[-1].id
    assert end.run > kills
    assert asyncio.run(position(url)).run == end.run, "ended in order, nothing is left to be loaded"
    judge_store(url, journal, folder)
    assert judge_gaps(url, journal) >= kills
    judge_trades(asyncio.run(contents(url, NAME)), served.exchange)
    assert tidelog("market", "replay", str(journal)).code == 0
    verified = tidelog("market", "verify", "--db", url, "--journal", str(journal))
    assert verified.code == 0, verified.out + verified.err
    assert f"the rows fit each other, and are what {journal} makes, from record 1.1 on" in verified.out


def goes_on(journal: Path, before: int) -> Callable[[], bool]:
    return lambda: runs_with_frames(journal) > before


def test_recording_killed_at_random_moments_equals_its_journal(sqlite_url: str, tmp_path: Path) -> None:
    kill_in_a_loop(sqlite_url, tmp_path, kills=5, seed=1)


def test_recording_killed_with_postgresql_equals_its_journal(postgres_url: str, tmp_path: Path) -> None:
    kill_in_a_loop(postgres_url, tmp_path, kills=3, seed=2)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3, 7))
def test_killed_at_hundreds_of_random_moments(url: str, tmp_path: Path, seed: int) -> None:
    kill_in_a_loop(url, tmp_path, kills=50, seed=seed)
