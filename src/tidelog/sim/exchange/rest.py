"""A `SimExchange` behind the client's HTTP port, without a socket: where tokens for private channels are had."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tidelog.errors import Unreachable
from tidelog.net.http import HttpResponse
from tidelog.sim.answers import Answer, Ending
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.inprocess import PlayedResponse

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
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(0)  # a real transport never answers within the same turn
                answer = self.denial or self._exchange.post(urlsplit(url).path, headers, body)
                if answer.ending is Ending.RESET:
                    raise Unreachable("the connection broke (reset)")
                if answer.ending is Ending.STALL:
                    await asyncio.get_running_loop().create_future()
                yield PlayedResponse(answer)
        except TimeoutError:
            raise Unreachable(f"no complete answer within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Nothing is held open."""
