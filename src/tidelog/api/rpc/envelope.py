"""JSON-RPC 2.0 as a server reads and writes it: bytes to calls, results and refusals to bytes. Pure.

What a method or its parameters mean is no concern of this module. Stricter than the specification in two
places, since two readers would understand such a request differently: no member may stand twice in an
object, and an id is a string, a number or null of at most ID_BYTES_MAX.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from tidelog.api.rpc.limits import DEPTH_MAX, RpcLimits

ID_BYTES_MAX = 256  # it is given back as it came; clients count, or send a UUID
QUOTED_MAX = 80  # characters of the caller's own text that a refusal repeats

PARSE_ERROR = -32700  # JSON-RPC 2.0, these five
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
NOT_FOUND = -32001  # EIP-1474: resource not found
UNAVAILABLE = -32002  # EIP-1474: resource unavailable
LIMIT_EXCEEDED = -32005  # EIP-1474

NULL = b"null"


class Refusal(Exception):
    """An error object: its code, a sentence for the caller, and data for the caller's program.

    `ends_view` says that nothing more can be read of the snapshot, so that a batch ends here.
    """

    def __init__(self, code: int, message: str, data: object = None, *, ends_view: bool = False) -> None:
        super().__init__(message)
        self.ends_view = ends_view
        self.code = code
        self.message = message
        self.data = data


class Call(NamedTuple):
    """One method with its parameters, each still JSON. `id` is JSON text; None: no answer is wanted."""

    id: bytes | None
    method: str
    params: list[Raw]


class Invalid(NamedTuple):
    """What was in the place of a call."""

    id: bytes
    refusal: Refusal


class Requests(NamedTuple):
    """A body: one call, or a batch."""

    calls: list[Call | Invalid]
    is_batch: bool


class _Error(Struct):
    code: int
    message: str


class _ErrorWithData(_Error):
    data: object


_encode = msgspec.json.Encoder().encode
_anything = msgspec.json.Decoder()
_items = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
# a string without an end goes to the end of the body: otherwise each quote in it is tried in turn, in quadratic time
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read_requests(body: bytes, limits: RpcLimits) -> Requests:
    """The calls of a body; Refusal if it is none as a whole."""
    if len(body) > limits.body_bytes_max:
        raise Refusal(INVALID_REQUEST, f"a request of {len(body)} bytes: at most {limits.body_bytes_max} are read")
    if _is_deep(body):
        raise Refusal(INVALID_REQUEST, f"nested deeper than {DEPTH_MAX}")
    try:
        body.decode()
        _anything.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not JSON: {error}"
        raise Refusal(PARSE_ERROR, reason) from None
    if not body.lstrip().startswith(b"["):
        return Requests([_call(Raw(body))], is_batch=False)
    items = _items.decode(body)
    if not items:
        raise Refusal(INVALID_REQUEST, "an empty batch")
    if len(items) > limits.batch_max:
        raise Refusal(INVALID_REQUEST, f"a batch of {len(items)} calls: at most {limits.batch_max} are answered")
    return Requests([_call(item) for item in items], is_batch=True)


def _is_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for match in _BRACKETS.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def members(raw: Raw | bytes) -> dict[str, Raw]:
    """The members of a JSON object, each as compact JSON; ValueError if it is no object, or has one twice."""
    compact = msgspec.json.format(bytes(raw), indent=-1)
    found = _object.decode(compact)
    if len(_encode(found)) != len(compact):  # names written with escapes would come out shorter as well
        raise ValueError("a member that occurs twice, or whose name is written with escapes")
    return found


def _call(raw: Raw) -> Call | Invalid:
    call_id = NULL
    try:
        found = members(raw)
        if "id" in found:
            call_id = _id(found["id"])
        if bytes(found.get("jsonrpc", b"")) != b'"2.0"':
            raise ValueError('"jsonrpc" has to be "2.0"')
        if "method" not in found:
            raise ValueError("no method")
        method = _text.decode(found["method"])
        params = bytes(found.get("params", NULL))
        if params[:1] not in (b"[", b"{") and params != NULL:
            raise ValueError("params have to be an array")
    except ValueError as error:  # msgspec's errors are among them
        return Invalid(call_id, Refusal(INVALID_REQUEST, f"no JSON-RPC 2.0 request: {error}"))
    if params.startswith(b"{"):
        if "id" not in found:
            return Call(None, method, [])
        return Invalid(call_id, Refusal(INVALID_PARAMS, "parameters go by position: params have to be an array"))
    return Call(call_id if "id" in found else None, method, [] if params == NULL else _items.decode(params))


def _id(raw: Raw) -> bytes:
    text = bytes(raw)
    if text[:1] in (b"[", b"{", b"t", b"f"):
        raise ValueError("an id is a string, a number or null")
    if len(text) > ID_BYTES_MAX:
        raise ValueError(f"an id of {len(text)} bytes: at most {ID_BYTES_MAX}")
    return text


def result_bytes(call_id: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, result)


def refusal_bytes(call_id: bytes, refusal: Refusal) -> bytes:
    error = _Error(refusal.code, refusal.message)
    if refusal.data is not None:
        error = _ErrorWithData(refusal.code, refusal.message, refusal.data)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call_id, _encode(error))


def batch_bytes(answers: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(answers)


def quoted(text: str) -> str:
    """The caller's own text in a refusal: as it is, or its beginning."""
    return repr(text) if len(text) <= QUOTED_MAX else f"{text[:QUOTED_MAX]!r}..."
