"""Compression of whole answers, where the client accepts it: zstd, else gzip. Streams pass unchanged.

Cheap levels: a page of rows shrinks to a tenth within a millisecond or two, and better levels cost more time
than they save on a network. An answer can be many times larger, and takes seconds then, beside the event loop.
"""

import gzip
from functools import partial

import zstandard

from tidelog.api.http.asgi import Message, Scope, Send
from tidelog.runtime import Runtime

__all__ = ["Compressed", "chosen"]

WORTH_BYTES = 1_024  # below, the saving is less than a packet
APART_BYTES = 256 * 1024  # from here on in a thread: below, it takes a few ms, at most
ZSTD_LEVEL = 3
GZIP_LEVEL = 4
TEXT = (b"application/json", b"text/html", b"text/css", b"text/javascript", b"text/plain", b"application/openapi")
CODINGS = ("zstd", "gzip")


class Compressed:
    """A `send` that holds an answer's head back until its body shows whether it is one message."""

    def __init__(self, scope: Scope, send: Send, runtime: Runtime) -> None:
        accepted = b",".join([value for name, value in scope["headers"] if name == b"accept-encoding"])
        self._coding = chosen(accepted.decode("latin-1"))
        self._send = send
        self._runtime = runtime
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if not _is_text(message.get("headers", ())):
                await self._send(message)
            else:
                self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            await self._send(message)
            return
        headers = [*start.get("headers", ()), (b"vary", b"accept-encoding")]
        body: bytes = message.get("body", b"")
        encoded = any(name.lower() == b"content-encoding" for name, _ in headers)
        if self._coding and not message.get("more_body") and len(body) >= WORTH_BYTES and not encoded:
            compress = partial(_compress, self._coding, body)
            body = compress() if len(body) < APART_BYTES else await self._runtime.compute(compress)
            headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            headers.append((b"content-encoding", self._coding.encode()))
            message = {**message, "body": body}
        await self._send({**start, "headers": headers})
        await self._send(message)


def _is_text(headers: object) -> bool:
    assert isinstance(headers, list | tuple)
    return any(name.lower() == b"content-type" and value.startswith(TEXT) for name, value in headers)


def chosen(accepted: str) -> str | None:
    """The coding of an answer, of those that the client takes (RFC 9110, 12.5.3); None: as it is."""
    weights: dict[str, float] = {}
    for each in accepted.split(","):
        name, _, parameter = each.partition(";")
        weight = parameter.strip().removeprefix("q=") or "1"
        try:
            weights[name.strip().lower()] = float(weight)
        except ValueError:
            weights[name.strip().lower()] = 0.0
    other = weights.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, other))
    return best if weights.get(best, other) > 0 else None


def _compress(coding: str, body: bytes) -> bytes:
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
    return gzip.compress(body, GZIP_LEVEL, mtime=0)
