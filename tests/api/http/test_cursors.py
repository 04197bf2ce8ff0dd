"""Cursors: what is taken back, what is refused, and that a list goes on where it was, whatever happened since."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import CHAIN, Served, fill, sqlite_url
from tests.chain.rig import Rig, a_node
from tidelog.api.http.cursors import open_cursor, seal
from tidelog.api.http.problems import Refused
from tidelog.batch import Row, Table
from tidelog.chain.rows.tables import BLOCKS
from tidelog.market.projection.tables import TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

TRADE: Row = ("market:kraken", "BTC/USD", 1_700_000_000_000_000, 7, 1_000, 5, "buy", "limit")


@pytest.mark.parametrize(("table", "key"), [(BLOCKS, (1, 0)), (BLOCKS, (2**63 - 1, 2**63 - 1)), (TRADES, TRADE)])
def test_a_cursor_opens_to_the_key_that_was_sealed(table: Table, key: Row) -> None:
    assert open_cursor(seal(table, ("list", 1), key), table, ("list", 1)) == key


def test_without_a_cursor_a_list_begins() -> None:
    assert open_cursor(None, BLOCKS, ("list",)) is None


def test_rejects_a_cursor_with_any_character_changed() -> None:
    text = seal(TRADES, ("list",), TRADE)
    changed = [text[:i] + ("A" if text[i] != "A" else "B") + text[i + 1 :] for i in range(len(text))]
    cut = [text[:i] for i in range(len(text))]
    for each in (*changed, *cut, text + "A", text + "=", text + "\n", " " + text, "ä", "🙂", "AAAA"):
        with pytest.raises(Refused, match="no cursor of this list"):
            open_cursor(each, TRADES, ("list",))


@pytest.mark.parametrize(
    ("table", "identity", "key"),
    [
        (BLOCKS, ("other",), (1, 5)),  # of another list
        (BLOCKS, ("list", None), (1, 5)),  # with other filters
        (BLOCKS, ("list",), (1,)),  # too short a key: somebody has computed the seal
        (BLOCKS, ("list",), (1, 5, 5)),
        (BLOCKS, ("list",), (1, -5)),
        (BLOCKS, ("list",), (1, 2**63)),
        (BLOCKS, ("list",), (1, "5")),
        (BLOCKS, ("list",), (1, True)),
        (BLOCKS, ("list",), (1, None)),
    ],
)
def test_rejects_a_cursor_whose_key_does_not_fit_the_list(table: Table, identity: tuple[object, ...], key: Any) -> None:
    with pytest.raises(Refused):
        open_cursor(seal(table, identity, key), BLOCKS, ("list",))


def test_rejects_a_cursor_of_another_list(api: Served) -> None:
    cursor = api.get(f"{CHAIN}/blocks", limit=2).json["next"]
    assert api.get(f"{CHAIN}/blocks", limit=5, cursor=cursor).status == 200  # the size of a page may change
    for path, query in (
        (f"{CHAIN}/blocks", {"order": "asc"}),
        (f"{CHAIN}/blocks", {"from_": 1}),
        (f"{CHAIN}/changes", {}),
        ("/v1/markets/BTC-USD/trades", {}),
        ("/v1/chains", {}),
    ):
        reply = api.get(path, **query, cursor=cursor)
        assert reply.status == 400, path
        assert "cursor" in reply.error


class TestWhatHappensMeanwhile:
    def numbers(self, pages: list[list[Any]]) -> list[int]:
        return [block["number"] for page in pages for block in page]

    def walk(self, url: str, change: Any, **query: object) -> list[tuple[int, str]]:
        """(number, hash) over all pages of blocks, with `change` after the first."""
        with Served(url) as api:
            first = api.get(f"{CHAIN}/blocks", limit=10, **query)
            api.run(change())
            found, cursor = list(first.data), first.json["next"]
            while cursor is not None:
                reply = api.get(f"{CHAIN}/blocks", limit=10, **query, cursor=cursor)
                found += reply.data
                cursor = reply.json["next"]
        return [(block["number"], block["hash"]) for block in found]

    def test_a_list_goes_on_through_a_reorg(self, url: str) -> None:
        node = a_node(40)
        rigs: list[Rig] = []

        async def begin() -> None:
            store = await open_store(url, SystemRuntime())
            await fill(store, node)
            await store.close()

        async def reorg() -> None:
            store = await open_store(url, SystemRuntime())
            rig = Rig(store, node, (await fill(store, node)).runtime, ("http://replica-0",))
            rigs.append(rig)
            rig.tree.reorg(5, 7)
            await rig.once()
            await store.close()

        asyncio.run(begin())
        found = self.walk(url, reorg, order="asc")
        chain = rigs[0].tree
        assert found == [(n, "0x" + chain.canonical(n).hash.hex()) for n in range(43)]

    def test_a_list_goes_on_through_an_ingestion_from_the_beginning(self, tmp_path: Path) -> None:
        """The same blocks in a new store, served under the old cursor: keys are positions."""
        node = a_node(30)
        stores = [sqlite_url(tmp_path / name) for name in ("old", "new")]
        for url, name in zip(stores, ("old", "new"), strict=True):
            (tmp_path / name).mkdir()

            async def begin(url: str = url) -> None:
                store = await open_store(url, SystemRuntime())
                await fill(store, node)
                await store.close()

            asyncio.run(begin())
        with Served(stores[0]) as api:
            first = api.get(f"{CHAIN}/blocks", limit=10)
            logs = api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 5})
        with Served(stores[1]) as api:
            rest = api.get(f"{CHAIN}/blocks", limit=1_000, cursor=first.json["next"])
            assert self.numbers([first.data, rest.data]) == list(range(30, -1, -1))
            more = api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 1_000, "cursor": logs.json["next"]})
            assert logs.data + more.data == api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 1_000}).data
