"""Lies in the HTTP answer: statuses, bodies, connections, envelopes and batches."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import msgspec
from msgspec.structs import replace

from tidelog.sim.node.answers import Answer, Ending
from tidelog.sim.node.chain.methods import LIMIT_EXCEEDED
from tidelog.sim.node.lies.lie import Exchange, on_reply

RETRY_AFTER_S = 1
ENDLESS_CHUNK = b"0x00" * 16_384
_PLAIN = (("content-type", "text/plain"),)
_HTML = (("content-type", "text/html"),)


@on_reply
def throttle(exchange: Exchange, answer: Answer) -> Answer:
    """429 with Retry-After in seconds."""
    return _throttled(str(RETRY_AFTER_S))


@on_reply
def throttle_date(exchange: Exchange, answer: Answer) -> Answer:
    """429 with Retry-After as an HTTP date."""
    return _throttled(formatdate(exchange.now + RETRY_AFTER_S, usegmt=True))


@on_reply
def throttle_silent(exchange: Exchange, answer: Answer) -> Answer:
    """429 that does not say for how long."""
    return _throttled(None)


@on_reply
def too_large(exchange: Exchange, answer: Answer) -> Answer:
    """413, as for a request that is too big."""
    return Answer(413, b"request entity too large", _PLAIN)


@on_reply
def bad_gateway(exchange: Exchange, answer: Answer) -> Answer:
    """502 with an HTML page."""
    return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", _HTML)


@on_reply
def html_200(exchange: Exchange, answer: Answer) -> Answer:
    """200 with an HTML page, as a captive portal gives it."""
    return Answer(200, b"<html><body>Please log in.</body></html>", _HTML)


@on_reply
def redirect(exchange: Exchange, answer: Answer) -> Answer:
    """307 to another place."""
    return Answer(307, b"", (("location", "http://127.0.0.1:9/"),))


@on_reply
def cut(exchange: Exchange, answer: Answer) -> Answer:
    """The body stops in the middle and the connection dies."""
    return replace(answer, body=answer.body[: len(answer.body) // 2], ending=Ending.CUT)


@on_reply
def truncated(exchange: Exchange, answer: Answer) -> Answer:
    """The body stops in the middle as if that were all: no valid JSON."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


@on_reply
def empty_body(exchange: Exchange, answer: Answer) -> Answer:
    """200 with nothing in it."""
    return replace(answer, body=b"")


@on_reply
def endless(exchange: Exchange, answer: Answer) -> Answer:
    """The body never ends."""
    return replace(answer, body=ENDLESS_CHUNK, ending=Ending.ENDLESS)


@on_reply
def reset(exchange: Exchange, answer: Answer) -> Answer:
    """The connection dies before any answer."""
    return replace(answer, body=b"", ending=Ending.RESET)


@on_reply
def stall(exchange: Exchange, answer: Answer) -> Answer:
    """No answer ever comes."""
    return replace(answer, body=b"", ending=Ending.STALL)


@on_reply
def stall_body(exchange: Exchange, answer: Answer) -> Answer:
    """The head of the answer comes, and nothing behind it."""
    return replace(answer, body=b"", ending=Ending.HANG)


@on_reply
def trickle(exchange: Exchange, answer: Answer) -> Answer:
    """The body comes one byte a second."""
    return replace(answer, ending=Ending.TRICKLE)


@on_reply
def id_wrong(exchange: Exchange, answer: Answer) -> Answer:
    """The answer has another id than the request."""
    return _rewritten(answer, lambda reply: {**reply, "id": 987_654_321})


@on_reply
def result_missing(exchange: Exchange, answer: Answer) -> Answer:
    """The answer has neither result nor error."""
    return _rewritten(answer, lambda reply: {"jsonrpc": "2.0", "id": reply["id"]})


@on_reply
def key_echoed(exchange: Exchange, answer: Answer) -> Answer:
    """An error whose text quotes the URL, with the key that is in it."""
    text = f"project behind {exchange.path} is over its quota"
    error = {"code": LIMIT_EXCEEDED, "message": text}
    return _rewritten(answer, lambda reply: {"jsonrpc": "2.0", "id": reply["id"], "error": error})


@on_reply
def batch_reordered(exchange: Exchange, answer: Answer) -> Answer:
    """A batch is answered in the other order, which the specification allows."""
    return _rebatched(answer, lambda replies: replies[::-1])


@on_reply
def batch_short(exchange: Exchange, answer: Answer) -> Answer:
    """A batch gets fewer answers than it has calls."""
    return _rebatched(answer, lambda replies: replies[:-1])


@on_reply
def batch_doubled(exchange: Exchange, answer: Answer) -> Answer:
    """A batch's first call is answered twice."""
    return _rebatched(answer, lambda replies: [replies[0], *replies])


@on_reply
def batch_refused(exchange: Exchange, answer: Answer) -> Answer:
    """A batch gets one error object, with null as its id."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batches are not supported"}}
    return _rebatched(answer, lambda _: error)


@on_reply
def method_refused_whole(exchange: Exchange, answer: Answer) -> Answer:
    """A request with eth_getBlockReceipts gets one error object and a 400, whatever else it asks for."""
    if b'"eth_getBlockReceipts"' not in exchange.body:
        return answer
    error = {"code": -32600, "message": "Unsupported method: eth_getBlockReceipts"}
    return Answer(400, msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": error}))


def _throttled(retry_after: str | None) -> Answer:
    headers = _PLAIN if retry_after is None else (*_PLAIN, ("retry-after", retry_after))
    return Answer(429, b"too many requests", headers)


def _rewritten(answer: Answer, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    replies = _replies(answer)
    if replies is None:
        return answer
    changed = [change(reply) for reply in replies] if isinstance(replies, list) else change(replies)
    return replace(answer, body=msgspec.json.encode(changed))


def _rebatched(answer: Answer, change: Callable[[list[Any]], Any]) -> Answer:
    replies = _replies(answer)
    if not isinstance(replies, list) or len(replies) < 2:
        return answer
    return replace(answer, body=msgspec.json.encode(change(replies)))


def _replies(answer: Answer) -> Any:
    """What a lie before this one has left of the JSON; None if it is none any more."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
