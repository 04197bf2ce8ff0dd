"""A publisher for each journal that there is or comes, until one of them fails."""

import asyncio

import pytest

from tidelog.errors import ConfigError
from tidelog.stream.market.sharded import ShardPublishers, ShardsLimits

QUICK = ShardsLimits(look_s=0.01)


async def test_each_journal_is_published_by_one_publisher_also_those_that_come() -> None:
    journals, began, ended = dict[int, str](), list[tuple[int, str]](), list[int]()

    async def publish(number: int, path: str) -> None:
        began.append((number, path))
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    task = asyncio.create_task(ShardPublishers(lambda: dict(journals), publish, QUICK).run())
    for number in (1, 3, 2):
        await asyncio.sleep(QUICK.look_s * 3)
        journals[number] = f"m.{number}"
        async with asyncio.timeout(10):
            while (number, f"m.{number}") not in began:  # noqa: ASYNC110
                await asyncio.sleep(QUICK.look_s)
    del journals[3]  # its file was removed: what is open is published on
    await asyncio.sleep(QUICK.look_s * 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (began, sorted(ended)) == ([(1, "m.1"), (3, "m.3"), (2, "m.2")], [1, 2, 3])


async def test_the_first_that_fails_ends_all() -> None:
    ended = list[int]()

    async def publish(number: int, path: str) -> None:
        try:
            await asyncio.sleep(0.05 if number == 2 else 60)
            raise ConfigError("the stream is another's")
        finally:
            ended.append(number)

    with pytest.raises(ConfigError, match="the stream is another's"):
        await ShardPublishers(lambda: {1: "m", 2: "m.2"}, publish, QUICK).run()
    assert sorted(ended) == [1, 2]
