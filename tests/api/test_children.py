"""Contracts that others create, as the API shows them: whose children, page by page, and where a child's logs begin."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.served import CHAIN, Served, sqlite_url
from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import SHAPE
from tests.chain.sync.test_factories import BOTH, held
from tests.postgres import PostgresServer
from tests.runtime import FakeRuntime
from tests.sim.asking import ask
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.contracts import world as places
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

HEAD = 60
CONTRACTS = f"{CHAIN}/contracts"
SWAP = f"0x{places.SWAP.hex()}"


@pytest.fixture(scope="module")
def node() -> SimNode:
    return a_node(HEAD, shape=SHAPE)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, node: SimNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a selection."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path_factory.mktemp("children"))
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()

    async def take_in() -> None:
        store = await open_store(url, SystemRuntime())
        try:
            rig = Rig(store, node, FakeRuntime(), ("http://replica-0",))
            rig.contracts = held(BOTH, "proven")
            await rig.once()
        finally:
            await store.close()

    asyncio.run(take_in())
    with Served(url) as served:
        yield served


def created(node: SimNode) -> list[dict[str, Any]]:
    given = {"fromBlock": "0x0", "toBlock": hex(HEAD), "topics": [f"0x{places.POOL_CREATED.hex()}"]}
    return [
        {
            "address": f"0x{log['data'][-40:]}",
            "block_number": int(log["blockNumber"], 16),
            "log_index": int(log["logIndex"], 16),
        }
        for log in ask(node, "eth_getLogs", given)
    ]


def test_a_contract_s_children_come_page_by_page(api: Served, node: SimNode) -> None:
    wanted = created(node)
    assert len(wanted) == 4
    reply = api.get(f"{CONTRACTS}/pool", limit=3)
    contract = reply.json["contract"]
    assert (contract["address"], contract["created_by"]) == (None, "factory.PoolCreated.pool")
    assert (contract["children"], contract["state"]) == (4, "filled")
    assert reply.data == wanted[:3]
    assert api.all(f"{CONTRACTS}/pool", limit=3) == wanted
    assert api.all(f"{CONTRACTS}/pool", limit=1, order="desc") == wanted[::-1]
    listed = {each["name"]: each for each in api.all(CONTRACTS)}
    assert listed["pool"] == contract
    assert (listed["factory"]["created_by"], listed["factory"]["children"]) == (None, None)
    factory = api.get(f"{CONTRACTS}/factory")
    assert (factory.data, factory.json["next"]) == ([], None)
    assert api.get(f"{CONTRACTS}/nobody").status == 404


def test_rows_of_children_are_what_each_logged(api: Served, node: SimNode) -> None:
    rows = api.all(f"{CONTRACTS}/pool/swap", limit=7)
    given = {"fromBlock": "0x0", "toBlock": hex(HEAD), "topics": [SWAP]}
    assert [(row["address"], row["block_number"], row["log_index"]) for row in rows] == [
        (log["address"], int(log["blockNumber"], 16), int(log["logIndex"], 16))
        for log in ask(node, "eth_getLogs", given)
    ]
    assert len({row["address"] for row in rows}) > 1


def test_a_child_s_logs_are_held_from_the_block_that_names_it(api: Served, node: SimNode) -> None:
    child = created(node)[2]
    address, born = child["address"], child["block_number"]
    asked = {"address": address, "topics": [SWAP], "fromBlock": hex(born), "toBlock": hex(HEAD)}
    given = {"address": address, "topics": [SWAP], "from_block": born, "to_block": HEAD}
    found = api.post(f"{CHAIN}/logs", given | {"limit": 100}).data
    assert [(log["block_number"], log["log_index"]) for log in found] == [
        (int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in ask(node, "eth_getLogs", asked)
    ]
    reply = api.post(f"{CHAIN}/logs", given | {"from_block": born - 1})
    assert reply.status == 404
    assert f"of pool ({address}) blocks {born} to {HEAD} are held, and blocks {born - 1} to {born - 1}" in reply.error
    stranger = api.post(f"{CHAIN}/logs", {"address": "0x" + "ab" * 20, "topics": [SWAP], "to_block": HEAD})
    assert stranger.status == 404
    assert "pool created by factory.PoolCreated.pool" in stranger.error
