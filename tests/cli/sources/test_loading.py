"""Two tasks load a recording with shards: its own journal, and those of shards that are no more. None fails unheard."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tidelog.cli.sources.loading import Loading
from tidelog.cli.sources.market import MarketSource, SourceShard
from tidelog.market.load.sharded import Abandoned, ShardLoading
from tidelog.runtime import SystemRuntime
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
