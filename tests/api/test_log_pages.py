"""`POST /v1/chains/{chain}/logs`: its pages are one list, however the head moves between them; a filter of many."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import CHAIN, Served, fill, sqlite_url
from tests.chain.rig import a_node
from tests.sim.asking import ask, ledger_of
from tidelog.api.http import pagination
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store, portions

LOGS = f"{CHAIN}/logs"
SHAPE = Shape(transactions=(2, 3), logs=(3, 4))  # of each block several pages of two logs
HEAD = 20


async def take_in(url: str, node: SimNode) -> None:
    store = await open_store(url, SystemRuntime())
    await fill(store, node)
    await store.close()


def keys(found: Any) -> list[tuple[int, int]]:
    return [(log["block_number"], log["log_index"]) for log in found]


def of_node(node: SimNode, low: int, high: int) -> list[tuple[int, int]]:
    found = ask(node, "eth_getLogs", {"fromBlock": hex(low), "toBlock": hex(high)})
    return [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in found]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("given", [{}, {"from_block": "latest"}, {"from_block": "finalized"}], ids=str)
def test_a_list_that_begins_at_a_tag_goes_on_where_it_began(
    tmp_path: Path, given: dict[str, object], order: str
) -> None:
    """The head moves, and what is final, behind the first page."""
    url, node = sqlite_url(tmp_path), a_node(HEAD, shape=SHAPE)
    asyncio.run(take_in(url, node))
    low = HEAD - 8 if given.get("from_block") == "finalized" else HEAD
    wanted = of_node(node, low, HEAD)
    with Served(url) as api:
        body = {**given, "order": order, "limit": 2}
        reply = api.post(LOGS, body)
        found = keys(reply.data)
        ledger_of(node).extend(5)
        asyncio.run(take_in(url, node))
        while (cursor := reply.json["next"]) is not None:
            reply = api.post(LOGS, {**body, "cursor": cursor})
            found += keys(reply.data)
        last = HEAD + 5 if order == "asc" else HEAD  # what is new comes last, or before the first page
        assert found == (of_node(node, low, last) if order == "asc" else wanted[::-1])
        first = api.post(LOGS, body).json["next"]
        for cursor in (first.partition(".")[2], "x." + first, f"9{first}"):
            assert "no cursor of this list" in api.post(LOGS, {**body, "cursor": cursor}).error


@pytest.mark.parametrize("given", [{"from_block": 0, "to_block": HEAD}, {"from_block": "finalized"}], ids=str)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_answer_of_large_logs_ends_sooner_and_the_list_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], order: str
) -> None:
    """1,000 logs of 400 kB each took more than a gigabyte of the server's memory."""
    monkeypatch.setattr(portions, "PORTION_ROWS", 3)
    monkeypatch.setattr(pagination, "PAGE_BYTES_MAX", 1)
    url, node = sqlite_url(tmp_path), a_node(HEAD, shape=SHAPE)
    asyncio.run(take_in(url, node))
    wanted = of_node(node, HEAD - 8 if given["from_block"] == "finalized" else 0, HEAD)
    with Served(url) as api:
        body = {**given, "order": order, "limit": 100}
        reply = api.post(LOGS, body)
        pages = [keys(reply.data)]
        while (cursor := reply.json["next"]) is not None:
            reply = api.post(LOGS, {**body, "cursor": cursor})
            pages.append(keys(reply.data))
    assert {len(page) for page in pages} == {1}
    assert [key for page in pages for key in page] == (wanted if order == "asc" else wanted[::-1])


def test_a_filter_may_name_more_than_are_searched_one_by_one(tmp_path: Path) -> None:
    url, node = sqlite_url(tmp_path), a_node(HEAD, shape=SHAPE)
    asyncio.run(take_in(url, node))
    log = ask(node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(HEAD)})[0]
    others = [f"0x{number:040x}" for number in range(150)]
    with Served(url, addresses_max=200, topics_max=200) as api:
        for body in (
            {"address": [log["address"], *others]},
            {"topics": [[log["topics"][0], *(f"0x{number:064x}" for number in range(150))]]},
        ):
            few = {name: value[0] if name == "address" else [value[0][0]] for name, value in body.items()}
            asked = {"from_block": 0, "limit": 100}
            assert api.post(LOGS, {**body, **asked}).data == api.post(LOGS, {**few, **asked}).data != []
