"""JSON-RPC envelopes: answers matched to calls, and what providers' errors mean. Their words are quoted as reported."""

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.chain.endpoint.jsonrpc import Call, decode, encode, http_error, meaning
from tidelog.errors import (
    Overloaded,
    Pruned,
    Rejected,
    SourceError,
    Throttled,
    TooLarge,
    TooWide,
    Unreachable,
    Unsupported,
)
from tidelog.net.retry_after import RETRY_AFTER_MAX_S, retry_after

ONE = [Call("eth_chainId")]
THREE = [Call("eth_getBlockByNumber", (hex(number), True)) for number in range(3)]


def answer(call_id: Any, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "result": result}


def refusal(call_id: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}


def results(body: Any, calls: list[Call]) -> list[Any]:
    """The results of an answer as parsed JSON, and errors as their classes."""
    decoded = decode(body if isinstance(body, bytes) else json.dumps(body).encode(), calls)
    return [type(item) if isinstance(item, SourceError) else json.loads(bytes(item)) for item in decoded]


def test_one_call_is_an_object_and_several_are_a_batch() -> None:
    assert json.loads(encode(ONE)) == {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    batch = json.loads(encode(THREE))
    assert [request["id"] for request in batch] == [1, 2, 3]
    assert [request["params"] for request in batch] == [["0x0", True], ["0x1", True], ["0x2", True]]


# -- matching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_a_batch_s_answers_come_in_any_order(order: tuple[int, ...]) -> None:
    assert results([answer(i, f"result {i}") for i in order], THREE) == ["result 1", "result 2", "result 3"]


def test_ids_may_come_back_as_text() -> None:
    assert results([answer(str(i), i) for i in (3, 1, 2)], THREE) == [1, 2, 3]


def test_one_call_may_be_answered_as_a_batch_of_one() -> None:
    assert results([answer(1, "0x1")], ONE) == results(answer(1, "0x1"), ONE) == ["0x1"]


def test_null_is_a_result_and_an_error_beside_it_may_be_null() -> None:
    assert results(answer(1, None), ONE) == [None]
    assert results({**answer(1, "0x1"), "error": None}, ONE) == ["0x1"]


def test_one_call_of_a_batch_may_fail_alone() -> None:
    batch = [answer(1, "a"), refusal(2, -32000, "pruned history unavailable"), answer(3, None)]
    assert results(batch, THREE) == ["a", Pruned, None]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>502 Bad Gateway</html>",
        b'[{"jsonrpc":"2.0","id":1,"result":"0x',  # cut
        b"\xff\xfe",
        b"[" * 50_000,
        [answer(1, "a"), answer(2, "b")],  # one is missing
        [answer(1, "a"), answer(2, "b"), answer(4, "c")],
        [answer(1, "a"), answer(2, "b"), answer(2, "c")],
        [answer(1, "a"), answer(2, "b"), answer(3, "c"), answer(3, "d")],  # which of the two?
        [answer(1, "a"), answer(2, "b"), answer(3, "c"), answer(4, "d")],
        [answer(1, "a"), answer(2, "b"), answer("3", "c"), answer(3, "d")],
        [answer(1, "a"), answer(2, "b"), answer(None, "c")],
        [answer(1, "a"), answer(2, "b"), {"jsonrpc": "2.0", "id": 3}],  # neither result nor error
        [answer(1, "a"), answer(2, "b"), {**answer(3, "c"), "error": "text"}],
        answer(1, "a"),
        answer(None, "a"),
    ],
    ids=lambda body: str(body)[:40],
)
def test_what_does_not_answer_the_calls_is_rejected(body: Any) -> None:
    with pytest.raises(Rejected) as caught:
        results(body, THREE)
    assert type(caught.value) is Rejected
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "body",
    [
        refusal(None, -32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit)"),  # Erigon, to 3.3
        [refusal(None, -32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit)")],  # since
        [refusal(1, -32600, "batch too large")],  # geth: under the id of the first call
        refusal(1, -32600, "batch too large"),
        [answer(1, "a"), refusal(2, -32600, "batch too large")],
    ],
)
def test_a_batch_that_is_refused_as_a_whole_says_why(body: Any) -> None:
    with pytest.raises(TooLarge, match="batch"):
        results(body, THREE)


@given(st.binary(max_size=100) | st.text(alphabet='[]{}",:0123456789idresultnul', max_size=60).map(str.encode))
def test_any_bytes_are_rejected_or_answer_the_calls(body: bytes) -> None:
    try:
        assert len(decode(body, ONE)) == 1
    except SourceError as error:
        text = str(error)
    else:
        text = ""
    assert len(text) < 600


# -- what errors mean -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        # Alchemy
        (429, "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can "
              "safely ignore this message. If not, check out https://docs.alchemy.com/reference/throughput", Throttled),
        (-32600, "Monthly capacity limit exceeded. Visit https://dashboard.alchemyapi.io/settings/billing to upgrade "
                 "your scaling policy for continued service.", Throttled),
        (-32000, "Your app exceeded its rate limit of 150 QPS.", Throttled),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no "
                 "limit on the response size", TooWide),
        # Infura
        (-32005, "daily request count exceeded, request rate limited", Throttled),
        (-32005, "project ID request rate exceeded", Throttled),
        (-32005, "query returned more than 10000 results", TooWide),
        (-32601, "The method txpool_content does not exist/is not available", Unsupported),
        # QuickNode
        (-32007, "50/second request limit reached - reduce calls per second or upgrade your account at quicknode.com",
         Throttled),
        (-32012, "credits limited to 6000/sec", Throttled),
        # dRPC, 1RPC
        (31, "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account "
             "at drpc.org", TooLarge),
        # geth
        (-32601, "the method eth_getBlockReceipts does not exist/is not available", Unsupported),
        (4444, "pruned history unavailable", Pruned),
        (-32000, "missing trie node b03d68ac51042467d7637d4ef9e1c52370abc410f263166965cb1e280b1f6d17 (path )", Pruned),
        (-32600, "batch too large", TooLarge),
        (-32003, "response too large", TooLarge),
        (-32000, "transaction indexing is in progress", Unreachable),
        (-32000, "header not found", Unreachable),
        (-32002, "request timed out", Overloaded),
        # Erigon
        (-32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 401",
         TooLarge),
        (-32000, "getReceipt error: ReceiptsGen: PrepareEnv: bn=71837901, old data not available due to pruning",
         Pruned),
        (-32000, "block not found 11185311", Unreachable),
        # Nethermind
        (-32601, "The method 'eth_getBlockReceipts' is not supported.", Unsupported),
        (-32601, "Method eth_getBlockReceipts not found", Unsupported),
        (4444, "Pruned history unavailable", Pruned),
        # Besu
        (-32601, "Method not found", Unsupported),
        (-32602, "Number of requests in batch exceeds --rpc-max-batch-size.", TooLarge),
        # reth (jsonrpsee)
        (-32010, "The batch request was too large", TooLarge),
        (-32011, "The batch response was too large", TooLarge),
        (-32008, "Response is too big", TooLarge),
        # by code alone, where the words say nothing
        (-32601, "no", Unsupported),
        (-32004, "no", Unsupported),
        (-32005, "no", Throttled),
        (429, "", Throttled),
        (4444, "", Pruned),
        (-32603, "Internal error", Unreachable),
        (-32000, "execution reverted", Unreachable),
        (0, "", Unreachable),
    ],
)  # fmt: skip
def test_classifies_the_errors_of_providers(code: int, message: str, kind: type[SourceError]) -> None:
    error = meaning(code, message)
    assert type(error) is kind
    assert message[:100] in str(error)


def test_a_long_message_is_quoted_in_short() -> None:
    assert len(str(meaning(-32000, "x" * 1_000_000))) < 300


# -- HTTP -----------------------------------------------------------------------------------------------------------

HTML = b"<html><head><title>Error</title></head></html>"
BATCH = json.dumps(refusal(None, -32600, "Batch size too large")).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", None),
        (200, HTML, None),  # the body decides, and is no JSON
        (204, b"", Unreachable),
        (301, HTML, Rejected),
        (302, HTML, Rejected),
        (307, HTML, Rejected),
        (400, HTML, Rejected),
        (401, b"Must be authenticated!", Rejected),
        (403, b"forbidden", Rejected),
        (404, HTML, Rejected),
        (405, b"405 Method Not Allowed", Rejected),  # of HTTP, not a method that is not supported
        (410, b"", Rejected),
        (413, HTML, TooLarge),
        (429, b"", Throttled),
        (429, BATCH, Throttled),
        (500, b"", Unreachable),
        (502, HTML, Overloaded),
        (503, HTML, Unreachable),
        (504, HTML, Overloaded),
        (522, HTML, Overloaded),
        # a JSON-RPC error beside the status says more
        (400, BATCH, TooLarge),
        (500, BATCH, TooLarge),
        (400, json.dumps([refusal(1, -32600, "batch too large")]).encode(), TooLarge),
        (500, b'{"message":"Batch of more than 3 requests are not allowed on free tier","code":31}', TooLarge),
        (403, json.dumps(refusal(1, -32600, "Monthly capacity limit exceeded.")).encode(), Throttled),
        (404, json.dumps(refusal(1, -32601, "Method not found")).encode(), Unsupported),
        (500, json.dumps(refusal(1, 4444, "pruned history unavailable")).encode(), Pruned),
        # or nothing more
        (401, json.dumps(refusal(1, -32000, "invalid api key")).encode(), Rejected),
        (500, json.dumps(refusal(1, -32603, "Internal error")).encode(), Unreachable),
        (400, b"[]", Rejected),
        (400, b"null", Rejected),
        (400, b"[" * 50_000, Rejected),
    ],
)
def test_classifies_http_statuses(status: int, body: bytes, kind: type[SourceError] | None) -> None:
    error = http_error(status, {}, body, now=0.0)
    assert (None if error is None else type(error)) is kind
    assert error is None or (str(status) in str(error) and len(str(error)) < 300)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_makes_it_a_matter_of_patience(status: int) -> None:
    error = http_error(status, {"retry-after": "7"}, b"", now=0.0)
    assert isinstance(error, Throttled)
    assert error.retry_after_s == 7.0


NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999999999999999999999", float(RETRY_AFTER_MAX_S)),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 +0000", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),  # past
        ("Wed, 21 Oct 2099 07:28:00 GMT", float(RETRY_AFTER_MAX_S)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٥", None),
        ("Wed, 99 Oct 2015 99:99:99 GMT", None),
    ],
)
def test_reads_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,3} Oct \d{1,6} \d\d:\d\d:\d\d [+-]\d{1,12}", fullmatch=True))
def test_any_retry_after_is_a_bounded_wait_or_none(value: str) -> None:
    seconds = retry_after(value, now=NOW)
    assert seconds is None or 0.0 <= seconds <= RETRY_AFTER_MAX_S
