"""JSON-RPC 2.0 read and written: what is a call, what is refused, and under which id."""

import json
from typing import Any

import pytest

from tidelog.api.rpc.envelope import (
    ID_BYTES_MAX,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    Call,
    Invalid,
    Refusal,
    batch_bytes,
    read_requests,
    refusal_bytes,
    result_bytes,
)
from tidelog.api.rpc.limits import DEPTH_MAX, RpcLimits

LIMITS = RpcLimits(body_bytes_max=1_000, batch_max=3)
A_CALL = b'{"jsonrpc":"2.0","id":1,"method":"m"}'


def test_a_call_is_read() -> None:
    body = b' {"jsonrpc": "2.0", "id": "a", "method": "m", "params": [1, {"x": [ ]}], "more": 1} '
    ((call,), is_batch) = read_requests(body, LIMITS)
    assert isinstance(call, Call)
    assert (call.id, call.method, [bytes(param) for param in call.params]) == (b'"a"', "m", [b"1", b'{"x":[]}'])
    assert not is_batch


@pytest.mark.parametrize(
    "call_id", [b"1", b"0", b"-7", b'"a\\u00e9"', b"null", b"123456789012345678901234567890", b"1.5"]
)
def test_an_id_comes_back_as_it_was_written(call_id: bytes) -> None:
    (call,) = read_requests(b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % call_id, LIMITS).calls
    assert call.id == call_id


@pytest.mark.parametrize("params", [b"", b',"params":null', b',"params":[]'])
def test_parameters_may_be_absent(params: bytes) -> None:
    (call,) = read_requests(b'{"jsonrpc":"2.0","id":1,"method":"m"%b}' % params, LIMITS).calls
    assert isinstance(call, Call)
    assert call.params == []


def test_a_call_without_an_id_is_a_notification() -> None:
    for params in (b"[]", b"{}"):
        (call,) = read_requests(b'{"jsonrpc":"2.0","method":"m","params":%b}' % params, LIMITS).calls
        assert isinstance(call, Call)
        assert call.id is None


WHOLES: tuple[tuple[bytes, int, str], ...] = (
    (b"", PARSE_ERROR, "not JSON"),
    (b"{", PARSE_ERROR, "not JSON"),
    (A_CALL + b"x", PARSE_ERROR, "not JSON"),
    (A_CALL[:-2] + b"\xff" + A_CALL[-2:], PARSE_ERROR, "not UTF-8"),
    (b'{"id":1e999}', PARSE_ERROR, "not JSON"),
    (b'{"id":"\\ud800"}', PARSE_ERROR, "not JSON"),
    (b"[]", INVALID_REQUEST, "an empty batch"),
    (b"[" + b",".join([A_CALL] * 4) + b"]", INVALID_REQUEST, "a batch of 4 calls: at most 3 are answered"),
    (A_CALL + b" " * 1_000, INVALID_REQUEST, "a request of 1037 bytes: at most 1000 are read"),
    (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), INVALID_REQUEST, "nested deeper than 16"),
    (b'{"a":' * 100 + b"1" + b"}" * 100, INVALID_REQUEST, "nested deeper than 16"),
    (b"[" * 990, INVALID_REQUEST, "nested deeper than 16"),
    (b'{"a":"' + b"[" * 100, PARSE_ERROR, "not JSON"),  # in a string without an end
    (b'{"a":"' + b"[" * 100 + b"\\", PARSE_ERROR, "not JSON"),
)


@pytest.mark.parametrize(("body", "code", "message"), WHOLES)
def test_a_body_is_refused_as_a_whole(body: bytes, code: int, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_requests(body, LIMITS)
    assert refused.value.code == code
    assert refused.value.message.startswith(message)


def test_a_string_without_an_end_is_passed_over_once() -> None:
    body = b"[]" * DEPTH_MAX + b'"' + b'\\"' * 120_000  # took minutes, and no other request was answered meanwhile
    with pytest.raises(Refusal, match="not JSON"):
        read_requests(body, RpcLimits())


def test_brackets_in_text_nest_nothing() -> None:
    text = json.dumps("[" * 50 + '"' + "{" * 50 + "\\")
    (call,) = read_requests(b'{"jsonrpc":"2.0","id":1,"method":"m","params":[%b]}' % text.encode(), LIMITS).calls
    assert isinstance(call, Call)


ITEMS: tuple[tuple[bytes, bytes, int], ...] = (
    (b"1", b"null", INVALID_REQUEST),
    (b'"x"', b"null", INVALID_REQUEST),
    (b"null", b"null", INVALID_REQUEST),
    (b"[1]", b"null", INVALID_REQUEST),
    (b"{}", b"null", INVALID_REQUEST),
    (b'{"id":1,"method":"m"}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"1.0","id":1,"method":"m"}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":2.0,"id":1,"method":"m"}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":5}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":5}', b"1", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{}}', b"1", INVALID_PARAMS),
    (b'{"jsonrpc":"2.0","id":[1],"method":"m"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":{},"method":"m"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":true,"method":"m"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","\\u0069d":1,"method":"m"}', b"null", INVALID_REQUEST),
    (b'{"jsonrpc":"2.0","id":"%b","method":"m"}' % (b"x" * ID_BYTES_MAX), b"null", INVALID_REQUEST),
)


@pytest.mark.parametrize(("item", "call_id", "code"), ITEMS)
def test_an_item_is_refused_alone(item: bytes, call_id: bytes, code: int) -> None:
    bodies = (b"[%b, %b]" % (A_CALL, item),) if item.startswith(b"[") else (b"[%b, %b]" % (A_CALL, item), item)
    for body in bodies:
        *before, invalid = read_requests(body, LIMITS).calls
        assert all(isinstance(call, Call) for call in before)
        assert isinstance(invalid, Invalid)
        assert (invalid.id, invalid.refusal.code) == (call_id, code)


def test_answers_are_written() -> None:
    refusal = refusal_bytes(b'"a"', Refusal(-32005, 'a "b"', {"from": "0x0"}))
    plain = refusal_bytes(b"null", Refusal(-32600, "no"))
    written: Any = json.loads(batch_bytes([result_bytes(b"1", b"[null]"), refusal, plain]))
    assert written == [
        {"jsonrpc": "2.0", "id": 1, "result": [None]},
        {"jsonrpc": "2.0", "id": "a", "error": {"code": -32005, "message": 'a "b"', "data": {"from": "0x0"}}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no"}},
    ]
