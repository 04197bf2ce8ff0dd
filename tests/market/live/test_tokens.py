"""Tokens: the call is signed as the exchange wants it, and whatever is answered is a token or a named error."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest

from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey
from tidelog.market.live.tokens import RestTokens
from tidelog.net.http import HttpResponse
from tidelog.runtime import SystemRuntime

KEY = ApiKey("key", "c2VjcmV0")
GOOD = b'{"error":[],"result":{"token":"T0","expires":900}}'


class Rest:
    """`HttpTransport` with one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.body = body
        self.calls: list[tuple[str, str, Mapping[str, str]]] = []

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        self.calls.append((url, body.decode(), headers))
        yield self

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 7):
            yield self.body[start : start + 7]

    async def close(self) -> None:
        pass


async def test_token_call_is_signed_and_its_nonce_grows() -> None:
    rest = Rest(200, GOOD)
    tokens = RestTokens(KEY, rest, SystemRuntime(), "https://api.example")
    assert [await tokens(), await tokens()] == ["T0", "T0"]
    nonces = []
    for url, body, headers in rest.calls:
        (nonce,) = parse_qs(body)["nonce"]
        nonces.append(int(nonce))
        assert url == "https://api.example" + TOKEN_PATH
        assert headers["API-Sign"] == KEY.sign(TOKEN_PATH, body, nonce)
        assert headers["API-Key"] == "key"
    assert nonces[0] < nonces[1]


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (429, b"", Throttled, "HTTP 429"),
        (502, b"<html>", Unreachable, "HTTP 502"),
        (200, b"<html>", Unreachable, "no token"),
        (200, b'{"error":[]}', Unreachable, "without a token"),
        (200, b'{"error":["EAPI:Invalid key"]}', Rejected, "EAPI:Invalid key"),
        (200, b'{"error":["EAPI:Rate limit exceeded"]}', Throttled, "Rate limit"),
        (200, b"[" * 100_000, Rejected, "too long"),
    ],
)
async def test_answers_without_a_token_are_named_errors(
    status: int, body: bytes, kind: type[SourceError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        await RestTokens(KEY, Rest(status, body), SystemRuntime(), "https://api.example")()
