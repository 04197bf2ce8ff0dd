"""A store that holds a selection of a chain answers within its coverage, as the node does, and says what there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.api.served import CHAIN, Served
from tests.api.stored import result
from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import BOARD, CHAIN_ID, SHAPE, TIDE
from tests.runtime import FakeRuntime
from tests.sim.asking import ask
from tidelog.chain.abi.known import known_abi
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.contracts import world as places
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

HEAD = 60
FIRST = 10  # of the tokens' transfers
SALT = replace(TIDE, name="salt", address=places.SALT, events=known_abi("erc20").events_named("Transfer"))
CONTRACTS = tuple(replace(each, evidence="proven") for each in (replace(SALT, first_block=FIRST), BOARD))
TRANSFER = f"0x{places.TRANSFER.hex()}"
SALT_AT, BOARD_AT, TIDE_AT = (f"0x{address.hex()}" for address in (places.SALT, places.BOARD, places.TIDE))
HELD = f"this store holds a selection of chain {CHAIN_ID}, blocks 0 to {HEAD}"

OUTSIDE = [  # address, first topic, from, to, why it is refused
    (None, TRANSFER, FIRST, HEAD, f"{HELD}: name the address of a contract: it holds what board {BOARD_AT}, salt"),
    (TIDE_AT, TRANSFER, FIRST, HEAD, f"{HELD}, in which {TIDE_AT} is not: it holds what board"),
    (SALT_AT, None, FIRST, HEAD, "of salt it has the events Transfer(address,address,uint256): ask for a first topic"),
    (SALT_AT, "0x" + "11" * 32, FIRST, HEAD, "of salt it has the events Transfer"),
    (SALT_AT, TRANSFER, 0, HEAD, f"of salt ({SALT_AT}) blocks 10 to {HEAD} are held, and blocks 0 to 9 are asked for"),
]


async def take_in(url: str, node: SimNode) -> None:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    r = Rig(store, node, runtime, ("http://replica-0",))
    r.contracts = CONTRACTS
    await r.once()
    await store.close()


@pytest.fixture(scope="module")
def node() -> SimNode:
    return a_node(HEAD, shape=SHAPE)


@pytest.fixture(scope="module")
def url(node: SimNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = f"sqlite:///{tmp_path_factory.mktemp('selection')}/chain.db"
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


def asked_of(node: SimNode, address: str, topic: str | None, low: int, high: int) -> Any:
    topics = [] if topic is None else [topic]
    given = {"fromBlock": hex(low), "toBlock": hex(high), "address": address, "topics": topics}
    return ask(node, "eth_getLogs", given)


def filter_of(address: str | None, topic: str | None, low: int, high: int) -> dict[str, Any]:
    given: dict[str, Any] = {"from_block": low, "to_block": high}
    if address is not None:
        given["address"] = address
    return given | ({} if topic is None else {"topics": [topic]})


def test_logs_within_the_coverage_are_the_nodes(api: Served, node: SimNode) -> None:
    for address, topic, low in ((SALT_AT, TRANSFER, FIRST), (BOARD_AT, None, 0)):
        wanted = [(log["blockNumber"], log["logIndex"]) for log in asked_of(node, address, topic, low, HEAD)]
        found = api.post(f"{CHAIN}/logs", filter_of(address, topic, low, HEAD) | {"limit": 100}).data
        assert [(hex(log["block_number"]), hex(log["log_index"])) for log in found] == wanted
        assert len(wanted) > 3


@pytest.mark.parametrize(("address", "topic", "low", "high", "why"), OUTSIDE)
def test_logs_outside_of_the_coverage_are_refused(
    api: Served, address: str | None, topic: str | None, low: int, high: int, why: str
) -> None:
    reply = api.post(f"{CHAIN}/logs", filter_of(address, topic, low, high))
    assert reply.status == 404
    assert why in reply.error


def test_events_begin_where_they_are_held_and_need_a_contract(api: Served, node: SimNode) -> None:
    signature = "Transfer(address indexed from, address indexed to, uint256 value)"
    found = api.get(f"{CHAIN}/events", signature=signature, address=SALT_AT, limit=100).data
    assert len(found) == len(asked_of(node, SALT_AT, TRANSFER, FIRST, HEAD))
    for given, why in (
        ({}, "name the address of a contract"),
        ({"address": TIDE_AT}, f"{TIDE_AT} is not"),
        ({"address": SALT_AT, "from_": 3}, "blocks 3 to 9 are asked for"),
    ):
        reply = api.get(f"{CHAIN}/events", signature=signature, **given)
        assert reply.status == 404
        assert why in reply.error


def test_blocks_are_headers_and_what_they_have_is_not_said(api: Served, node: SimNode) -> None:
    for number in (0, 7, HEAD):
        block = api.get(f"{CHAIN}/blocks/{number}").data
        true = ask(node, "eth_getBlockByNumber", hex(number), False)
        assert (block["hash"], block["logs_bloom"]) == (true["hash"], true["logsBloom"])
        assert [block[name] for name in ("transaction_count", "log_count", "uncles", "withdrawal_count")] == [None] * 4
        assert block["proof"]["hash"] == "passed"
        assert block["proof"]["receipts"] == "not_computable"
        for detail in ("hashes", "full"):
            reply = api.get(f"{CHAIN}/blocks/{number}", transactions=detail)
            assert (reply.status, "the transactions of a block are not among it" in reply.error) == (404, True)


def test_a_transaction_has_its_logs_where_all_of_them_are_held(api: Served, node: SimNode) -> None:
    whole = 0
    for log in asked_of(node, SALT_AT, TRANSFER, FIRST, HEAD):
        found = api.get(f"{CHAIN}/transactions/{log['transactionHash']}").data
        receipt = ask(node, "eth_getTransactionReceipt", log["transactionHash"])
        if "logs" in found:
            whole += 1
            assert len(found["logs"]) == len(receipt["logs"])
    assert whole > 0
    reply = api.get(f"{CHAIN}/transactions/0x{'12' * 32}")
    assert (reply.status, "other transactions are not among it" in reply.error) == (404, True)
    reply = api.get(f"{CHAIN}/addresses/{SALT_AT}/transactions")
    assert (reply.status, "all transactions of an address are not among it" in reply.error) == (404, True)


async def test_json_rpc_answers_what_is_held_as_the_node_does(store: Any, node: SimNode) -> None:
    for address, topic, low in ((SALT_AT, TRANSFER, FIRST), (BOARD_AT, None, 0)):
        wanted = asked_of(node, address, topic, low, HEAD)
        topics = [] if topic is None else [topic]
        given = {"fromBlock": hex(low), "toBlock": hex(HEAD), "address": address, "topics": topics}
        found = await result(store, "eth_getLogs", given, chain_id=CHAIN_ID)
        assert [(log["blockHash"], log["logIndex"], log["data"]) for log in found] == [
            (log["blockHash"], log["logIndex"], log["data"]) for log in wanted
        ]
        for log in wanted:
            receipt = ask(node, "eth_getTransactionReceipt", log["transactionHash"])
            said = await result(store, "eth_getTransactionReceipt", log["transactionHash"], chain_id=CHAIN_ID)
            if isinstance(said, dict):
                assert len(said["logs"]) == len(receipt["logs"])
            else:
                code, message = said
                assert (code, "logs of this receipt are in it" in message) == (-32001, True)
    for place, first, low, high, why in OUTSIDE:
        given = {"fromBlock": hex(low), "toBlock": hex(high), "topics": [] if first is None else [first]}
        code, message = await result(
            store, "eth_getLogs", given | ({} if place is None else {"address": place}), chain_id=CHAIN_ID
        )
        assert (code, why in message) == (-32001, True), message
    for method, *params in (
        ("eth_getBlockByNumber", "0x7", False),
        ("eth_getBlockReceipts", "0x7"),
        ("eth_getBlockTransactionCountByNumber", "0x7"),
        ("eth_getTransactionByBlockNumberAndIndex", "0x7", "0x0"),
        ("eth_getUncleCountByBlockNumber", "0x7"),
    ):
        code, message = await result(store, method, *params, chain_id=CHAIN_ID)
        assert (code, f"what {method} asks for are not among it" in message) == (-32001, True)
    code, message = await result(store, "eth_getTransactionByHash", "0x" + "12" * 32, chain_id=CHAIN_ID)
    assert (code, message.startswith(HELD)) == (-32001, True), "it may exist"
    assert await result(store, "eth_blockNumber", chain_id=CHAIN_ID) == hex(HEAD)
