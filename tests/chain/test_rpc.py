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
from tidelog.chain import rpc
from tidelog.chain.jsonrpc import Call
from tidelog.chain.rpc import IN_FLIGHT_MAX, RECEIPTS_PER_BATCH, Concurrency, Endpoint, outcome_of
from tidelog.chain.wire import decode_block, decode_receipts
from tidelog.config import EndpointUrl
from tidelog.errors import (
    Pruned,
    Rejected,
    SourceError,
    Throttled,
    TooLarge,
    Unreachable,
    Unsupported,
)
from tidelog.net.http import HttpResponse
from tidelog.sim.answers import Answer
from tidelog.sim.inprocess import InProcessHttp
from tidelog.sim.node import SimNode
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


def endpoint(answer: Callable[[Calls], Answer] | Answer) -> tuple[Endpoint, Scripted]:
    http = Scripted(answer if callable(answer) else lambda calls: answer)
    return Endpoint(EndpointUrl(URL), http, FakeRuntime(), ChainMetrics()), http


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
        (http(502, b"<html>Bad Gateway</html>"), Unreachable, None),
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
async def test_what_an_answer_means(answer: Answer, kind: type[SourceError], wait_s: float | None) -> None:
    assert START == 1_700_000_000.0, "22:13:20 GMT, which the dates above count from"
    one, _ = endpoint(answer)
    with pytest.raises(SourceError) as failure:
        await one.chain_id()
    assert type(failure.value) is kind
    assert failure.value.endpoint == "http://node"
    if isinstance(failure.value, Throttled):
        assert failure.value.retry_after_s == wait_s


@pytest.mark.parametrize("text", ['"0x"', '"1"', "1", '"0xzz"', "null", '""', '"-0x1"', "[]"])
async def test_a_chain_id_that_is_none(text: str) -> None:
    one, _ = endpoint(http(200, b'{"jsonrpc":"2.0","id":1,"result":%b}' % text.encode()))
    if text == '"1"':
        assert await one.chain_id() == 1  # a node that forgets the prefix
        return
    with pytest.raises(Rejected):
        await one.chain_id()


async def test_a_body_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "ANSWER_BYTES_MAX", 10_000)
    read = 0

    class Endless(Response):
        async def chunks(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 1_000
                yield b"0" * 1_000

    one, transport = endpoint(http(200))
    monkeypatch.setattr("tests.chain.test_rpc.Response", Endless)
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


async def test_headers() -> None:
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
async def test_a_header_that_is_not_the_one_asked_for(lie: str) -> None:
    node = a_node(30)
    node.tell(lie)
    one, _ = endpoint(served(node))
    with pytest.raises(Rejected) as failure:
        await one.header_by_number(7)
    assert failure.value.endpoint == "http://node"
    with pytest.raises(Rejected):
        await one.header_by_hash(node.chain.head.hash)


@pytest.mark.parametrize("lie", ["hash_wrong", "parent_wrong", "bloom_wrong"])
async def test_a_header_is_proven_where_the_profile_says_how(lie: str) -> None:
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


async def test_tips() -> None:
    node = a_node(30)
    one, _ = endpoint(served(node))
    tips = await one.tips()
    assert tips.safe is not None
    assert tips.finalized is not None
    assert (tips.latest.number, tips.safe.number, tips.finalized.number) == (30, 26, 22)


@pytest.mark.parametrize("lie", ["finalized_missing", "finalized_zero"])
async def test_a_tag_that_the_node_does_not_have(lie: str) -> None:
    node = a_node(30)
    node.tell(lie)
    one, _ = endpoint(served(node))
    tips = await one.tips()
    assert (tips.safe, tips.finalized) == (None, None)
    node.honest()
    await one.tips()
    node.tell(lie)
    with pytest.raises(Rejected, match="no safe block any more"):
        await one.tips()


async def test_no_latest_block() -> None:
    one, _ = endpoint(results(None, None, None))
    with pytest.raises(Rejected, match="null for the latest block"):
        await one.tips()


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


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockReceipts"])
async def test_null_is_never_an_empty_block(method: str) -> None:
    one, _ = endpoint(served(a_node(30), **{method: lambda value: None}))
    with pytest.raises(Rejected, match="null for"):
        await one.blocks([3, 4])


async def test_without_block_receipts_single_ones_are_asked_for_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "RECEIPTS_PER_BATCH", 2)
    node = a_node(30, shape=FULL)
    whole, _ = endpoint(served(node))
    expected = [decode_receipts(raw.receipts) for raw in await whole.blocks([3, 4])]
    node.tell("method_missing")
    one, transport = endpoint(served(node))
    for _ in range(2):
        assert [decode_receipts(raw.receipts) for raw in await one.blocks([3, 4])] == expected
    methods = [calls[-1]["method"] for calls in transport.asked]
    assert methods.count("eth_getBlockReceipts") == 1, "it is asked for once, and then known to be missing"
    assert max(len(calls) for calls in transport.asked if calls[0]["method"] == "eth_getTransactionReceipt") == 2
    node.tell("receipt_null", times=1)
    with pytest.raises(Rejected, match="null for the receipt of 0x"):
        await one.blocks([3])


def test_single_receipts_stay_below_every_known_batch_limit() -> None:
    assert RECEIPTS_PER_BATCH <= 100


# -- how much at once --------------------------------------------------------------------------------------------------


def test_one_more_after_a_round_of_successes_and_half_after_a_refusal() -> None:
    limit = Concurrency()
    before = int(limit.limit)
    for _ in range(before + 1):
        limit.succeeded()
    assert int(limit.limit) == before + 1
    for _ in range(10_000):
        limit.succeeded()
    assert limit.limit == IN_FLIGHT_MAX
    limit.refused()
    assert limit.limit == IN_FLIGHT_MAX / 2
    for _ in range(20):
        limit.refused()
    assert limit.limit == 1.0


async def test_never_more_in_flight_than_the_limit() -> None:
    one, transport = endpoint(results("0x1"))
    transport.gate = asyncio.Event()
    tasks = [asyncio.create_task(one.chain_id()) for _ in range(50)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert transport.open == int(one.concurrency.limit) == 4
    transport.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 50
    assert transport.open_max <= int(one.concurrency.limit)
    assert one.concurrency.in_flight == 0


async def test_a_cancelled_request_gives_its_place_back() -> None:
    one, transport = endpoint(results("0x1"))
    transport.gate = asyncio.Event()
    tasks = [asyncio.create_task(one.chain_id()) for _ in range(10)]
    for _ in range(5):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert one.concurrency.in_flight == 0
    transport.gate.set()
    assert await one.chain_id() == 1


@pytest.mark.parametrize(
    ("answer", "lower"),
    [
        (http(429), True),
        (http(502), True),
        (results("0x1", (-32005, "slow down")), True),  # some say so call by call
        (results("0x1", (4444, "pruned")), False),
        (http(401), False),
    ],
)
async def test_what_lowers_the_limit(answer: Answer | Callable[[Calls], Answer], lower: bool) -> None:
    one, _ = endpoint(answer)
    before = one.concurrency.limit
    with suppress(SourceError):
        await one.request([Call("a"), Call("b")])
    assert (one.concurrency.limit < before) == lower


async def test_requests_are_counted_by_outcome() -> None:
    one, transport = endpoint(results("0x1"))
    await one.chain_id()
    transport._answer = lambda calls: http(429)
    with pytest.raises(Throttled):
        await one.chain_id()
    value = one._metrics.registry.get_sample_value
    for outcome in ("ok", "throttled"):
        labels = {"method": "eth_chainId", "endpoint": "http://node", "outcome": outcome}
        assert value("tidelog_rpc_requests_total", labels) == 1
        assert value("tidelog_rpc_request_seconds_count", labels) == 1


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
