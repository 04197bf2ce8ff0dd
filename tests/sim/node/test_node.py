"""A node's honest answers: JSON-RPC as geth speaks it, limits, replicas, actions, schedules."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.asking import ask, call, full_node, ledger_of, reply
from tidelog.sim.node.chain.methods import METHODS
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.control import Extend, Honest, Place, Reorg, Schedule, Tell
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode

PLAY = full_node()  # for whatever may be thrown at it
UNKNOWN = "0x" + "ab" * 32


def test_identity() -> None:
    node = SimNode(BlockTree(chain_id=42, blocks=3))
    assert ask(node, "eth_chainId") == "0x2a"
    assert ask(node, "net_version") == "42"
    assert ask(node, "eth_syncing") is False
    assert ask(node, "web3_clientVersion").startswith("tidelog-sim/")
    assert ask(node, "eth_blockNumber") == "0x3"


@pytest.mark.parametrize(
    ("tag", "number"),
    [("latest", 20), ("pending", 20), ("safe", 16), ("finalized", 12), ("earliest", 0), ("0x7", 7)],
)
def test_blocks_by_number_and_tag(tag: str, number: int) -> None:
    node = full_node()
    block = ask(node, "eth_getBlockByNumber", tag, False)
    assert int(block["number"], 16) == number
    assert ask(node, "eth_getBlockByHash", block["hash"], False) == block
    full = ask(node, "eth_getBlockByNumber", tag, True)
    assert block["transactions"] == [item["hash"] for item in full["transactions"]]
    assert full | {"transactions": block["transactions"]} == block


def test_receipts_by_number_tag_hash_and_object() -> None:
    node = full_node()
    receipts = ask(node, "eth_getBlockReceipts", "0x14")
    block_hash = receipts[0]["blockHash"]
    for way in ("latest", block_hash, {"blockHash": block_hash}, {"blockNumber": "0x14"}):
        assert ask(node, "eth_getBlockReceipts", way) == receipts
    for receipt in receipts:
        assert ask(node, "eth_getTransactionReceipt", receipt["transactionHash"]) == receipt


def test_transactions_by_hash() -> None:
    node = full_node()
    for item in ask(node, "eth_getBlockByNumber", "0x5", True)["transactions"]:
        assert ask(node, "eth_getTransactionByHash", item["hash"]) == item


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBlockByNumber", ("0x15", True)),
        ("eth_getBlockByHash", (UNKNOWN, True)),
        ("eth_getBlockReceipts", ("0x15",)),
        ("eth_getBlockReceipts", (UNKNOWN,)),
        ("eth_getTransactionReceipt", (UNKNOWN,)),
        ("eth_getTransactionByHash", (UNKNOWN,)),
    ],
)
def test_the_node_answers_null_for_missing_objects(method: str, params: tuple[Any, ...]) -> None:
    assert ask(full_node(), method, *params) is None


def test_logs_are_those_of_the_receipts() -> None:
    node = full_node()
    logs = [
        log
        for number in (7, 8)
        for receipt in ask(node, "eth_getBlockReceipts", hex(number))
        for log in receipt["logs"]
    ]
    both = {"fromBlock": "0x7", "toBlock": "0x8"}
    assert ask(node, "eth_getLogs", both) == logs
    by_hash = ask(node, "eth_getLogs", {"blockHash": logs[0]["blockHash"]})
    assert by_hash == [log for log in logs if log["blockNumber"] == "0x7"]
    address = logs[0]["address"]
    of_address = [log for log in logs if log["address"] == address]
    assert ask(node, "eth_getLogs", {**both, "address": address}) == of_address
    indexed = next(log for log in logs if len(log["topics"]) > 1)
    second = indexed["topics"][1]
    wanted = {**both, "topics": [None, [second, UNKNOWN]]}
    assert ask(node, "eth_getLogs", wanted) == [log for log in logs if second in log["topics"][1:2]]
    assert ask(node, "eth_getLogs", {"blockHash": UNKNOWN}) == (-32000, "unknown block")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[{]", -32700),
        (b"\xff\xfe", -32700),
        (b"", -32700),
        (b"[" * 5_000, -32700),
        (b"{}", -32600),
        (b'"text"', -32600),
        (b'{"id":1,"method":7}', -32600),
        (b"[]", -32600),
        (b'{"id":1,"method":"eth_nothing"}', -32601),
        (b'{"id":1,"method":"sim_nothing"}', -32601),
        (b'{"id":1,"method":"eth_getBlockByNumber"}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":["0x1"]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":["1",true]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":["0xzz",true]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":{"block":1}}', -32602),
        (b'{"id":1,"method":"eth_getBlockByHash","params":["0x12",true]}', -32602),
        (b'{"id":1,"method":"eth_getBlockReceipts","params":[7]}', -32602),
        (b'{"id":1,"method":"eth_getLogs","params":["x"]}', -32602),
        (b'{"id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x5","toBlock":"0x4"}]}', -32602),
        (b'{"id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0","toBlock":"0x2710"}]}', -32005),
        (b'{"id":1,"method":"sim_reorg"}', -32602),
        (b'{"id":1,"method":"sim_reorg","params":[21]}', -32602),
        (b'{"id":1,"method":"sim_extend","params":[10001]}', -32602),
        (b'{"id":1,"method":"sim_lie","params":["nonsense"]}', -32602),
        (b'{"id":1,"method":"sim_place","params":[3]}', -32602),
        (b'{"id":1,"method":"sim_place","params":[0,0,"0xabcd"]}', -32602),
    ],
)
def test_errors(body: bytes, code: int) -> None:
    assert reply(full_node(), body)["error"]["code"] == code


@pytest.mark.parametrize("call_id", [1, "a", None, 1.5, 2**70, [1]])
def test_the_id_comes_back_as_it_was(call_id: Any) -> None:
    assert reply(full_node(), call("eth_chainId", call_id=call_id))["id"] == call_id


def test_a_batch_is_answered_in_order_and_each_call_for_itself() -> None:
    batch = [
        call("eth_chainId", call_id=1),
        call("eth_nothing", call_id=2),
        5,
        call("net_version", call_id=3),
    ]
    replies = reply(full_node(), batch)
    assert [item["id"] for item in replies] == [1, 2, None, 3]
    assert ["error" in item for item in replies] == [False, True, True, False]


def test_notifications_get_no_answer() -> None:
    notification = {"jsonrpc": "2.0", "method": "eth_chainId"}
    node = full_node()
    assert node.handle("/", json.dumps(notification).encode()).body == b""
    assert node.handle("/", json.dumps([notification]).encode()).body == b""
    assert len(reply(node, [notification, call("eth_chainId")])) == 1


def test_limits() -> None:
    node = full_node(limits=Limits(batch_calls=2, request_bytes=500, response_bytes=3_000))
    assert reply(node, [call("eth_chainId")] * 3)[0]["error"] == {
        "code": -32600,
        "message": "batch too large",
    }
    assert node.handle("/", b" " * 501).status == 413
    assert ask(node, "eth_getBlockByNumber", "0xf", True) == (-32003, "response too large")
    both = reply(node, [call("eth_getBlockReceipts", "0xf"), call("eth_chainId", call_id=2)])
    assert [("error" in item, item["id"]) for item in both] == [(True, 1), (False, 2)]


def test_paths_lead_to_replicas() -> None:
    node = full_node(replicas=3)
    node.act(Place(1, lag=4))
    node.act(Place(2, lag=9))
    for path, head in [("/", 20), ("/v2/KEY", 20), ("/replica-1", 16), ("/replica-2/v2/KEY", 11)]:
        assert ask(node, "eth_blockNumber", path=path) == hex(head)
    assert node.handle("/replica-3", b"").status == 404
    heads = {ask(node, "eth_blockNumber", path="/balanced") for _ in range(50)}
    assert heads == {"0x14", "0x10", "0xb"}


def test_a_lagging_replica_knows_nothing_of_later_blocks() -> None:
    node = full_node(replicas=2)
    node.act(Place(1, lag=3))
    head = ask(node, "eth_getBlockByNumber", "latest", True)
    for method, params in [
        ("eth_getBlockByHash", (head["hash"], False)),
        ("eth_getBlockByNumber", (head["number"], False)),
        ("eth_getBlockReceipts", (head["hash"],)),
        ("eth_getTransactionReceipt", (head["transactions"][0]["hash"],)),
    ]:
        assert ask(node, method, *params) is not None
        assert ask(node, method, *params, path="/replica-1") is None


def test_a_replica_on_another_branch_tells_that_branch() -> None:
    node = full_node(replicas=2)
    tree = ledger_of(node)
    fork_at = tree.canonical(15)
    side = ask(node, "sim_extend", 4, "0x" + fork_at.hash.hex())
    assert ask(node, "sim_place", 1, 0, side[-1]) is True
    for path, expected in [("/replica-0", tree.canonical(16).hash.hex()), ("/replica-1", side[0][2:])]:
        assert ask(node, "eth_getBlockByNumber", "0x10", False, path=path)["hash"] == "0x" + expected
    assert ask(node, "eth_blockNumber", path="/replica-1") == "0x13"
    mine = ask(node, "eth_getBlockByNumber", "0x10", True)["transactions"][0]["hash"]
    assert ask(node, "eth_getTransactionReceipt", mine, path="/replica-1") is None, "not on this branch"


def test_a_replica_whose_branch_was_forgotten_is_on_the_canonical_one_again() -> None:
    node = SimNode(BlockTree(blocks=10, keep_branches=False))
    node.act(Place(0, tip="0x" + ledger_of(node).head.hash.hex()))
    ask(node, "sim_reorg", 2)
    assert ask(node, "eth_blockNumber") == "0xb"


def test_the_chain_is_moved_over_rpc() -> None:
    node = full_node()
    made = ask(node, "sim_extend", 2)
    assert ask(node, "eth_getBlockByNumber", "latest", False)["hash"] == made[-1]
    assert len(ask(node, "sim_reorg", 3, 5)) == 5
    assert ask(node, "eth_blockNumber") == hex(24)
    assert ask(node, "sim_rollback", 4) == []
    assert ask(node, "eth_blockNumber") == hex(20)
    ask(node, "sim_finalize", 19)
    assert ask(node, "eth_getBlockByNumber", "finalized", False)["number"] == hex(19)
    ask(node, "sim_lie", "chain_id_wrong", 0, 1.0, 1)
    assert [ask(node, "eth_chainId") for _ in range(2)] == ["0x53a", "0x539"]
    ask(node, "sim_lie", "chain_id_wrong")
    ask(node, "sim_honest")
    assert ask(node, "eth_chainId") == "0x539"


def test_ticks_follow_the_schedule() -> None:
    events = ((2, Tell("chain_id_wrong")), (3, Honest()), (4, Extend(5)), (5, Reorg(1, 0)))
    node = full_node(schedule=Schedule(reorg_every=3, reorg_depth=2, events=events))
    tree, heads, fourth, ids = ledger_of(node), [], [], []
    for _ in range(6):
        node.tick()
        heads.append(tree.head.number)
        fourth.append(tree.canonical(20).hash)
        ids.append(ask(node, "eth_chainId") == "0x539")
    #                extend  +lie  reorg  extend+5  extend-1  reorg
    assert heads == [21, 22, 23, 29, 29, 30]
    assert ids == [True, False, True, True, True, True]
    assert fourth[1] == fourth[0]


def test_new_heads_are_those_above_the_common_ancestor() -> None:
    node = full_node()
    tree, replica = ledger_of(node), node.replicas[0]
    last = tree.head.hash
    assert node.announce(replica, last) == ([], last)
    made = tree.reorg(3, 5)
    headers, last = node.announce(replica, last)
    assert [json.loads(header)["hash"] for header in headers] == ["0x" + block.hash.hex() for block in made]
    assert "transactions" not in json.loads(headers[0])
    tree.rollback(2)
    assert node.announce(replica, last) == ([], tree.head.hash), "a shorter chain has no new head"
    forgetful = BlockTree(blocks=5, keep_branches=False)
    before = forgetful.head.hash
    forgetful.reorg(2)
    headers, _ = SimNode(forgetful).announce(replica, before)
    assert [json.loads(header)["number"] for header in headers] == ["0x6"], "where they parted is forgotten"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["0x1", "latest", UNKNOWN, "", "0x"]) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["blockHash", "fromBlock", "address", "topics"]), inner)
    ),
    max_leaves=5,
)


@settings(deadline=None)  # the first draw of a strategy is slow, the node is not what is timed
@given(body=st.binary(max_size=40) | st.recursive(JSON_VALUES, st.lists).map(lambda x: json.dumps(x).encode()))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    assert reply(PLAY, body) is not None


@settings(deadline=None)
@given(method=st.sampled_from([*METHODS, "sim_lie", "sim_place", "sim_finalize"]), params=JSON_VALUES)
def test_any_parameters_get_a_result_or_an_error(method: str, params: Any) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    assert set(reply(PLAY, request)) & {"result", "error"}


def test_calls_are_counted_by_method() -> None:
    node = full_node()
    reply(node, [call("eth_chainId"), call("eth_blockNumber"), call("eth_chainId")])
    assert node.requests == {"eth_chainId": 2, "eth_blockNumber": 1}
