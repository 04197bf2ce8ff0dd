"""JSON-RPC over a store: the node's answers for what is stored, the stored range for everything else."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.api.stored import CHAIN_ID, HEAD, asked, fill, page_of, result, rows_of
from tests.postgres import PostgresServer
from tidelog import __version__
from tidelog.api.rpc import logs as rpc_logs
from tidelog.api.rpc.dispatch import METHODS, RpcLimits, answer
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.rows.columns import TransactionColumns
from tidelog.errors import Busy, Corruption, Overloaded, TimedOut
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

UNKNOWN = "0x" + "12" * 32
HELD = f"this store holds blocks 4 to {HEAD} of chain 1"


def with_time(block: Any) -> Any:
    """A block of the simulated node with the field that its transactions lack."""
    time = block["timestamp"]
    return block | {"transactions": [tx | {"blockTimestamp": time} for tx in block["transactions"]]}


def without_time(receipts: Any) -> Any:
    return [
        receipt | {"logs": [{k: v for k, v in log.items() if k != "blockTimestamp"} for log in receipt["logs"]]}
        for receipt in receipts
    ]


# -- what is stored ----------------------------------------------------------------------------------------


async def check_every_method(store: Store) -> None:
    assert await result(store, "eth_blockNumber") == hex(HEAD)
    for number in range(HEAD + 1):
        block, receipts = page_of(number)
        full, at = with_time(block), hex(number)
        short = block | {"transactions": [tx["hash"] for tx in block["transactions"]]}
        assert await result(store, "eth_getBlockByNumber", at, True) == full
        assert await result(store, "eth_getBlockByHash", block["hash"], False) == short
        for name, named in (("Number", at), ("Hash", block["hash"])):
            count = await result(store, f"eth_getBlockTransactionCountBy{name}", named)
            assert count == hex(len(full["transactions"]))
        for named in (at, block["hash"], {"blockHash": block["hash"]}):
            assert without_time(await result(store, "eth_getBlockReceipts", named)) == without_time(receipts)
        for tx, receipt in zip(full["transactions"], receipts, strict=True):
            index = tx["transactionIndex"]
            assert await result(store, "eth_getTransactionByHash", tx["hash"]) == tx
            assert await result(store, "eth_getTransactionByBlockHashAndIndex", block["hash"], index) == tx
            assert await result(store, "eth_getTransactionByBlockNumberAndIndex", at, index) == tx
            assert without_time([await result(store, "eth_getTransactionReceipt", tx["hash"])]) == without_time(
                [receipt]
            )
        logs = await result(store, "eth_getLogs", {"fromBlock": at, "toBlock": at})
        assert without_time([{"logs": logs}])[0]["logs"] == [
            log for receipt in without_time(receipts) for log in receipt["logs"]
        ]


async def test_every_method_answers_as_the_node_does(whole: Store) -> None:
    await check_every_method(whole)


async def test_postgresql_answers_the_same(postgres_server: PostgresServer) -> None:
    store = await open_store(postgres_server.create_database(), SystemRuntime())
    try:
        await fill(store, 0, HEAD, finalized=8)
        await check_every_method(store)
    finally:
        await store.close()


async def test_a_hash_in_two_blocks_is_the_later_ones(empty: Store) -> None:
    """As at geth, whose index of hashes is written block by block."""
    repeated, once = rows_of(3), rows_of(5)
    tx_hash = TransactionColumns._make(repeated.transactions[0]).hash
    again = TransactionColumns._make(once.transactions[1])._replace(hash=tx_hash)
    rows = {5: replace(once, transactions=[once.transactions[0], again, *once.transactions[2:]])}
    await fill(empty, 2, 8, rows=rows)
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt"):
        found = await result(empty, method, "0x" + tx_hash.hex())
        assert (found["blockNumber"], found["transactionIndex"]) == ("0x5", "0x1")
    first = await result(empty, "eth_getTransactionByBlockNumberAndIndex", "0x3", "0x0")
    assert first["hash"] == "0x" + tx_hash.hex()


async def test_the_chain_and_the_server_are_named(whole: Store) -> None:
    assert await result(whole, "eth_chainId") == "0x1"
    assert await result(whole, "net_version") == "1"
    assert await result(whole, "web3_clientVersion") == f"tidelog/v{__version__}"
    assert await result(whole, "eth_syncing") is False


@pytest.mark.parametrize(
    ("tag", "number"),
    [("latest", HEAD), ("pending", HEAD), ("safe", 8), ("finalized", 8), ("earliest", 0)],
)
async def test_block_tags(whole: Store, tag: str, number: int) -> None:
    assert (await result(whole, "eth_getBlockByNumber", tag, False))["number"] == hex(number)


async def test_the_genesis_is_final_where_nothing_else_is_known_to_be(empty: Store) -> None:
    await fill(empty, 0, 3)
    assert (await result(empty, "eth_getBlockByNumber", "finalized", False))["number"] == "0x0"


async def test_unknown_items_of_a_whole_chain_are_null(whole: Store) -> None:
    for call in (
        ("eth_getBlockByNumber", hex(HEAD + 1), True),
        ("eth_getBlockByHash", UNKNOWN, True),
        ("eth_getBlockReceipts", hex(HEAD + 1)),
        ("eth_getBlockReceipts", UNKNOWN),
        ("eth_getBlockTransactionCountByNumber", hex(HEAD + 1)),
        ("eth_getTransactionByHash", UNKNOWN),
        ("eth_getTransactionReceipt", UNKNOWN),
        ("eth_getTransactionByBlockNumberAndIndex", "0x1", "0xffff"),
    ):
        assert await result(whole, *call) is None, call


# -- what is not stored ------------------------------------------------------------------------------------


async def test_below_the_range_is_an_error_that_says_the_range(part: Store) -> None:
    below = (-32001, f"{HELD}: block 3 is below them")
    for call in (
        ("eth_getBlockByNumber", "0x3", True),
        ("eth_getBlockReceipts", "0x3"),
        ("eth_getBlockReceipts", {"blockNumber": "0x3"}),
        ("eth_getBlockTransactionCountByNumber", "0x3"),
        ("eth_getTransactionByBlockNumberAndIndex", "0x3", "0x0"),
        ("eth_getLogs", {"fromBlock": "0x3", "toBlock": "latest"}),
    ):
        assert await result(part, *call) == below, call
    for tag in ("earliest",):
        assert await result(part, "eth_getBlockByNumber", tag, False) == (-32001, f"{HELD}: block 0 is below them")
        assert await result(part, "eth_getLogs", {"fromBlock": tag}) == (-32001, f"{HELD}: block 0 is below them")
    assert (await result(part, "eth_getBlockByNumber", "0x4", False))["number"] == "0x4"
    assert await result(part, "eth_getBlockByNumber", hex(HEAD + 1), False) is None


async def test_an_unknown_hash_may_be_of_what_is_not_held(part: Store) -> None:
    for method, params, what in (
        ("eth_getBlockByHash", (True,), "block"),
        ("eth_getBlockReceipts", (), "block"),
        ("eth_getBlockTransactionCountByHash", (), "block"),
        ("eth_getTransactionByBlockHashAndIndex", ("0x0",), "block"),
        ("eth_getTransactionByHash", (), "transaction"),
        ("eth_getTransactionReceipt", (), "transaction"),
    ):
        expected = (-32001, f"{HELD}: no {what} of theirs has this hash")
        assert await result(part, method, UNKNOWN, *params) == expected
    answered = await result(part, "eth_getLogs", {"blockHash": UNKNOWN})
    assert answered == (-32001, f"{HELD}: no block of theirs has this hash")


async def test_finality_that_is_not_known_is_an_error(part: Store) -> None:
    for tag in ("safe", "finalized"):
        expected = (-32001, f"{HELD}, and none of them is known to be final")
        assert await result(part, "eth_getBlockByNumber", tag, False) == expected


async def test_a_chain_that_is_not_held_is_an_error_for_every_method(whole: Store, empty: Store) -> None:
    for name, method in METHODS.items():
        call = {"jsonrpc": "2.0", "id": 1, "method": name, "params": [None] * method.params}
        answered = await asked(whole, call, chain_id=7)
        assert answered["error"] == {"code": -32001, "message": "this store holds no blocks of chain 7"}


async def test_an_empty_store_holds_nothing(empty: Store) -> None:
    assert await result(empty, "eth_blockNumber") == (-32001, "this store holds no blocks of chain 1")


# -- logs --------------------------------------------------------------------------------------------------


async def every_log(store: Store) -> list[Any]:
    found: list[Any] = await result(store, "eth_getLogs", {"fromBlock": "earliest"})
    assert len(found) > 40
    return found


async def test_logs_by_address_and_topics(whole: Store) -> None:
    logs = await every_log(whole)
    addresses = sorted({log["address"] for log in logs})
    firsts = sorted({log["topics"][0] for log in logs if log["topics"]})
    seconds = sorted({log["topics"][1] for log in logs if len(log["topics"]) > 1})
    bounds = {"fromBlock": "0x0"}
    for address in (addresses[0], addresses[:2]):
        found = await result(whole, "eth_getLogs", bounds | {"address": address})
        assert found == [log for log in logs if log["address"] in address]
    filters: list[list[Any]] = [[firsts[0]], [firsts], [None, seconds[0]], [firsts, seconds[:2]], [[None, UNKNOWN]]]
    filters += [[None], [[]], [firsts[0], None], [firsts, []], [None, [], None], [None] * 4]
    for topics in filters:
        found = await result(whole, "eth_getLogs", bounds | {"topics": topics})
        assert found == [log for log in logs if matches(log["topics"], topics)]
    both = await result(whole, "eth_getLogs", bounds | {"address": addresses, "topics": [firsts[0]]})
    assert both == [log for log in logs if log["topics"][:1] == [firsts[0]]]


def matches(topics: list[str], wanted: list[Any]) -> bool:
    """As the specification says it; a log has a topic for each position (geth)."""
    if len(topics) < len(wanted):
        return False
    for at, alternatives in enumerate(wanted):
        accepted = alternatives if isinstance(alternatives, list) else [alternatives]
        if accepted and None not in accepted and (at >= len(topics) or topics[at] not in accepted):
            return False
    return True


async def test_ranges_of_logs(whole: Store) -> None:
    logs = await every_log(whole)

    def between(low: int, high: int) -> list[Any]:
        return [log for log in logs if low <= int(log["blockNumber"], 16) <= high]

    for asked_for, expected in (
        ({}, between(HEAD, HEAD)),
        ({"fromBlock": "0x2", "toBlock": "0x5"}, between(2, 5)),
        ({"fromBlock": "finalized"}, between(8, HEAD)),
        ({"fromBlock": "0x0", "toBlock": "safe"}, between(0, 8)),
        ({"blockHash": page_of(3)[0]["hash"]}, between(3, 3)),
    ):
        assert await result(whole, "eth_getLogs", asked_for) == expected, asked_for
    assert await result(whole, "eth_getLogs", {"blockHash": UNKNOWN}) == (-32001, "unknown block")


async def test_ranges_that_the_official_tests_refuse_are_refused_in_their_words(whole: Store) -> None:
    """ethereum/execution-apis, tests/eth_getLogs/filter-error-*: all of them are -32602."""
    blocks = f"this store holds blocks 0 to {HEAD} of chain 1"
    beyond, above, reverse = hex(HEAD + 1), hex(HEAD + 9), "invalid block range params: fromBlock"
    both = "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
    for asked_for, message in (
        ({"fromBlock": "0x2", "toBlock": beyond}, f"block range extends beyond current head block: {blocks}"),
        ({"fromBlock": beyond, "toBlock": above}, f"block range extends beyond current head block: {blocks}"),
        ({"fromBlock": beyond}, f"invalid block range params: {blocks}, and fromBlock is above them"),
        ({"fromBlock": "0x5", "toBlock": "0x1"}, f"{reverse} 5 is above toBlock 1"),
        ({"fromBlock": "latest", "toBlock": "finalized"}, f"{reverse} {HEAD} is above toBlock 8"),
        ({"blockHash": page_of(3)[0]["hash"], "fromBlock": "0x3", "toBlock": "0x4"}, both),
    ):
        assert await result(whole, "eth_getLogs", asked_for) == (-32602, message)


async def test_too_many_blocks_are_refused_with_a_range_that_would_do(whole: Store) -> None:
    limits = RpcLimits(blocks_max=4)
    refused = await asked(whole, log_call({"fromBlock": "0x1"}), limits=limits)
    assert refused["error"] == {
        "code": -32005,
        "message": f"query spans {HEAD} blocks, at most 4. Try with this block range [0x1, 0x4].",
        "data": {"from": "0x1", "to": "0x4"},
    }
    assert await result(whole, "eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x4"}, limits=limits)


def log_call(asked_for: Any) -> Any:
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [asked_for]}


@pytest.mark.parametrize("limits", [RpcLimits(logs_max=9), RpcLimits(response_bytes_max=9_000)])
async def test_too_many_logs_are_refused_until_the_hints_are_followed(whole: Store, limits: RpcLimits) -> None:
    logs, found, low, refusals = await every_log(whole), list[Any](), 0, 0
    while low <= HEAD:
        high = HEAD
        while "error" in (
            answered := await asked(whole, log_call({"fromBlock": hex(low), "toBlock": hex(high)}), limits=limits)
        ):
            assert answered["error"]["code"] == -32005
            assert answered["error"]["message"].startswith("query returned more than ")
            hint = answered["error"]["data"]
            assert hint["from"] == hex(low)
            assert low <= int(hint["to"], 16) < high
            high, refusals = int(hint["to"], 16), refusals + 1
        found += answered["result"]
        low = high + 1
    assert found == logs
    assert refusals > 3


async def test_large_logs_are_read_a_few_at_once(whole: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    portions: list[int] = []
    read = rpc_logs._page

    async def page(*arguments: Any) -> Any:
        portions.append(arguments[-1])
        return await read(*arguments)

    monkeypatch.setattr(rpc_logs, "_page", page)
    monkeypatch.setattr(rpc_logs, "PORTION_ROWS", 2)
    code, _ = await result(whole, "eth_getLogs", span(0, HEAD), limits=RpcLimits(response_bytes_max=2_000))
    assert (code, portions) == (-32005, [2, 4])
    portions.clear()
    assert len(await result(whole, "eth_getLogs", span(0, HEAD))) == len(await every_log(whole))
    assert portions[:4] == [2, 4, 8, 16]


def span(low: int, high: int) -> Any:
    return {"fromBlock": hex(low), "toBlock": hex(high)}


async def test_a_log_search_of_one_block_is_never_too_large(whole: Store) -> None:
    limits = RpcLimits(logs_max=1, response_bytes_max=1)
    for number in range(HEAD + 1):
        expected = sum(len(receipt["logs"]) for receipt in page_of(number)[1])
        found = await result(whole, "eth_getLogs", {"fromBlock": hex(number), "toBlock": hex(number)}, limits=limits)
        assert len(found) == expected


# -- envelopes ---------------------------------------------------------------------------------------------

CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}


async def test_a_batch_is_answered_in_its_order(whole: Store) -> None:
    body = [CALL, 5, CALL | {"id": "x", "method": "eth_nothing"}, {"jsonrpc": "2.0", "method": "eth_chainId"}, CALL]
    answered = await asked(whole, body)
    assert [(item["id"], item.get("result"), item.get("error", {}).get("code")) for item in answered] == [
        (1, hex(HEAD), None),
        (None, None, -32600),
        ("x", None, -32601),
        (1, hex(HEAD), None),
    ]


async def test_notifications_are_not_answered(whole: Store) -> None:
    notification = {"jsonrpc": "2.0", "method": "eth_blockNumber"}
    assert await asked(whole, notification) is None
    assert await asked(whole, [notification, notification]) is None


@pytest.mark.parametrize(
    ("body", "code"), [(b"{", -32700), (b"[]", -32600), (b"[" * 5_000, -32600), (b"\xff", -32700), (b"{}", -32600)]
)
async def test_a_body_that_is_no_request(whole: Store, body: bytes, code: int) -> None:
    answered = await asked(whole, body)
    assert (answered["id"], answered["error"]["code"]) == (None, code)


async def test_parameters_are_counted(whole: Store) -> None:
    for name, method in METHODS.items():
        for count in {0, method.params + 1} - {method.params}:
            expected = (-32602, f"{count} parameters: the method takes {method.params}")
            assert await result(whole, name, *[None] * count) == expected


async def test_a_batch_ends_where_its_answer_is_too_large(whole: Store) -> None:
    answered = await asked(whole, [CALL] * 4, limits=RpcLimits(response_bytes_max=60))
    assert [item.get("error", {}).get("code") for item in answered] == [None, None, -32005, -32005]


# -- a store that fails ------------------------------------------------------------------------------------


class Failing:
    """A store whose snapshots fail when a table is read, or at once."""

    def __init__(self, store: Store, error: Exception, *, at_once: bool = False) -> None:
        self._store, self._error, self._at_once = store, error, at_once

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        if self._at_once:
            raise self._error
        async with self._store.snapshot() as snapshot:
            yield FailingSnapshot(snapshot, self._error)

    async def read(self, function: Any) -> Any:
        async with self.snapshot() as snapshot:
            return await function(snapshot)


class FailingSnapshot:
    def __init__(self, snapshot: Any, error: Exception) -> None:
        self._snapshot, self._error = snapshot, error

    async def checkpoint(self, source: str) -> Any:
        return await self._snapshot.checkpoint(source)

    async def select(self, *arguments: Any, **options: Any) -> Any:
        raise self._error


FAILURES = (
    (TimedOut("slow"), -32005, "the answer takes longer than it may: ask for less at once"),
    (Busy("locked: /secret/path"), -32002, "the store is busy: try again"),
    (Corruption("row 7"), -32603, "the store cannot answer: its operator finds the reason in the log"),
)


@pytest.mark.parametrize(("error", "code", "message"), FAILURES)
async def test_store_errors_are_reported_without_details(
    whole: Store, error: Exception, code: int, message: str
) -> None:
    failing: Any = Failing(whole, error)
    assert await result(failing, "eth_getBlockByNumber", "0x1", False) == (code, message)
    at_once: Any = Failing(whole, error, at_once=True)
    answered = await asked(at_once, [CALL, 5])
    assert [item["error"]["code"] for item in answered] == [code, -32600]


async def test_a_search_that_takes_too_long_names_half_of_its_range(whole: Store) -> None:
    failing: Any = Failing(whole, TimedOut("slow"))
    expected = "query takes longer than it may. Try with this block range [0x0, 0x6]."
    assert await result(failing, "eth_getLogs", {"fromBlock": "0x0"}) == (-32005, expected)


async def test_a_client_that_follows_the_halves_is_not_led_to_one_block_for_ever(whole: Store) -> None:
    failing: Any = Failing(whole, TimedOut("slow"))
    high = 6
    refusals: list[int] = []
    while len(refusals) < 10:
        code, message = await result(failing, "eth_getLogs", span(0, high))
        refusals.append(code)
        hint = re.search(r"\[0x0, (0x[0-9a-f]+)\]", message)
        if hint is None:
            break
        high = int(hint[1], 16)
    assert refusals == [-32005] * 4  # of 7 blocks, 4, 2 and 1
    assert message == "query of block 0 alone timed out: there is no narrower range; name addresses, or topics"
    assert isinstance(jsonrpc.meaning(code, message), Overloaded)


async def test_a_view_that_timed_out_ends_the_batch(whole: Store) -> None:
    failing: Any = Failing(whole, TimedOut("slow"))
    answered = await asked(failing, [CALL, log_call({}), CALL])
    assert [item.get("error", {}).get("code") for item in answered] == [None, -32005, -32005]
    assert answered[2]["error"]["message"] == "a call before this one ended the batch: send this one again"


# -- anything at all ---------------------------------------------------------------------------------------

KNOWN_CODES = {-32700, -32600, -32601, -32602, -32001, -32005}
PLAUSIBLE = st.sampled_from(
    ["0x0", "0x3", "0xc", "0xffffffffffffffff", "latest", "finalized", "earliest", UNKNOWN, "0x" + "00" * 20, "", True]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | PLAUSIBLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FILTERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("fromBlock", "toBlock", "blockHash", "address", "topics"), PLAUSIBLE | JUNK),
)
CALLS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from([*METHODS, "eth_call"])},
    optional={"id": JUNK, "params": st.lists(PLAUSIBLE | FILTERS | JUNK, max_size=3) | JUNK},
)
BODIES = st.one_of(CALLS, st.lists(CALLS | JUNK, max_size=4), JUNK).map(lambda value: json.dumps(value).encode())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A body with a part cut out, repeated, or replaced."""
    body = draw(BODIES)
    start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
    return body[:start] + draw(st.binary(max_size=4)) + body[start:end] * draw(st.integers(0, 2)) + body[end:]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Store]]:
    """A loop and a store that outlive a search's examples."""
    url = f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/store.db"
    with asyncio.Runner() as runner:
        store = runner.run(open_store(url, SystemRuntime()))
        runner.run(fill(store, 2, 6, finalized=4))
        yield runner, store
        runner.run(store.close())


@given(body=st.one_of(BODIES, mutated(), st.binary(max_size=60)))
@settings(max_examples=settings().max_examples * 2)
def test_any_body_gets_a_json_rpc_answer_or_none(running: tuple[asyncio.Runner, Store], body: bytes) -> None:
    runner, store = running
    answered = runner.run(answer(body, store, CHAIN_ID, RpcLimits()))
    if answered is None:
        return
    given_back = json.loads(answered)
    items = given_back if isinstance(given_back, list) else [given_back]
    assert items
    for item in items:
        assert item["jsonrpc"] == "2.0"
        assert isinstance(item["id"], str | int | float | None)
        if "error" in item:
            assert item.keys() == {"jsonrpc", "id", "error"}
            assert item["error"]["code"] in KNOWN_CODES
            assert item["error"]["message"]
        else:
            assert item.keys() == {"jsonrpc", "id", "result"}
