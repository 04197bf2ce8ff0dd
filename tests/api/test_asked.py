"""A store in whose history endpoints were asked what contracts logged answers for that, and for nothing else below."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.api.served import CHAIN, Served
from tests.api.stored import result
from tests.api.test_selection import HEAD, SALT, SALT_AT, TRANSFER, asked_of, filter_of
from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import CHAIN_ID, SHAPE
from tests.runtime import FakeRuntime
from tests.sim.asking import ask
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

HELD_FROM = HEAD - 8  # what is final, by `a_node`
NAME = "http://replica-0"


async def take_in(url: str, node: SimNode) -> None:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    r = Rig(store, node, runtime, (NAME,))
    r.contracts = (replace(SALT, evidence="asked"),)
    await r.once()
    await store.close()


@pytest.fixture(scope="module")
def node() -> SimNode:
    return a_node(HEAD, shape=SHAPE)


@pytest.fixture(scope="module")
def url(node: SimNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = f"sqlite:///{tmp_path_factory.mktemp('asked')}/chain.db"
    asyncio.run(take_in(found, node))
    return found


@pytest.fixture
def api(url: str) -> Iterator[Served]:
    with Served(url) as served:
        yield served


@pytest.fixture
async def store(url: str) -> AsyncIterator[Any]:
    opened = await open_store(url, SystemRuntime(), readonly=True)
    yield opened
    await opened.close()


def test_logs_events_and_rows_go_down_to_what_was_asked(api: Served, node: SimNode) -> None:
    wanted = asked_of(node, SALT_AT, TRANSFER, 0, HEAD)
    assert any(int(log["blockNumber"], 16) < HELD_FROM for log in wanted)
    found = api.post(f"{CHAIN}/logs", filter_of(SALT_AT, TRANSFER, 0, HEAD) | {"limit": 100}).data
    assert [(log["block_hash"], log["transaction_hash"], log["data"]) for log in found] == [
        (log["blockHash"], log["transactionHash"], log["data"]) for log in wanted
    ]
    signature = "Transfer(address indexed from, address indexed to, uint256 value)"
    events = api.get(f"{CHAIN}/events", signature=signature, address=SALT_AT, from_=0, limit=100).data
    rows = api.get(f"{CHAIN}/contracts/salt/transfer", from_=0, limit=100).data
    assert api.get(f"{CHAIN}/contracts/salt/transfer", limit=100).data == rows
    for shown in (events, rows):
        assert [row["transaction_hash"] for row in shown] == [log["transactionHash"] for log in wanted]


def test_who_said_so_is_served_with_the_coverage(api: Served) -> None:
    (salt,) = api.get(f"{CHAIN}/contracts").data
    assert (salt["evidence"], salt["state"]) == ("asked", "filled")
    assert salt["covered"] == [
        {"first": 0, "last": HELD_FROM - 1, "evidence": "asked", "endpoint": NAME},
        {"first": HELD_FROM, "last": HEAD, "evidence": "proven", "endpoint": None},
    ]


def test_blocks_and_transactions_that_were_asked_are_none_that_are_held(api: Served, node: SimNode) -> None:
    log = asked_of(node, SALT_AT, TRANSFER, 0, HELD_FROM - 1)[0]
    for name in (log["blockHash"], str(int(log["blockNumber"], 16))):
        assert api.get(f"{CHAIN}/blocks/{name}").status == 404
    number = int(log["blockNumber"], 16)
    assert api.get(f"{CHAIN}/blocks", from_=number, to=number).data == []
    for order in ("asc", "desc"):
        listed = [block["number"] for block in api.get(f"{CHAIN}/blocks", order=order, limit=100).data]
        assert sorted(listed) == [*range(HELD_FROM, HEAD + 1)]
    reply = api.get(f"{CHAIN}/transactions/{log['transactionHash']}")
    assert (reply.status, "than its hash" in reply.error) == (404, True)


async def test_json_rpc_answers_logs_that_were_asked_and_refuses_the_rest(store: Any, node: SimNode) -> None:
    given = {"fromBlock": "0x0", "toBlock": hex(HEAD), "address": SALT_AT, "topics": [TRANSFER]}
    found = await result(store, "eth_getLogs", given, chain_id=CHAIN_ID)
    true = ask(node, "eth_getLogs", given)
    names = ("blockHash", "blockNumber", "transactionHash", "transactionIndex", "logIndex", "topics", "data")
    assert [[log[name] for name in names] for log in found] == [[log[name] for name in names] for log in true]
    for method, *params in (
        ("eth_getTransactionByHash", true[0]["transactionHash"]),
        ("eth_getTransactionReceipt", true[0]["transactionHash"]),
        ("eth_getBlockByHash", true[0]["blockHash"], False),
    ):
        code, message = await result(store, method, *params, chain_id=CHAIN_ID)
        assert (code, f"blocks 0 to {HEAD}" in message or "asks for" in message) == (-32001, True), message
