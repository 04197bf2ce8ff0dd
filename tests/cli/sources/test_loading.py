"""What loads a recording meanwhile: of two tasks none fails unheard, and a store that is away ends nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tidelog.cli.sources import loading as loading_module
from tidelog.cli.sources.loading import Loading
from tidelog.cli.sources.market import MarketSource, SourceShard
from tidelog.errors import Busy, Full, StoreError, TidelogError
from tidelog.market.load.sharded import Abandoned, ShardLoading
from tidelog.runtime import SystemRuntime
from tidelog.store import Store
from tidelog.telemetry import MarketMetrics

Work = Callable[..., Awaitable[None]]


async def lasts(*_: Any) -> None:
    await asyncio.Event().wait()


async def ends(*_: Any) -> None:
    await asyncio.sleep(0)


async def fails(*_: Any) -> None:
    await asyncio.sleep(0)
    raise KeyError("damaged")


async def fails_at_its_end(*_: Any) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise KeyError("damaged")


@pytest.mark.parametrize(
    # its own   of the others      so
    ("own", "others", "failed"),
    [
        (lasts, fails, True),
        (fails, lasts, True),
        (fails, fails, True),
        (fails, ends, True),
        (ends, fails_at_its_end, True),
        (ends, lasts, False),
    ],
)
async def test_what_one_of_the_two_fails_of_is_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Work, others: Work, failed: bool
) -> None:
    monkeypatch.setattr(ShardLoading, "run", own)
    monkeypatch.setattr(Abandoned, "run", others)
    journal = str(tmp_path / "m.journal")
    source = MarketSource(
        symbols=[],
        channels=[],
        depth=10,
        interval=1,
        journal=journal,
        db=None,
        name="test",
        protocol="",
        url=None,
        shard=SourceShard(1, 2, (1, 2), journal),
    )
    loading = Loading(source, SystemRuntime(), MarketMetrics(), tuple)
    found = None
    async with asyncio.timeout(HANGS_S) as limit:
        try:
            await loading.run(f"sqlite:///{tmp_path}/market.db", b"journal", 1, 0)
        except KeyError as error:
            found = error
    assert not limit.expired()
    assert (found is not None) == failed


class Hurried(SystemRuntime):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def unsharded(tmp_path: Path) -> MarketSource:
    """Of a journal that has nothing yet."""
    return MarketSource(
        symbols=[],
        channels=[],
        depth=10,
        interval=1,
        journal=str(tmp_path / "m.journal"),
        db=None,
        name="test",
        protocol="",
        url=None,
    )


class Failing:
    """A store that cannot be opened as often as is said."""

    def __init__(self, *errors: TidelogError) -> None:
        self.errors = list(errors)

    @asynccontextmanager
    async def opened(self, url: str, **options: Any) -> AsyncIterator[Store]:
        if self.errors:
            raise self.errors.pop(0)
        yield Store  # type: ignore[misc]


async def test_a_store_that_is_away_or_full_is_tried_again_while_the_recording_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that were not recorded meanwhile would be lost, and the journal takes them."""
    failing = Failing(Busy("it is away"), Full("no room is left"), Busy("it is away"))
    loading = Loading(unsharded(tmp_path), Hurried(), MarketMetrics(), tuple)
    waited = []
    loads = 0

    async def load(self: Loading, *_: Any) -> None:
        nonlocal loads
        loads += 1
        waited.append(self.waits)
        if loads == 1:
            raise Full("no room is left for a commit")

    monkeypatch.setattr(loading_module, "opened", failing.opened)
    monkeypatch.setattr(Loading, "_load", load)
    async with asyncio.timeout(HANGS_S):
        await loading.run("sqlite:///m.db", b"journal", 1, 0)
    assert waited == ["it is away", "no room is left for a commit"]
    assert not failing.errors


@pytest.mark.parametrize(
    ("error", "ended"),
    [(Busy("it is away"), True), (Full("no room is left"), True), (StoreError("it is odd"), False)],
)
async def test_what_no_other_try_can_change_ends_the_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError, ended: bool
) -> None:
    loading = Loading(unsharded(tmp_path), Hurried(), MarketMetrics(), tuple)
    loading.ended = ended
    monkeypatch.setattr(loading_module, "opened", Failing(error).opened)
    with pytest.raises(type(error), match=str(error)):
        await loading.run("sqlite:///m.db", b"journal", 1, 0)
