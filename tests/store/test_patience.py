"""Trying again while a store is busy: until it is not, or for as long as it is told."""

import pytest

from tests.runtime import FakeRuntime
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


async def test_it_is_tried_until_it_succeeds() -> None:
    runtime = FakeRuntime()
    assert await patiently(runtime, Store(0).read, patience_s=1.0) == 1
    assert runtime.sleeps == 0
    assert await patiently(runtime, Store(3).read, patience_s=1.0) == 4


@pytest.mark.parametrize("patience_s", [0.0, 0.2, 1.0, 10.0])
async def test_for_as_long_as_it_may_and_no_longer(patience_s: float) -> None:
    runtime, store = FakeRuntime(), Store(float("inf"))
    with pytest.raises(Busy) as caught:
        await patiently(runtime, store.read, patience_s=patience_s)
    assert str(caught.value) == f"try {store.tries}", "the last of them"
    assert patience_s - RETRY_MAX_S <= runtime.clock <= patience_s


async def test_another_error_is_told_at_once() -> None:
    store = Store(1, Corruption)
    with pytest.raises(Corruption):
        await patiently(FakeRuntime(), store.read, patience_s=1.0)
    assert store.tries == 1
