"""A `SimExchange` behind the client's HTTP port, without a socket: where tokens for private channels are had."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tidelog.net.http import HttpResponse
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.node.answers import Answer, Ending
from tidelog.sim.node.inprocess import played

_TOKENLESS = b'{"error":["%b"]}'
DENIALS: dict[str, Answer] = {  # that a request for a token may get
    "http_429": Answer(429, b"slow down"),
    "http_502": Answer(502, b"<html>bad gateway</html>", (("content-type", "text/html"),)),
    "rate_limited": Answer(200, _TOKENLESS % b"EAPI:Rate limit exceeded"),
    "unavailable": Answer(200, _TOKENLESS % b"EService:Unavailable"),
    "empty": Answer(200, b'{"error":[]}'),
    "no_json": Answer(200, b"<html>"),
    "cut": Answer(200, b'{"error":[],"result":{"tok', ending=Ending.CUT),
    "reset": Answer(503, b"", ending=Ending.RESET),
    "stalled": Answer(200, b"", ending=Ending.STALL),
}


class ExchangeRest:
    """`HttpTransport` to an exchange in the same process."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self.denial: Answer | None = None  # to every request, instead of the true answer

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        def answer() -> Answer:
            return self.denial or self._exchange.post(urlsplit(url).path, headers, body)

        async with played(answer, timeout_s) as response:
            yield response

    async def close(self) -> None:
        """Nothing is kept open."""
