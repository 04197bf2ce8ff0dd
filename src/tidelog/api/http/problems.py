"""Errors as clients see them: one shape, `{"error": {"code", "message"}}`, for everything that is refused.

A message is one sentence for a person: what is wrong, where, what to do. It never carries what the server
alone knows: paths, statements, stack traces. What is a fault of ours is logged, and answered as "internal".
"""

import re
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from tidelog.api.http.damage import DamagedBlock, sentence
from tidelog.errors import Busy, ConfigError, StoreError, TimedOut
from tidelog.telemetry import logger

__all__ = [
    "EXCEPTION_HANDLERS",
    "FAULT",
    "Error",
    "ErrorAnswer",
    "Refused",
    "body_of",
    "problem",
    "read_body",
    "trace_of",
]

T = TypeVar("T")

FAULT = "a fault in tidelog: its log says more"
CLOSE_OF_STATUS = 4_000  # what a WebSocket closes with, and the status: codes of applications begin there
RETRY_AFTER_S = 1  # of a 503: a database that restarts is back within a few

# status -> code; clients compare codes, people read messages
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal",
    503: "unavailable",
    504: "timed_out",
}

_log = logger("api")


class Error(Struct, frozen=True):
    """What went wrong."""

    code: str  # stays the same: compare this
    message: str  # for people


class ErrorAnswer(Struct, frozen=True):
    """The answer to every request that is refused, or fails."""

    error: Error


class Refused(HTTPException):
    """A request that gets no answer but this one. On a WebSocket it is a close with CLOSE_OF_STATUS + status."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail=message, status_code=status, headers=dict(headers or {}))
        self.message = message


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response[ErrorAnswer]:
    """The answer to a request that is refused."""
    return Response(
        ErrorAnswer(Error(CODES.get(status, "error"), message)),
        status_code=status,
        media_type=MediaType.JSON,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def read_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A request's body as its type, strictly: "1" is no number, and 0 is not false. Refused for what is not."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refused(400, f"body: {_plain(_one_line(str(error)))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(400, "body: this is no JSON document") from None


def _plain(message: str) -> str:
    """Text where one of a few words may stand is a number in quotes, most of the time."""
    found = _NO_SUCH_WORD.fullmatch(message)
    if found is None:
        return message
    return f"{found[2]}: {found[1][:80]} is not among what it may be; a number has no quotes, and is decimal"


_NO_SUCH_WORD = re.compile(r"Invalid enum value (.*) - at `\$\.(\w+)`")


def body_of(status: int, message: str) -> bytes:
    """The same as bytes, for where no application answers."""
    return msgspec.json.encode(ErrorAnswer(Error(CODES.get(status, "error"), message)))


def _refused(request: Request[Any, Any, Any], error: Refused) -> Response[ErrorAnswer]:
    return problem(error.status_code, error.message, error.headers)


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorAnswer]:
    """What Litestar refuses: unknown routes, other methods, parameters of another shape."""
    status = error.status_code
    if status == 500 and error.detail == _LEFT:
        return problem(
            400, "the client left before its request was whole"
        )  # not a fault, and the client does not read this
    if status >= 500 or status not in CODES:
        return _fault(request, error)
    allowed = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(error, ValidationException):
        return problem(400, _shape_sentence(request, error))
    if status == 413:
        return problem(413, f"the body is longer than {request.app.state.backend.options.body_bytes_max} bytes")
    return problem(status, _SENTENCES.get(status) or _one_line(error.detail), allowed)


_LEFT = "client disconnected prematurely"  # so Litestar says it, as a fault of the server
_SENTENCES = {
    404: "there is no such route: /openapi.json lists all of them",
    405: "this route does not take that method",
}


def _shape_sentence(request: Request[Any, Any, Any], error: ValidationException) -> str:
    """Which parameter is wrong, and how. `extra` is a list of {message, key, source}."""
    extra = error.extra if isinstance(error.extra, list) else []
    parts = [f"{_name(each)}: {_wrong(request, each)}" for each in extra if isinstance(each, dict)]
    if not parts and (missing := _MISSING.match(error.detail)):
        return f"{missing[1].rstrip('_')}: this route needs it, and it is not given"
    return "; ".join(parts) or "the request does not have the shape that this route takes"


_MISSING = re.compile(r"Missing required \w+ parameter '(\w+)'")  # so Litestar says it, and nothing in `extra`


def _wrong(request: Request[Any, Any, Any], each: dict[Any, Any]) -> str:
    """In our words, where the decoder's are a regular expression or a type of Python's."""
    message = _one_line(str(each.get("message")))
    if message == "Expected `int`, got `str`":
        return "give a whole number"
    if "matching regex" not in message:
        return message
    field = request.scope["route_handler"].parsed_fn_signature.parameters.get(str(each.get("key")))
    meant = getattr(field and field.kwarg_definition, "description", None) or "something else"
    return f"this is not what it has to be: {meant[0].lower()}{meant[1:].rstrip('.')}"


def _name(each: dict[Any, Any]) -> str:
    """As the client wrote it: `from` is a word of Python's, so that its argument is `from_`."""
    return str(each.get("key") or each.get("source") or "request").rstrip("_")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _timed_out(request: Request[Any, Any, Any], error: TimedOut) -> Response[ErrorAnswer]:
    return problem(504, "the read took longer than it may: ask for less at once")


def _busy(request: Request[Any, Any, Any], error: Busy) -> Response[ErrorAnswer]:
    return problem(503, "the store is not available now: try again", {"retry-after": str(RETRY_AFTER_S)})


def _store(request: Request[Any, Any, Any], error: StoreError) -> Response[ErrorAnswer]:
    _log.error("store_failed", error=str(error))
    return problem(503, "the store cannot answer", {"retry-after": str(RETRY_AFTER_S)})


def _damaged(request: Request[Any, Any, Any], error: DamagedBlock) -> Response[ErrorAnswer]:
    _log.error("block_damaged", chain=error.chain_id, block=error.number, error=str(error))
    return problem(500, sentence(error))


def _too_deep(request: Request[Any, Any, Any], error: RecursionError) -> Response[ErrorAnswer]:
    return problem(400, "the body is nested too deeply")


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorAnswer]:
    """A mistake of ours: the log has it, the client learns that it is one."""
    _log.error("request_failed", route=_route(request), error=type(error).__name__, trace=trace_of(error))
    return problem(500, FAULT)


def trace_of(error: Exception) -> str:
    """For the log. As text: a renderer would show what variables hold."""
    return "".join(traceback.format_exception(error))


def _route(request: Request[Any, Any, Any]) -> str:
    handler = request.scope.get("path_template")
    return str(handler) if handler else "none"


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[..., Response[ErrorAnswer]]] = {
    Refused: _refused,
    HTTPException: _http,
    TimedOut: _timed_out,
    Busy: _busy,
    DamagedBlock: _damaged,
    StoreError: _store,
    RecursionError: _too_deep,
    ConfigError: _fault,
    Exception: _fault,
}
