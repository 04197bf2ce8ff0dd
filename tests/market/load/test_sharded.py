"""The journals of shards that are not run any more, where one cannot be loaded now."""

import asyncio
from pathlib import Path

import pytest

from tidelog.errors import ConfigError, Corruption, StoreError, TidelogError
from tidelog.market.load.settling import Claiming, SettleLimits
from tidelog.market.load.sharded import Abandoned
from tidelog.runtime import SystemRuntime

LIMITS = SettleLimits(poll_s=0.01)


@pytest.mark.parametrize("error", [ConfigError("it is written"), StoreError("it is away"), Corruption("it is damaged")])
async def test_one_that_cannot_be_loaded_is_told_and_tried_again_and_the_others_are_loaded(
    tmp_path: Path, error: TidelogError
) -> None:
    journals = {number: str(tmp_path / f"{number}.journal") for number in (1, 2, 3)}
    me = Claiming("test", 1, 1, "here:/data", journals[1], 7)
    abandoned = Abandoned(SystemRuntime(), me, lambda: journals, (1,), LIMITS)
    loaded, reasons = list[int](), list[str | None]()

    async def load(one: Claiming) -> None:
        if one.number == 2 and len(reasons) < 3:
            reasons.append(abandoned.reason)
            raise error
        loaded.append(one.number)

    async with asyncio.timeout(60.0):
        await abandoned.run(load)
    reason = f"shard:test/2 is not run any more, and its journal is not loaded yet: {error}"
    assert reasons == [None, reason, reason]
    assert loaded == [3, 2]
    assert abandoned.reason is None


async def test_any_other_failure_ends_it(tmp_path: Path) -> None:
    journals = {number: str(tmp_path / f"{number}.journal") for number in (1, 2)}
    me = Claiming("test", 1, 1, "here:/data", journals[1], 7)

    async def load(one: Claiming) -> None:
        raise KeyError(one.number)

    with pytest.raises(KeyError):
        await Abandoned(SystemRuntime(), me, lambda: journals, (1,), LIMITS).run(load)
