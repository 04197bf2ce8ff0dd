"""Real clients agree with the node: the same queries at anvil and at our JSON-RPC give equal answers."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from web3 import HTTPProvider, Web3
from web3.exceptions import BlockNotFound, TransactionNotFound, Web3RPCError

from tests.api.served import Served
from tests.command import tidelog
from tests.conftest import missing
from tests.patience import HANGS_S
from tests.system.anvil import CHAIN_ID, SENDER_TEXT, SIGNER_TEXT, Anvil, program
from tidelog.api.rpc.differences import DIFFERENCES

Json: TypeAlias = Any

BATCH = 100  # calls: as many as ours takes at once
HEAD = 75  # anvil calls finalized what is 64 blocks below its head, safe what is 32 below
UNKNOWN: Any = "0x" + "12" * 32
ANVIL_DIFFERS = {("receipt", "blockTimestamp")}  # of the documented differences, what anvil shows of them


class Both(NamedTuple):
    """The same chain behind two addresses."""

    anvil: Anvil
    api: Served

    @property
    def urls(self) -> tuple[str, str]:
        return self.anvil.url, self.rpc(CHAIN_ID)

    def rpc(self, chain_id: int) -> str:
        """Our address of a chain's JSON-RPC."""
        return f"{self.api.server.url}/rpc/{chain_id}"

    def raw(self, body: Json) -> tuple[Json, Json]:
        """Both answers to one body."""
        return posted(self.urls[0], body), posted(self.urls[1], body)

    def results(self, method: str, *params: Json) -> tuple[Json, Json]:
        """Both results of a call; "error" stands for any error."""
        answers = self.raw({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        assert [answer["id"] for answer in answers] == [7, 7]
        theirs, ours = (answer.get("result", "error") for answer in answers)
        return theirs, ours

    def all_results(self, calls: Sequence[tuple[Any, ...]]) -> list[tuple[Json, Json]]:
        """Both results of each call, asked for in batches."""
        pairs: list[tuple[Json, Json]] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            theirs, ours = self.raw(
                [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, *p) in enumerate(part)]
            )
            assert [answer["id"] for answer in ours] == [answer["id"] for answer in theirs] == list(range(len(part)))
            pairs += [(a.get("result", "error"), b.get("result", "error")) for a, b in zip(theirs, ours, strict=True)]
        return pairs

    def web3(self) -> tuple[Web3, Web3]:
        theirs, ours = (Web3(HTTPProvider(url)) for url in self.urls)
        return theirs, ours


def posted(url: str, body: Json) -> Json:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANGS_S) as response:
        return json.loads(response.read() or b"null")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A chain of every type of transaction that can be proven, and the store that was filled from it."""
    binary = program()
    if binary is None:
        missing("anvil is not here: `.ci/anvil .anvil` installs it by npm, TIDELOG_ANVIL names another one")
    assert binary is not None
    folder: Path = tmp_path_factory.mktemp("rpc")
    anvil = Anvil(binary, folder)
    try:
        anvil.start()
        anvil.deploy()
        anvil.mine_every_type()
        anvil.log(40)
        anvil.send(to=SIGNER_TEXT, value="0x1", gasPrice=hex(20 * 10**9), type="0x0")
        anvil.mine(3)
        anvil.mine_every_type()
        anvil.mine(HEAD - anvil.head)
        url = f"sqlite:///{folder}/store.db"
        done = tidelog("chain", "sync", "--rpc", anvil.url, "--db", url)
        assert done.code == 0, done.err
        with Served(url) as api:
            yield Both(anvil, api)
    finally:
        anvil.kill9()


def stripped(kind: str, value: Json) -> Json:
    """An answer of anvil's without the fields that are documented to differ, and that differ here."""
    if isinstance(value, list):
        return [stripped(kind, item) for item in value]
    left_out = {field for object_kind, field in ANVIL_DIFFERS if object_kind == kind}
    return {name: item for name, item in value.items() if name not in left_out}


def test_differences_from_anvil_are_documented() -> None:
    assert {(difference.object, difference.field) for difference in DIFFERENCES} >= ANVIL_DIFFERS


def test_the_chain_has_every_kind_of_transaction_and_log(both: Both) -> None:
    receipts = [receipt for at in range(HEAD + 1) for receipt in both.results("eth_getBlockReceipts", hex(at))[1]]
    assert {receipt["type"] for receipt in receipts} == {"0x0", "0x1", "0x2", "0x4"}
    assert {receipt["status"] for receipt in receipts} == {"0x0", "0x1"}
    assert any(receipt["contractAddress"] for receipt in receipts)
    assert {len(log["topics"]) for receipt in receipts for log in receipt["logs"]} == {0, 1, 2, 3, 4}


def test_every_block_transaction_and_receipt_is_the_nodes(both: Both) -> None:
    numbers = [hex(at) for at in range(HEAD + 1)]
    for full in (True, False):
        pairs = both.all_results([("eth_getBlockByNumber", number, full) for number in numbers])
        assert all(ours == theirs for theirs, ours in pairs)
        by_hash = both.all_results([("eth_getBlockByHash", ours["hash"], full) for _, ours in pairs])
        assert by_hash == pairs
    counts = [("eth_getBlockTransactionCountByNumber", number) for number in numbers]
    counts += [("eth_getBlockTransactionCountByHash", block["hash"]) for block, _ in pairs]
    expected = [hex(len(block["transactions"])) for block, _ in pairs]
    assert both.all_results(counts) == [(count, count) for count in expected * 2]


def test_every_transaction_and_receipt_is_the_nodes(both: Both) -> None:
    numbers = [hex(at) for at in range(HEAD + 1)]
    blocks = [ours for _, ours in both.all_results([("eth_getBlockByNumber", number, True) for number in numbers])]
    transactions = [tx for block in blocks for tx in block["transactions"]]
    assert len(transactions) == 15
    for asked in (
        [("eth_getTransactionByHash", tx["hash"]) for tx in transactions],
        [("eth_getTransactionByBlockHashAndIndex", tx["blockHash"], tx["transactionIndex"]) for tx in transactions],
        [("eth_getTransactionByBlockNumberAndIndex", tx["blockNumber"], tx["transactionIndex"]) for tx in transactions],
    ):
        assert both.all_results(asked) == [(tx, tx) for tx in transactions]
    receipts = both.all_results([("eth_getTransactionReceipt", tx["hash"]) for tx in transactions])
    assert all(ours == stripped("receipt", theirs) for theirs, ours in receipts)
    for name in ("number", "hash"):
        of_blocks = both.all_results([("eth_getBlockReceipts", block[name]) for block in blocks])
        assert all(ours == stripped("receipt", theirs) for theirs, ours in of_blocks)
        assert [receipt for _, ours in of_blocks for receipt in ours] == [ours for _, ours in receipts]


@pytest.mark.parametrize("tag", ["latest", "finalized", "earliest", "0x3", "0x03"])
def test_tags_mean_what_the_node_means(both: Both, tag: str) -> None:
    theirs, ours = both.results("eth_getBlockByNumber", tag, True)
    assert theirs == ours != "error"
    receipts, our_receipts = both.results("eth_getBlockReceipts", tag)
    assert our_receipts == stripped("receipt", receipts)
    theirs, ours = both.results("eth_getBlockTransactionCountByNumber", tag)
    assert theirs == ours


def test_safe_is_what_is_final_and_pending_is_the_head(both: Both) -> None:
    assert both.results("eth_getBlockByNumber", "safe", False)[1]["number"] == hex(HEAD - 64)
    assert both.results("eth_getBlockByNumber", "pending", False)[1]["number"] == hex(HEAD)


def test_blocks_are_named_as_in_eip_1898(both: Both) -> None:
    block_hash = both.results("eth_getBlockByNumber", "0x2", False)[0]["hash"]
    for named in (
        {"blockHash": block_hash},
        {"blockHash": block_hash, "requireCanonical": True},
        {"blockNumber": "0x2"},
        {"blockNumber": "latest"},
        block_hash,
    ):
        receipts, ours = both.results("eth_getBlockReceipts", named)
        assert ours == stripped("receipt", receipts)


NOT_THERE = (
    ("eth_getBlockByNumber", hex(HEAD + 1), True),
    ("eth_getBlockByNumber", "0xffffffffffffffff", False),
    ("eth_getBlockByHash", UNKNOWN, True),
    ("eth_getBlockReceipts", hex(HEAD + 1)),
    ("eth_getBlockReceipts", UNKNOWN),
    ("eth_getBlockTransactionCountByHash", UNKNOWN),
    ("eth_getTransactionByHash", UNKNOWN),
    ("eth_getTransactionReceipt", UNKNOWN),
    ("eth_getTransactionByBlockHashAndIndex", UNKNOWN, "0x0"),
    ("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x99"),
    ("eth_getTransactionByBlockNumberAndIndex", hex(HEAD + 1), "0x0"),
)


@pytest.mark.parametrize("call", NOT_THERE, ids=lambda call: f"{call[0]} {str(call[1])[:12]}")
def test_missing_objects_are_null_in_anvil_and_here(both: Both, call: tuple[Any, ...]) -> None:
    assert both.results(*call) == (None, None)


REFUSED: tuple[tuple[Any, ...], ...] = (
    ("eth_getBlockByNumber", "0x1"),
    ("eth_getBlockByNumber", "0x1", False, 1),
    ("eth_getBlockByNumber", "0x1", "x"),
    ("eth_getBlockByNumber", "", False),
    ("eth_getBlockByNumber", "soon", False),
    ("eth_getBlockByNumber", None, False),
    ("eth_getBlockByNumber", UNKNOWN, False),
    ("eth_getBlockByNumber", {"blockNumber": "0x1"}, False),
    ("eth_getBlockByHash", "0x12", False),
    ("eth_getBlockByHash", "latest", False),
    ("eth_getBlockReceipts", 1),
    ("eth_getTransactionByHash", "0x12"),
    ("eth_getTransactionReceipt", None),
    ("eth_getTransactionByBlockNumberAndIndex", "0x1"),
    ("eth_getLogs",),
    ("eth_getLogs", {}, {}),
    ("eth_getLogs", {"blockHash": UNKNOWN}),
    ("eth_getLogs", {"blockHash": UNKNOWN, "fromBlock": "0x0"}),
    ("eth_getLogs", {"fromBlock": hex(HEAD + 1)}),
    ("eth_getLogs", {"topics": [None] * 5}),
    ("eth_getLogs", {"topics": ["0x12"]}),
    ("eth_getLogs", {"address": "0x12"}),
    ("eth_getLogs", {"limit": 1}),
    ("eth_noSuchMethod",),
)


@pytest.mark.parametrize("call", REFUSED, ids=str)
def test_invalid_requests_are_errors_in_anvil_and_here(both: Both, call: tuple[Any, ...]) -> None:
    theirs, ours = both.raw({"jsonrpc": "2.0", "id": 1, "method": call[0], "params": call[1:]})
    assert "error" in theirs
    codes = theirs["error"]["code"], ours["error"]["code"]
    assert codes[0] == codes[1] or codes in {(-32000, -32001), (-32602, -32001)}


def test_where_nodes_differ_among_themselves_ours_is_as_geth(both: Both) -> None:
    theirs, ours = both.results("eth_getBlockTransactionCountByNumber", hex(HEAD + 1))
    assert (theirs, ours) == ("error", None)
    theirs, ours = both.results("eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x1"})
    assert (theirs, ours) == ([], "error")
    theirs, ours = both.results("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(HEAD + 1)})
    assert theirs
    assert ours == "error"
    longer: list[Json] = [[None], [[]], [topic(1), None], [None] * 4, [[topic(1)], [topic(2), topic(3)], None]]
    for topics in longer:
        theirs, ours = both.results("eth_getLogs", {"fromBlock": "0x0", "topics": topics})
        assert ours == [log for log in theirs if len(log["topics"]) >= len(topics)] != theirs


def topic(value: int) -> str:
    return f"0x{value:064x}"


RANGES: tuple[Json, ...] = (
    {"fromBlock": "earliest"},
    {"fromBlock": "0x0", "toBlock": "latest"},
    {"fromBlock": "0x2", "toBlock": "0x3"},
    {"fromBlock": "earliest", "toBlock": "finalized"},
    {"toBlock": "latest"},
    {"fromBlock": "pending"},
    {},
    {"fromBlock": None, "toBlock": None},
)
TOPICS: tuple[Json, ...] = (
    None,
    [],
    [topic(1)],
    [topic(9)],
    [[topic(1), topic(2)]],
    [None, topic(2)],
    [[topic(1)], [topic(2), topic(3)]],
    [topic(1), topic(2), topic(3), topic(4)],
    [None, None, None, topic(4)],
    [[topic(1), topic(1)]],
)


def test_logs_of_every_filter_are_the_nodes(both: Both) -> None:
    block_hash = both.results("eth_getBlockByNumber", "0x2", False)[0]["hash"]
    logger = both.anvil.logger
    addresses: tuple[Json, ...] = (
        None,
        [],
        logger,
        [logger],
        [logger, SIGNER_TEXT],
        SENDER_TEXT,
        logger.upper().replace("0X", "0x"),
    )
    asked = [
        ("eth_getLogs", bounds | {"topics": topics, "address": address})
        for bounds, topics, address in (
            *product(RANGES[:1], TOPICS, addresses),
            *product(({"blockHash": block_hash}, *RANGES), TOPICS[4:8], addresses[2:4]),
            *product(({"blockHash": block_hash}, *RANGES), TOPICS[:1], addresses[:1]),
        )
    ]
    pairs = both.all_results(asked)
    for call, (theirs, ours) in zip(asked, pairs, strict=True):
        assert ours == theirs, call
    assert sum(len(ours) for _, ours in pairs) > 2_000
    assert sum(not ours for _, ours in pairs) > 30


def test_a_batch_is_answered_as_the_node_does(both: Both) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_blockNumber"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": 3, "method": "eth_getBlockByNumber", "params": ["0x2", True]},
        {"jsonrpc": "2.0", "id": None, "method": "net_version"},
        {"jsonrpc": "2.0", "id": 5, "method": "eth_syncing", "params": None},
    ]
    theirs, ours = both.raw(calls)
    assert ours == theirs
    assert [answer["id"] for answer in ours] == ["a", 2, 3, None, 5]
    assert both.raw(calls[2]) == (None, None)


def test_an_unknown_chain_is_an_error_that_says_so(both: Both) -> None:
    answer = posted(both.rpc(1), {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
    assert answer["error"] == {"code": -32001, "message": "this store holds no blocks of chain 1"}


def same(theirs: Json, ours: Json) -> bool:
    """web3.py's own objects, all of their fields but the documented ones."""
    return bool(stripped("receipt", dict(theirs)) == dict(ours))


def test_web3_reads_the_same(both: Both) -> None:
    theirs, ours = both.web3()
    assert ours.is_connected()
    assert (ours.eth.chain_id, ours.eth.block_number) == (theirs.eth.chain_id, theirs.eth.block_number)
    assert ours.net.version == theirs.net.version
    assert ours.eth.syncing is False
    assert ours.client_version.startswith("tidelog/v")
    for number in (*range(7), HEAD - 1, HEAD):  # the others are empty, and compared above
        block = theirs.eth.get_block(number, full_transactions=True)
        assert ours.eth.get_block(number, full_transactions=True) == block
        assert ours.eth.get_block(block["hash"]) == theirs.eth.get_block(block["hash"])
        assert ours.eth.get_block_transaction_count(number) == len(block["transactions"])
        pairs = zip(theirs.eth.get_block_receipts(number), ours.eth.get_block_receipts(number), strict=True)
        assert all(same(*pair) for pair in pairs)
        for at, tx in enumerate(block["transactions"]):
            assert isinstance(tx, Mapping)
            assert ours.eth.get_transaction(tx["hash"]) == tx
            assert ours.eth.get_transaction_by_block(number, at) == tx
            receipts = [w3.eth.get_transaction_receipt(tx["hash"]) for w3 in (theirs, ours)]
            assert same(*receipts)


def test_web3_misses_the_same(both: Both) -> None:
    for w3 in both.web3():
        with pytest.raises(BlockNotFound):
            w3.eth.get_block(HEAD + 1)
        with pytest.raises(BlockNotFound):
            w3.eth.get_block(UNKNOWN)
        with pytest.raises(TransactionNotFound):
            w3.eth.get_transaction(UNKNOWN)
        with pytest.raises(TransactionNotFound):
            w3.eth.get_transaction_receipt(UNKNOWN)
        with pytest.raises(Web3RPCError):
            w3.eth.get_logs({"fromBlock": HEAD + 1})


def test_web3_filters_logs_alike(both: Both) -> None:
    theirs, ours = both.web3()
    logger = Web3.to_checksum_address(both.anvil.logger)
    filters: tuple[Json, ...] = (
        {"fromBlock": 0},
        {"fromBlock": 0, "toBlock": "latest", "address": logger},
        {"fromBlock": 0, "address": [logger, Web3.to_checksum_address(SIGNER_TEXT)], "topics": [topic(1)]},
        {"fromBlock": 1, "toBlock": 2, "topics": [[topic(1), topic(2)], None, topic(3)]},
        {"blockHash": theirs.eth.get_block(2)["hash"]},
    )
    for asked in filters:
        found = ours.eth.get_logs(asked)
        assert found == theirs.eth.get_logs(asked)
        assert found


def test_any_content_type_is_read(both: Both) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
    for content_type in (
        "application/json",
        "text/plain",
        "application/json; charset=utf-8",
        "application/octet-stream",
    ):
        request = urllib.request.Request(both.rpc(CHAIN_ID), body, {"content-type": content_type})
        with urllib.request.urlopen(request, timeout=HANGS_S) as response:
            assert response.headers["content-type"] == "application/json"
            assert json.loads(response.read())["result"] == hex(CHAIN_ID)
