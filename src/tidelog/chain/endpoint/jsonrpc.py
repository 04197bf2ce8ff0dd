"""JSON-RPC 2.0 envelopes: calls to bytes, bytes to results, and what an error object means to us.

Pure. A batch goes out as one array; its answers may come in any order and are matched by id. Where the compiled core
is, it divides the answer to a batch in which nothing is unusual.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tidelog import compiled
from tidelog.chain.endpoint.log_ranges import OF_A_RATE, too_many_addresses, too_wide
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
from tidelog.net.retry_after import retry_after

NULL = b"null"
_SAID = 2_000  # bytes of what an error says beside its message: a sentence, or a range of blocks
_HEAD = 200  # characters of a body or an error text that are quoted: enough to recognise, short in a log


class Call(Struct, frozen=True):
    """One method with its parameters."""

    method: str
    params: tuple[Any, ...] = ()

    @property
    def kind(self) -> str:
        """Calls of one kind have answers of about one size."""
        return f"{self.method} in full" if self.params[1:] == (True,) else self.method


class _Request(Struct):
    jsonrpc: str
    id: int
    method: str
    params: tuple[Any, ...]


class _Error(Struct):
    message: str = ""
    code: int = 0
    data: Raw = Raw(b"")  # what some say beside

    @property
    def words(self) -> str:
        """All that it says."""
        more = bytes(self.data)[:_SAID].decode("utf-8", "replace")
        return f"{self.message} {more}" if more not in ("", "null") else self.message


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


def decode(body: bytes, calls: Sequence[Call]) -> list[bytes | SourceError]:
    """The result, or what its error means, of each call in order.

    Raises:
        SourceError: the answer as a whole is an error, or not what was asked for.
    """
    results = _divided(body, len(calls))
    if results is not None:
        return results
    try:
        answers = _answers(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Rejected(f"no JSON-RPC answer ({error}): {_quote_around(body, error)}") from None
    by_id = {str(answer.id): answer for answer in answers}
    ids = [str(i) for i in range(1, len(calls) + 1)]
    if len(answers) != len(calls) or by_id.keys() != set(ids):
        for answer in answers:  # a refused batch: one object, or one error under the first id or none
            if answer.error is not None:
                raise meaning(answer.error.code, answer.error.words)
        raise Rejected(f"{len(answers)} answers to {len(calls)} calls, under the ids {_quote_ids(answers)}")
    return [_result(by_id[i]) for i in ids]


def _divided(body: bytes, count: int) -> list[bytes | SourceError] | None:
    """The results as the compiled core divides them; None where it does not.

    Of a body that is no JSON it may make parts, one of which is none either: who reads that one says so.
    """
    module = compiled.core().module
    places = None if module is None or count < 2 else module.split(body, count)
    if places is None:
        return None
    return [body[first:last] for first, last in places]


def _answers(body: bytes) -> list[_Answer]:
    return _many.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]


def _result(answer: _Answer) -> bytes | SourceError:
    if answer.error is not None:
        return meaning(answer.error.code, answer.error.words)
    if isinstance(answer.result, UnsetType):
        raise Rejected(f"the answer to call {answer.id} has neither result nor error")
    return bytes(answer.result)


def misread(what: str, answer: bytes | Raw, error: Exception) -> str:
    """What is wrong with an answer that could not be read: it is no JSON, or of the wrong shape.

    The core divides a body by its brackets alone, so that one that is no JSON may be found out part by part.
    """
    body = bytes(answer)
    try:
        msgspec.json.decode(body)
    except RecursionError:
        pass
    except ValueError as trouble:
        return f"{what} answer is no JSON ({trouble}): {_quote_around(body, trouble)}"
    return f"{what} answer of the wrong shape: {error}"


_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_AROUND = 60  # bytes of a body on either side of where it ends to be JSON


def _quote_around(body: bytes, trouble: Exception) -> str:
    """What the peer says where its JSON ends."""
    place = _AT_BYTE.search(str(trouble))
    start = max(0, int(place[1]) - _AROUND) if place else 0
    return f"...{_quote(body[start : start + 2 * _AROUND])}" if start else _quote(body)


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
        (Throttled, rf"{OF_A_RATE.pattern}|capacity|compute units"),
        (Overloaded, r"timed? ?out|deadline exceeded|took too long"),
        (
            Unsupported,
            r"method.{0,60}(not found|not supported|does not exist|unavailable|not available|not allowed)"
            r"|unsupported method",
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


# what there is too much of; an answer to a batch that is too large is first of all an answer
_OF_BYTES = re.compile(r"respon|answer|result|body|bytes|\bsize of|content", re.IGNORECASE)
_OF_CALLS = re.compile(r"batch|calls|requests", re.IGNORECASE)
_CROWDED = re.compile(r"concurren|simultaneous|in parallel", re.IGNORECASE)
_PLAN = re.compile(
    r"\b(\d{1,6})\s*/\s*s(?:ec(?:ond)?)?\b.{0,12}request"  # QuickNode
    r"|\b(\d{1,6})\s*(?:QPS|RPS)\b"  # Alchemy
    r"|\b(\d{1,6}) (?:requests|calls)(?: per |/)s",
    re.IGNORECASE,
)


def meaning(code: int, message: str) -> SourceError:
    """What an error object says about asking again. Unknown errors are worth another try."""
    text = f"error {code}: {_quote(message.encode())}"
    wide = too_many_addresses(text, message) or too_wide(text, message)
    if wide is not None:
        return wide
    for kind, pattern in _MEANINGS:
        if pattern.search(message):
            return _made(kind, text, message)
    return _made(_CODES.get(code, Unreachable), text, message)


def _made(kind: type[SourceError], text: str, message: str) -> SourceError:
    """The error, with what the message says beside."""
    if kind is TooLarge:
        return TooLarge(text, of="bytes" if _OF_BYTES.search(message) else "calls" if _OF_CALLS.search(message) else "")
    if kind is Throttled:
        return throttled(text, message)
    return kind(text)


def throttled(text: str, message: str, *, retry_after_s: float | None = None) -> Throttled:
    """A refusal by rate, with the plan as far as the message names it."""
    found = _PLAN.search(message)
    plan = next((float(group) for group in found.groups() if group), None) if found else None
    return Throttled(
        text, retry_after_s=retry_after_s, calls_per_s=plan or None, crowded=bool(_CROWDED.search(message))
    )


TIMED_OUT = (408, 502, 504, 522, 524)  # of a gateway, or of Cloudflare: the node behind it took too long


def http_error(status: int, headers: dict[str, str], body: bytes, *, now: float) -> SourceError | None:
    """What an HTTP status means, or the JSON-RPC error that came with it says; None if the body decides (200)."""
    if status == 200:
        return None
    text = f"HTTP {status}: {_quote(body)}"
    wide = too_wide(text, body[:_SAID].decode("utf-8", "replace")) if status in (400, 413) else None
    if wide is not None:
        return wide
    wait_s = retry_after(headers.get("retry-after"), now=now)
    if status == 413:
        return TooLarge(text, of="calls")  # the request is
    if status == 429:
        return throttled(text, text, retry_after_s=wait_s)
    said = _said(body, text)
    if isinstance(said, Throttled):
        said.retry_after_s = wait_s
    if said is not None:
        return said
    if status == 503 and "retry-after" in headers:
        return Throttled(text, retry_after_s=wait_s)
    if 300 <= status < 400:
        return Rejected(f"HTTP {status}: a redirect, which is not followed")
    if status in (400, 401, 403, 404, 405, 410):
        return Rejected(text)
    return Overloaded(text) if status in TIMED_OUT else Unreachable(text)


def _said(body: bytes, text: str) -> SourceError | None:
    """What the body's error object means, where it is known to mean anything; `text` is what is logged of it."""
    try:
        refusals = _refusals.decode(body)
    except (ValueError, RecursionError):
        return None
    refusal = next(iter(refusals), None) if isinstance(refusals, list) else refusals
    if refusal is None:
        return None
    error = refusal.error or refusal
    said = meaning(error.code, error.words)
    if isinstance(said, TooWide):
        return said
    return None if type(said) is Unreachable else _made(type(said), text, error.message)


def _quote_ids(answers: Sequence[_Answer]) -> str:
    return _quote(", ".join(str(answer.id) for answer in answers).encode("utf-8", "replace"))


def _quote(body: bytes) -> str:
    text = " ".join(body[: 2 * _HEAD].decode("utf-8", "replace").split())
    return text if len(text) <= _HEAD else text[:_HEAD] + "..."
