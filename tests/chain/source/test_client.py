"""One endpoint: what it makes of answers of every kind, and how many requests it keeps in flight.

The transport is a function from the calls of a request to the answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.chain.rig import a_node
from tests.runtime import START, FakeRuntime
from tests.sim.asking import FULL, ask
from tidelog.chain.decode.strict import decode_block, decode_receipts
from tidelog.chain.endpoint.budget import LIMITS, BudgetLimits, Said
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.chain.source.client import RPC_LIMITS, Endpoint, RpcLimits, outcome_of
from tidelog.config import EndpointUrl
from tidelog.errors import (
    Overloaded,
    Pruned,
    Rejected,
    SourceError,
    Throttled,
    TooLarge,
    Unreachable,
    Unsupported,
)
from tidelog.net.http import HttpResponse
from tidelog.sim.node.answers import Answer
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.inprocess import InProcessHttp
from tidelog.sim.node.node import SimNode
from tidelog.telemetry import ChainMetrics

Calls = list[dict[str, Any]]
KEY = "CANARY-0123456789abcdef"
URL = f"http://node/v2/{KEY}"


class Scripted:
    """`HttpTransport` over a function; remembers what was asked."""

    def __init__(self, answer: Callable[[Calls], Answer]) -> None:
        self._answer = answer
        self.asked: list[Calls] = []
        self.open = self.open_max = 0
        self.gate: asyncio.Event | None = None

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        assert url == URL
        decoded = json.loads(body)
        calls = decoded if isinstance(decoded, list) else [decoded]
        self.asked.append(calls)
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            if self.gate is not None:
                await self.gate.wait()
            answer = self._answer(calls)
            yield Response(answer.status, dict(answer.headers), answer.body)
        finally:
            self.open -= 1

    async def close(self) -> None:
        """Nothing is open."""


class Response:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 1_000):
            yield self._body[start : start + 1_000]


def endpoint(
    answer: Callable[[Calls], Answer] | Answer,
    *,
    limits: BudgetLimits = LIMITS,
    said: Said | None = None,
    rpc: RpcLimits = RPC_LIMITS,
) -> tuple[Endpoint, Scripted]:
    http = Scripted(answer if callable(answer) else lambda calls: answer)
    return Endpoint(EndpointUrl(URL), http, FakeRuntime(), ChainMetrics(), limits=limits, said=said, rpc=rpc), http


def results(*values: Any) -> Callable[[Calls], Answer]:
    """Answers each call of a request by the next of the values; a tuple is an error (code, message)."""

    def answer(calls: Calls) -> Answer:
        replies = []
        for call, value in zip(calls, values, strict=True):
            outcome = (
                {"error": {"code": value[0], "message": value[1]}} if isinstance(value, tuple) else {"result": value}
            )
            replies.append({"jsonrpc": "2.0", "id": call["id"]} | outcome)
        return Answer(200, json.dumps(replies if len(calls) > 1 else replies[0]).encode())

    return answer


def served(node: SimNode, **patches: Callable[[Any], Any]) -> Callable[[Calls], Answer]:
    """What the node says; the results of the methods in `patches` changed."""

    def answer(calls: Calls) -> Answer:
        values = []
        for call in calls:
            value = ask(node, call["method"], *call["params"])
            patch = patches.get(call["method"])
            values.append(patch(value) if patch else value)
        return results(*values)(calls)

    return answer


def http(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, body, tuple((name.replace("_", "-"), text) for name, text in headers.items()))


# -- whole answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "wait_s"),
    [
        (http(429), Throttled, None),
        (http(429, retry_after="7"), Throttled, 7.0),
        (http(429, retry_after="Tue, 14 Nov 2023 22:13:50 GMT"), Throttled, 30.0),
        (http(429, retry_after="Tue, 14 Nov 2023 20:00:00 GMT"), Throttled, 0.0),  # over already
        (http(429, retry_after="99999999999999999999"), Throttled, 600.0),
        (http(429, retry_after="soon"), Throttled, None),
        (http(429, retry_after="-5"), Throttled, None),
        (http(503, retry_after="2"), Throttled, 2.0),
        (http(503), Unreachable, None),
        (http(413, b"request entity too large"), TooLarge, None),
        (http(502, b"<html>Bad Gateway</html>"), Overloaded, None),
        (http(500), Unreachable, None),
        (http(401, b"invalid project id"), Rejected, None),
        (http(404), Rejected, None),
        (http(301, location="http://elsewhere/"), Rejected, None),
        (http(307, location="http://elsewhere/"), Rejected, None),
        (http(200, b"<html>Please log in</html>"), Rejected, None),
        (http(200, b""), Rejected, None),
        (http(200, b"null"), Rejected, None),
        (http(200, b"[]"), Rejected, None),
        (http(200, b"{}"), Rejected, None),
        (http(200, b'{"jsonrpc":"2.0","id":1,"result":"0x'), Rejected, None),
        (http(200, b'{"jsonrpc":"2.0","id":7,"result":"0x1"}'), Rejected, None),
        (http(200, b"[" * 5_000), Rejected, None),
        (http(200, b"\xff\xfe\x00"), Rejected, None),
        (http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'), Unsupported, None),
        (http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"no"}}'), Throttled, None),
        (http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":4444,"message":"no"}}'), Pruned, None),
        (http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}'), Unreachable, None),
    ],
)
async def test_classifies_each_answer(answer: Answer, kind: type[SourceError], wait_s: float | None) -> None:
    assert START == 1_700_000_000.0, "22:13:20 GMT, which the dates above count from"
    one, _ = endpoint(answer)
    with pytest.raises(SourceError) as failure:
        await one.chain_id()
    assert type(failure.value) is kind
    assert failure.value.endpoint == "http://node"
    if isinstance(failure.value, Throttled):
        assert failure.value.retry_after_s == wait_s


@pytest.mark.parametrize("text", ['"0x"', '"1"', "1", '"0xzz"', "null", '""', '"-0x1"', "[]"])
async def test_refuses_a_chain_id_that_is_none(text: str) -> None:
    one, _ = endpoint(http(200, b'{"jsonrpc":"2.0","id":1,"result":%b}' % text.encode()))
    if text == '"1"':
        assert await one.chain_id() == 1  # a node that forgets the prefix
        return
    with pytest.raises(Rejected):
        await one.chain_id()


async def test_refuses_a_chain_id_that_is_two_numbers() -> None:
    """1337 would be 4919, under which a whole chain would be stored."""
    one, _ = endpoint(http(200, b'{"jsonrpc":"2.0","id":1,"result":"1337"}'))
    with pytest.raises(Rejected, match="1337 without 0x, which is one number in hex and another in decimal"):
        await one.chain_id()


async def test_a_body_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    class Endless(Response):
        async def chunks(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 1_000
                yield b"0" * 1_000

    one, transport = endpoint(http(200), rpc=RpcLimits(answer_bytes_max=10_000))
    monkeypatch.setattr("tests.chain.source.test_client.Response", Endless)
    with pytest.raises(TooLarge, match="more than 10000 bytes"):
        await one.chain_id()
    assert read == 11_000
    assert transport.open == 0


async def test_errors_of_single_calls_leave_the_others() -> None:
    one, _ = endpoint(results("0x1", (-32000, "nothing"), (4444, "pruned history unavailable"), None))
    first, second, third, fourth = await one.request([Call("a"), Call("b"), Call("c"), Call("d")])
    assert bytes(first) == b'"0x1"'  # type: ignore[arg-type]
    assert isinstance(second, Unreachable)
    assert isinstance(third, Pruned)
    assert bytes(fourth) == b"null"  # type: ignore[arg-type]
    assert str(second) == "http://node: error -32000: nothing"


async def test_no_calls_are_no_request() -> None:
    one, transport = endpoint(http(500))
    assert await one.request([]) == []
    assert await one.blocks([]) == []
    assert transport.asked == []


# -- headers ---------------------------------------------------------------------------------------------------------


async def test_headers_by_number_and_hash() -> None:
    node = a_node(30)
    one, _ = endpoint(served(node))
    at = node.chain.at(7, node.chain.head)
    assert at is not None
    for header in (await one.header_by_number(7), await one.header_by_hash(at.hash)):
        assert header is not None
        assert (header.number, header.hash, header.parent_hash) == (7, at.hash, at.parent_hash)
    assert await one.header_by_number(31) is None
    assert await one.header_by_hash(bytes(32)) is None
    numbers = [header and header.number for header in await one.headers_by_number(28, 32)]
    assert numbers == [28, 29, 30, None, None]


@pytest.mark.parametrize("lie", ["block_other", "required_missing", "wide_numbers"])
async def test_refuses_a_header_that_was_not_asked_for(lie: str) -> None:
    node = a_node(30)
    node.tell(lie)
    one, _ = endpoint(served(node))
    with pytest.raises(Rejected) as failure:
        await one.header_by_number(7)
    assert failure.value.endpoint == "http://node"
    with pytest.raises(Rejected):
        await one.header_by_hash(node.chain.head.hash)


@pytest.mark.parametrize("lie", ["hash_wrong", "parent_wrong", "bloom_wrong"])
async def test_a_header_is_proven_where_the_spec_says_how(lie: str) -> None:
    node = a_node(30)
    node.tell(lie)
    one, _ = endpoint(served(node))
    assert await one.header_by_number(7) is not None
    one.proves_headers = True
    with pytest.raises(Rejected, match="does not hash to its hash"):
        await one.header_by_number(7)
    assert await one.headers_by_number(3, 5) == [None, None, None]
    node.honest()
    assert await one.header_by_number(7) is not None


async def test_heads_by_tag() -> None:
    node = a_node(30)
    one, _ = endpoint(served(node))
    heads = await one.heads()
    assert heads.safe is not None
    assert heads.finalized is not None
    assert (heads.latest.number, heads.safe.number, heads.finalized.number) == (30, 26, 22)


@pytest.mark.parametrize("lie", ["finalized_missing", "finalized_zero"])
async def test_a_tag_that_the_node_does_not_have_is_none(lie: str) -> None:
    node = a_node(30)
    node.tell(lie)
    one, _ = endpoint(served(node))
    heads = await one.heads()
    assert (heads.safe, heads.finalized) == (None, None)
    node.honest()
    await one.heads()
    node.tell(lie)
    with pytest.raises(Rejected, match="no safe block any more"):
        await one.heads()


async def test_refuses_null_for_the_latest_block() -> None:
    one, _ = endpoint(results(None, None, None))
    with pytest.raises(Rejected, match="null for the latest block"):
        await one.heads()


# -- whole blocks ------------------------------------------------------------------------------------------------------


async def test_blocks_by_number_and_by_hash_in_one_request() -> None:
    node = a_node(30)
    one, transport = endpoint(served(node))
    head = node.chain.head
    raws = await one.blocks([3, head.hash, 5])
    assert [decode_block(raw.block).header.number for raw in raws] == [3, 30, 5]
    assert [len(decode_receipts(raw.receipts)) for raw in raws] == [
        len(decode_block(raw.block).transactions) for raw in raws
    ]
    assert len(transport.asked) == 1
    assert all(raw.size_bytes > 1_000 for raw in raws)


@pytest.mark.parametrize("methods", ["eth_getBlockByNumber", "eth_getBlockReceipts eth_getTransactionReceipt"])
async def test_null_is_never_an_empty_block(methods: str) -> None:
    one, _ = endpoint(served(a_node(30, shape=FULL), **{method: lambda value: None for method in methods.split()}))
    with pytest.raises(Rejected, match="null for"):
        await one.blocks([3, 4])


async def test_without_block_receipts_single_ones_are_asked_for_in_batches() -> None:
    node = a_node(30, shape=FULL)
    whole, _ = endpoint(served(node))
    expected = [decode_receipts(raw.receipts) for raw in await whole.blocks([3, 4])]
    node.tell("method_missing")
    one, transport = endpoint(served(node), limits=BudgetLimits(calls_first=4, calls_max=4))
    for _ in range(2):
        assert [decode_receipts(raw.receipts) for raw in await one.blocks([3, 4])] == expected
    methods = [call["method"] for calls in transport.asked for call in calls]
    assert methods.count("eth_getBlockReceipts") == 2, "once for each block, and then it is known to be missing"
    assert max(map(len, transport.asked)) == 4
    node.tell("receipt_null", times=1)
    with pytest.raises(Rejected, match="null for the receipt of 0x"):
        await one.blocks([3])


async def test_a_missing_method_is_asked_for_again_after_a_while() -> None:
    node = a_node(30, shape=FULL)
    node.tell("method_missing")
    one, transport = endpoint(served(node))
    await one.blocks([3])
    node.honest()
    runtime = one._runtime
    assert isinstance(runtime, FakeRuntime)
    for later_s, asked in ((0.0, False), (LIMITS.again_s, True)):
        runtime.clock += later_s
        transport.asked.clear()
        await one.blocks([3])
        assert any(call["method"] == "eth_getBlockReceipts" for calls in transport.asked for call in calls) == asked


@pytest.mark.parametrize(
    "lie", ["receipts_null", "receipts_crash", "receipts_by_number_only", "receipts_invalid_params"]
)
async def test_receipts_that_fail_for_a_block_are_had_otherwise(lie: str) -> None:
    node = a_node(30, shape=FULL)
    whole, _ = endpoint(served(node))
    keys: list[int | bytes] = [3, node.chain.head.hash, 5]
    expected = [decode_receipts(raw.receipts) for raw in await whole.blocks(keys)]
    node.tell(lie)
    one, transport = endpoint(served(node))
    for _ in range(3):
        assert [decode_receipts(raw.receipts) for raw in await one.blocks(keys)] == expected
    single = [call for calls in transport.asked for call in calls if call["method"] == "eth_getTransactionReceipt"]
    assert bool(single) == (lie in ("receipts_null", "receipts_crash")), "by number it is one call"


async def test_receipts_by_number_are_held_against_the_block() -> None:
    """Between two calls a node may change its branch: receipts of another block of the same height are not taken."""
    node = a_node(30, shape=FULL)
    node.tell("receipts_by_number_only")

    def elsewhere(receipts: Any) -> Any:
        return (
            [receipt | {"blockHash": "0x" + 64 * "e"} for receipt in receipts]
            if isinstance(receipts, list)
            else receipts
        )

    one, transport = endpoint(served(node, eth_getBlockReceipts=elsewhere))
    head = node.chain.head
    (raw,) = await one.blocks([head.hash])
    assert {receipt.block_hash for receipt in decode_receipts(raw.receipts)} == {head.hash}
    assert transport.asked[-1][0]["method"] == "eth_getTransactionReceipt"


async def test_an_empty_block_needs_no_receipts() -> None:
    node = a_node(30, shape=Shape(transactions=(0, 0)))
    node.tell("receipts_null")
    one, transport = endpoint(served(node))
    (raw,) = await one.blocks([3])
    assert bytes(raw.receipts) == b"[]"
    assert len(transport.asked) == 1


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_every_request_works_with_small_batches(most: int) -> None:
    """Of two calls, or of one: no batches at all. The look at the heads is three calls."""
    node = a_node(30, shape=FULL)

    def refusing(calls: Calls) -> Answer:
        if len(calls) > most:
            error = {"code": -32600, "message": f"Batch of more than {most} requests are not allowed on free tier"}
            return Answer(200, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())
        return served(node)(calls)

    one, transport = endpoint(refusing)
    heads = await one.heads()
    assert heads.finalized is not None
    assert (heads.latest.number, heads.finalized.number) == (30, 22)
    for _ in range(20):
        assert [decode_block(raw.block).header.number for raw in await one.blocks([3, 4, 5])] == [3, 4, 5]
    refused = [calls for calls in transport.asked if len(calls) > most]
    assert len(refused) <= 3, "the limit is learned"


async def test_calls_that_are_refused_in_a_batch_are_asked_again_alone() -> None:
    def answer(calls: Calls) -> Answer:
        if len(calls) == 1:
            return results("good")(calls)
        return results("good", *[(-32003, "response too large")] * (len(calls) - 1))(calls)

    one, transport = endpoint(answer)
    answers = await one.request([Call("a"), Call("b"), Call("c"), Call("d")])
    assert [bytes(answer) for answer in answers] == [b'"good"'] * 4  # type: ignore[arg-type]
    assert sum(map(len, transport.asked)) < 12


async def test_one_answer_that_is_too_large_is_an_error_of_that_call() -> None:
    def answer(calls: Calls) -> Answer:
        large = any(call["method"] == "large" for call in calls)
        if large:
            return http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32008,"message":"response size is too large"}}')
        return results(*["good"] * len(calls))(calls)

    one, _ = endpoint(answer)
    first, second, third = await one.request([Call("a"), Call("large"), Call("c")])
    assert bytes(first) == bytes(third) == b'"good"'  # type: ignore[arg-type]
    assert isinstance(second, TooLarge)


async def test_a_block_and_its_receipts_need_not_fit_one_answer() -> None:
    """Nor the receipts of a block, nor the block itself: what is too large is asked for in parts."""
    node = a_node(30, shape=FULL)
    whole, _ = endpoint(served(node))
    (expected,) = await whole.blocks([7])
    sizes = sorted(map(len, (bytes(expected.block), bytes(expected.receipts))))
    for most in (sum(sizes) - 100, sizes[1] - 100, sizes[0] - 100, 4_000):

        def answer(calls: Calls, most: int = most) -> Answer:
            good = served(node)(calls)
            if len(good.body) <= most:
                return good
            error = {"code": -32008, "message": "The batch response was too large"}
            return Answer(200, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())

        one, transport = endpoint(answer)
        (raw,) = await one.blocks([7])
        assert decode_block(raw.block) == decode_block(expected.block)
        assert decode_receipts(raw.receipts) == decode_receipts(expected.receipts)
        transport.asked.clear()
        await one.blocks([7])
        assert len(transport.asked) > 1


# -- how much at once --------------------------------------------------------------------------------------------------


async def test_never_more_in_flight_than_the_budget_has() -> None:
    one, transport = endpoint(results("0x1"))
    transport.gate = asyncio.Event()
    tasks = [asyncio.create_task(one.chain_id()) for _ in range(50)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert transport.open == int(one.budget.in_flight_max) == 4
    transport.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 50
    assert transport.open_max <= int(one.budget.in_flight_max)
    assert one.budget.in_flight == 0


async def test_what_is_urgent_goes_before_what_waits() -> None:
    one, transport = endpoint(results("0x1"), limits=BudgetLimits(in_flight_first=1.0))
    transport.gate = asyncio.Event()
    ranks = [5, 3, 9, -1]
    tasks = [asyncio.create_task(one.request([Call("first")], rank=0))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(one.request([Call(f"rank {rank}")], rank=rank)) for rank in ranks]
    await asyncio.sleep(0)
    transport.gate.set()
    await asyncio.gather(*tasks)
    assert [calls[0]["method"] for calls in transport.asked] == ["first", "rank -1", "rank 3", "rank 5", "rank 9"]


async def test_what_the_user_says_is_the_most_that_is_asked() -> None:
    one, transport = endpoint(lambda calls: results(*["0x1"] * len(calls))(calls), said=Said(rate=5.0, batch=3))
    for _ in range(10):
        await one.request([Call("a")] * 10)
    assert max(map(len, transport.asked)) <= 3
    assert one._runtime.monotonic() >= (100 - 3) / 5.0


async def test_a_pause_that_is_asked_for_is_kept() -> None:
    moments: list[float] = []

    def answer(calls: Calls) -> Answer:
        moments.append(one._runtime.monotonic())
        return http(429, retry_after="3") if len(moments) == 1 else results("0x1")(calls)

    one, _ = endpoint(answer)
    assert await one.chain_id() == 1
    assert moments == [0.0, pytest.approx(3.0, abs=1.5)]
    assert moments[1] >= 3.0


async def test_a_long_pause_is_not_waited_for_here() -> None:
    """Another endpoint may answer meanwhile: whoever asks is told at once, in the endpoint's words."""
    one, transport = endpoint(http(429, b"over quota", retry_after="600"))
    for _ in range(3):
        with pytest.raises(Throttled, match="over quota"):
            await one.chain_id()
    assert len(transport.asked) == 1
    assert one._runtime.monotonic() == 0.0


async def test_a_cancelled_request_gives_its_place_back() -> None:
    one, transport = endpoint(results("0x1"))
    transport.gate = asyncio.Event()
    tasks = [asyncio.create_task(one.chain_id()) for _ in range(10)]
    for _ in range(5):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert one.budget.in_flight == 0
    transport.gate.set()
    assert await one.chain_id() == 1


@pytest.mark.parametrize(
    ("answer", "lower"),
    [
        (http(502), True),
        (http(500), True),
        (results("0x1", (4444, "pruned")), False),
        (http(401), False),
    ],
)
async def test_failures_that_lower_the_requests_in_flight(
    answer: Answer | Callable[[Calls], Answer], lower: bool
) -> None:
    one, _ = endpoint(answer)
    before = one.budget.in_flight_max
    with suppress(SourceError):
        await one.request([Call("a"), Call("b")])
    assert (one.budget.in_flight_max < before) == lower


async def test_requests_are_counted_by_outcome() -> None:
    one, transport = endpoint(results("0x1"))
    await one.chain_id()
    transport._answer = lambda calls: http(429)
    with pytest.raises(Throttled):
        await one.chain_id()
    value = one._metrics.registry.get_sample_value
    for outcome, asked in (("ok", 1), ("throttled", 1 + RPC_LIMITS.throttled_max)):
        labels = {"method": "eth_chainId", "endpoint": "http://node", "outcome": outcome}
        assert value("tidelog_rpc_requests_total", labels) == asked
        assert value("tidelog_rpc_request_seconds_count", labels) == asked


async def test_the_calls_of_a_batch_are_counted_one_by_one() -> None:
    one, _ = endpoint(results("0x1", (-32601, "method not found"), "0x2"))
    await one.request([Call("a"), Call("a"), Call("b")])
    value = one._metrics.registry.get_sample_value
    seen = {
        (method, outcome): value(
            "tidelog_rpc_requests_total", {"method": method, "endpoint": "http://node", "outcome": outcome}
        )
        for method in "ab"
        for outcome in ("ok", "unsupported")
    }
    assert seen == {("a", "ok"): 1, ("a", "unsupported"): 1, ("b", "ok"): 1, ("b", "unsupported"): None}
    assert value("tidelog_rpc_request_seconds_count", {"method": "b", "endpoint": "http://node", "outcome": "ok"}) == 1


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Unreachable, "unreachable"),
        (Overloaded, "overloaded"),
        (Throttled, "throttled"),
        (Rejected, "rejected"),
        (TooLarge, "too_large"),
        (Unsupported, "unsupported"),
        (Pruned, "pruned"),
        (SourceError, "failed"),
    ],
)
def test_outcomes_are_a_few_words(error: type[SourceError], word: str) -> None:
    assert outcome_of(error("whatever an endpoint says")) == word


async def test_what_the_endpoint_echoes_is_redacted() -> None:
    for answer in (
        http(500, f"no route for /v2/{KEY}".encode()),
        http(200, f"<html>/v2/{KEY}</html>".encode()),
        results((-32000, f"project {KEY} unknown")),
    ):
        one, _ = endpoint(answer)
        with pytest.raises(SourceError) as failure:
            await one.chain_id()
        assert KEY not in f"{failure.value} {failure.value!r} {failure.value.args} {failure.value.__dict__}"
        assert "***" in str(failure.value)


async def test_over_the_simulated_nodes_transport() -> None:
    node = a_node(3)
    one = Endpoint(EndpointUrl("http://node/"), InProcessHttp(node), FakeRuntime(), ChainMetrics(), name="mine")
    assert await one.chain_id() == 1337
    assert one.name == "mine"
    assert repr(one) == "Endpoint('mine')"
