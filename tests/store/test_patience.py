"""Trying again while a store is busy: until it is not, or for as long as it is told."""

import random
from pathlib import Path

import pytest

import tidelog
from tests.runtime import FakeRuntime
from tidelog.backoff import delays
from tidelog.errors import Busy, Corruption
from tidelog.store.patience import RETRY_MAX_S, patiently


class Store:
    """Fails so many times, with what it is told."""

    def __init__(self, failures: float, error: type[Exception] = Busy) -> None:
        self.failures = failures
        self.error = error
        self.tries = 0

    async def read(self) -> int:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error(f"try {self.tries}")
        return self.tries


async def test_a_busy_store_is_tried_until_it_succeeds() -> None:
    runtime = FakeRuntime()
    assert await patiently(runtime, Store(0).read, patience_s=1.0) == 1
    assert runtime.sleeps == 0
    assert await patiently(runtime, Store(3).read, patience_s=1.0) == 4


@pytest.mark.parametrize("patience_s", [0.0, 0.2, 1.0, 10.0])
async def test_a_busy_store_is_tried_for_its_patience_and_no_longer(patience_s: float) -> None:
    runtime, store = FakeRuntime(), Store(float("inf"))
    with pytest.raises(Busy) as caught:
        await patiently(runtime, store.read, patience_s=patience_s)
    assert str(caught.value) == f"try {store.tries}", "the last of them"
    assert patience_s - RETRY_MAX_S <= runtime.clock <= patience_s


async def test_an_error_other_than_busy_is_raised_at_once() -> None:
    store = Store(1, Corruption)
    with pytest.raises(Corruption):
        await patiently(FakeRuntime(), store.read, patience_s=1.0)
    assert store.tries == 1


CALL_S, JOB_S = 60.0, 600.0


async def test_the_patience_of_a_job_counts_what_its_calls_have_waited() -> None:
    """So that the two add up at most, and never multiply."""
    runtime, store, calls = FakeRuntime(), Store(float("inf")), 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        return await patiently(runtime, store.read, patience_s=CALL_S)

    with pytest.raises(Busy):
        await patiently(runtime, call, patience_s=JOB_S, waits=delays(random.Random(1), max_s=10.0))
    assert JOB_S - CALL_S <= runtime.clock <= JOB_S + CALL_S
    assert calls <= JOB_S / (CALL_S - RETRY_MAX_S) + 1


def test_a_call_and_a_job_wait_and_nothing_around_them() -> None:
    source = Path(tidelog.__file__).parent
    waiting = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if "import patiently" in path.read_text() and "sim" not in path.parts
    }
    calls = {
        "store/sqlite/__init__.py",
        "store/sqlite/reader.py",
        "store/postgres/__init__.py",
        "store/postgres/reader.py",
    }
    jobs = {
        "chain/sync/commits.py",
        "market/load/loader.py",
        "market/load/settling.py",
        "stream/chain/stored.py",
        "stream/market/journal.py",
    }
    assert waiting == calls | jobs
