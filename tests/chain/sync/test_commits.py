"""Commits: a caller that is cancelled waits for the one under way, unless the store does not take it."""

import asyncio
from collections.abc import Callable

import pytest

from tests.patience import HANGS_S
from tidelog.batch import Batch, Checkpoint, Outcome
from tidelog.chain.sync.commits import Commits, WriterLimits
from tidelog.errors import Busy
from tidelog.runtime import SystemRuntime
from tidelog.store import Store

LIMITS = WriterLimits(commit_end_s=HANGS_S, commit_look_s=0.01)
IMPATIENT = WriterLimits(commit_end_s=0.2, commit_look_s=0.01)
BATCH = Batch(Checkpoint("chain:1", 1, 0, None), Checkpoint("chain:1", 1, 1, None))


class SlowStore:
    """Takes a commit when it is told to, and says until then, if it is to, that it is busy."""

    trouble: str | None = None

    def __init__(self, *, busy: int = 0) -> None:
        self.takes = asyncio.Event()
        self.asked = asyncio.Event()
        self.busy = busy

    async def commit(self, batch: Batch) -> Outcome:
        assert batch is BATCH
        self.asked.set()
        if self.busy:
            self.busy -= 1
            raise Busy("the server is away")
        await self.takes.wait()
        return Outcome.COMMITTED


def committing(
    store: SlowStore, then: Callable[[float], None], limits: WriterLimits = LIMITS
) -> tuple[Commits, asyncio.Task[None]]:
    kept: Store = store  # type: ignore[assignment]
    commits = Commits(kept, SystemRuntime(), 1, limits)
    return commits, asyncio.create_task(commits.commit(BATCH, then))


async def test_a_commit_is_told_once_the_store_has_it() -> None:
    store, told = SlowStore(), list[float]()
    commits, task = committing(store, told.append)
    await store.asked.wait()
    await asyncio.sleep(0.01)
    assert commits.under_way_s > 0
    assert told == []
    store.takes.set()
    await task
    assert len(told) == 1
    assert commits.under_way_s == 0.0


async def test_a_cancelled_caller_goes_when_the_commit_has_ended() -> None:
    store, told = SlowStore(), list[float]()
    _, task = committing(store, told.append)
    await store.asked.wait()
    task.cancel()
    await asyncio.sleep(0.02)
    assert not task.done(), "what the store may be about to take is waited for"
    store.takes.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(told) == 1


async def test_a_commit_that_does_not_end_is_given_up() -> None:
    store, told = SlowStore(), list[float]()
    _, task = committing(store, told.append, IMPATIENT)
    await store.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, HANGS_S)
    assert told == []


async def test_a_store_that_is_away_is_not_waited_for_at_the_end() -> None:
    store, told = SlowStore(busy=1_000_000), list[float]()
    commits, task = committing(store, told.append)
    await store.asked.wait()
    await asyncio.sleep(0)
    assert commits.trouble == "the server is away"
    assert commits.lasting_trouble is None, "it has not lasted yet"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, HANGS_S / 2)
    assert told == []


async def test_trouble_is_over_when_the_store_takes_it() -> None:
    store, told = SlowStore(busy=1), list[float]()
    commits, task = committing(store, told.append)
    store.takes.set()
    await task
    assert (commits.trouble, len(told)) == (None, 1)
