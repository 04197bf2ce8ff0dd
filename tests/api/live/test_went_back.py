"""A store that went back gives numbers of changes out again: a follower is told once, and goes on right. Of one that
merely lags it is told to wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import apsw
import pytest_asyncio

from tests.api.live.serving import Served, listening, serving, take
from tests.api.live.test_socket import client
from tests.chain.rig import Rig, a_node, rig
from tests.following import Fold
from tidelog.chain.rows.tables import BLOCKS
from tidelog.store import Store

CHAIN = 1337
PATH = f"/v1/chains/{CHAIN}/live/changes"
COMMON = 31  # changes up to the copy: blocks 0 to 30


class Switch:
    """The store that a server reads: one, and then another, as when a standby takes over."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class World(NamedTuple):
    """`old` has changes that `copy` lacks, which was taken before them."""

    old: Rig
    copy: Rig
    switch: Switch
    served: Served

    async def go_back(self) -> None:
        """Show the copy, and write to it: other blocks than those that it lacks."""
        self.switch.store = self.copy.store
        await self.write()

    async def write(self) -> None:
        self.copy.tree.reorg(4, 3)
        await self.copy.once()


def copied(path: Path, to: Path) -> None:
    to.mkdir()
    with (
        closing(apsw.Connection(str(path / "chain.db"))) as one,
        closing(apsw.Connection(str(to / "chain.db"))) as other,
        other.backup("main", one, "main") as backup,
    ):
        backup.step()


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with going_back(tmp_path) as made:
        yield made


@asynccontextmanager
async def going_back(tmp_path: Path) -> AsyncIterator[World]:
    node = a_node(blocks=30)
    (tmp_path / "old").mkdir()
    async with rig(tmp_path / "old", node) as old:
        await old.once()
        copied(tmp_path / "old", tmp_path / "copy")
        for _ in range(2):  # each `once` is another writer
            old.tree.extend(3)
            await old.once()
        switch = Switch(old.store)
        async with rig(tmp_path / "copy", node) as copy, serving(switch) as served:
            yield World(old, copy, switch, served)


async def blocks(store: Store) -> list[tuple[int, str]]:
    async with store.snapshot() as snapshot:
        rows: list[Any] = await snapshot.select(BLOCKS, scope=CHAIN, columns=["number", "hash"])
    return [(number, "0x" + block_hash.hex()) for number, block_hash in rows]


async def changes(world: World, fold: Fold, limit: int = 1_000) -> Any:
    url = f"{world.served.url}/v1/chains/{CHAIN}/changes?after={fold.place}&limit={limit}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        said = await answer.json()
    fold.read(said)
    return said


async def hear(stream: Any, fold: Fold, count: int) -> list[str]:
    events = await take(stream, count)
    for event in events:
        fold.hear(event.name, event.data, event.id)
    return [event.name for event in events]


async def test_a_restored_store_resets_a_follower_that_reads_pages(world: World) -> None:
    fold = Fold()
    await changes(world, fold)
    assert fold.seq == COMMON + 6
    await world.go_back()
    said = await changes(world, fold, limit=2)
    assert said["reset"]["seq"] == COMMON
    assert said["reset"]["reason"].startswith("the store went back")
    assert [change["seq"] for change in said["data"]] == [COMMON + 1, COMMON + 2]
    while (await changes(world, fold))["data"]:
        pass
    assert fold.resets == [COMMON]  # told once
    assert fold.blocks() == await blocks(world.copy.store)


async def test_a_restored_store_resets_a_stream_in_the_middle(world: World) -> None:
    fold = Fold()
    async with listening(f"{world.served.url}{PATH}?after=0") as stream:
        await hear(stream, fold, COMMON + 6)
        await world.go_back()
        names = await hear(stream, fold, 1)
        assert names == ["wait"] or fold.resets == [COMMON]
        while fold.blocks() != await blocks(world.copy.store):
            await hear(stream, fold, 1)
    assert fold.resets == [COMMON]


async def test_a_restored_store_resets_a_stream_by_its_last_event_id(world: World) -> None:
    fold = Fold()
    async with listening(f"{world.served.url}{PATH}?after=0") as stream:
        await hear(stream, fold, COMMON + 6)
    await world.go_back()
    async with listening(f"{world.served.url}{PATH}?after=0", after=fold.place) as stream:
        assert await hear(stream, fold, 1) == ["reset"]
        await hear(stream, fold, 1)
    async with listening(f"{world.served.url}{PATH}?after=0", after=fold.place) as stream:  # cut off after one
        while fold.blocks() != await blocks(world.copy.store):
            await hear(stream, fold, 1)
    assert fold.resets == [COMMON]


async def test_a_restored_store_resets_a_subscription(world: World) -> None:
    fold = Fold()
    async with client(world.served) as one:
        await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN, after=0)
        for event in await one.events("a", COMMON + 6):
            fold.hear(event["event"], event["data"], event["at"])
    await world.go_back()
    async with client(world.served) as one:
        await one.ask(op="subscribe", id="a", channel="changes", chain=CHAIN, after=fold.place)
        while fold.blocks() != await blocks(world.copy.store):
            [event] = await one.events("a", 1)
            fold.hear(event["event"], event["data"], event.get("at"))
    assert fold.resets == [COMMON]


async def test_a_copy_that_nobody_has_written_to_yet_is_waited_for(world: World) -> None:
    """Nothing in it shows that it was restored: it is like a replica that lags, until somebody opens it and writes."""
    fold = Fold()
    await changes(world, fold)
    world.switch.store = world.copy.store
    said = await changes(world, fold)
    assert (said["wait"]["seq"], said["data"], said["reset"]) == (COMMON, [], None)
    async with listening(f"{world.served.url}{PATH}?after={fold.place}") as stream:
        assert await hear(stream, fold, 1) == ["wait"]
        await world.write()
        assert await hear(stream, fold, 1) == ["reset"]
    assert fold.resets == [COMMON]


async def test_a_replica_that_lags_is_waited_for_and_nothing_is_undone(world: World, tmp_path: Path) -> None:
    fold = Fold()
    await changes(world, fold)
    async with rig(tmp_path / "copy", world.old.node) as replica:
        world.switch.store = replica.store
        async with listening(f"{world.served.url}{PATH}?after={fold.place}") as stream:
            assert await hear(stream, fold, 1) == ["wait"]
            world.switch.store = world.old.store  # it has caught up
            world.old.tree.extend(1)
            await world.old.once()
            assert await hear(stream, fold, 1) == ["apply"]
    assert fold.resets == []
    assert fold.blocks() == await blocks(world.old.store)


async def test_a_store_that_was_begun_anew_sends_to_the_beginning(world: World, tmp_path: Path) -> None:
    fold = Fold()
    await changes(world, fold)
    (tmp_path / "new").mkdir()
    async with rig(tmp_path / "new", world.old.node) as new:
        await new.once(first=20)
        world.switch.store = new.store
        said = await changes(world, fold)
        assert said["reset"]["seq"] == 0
        assert fold.blocks() == await blocks(new.store)


async def test_a_seq_alone_is_taken_as_it_is(world: World) -> None:
    await world.go_back()
    url = f"{world.served.url}/v1/chains/{CHAIN}/changes?after={COMMON + 2}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        said = await answer.json()
    assert (said["reset"], said["wait"]) == (None, None)
    assert said["data"][0]["seq"] == COMMON + 3


async def test_a_page_asked_for_by_a_cursor_has_no_position(world: World) -> None:
    """Nobody has said what he has: to go on from there would not be checked."""
    base = f"{world.served.url}/v1/chains/{CHAIN}/changes"
    async with aiohttp.ClientSession() as session:
        first = await (await session.get(f"{base}?limit=5")).json()
        second = await (await session.get(f"{base}?limit=5&cursor={first['next']}")).json()
    assert first["place"].startswith("5-")
    assert second["place"] is None
    assert [change["seq"] for change in second["data"]] == [6, 7, 8, 9, 10]
