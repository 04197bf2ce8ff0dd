"""JSON-RPC 2.0 envelopes: calls to bytes, bytes to results, and what an error object means to us.

Pure. A batch goes out as one array; its answers may come in any order and are matched by id.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tidelog.errors import Pruned, Rejected, SourceError, Throttled, TooLarge, Unreachable, Unsupported
from tidelog.net.retry import retry_after

NULL = b"null"
_HEAD = 200  # characters of a body or an error text that are quoted: enough to recognise, short in a log


class Call(Struct, frozen=True):
    """One method with its parameters."""

    method: str
    params: tuple[Any, ...] = ()


class _Request(Struct):
    jsonrpc: str
    id: int
    method: str
    params: tuple[Any, ...]


class _Error(Struct):
    message: str = ""
    code: int = 0


class _Answer(Struct):
    id: int | str | None = None
    result: Raw | UnsetType = UNSET
    error: _Error | None = None


class _Refusal(_Error):
    """An error beside an HTTP status: within an answer as it should be, or bare, as dRPC sends it."""

    error: _Error | None = None


_encoder = msgspec.json.Encoder()
_one = msgspec.json.Decoder(_Answer)
_many = msgspec.json.Decoder(list[_Answer])
_refusals = msgspec.json.Decoder(_Refusal | list[_Refusal])


def encode(calls: Sequence[Call]) -> bytes:
    """One call as an object, several as a batch; ids count from 1."""
    requests = [_Request("2.0", i, call.method, call.params) for i, call in enumerate(calls, 1)]
    return _encoder.encode(requests[0] if len(requests) == 1 else requests)


def decode(body: bytes, calls: Sequence[Call]) -> list[Raw | SourceError]:
    """The result, or what its error means, of each call in order.

    Raises:
        SourceError: the answer as a whole is an error, or not what was asked for.
    """
    try:
        answers = _answers(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Rejected(f"no JSON-RPC answer ({error}): {_quote(body)}") from None
    by_id = {str(answer.id): answer for answer in answers}
    ids = [str(i) for i in range(1, len(calls) + 1)]
    if len(answers) != len(calls) or by_id.keys() != set(ids):
        for answer in answers:  # a refused batch: one object, or one error under the first id or none
            if answer.error is not None:
                raise meaning(answer.error.code, answer.error.message)
        raise Rejected(f"{len(answers)} answers to {len(calls)} calls, under the ids {_quote_ids(answers)}")
    return [_result(by_id[i]) for i in ids]


def _answers(body: bytes) -> list[_Answer]:
    return _many.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]


def _result(answer: _Answer) -> Raw | SourceError:
    if answer.error is not None:
        return meaning(answer.error.code, answer.error.message)
    if isinstance(answer.result, UnsetType):
        raise Rejected(f"the answer to call {answer.id} has neither result nor error")
    return answer.result


# what nodes and providers are known to say; the first pattern that fits wins
_MEANINGS: tuple[tuple[type[SourceError], re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (Pruned, r"prun|history.{0,20}(unavailable|not available)|missing trie node|ancient block"),
        (
            TooLarge,
            r"response (size|is) .*(exceed|large|big|limit)|too (large|big)|batch.{0,40}(limit|large|big|exceed|many"
            r"|maximum|more than|size|supported)|size (limit|exceed)|more than \d+ results",
        ),
        (
            Throttled,
            r"rate.?limit|too many requests|throttl|capacity|compute units|request limit|quota|limited to \d+/",
        ),
        (
            Unsupported,
            r"method.{0,60}(not found|not supported|does not exist|unavailable|not available|not allowed)",
        ),
    )
)
_CODES: dict[int, type[SourceError]] = {
    -32601: Unsupported,  # JSON-RPC 2.0
    -32004: Unsupported,  # EIP-1474
    -32005: Throttled,  # EIP-1474: limit exceeded
    429: Throttled,
    4444: Pruned,  # execution-apis: pruned history unavailable
}


def meaning(code: int, message: str) -> SourceError:
    """What an error object says about asking again. Unknown errors are worth another try."""
    text = f"error {code}: {_quote(message.encode())}"
    for kind, pattern in _MEANINGS:
        if pattern.search(message):
            return kind(text)
    return _CODES.get(code, Unreachable)(text)


def http_error(status: int, headers: dict[str, str], body: bytes, *, now: float) -> SourceError | None:
    """What an HTTP status means, or the JSON-RPC error that came with it says; None if the body decides (200)."""
    if status == 200:
        return None
    text = f"HTTP {status}: {_quote(body)}"
    said = None if status in (413, 429) else _said(body)
    if said is not None:
        return type(said)(text)
    if status == 429:
        return Throttled(text, retry_after_s=retry_after(headers.get("retry-after"), now=now))
    if status == 413:
        return TooLarge(text)
    if status == 503 and "retry-after" in headers:
        return Throttled(text, retry_after_s=retry_after(headers["retry-after"], now=now))
    if 300 <= status < 400:
        return Rejected(f"HTTP {status}: a redirect, which is not followed")
    if status in (400, 401, 403, 404, 405, 410):
        return Rejected(text)
    return Unreachable(text)


def _said(body: bytes) -> SourceError | None:
    """What the body's error object means, where it is known to mean anything."""
    try:
        refusals = _refusals.decode(body)
    except (ValueError, RecursionError):
        return None
    refusal = next(iter(refusals), None) if isinstance(refusals, list) else refusals
    if refusal is None:
        return None
    error = refusal.error or refusal
    said = meaning(error.code, error.message)
    return None if type(said) is Unreachable else said


def _quote_ids(answers: Sequence[_Answer]) -> str:
    return _quote(", ".join(str(answer.id) for answer in answers).encode("utf-8", "replace"))


def _quote(body: bytes) -> str:
    text = " ".join(body[: 2 * _HEAD].decode("utf-8", "replace").split())
    return text if len(text) <= _HEAD else text[:_HEAD] + "..."
