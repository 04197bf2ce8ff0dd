"""Subscribers that never read, are too slow, or fail: neither the recording nor the other subscribers notice."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.patience import HANGS_S
from tests.system.disturbed import Hurried, judge, recording, records
from tidelog.market.events import Malformed
from tidelog.market.live.batches import Item
from tidelog.market.live.fanout import Lagged, Policy, Subscription
from tidelog.market.records import Kind

BOUND = 50
FRAMES = 1_500
EVERY = 16  # frames, of which a slow reader reads one
RATE = 800.0  # frames a second, by a clock in no hurry: on a busy machine, a pause would be taken for silence


class Reader:
    """What a subscriber got."""

    def __init__(
        self, subscription: Subscription, *, pause: Callable[[], Awaitable[None]] | None = None, fails_at: int = 0
    ) -> None:
        self.subscription = subscription
        self.items: list[Item] = []
        self.missed = 0
        self.task = asyncio.create_task(self._read(pause, fails_at))

    async def _read(self, pause: Callable[[], Awaitable[None]] | None, fails_at: int) -> None:
        async for item in self.subscription:
            if isinstance(item, Lagged):
                self.missed += item.missed
                continue
            self.items.append(item)
            if len(self.items) == fails_at:
                raise ValueError("a mistake in a strategy")
            if pause is not None:
                await pause()


async def test_a_stuck_subscriber_does_not_affect_the_others(tmp_path: Path) -> None:
    async with recording(Hurried(speed=1), tmp_path, rate=RATE) as running:
        feed = running.feed

        async def too_long() -> None:
            """While so many frames come that one who reads an item after each such pause misses most."""
            enough = feed.progress.frames + EVERY
            while feed.progress.frames < enough:  # noqa: ASYNC110 - of state that nobody announces
                await asyncio.sleep(0.001)

        healthy = Reader(feed.events())
        patient = Reader(feed.events(durable_only=True))
        never = feed.events(pending_max=BOUND)
        slow = Reader(feed.events(pending_max=BOUND), pause=too_long)
        latest = Reader(feed.events(Policy.CONFLATE, pending_max=BOUND), pause=too_long)
        failing = Reader(feed.events(pending_max=BOUND), fails_at=3)
        running.own = {one.task for one in (healthy, patient, slow, latest, failing)}
        begun = feed.progress.frames
        await running.until(lambda: feed.progress.frames >= begun + FRAMES, "frames")
        assert (feed.progress.mismatches, feed.progress.connects, feed.progress.resyncs) == (0, 1, 0)
        assert running.is_whole
        published = feed.progress.frames - begun
        bad = (never, slow.subscription, failing.subscription)
        assert [one.statistics.pending for one in (never, failing.subscription)] == [BOUND, BOUND]
        assert slow.subscription.statistics.pending >= BOUND - 1  # it may just have taken one
        assert never.statistics.delivered == 0
        for one in bad:
            figures = one.statistics
            assert figures.pending + figures.delivered + figures.dropped == published
        assert slow.subscription.statistics.delivered < published / 8
        assert slow.subscription.statistics.lag >= BOUND - 1
        assert latest.subscription.statistics.dropped == 0
        assert latest.subscription.statistics.conflated > published / 2
        # on a busy machine a burst of frames may just have come: the healthy one is soon through with them
        await running.until(lambda: healthy.subscription.statistics.lag < BOUND, "the healthy subscriber")
    await asyncio.wait_for(asyncio.gather(healthy.task, patient.task), HANGS_S)
    slow.task.cancel()
    latest.task.cancel()
    ends = await asyncio.gather(slow.task, latest.task, failing.task, return_exceptions=True)
    assert str(ends[2]) == "a mistake in a strategy"
    incoming = [record for record in records(running.path) if record.kind is Kind.IN]
    assert len(incoming) == running.watched.frames == feed.progress.frames, "every frame is in the journal"
    seen = [item.id for item in healthy.items]
    assert seen[: len(incoming) - begun] == [record.id for record in incoming[begun:]]
    assert [item.id for item in patient.items] == seen[: len(patient.items)]
    assert all(item.durable for item in patient.items)
    assert healthy.missed == patient.missed == 0
    assert not any(isinstance(item.event, Malformed) for item in healthy.items)
    assert await judge(running, tmp_path) == 0
