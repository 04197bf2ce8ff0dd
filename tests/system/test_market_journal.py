"""The journal's disk is full, or does not answer: the feed disconnects on purpose, says why, and comes back."""

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.system.disturbed import HURRIED, Hurried, Recording, contents, judge, named, recording
from tidelog.market.events import Disconnected
from tidelog.market.journal.writer import JournalLimits
from tidelog.market.live.batches import Item
from tidelog.market.live.fanout import Subscription
from tidelog.market.projection.tables import GAPS
from tidelog.market.session.subscription.subscriptions import ConnectionState
from tidelog.runtime import ThreadWorker, Worker

T = TypeVar("T")
WAITING_BYTES = 120_000  # some five hundred frames, instead of a minute's


class Hanging(Hurried):
    """Its journal's thread does nothing while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def worker(self, name: str) -> Worker:
        return _Gated(name, self.gate) if name == "journal" else super().worker(name)


class _Gated(ThreadWorker):
    def __init__(self, name: str, gate: threading.Event) -> None:
        super().__init__(name)
        self._gate = gate

    async def call(self, function: Callable[[], T]) -> T:
        def gated() -> T:
            self._gate.wait()
            return function()

        return await super().call(gated)


@contextmanager
def hanging(runtime: Hanging, running: Recording) -> Iterator[None]:
    runtime.gate.clear()
    try:
        yield
    finally:
        runtime.gate.set()


@contextmanager
def full(runtime: Hanging, running: Recording) -> Iterator[None]:
    """No file of this process grows beyond the journal's log: not that either into which pytest puts what is logged."""
    size = Path(f"{running.path}-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with capture_logs():
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("trouble", [hanging, full])
async def test_a_journal_that_cannot_be_written_ends_the_connection_until_it_can(
    trouble: Callable[[Hanging, Recording], AbstractContextManager[None]],
    tmp_path: Path,
) -> None:
    limits = replace(HURRIED, journal=JournalLimits(waiting_bytes_max=WAITING_BYTES, retry_s_max=0.1))
    runtime = Hanging()
    async with recording(runtime, tmp_path, load_later=True, limits=limits) as running:
        feed, exchange = running.feed, running.exchange
        ends = feed.events(kinds=[Disconnected])
        with trouble(runtime, running):
            stalled = asyncio.create_task(told(ends, Disconnected("journal_stalled")))
            running.own.add(stalled)
            await running.until(stalled.done, "the journal to be found stalled")
            stalled.result()
            await running.until(lambda: exchange.sessions == [], "the exchange to be left")
            connects, frames = feed.progress.connects, feed.progress.frames
            await asyncio.sleep(0.3)  # what does not happen has no event: 12 s of the feed's time
            assert (feed.progress.connects, feed.progress.frames) == (connects, frames), "not before there is room"
            assert feed.progress.state is ConnectionState.DISCONNECTED
            assert not running.is_whole
        await running.recovers()
    await judge(running, tmp_path)
    gaps = [gap["reason"] for gap in named(GAPS, await contents(running.url)) if gap["scope"] == "connection"]
    # on a machine that stands still the hurried connection is lost for its silence too
    assert [gap for gap in gaps if not gap.startswith("nothing came for")] == ["journal_stalled", "closing"]


async def told(events: Subscription, event: Disconnected) -> None:
    async for item in events:
        if isinstance(item, Item) and item.event == event:
            return
    raise AssertionError("the feed has ended")
