"""Tokens for Kraken's private channels: one signed REST call each. Neither key nor token is ever shown."""

import msgspec
from msgspec import Struct

from tidelog.config import EndpointUrl
from tidelog.errors import Rejected, Throttled, Unreachable
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey, token_body
from tidelog.net.http import HttpTransport
from tidelog.net.retry import retry_after
from tidelog.runtime import Runtime

REST_URL = "https://api.kraken.com"
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024  # a real one has 200
ERROR_CHARS_SHOWN = 120


class _Result(Struct):
    token: str


class _Answer(Struct):
    error: tuple[str, ...] = ()
    result: _Result | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class KrakenTokens:
    """Call it for a token; a feed does so at every connection.

    Raises:
        Unreachable, Throttled: there is none now.
        Rejected: the exchange does not accept the key.
    """

    def __init__(self, key: ApiKey, http: HttpTransport, runtime: Runtime, url: str = REST_URL) -> None:
        self._key = key
        self._http = http
        self._runtime = runtime
        self._url = EndpointUrl(url)
        self._nonce = 0

    async def __call__(self) -> str:
        self._nonce = max(self._nonce + 1, int(self._runtime.now() * 1_000_000))  # has to grow, across restarts too
        nonce = str(self._nonce)
        body = token_body(nonce)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            **self._key.headers(TOKEN_PATH, body, nonce),
        }
        url = self._url.reveal().rstrip("/") + TOKEN_PATH
        async with self._http.post(url, body.encode(), headers=headers, timeout_s=TIMEOUT_S) as response:
            after_s = retry_after(response.headers.get("retry-after"), now=self._runtime.now())
            answer = bytearray()
            async for chunk in response.chunks():
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    raise Rejected("an answer too long for a token", endpoint=self._url.name)
            if response.status != 200:
                text = f"HTTP {response.status} for a token{_words(bytes(answer))}"
                if response.status == 429 or (response.status == 503 and after_s is not None):
                    raise Throttled(text, endpoint=self._url.name, retry_after_s=after_s)
                raise Unreachable(text, endpoint=self._url.name)
        return self._read(bytes(answer))

    def _read(self, body: bytes) -> str:
        try:
            answer = _decode(body)
        except msgspec.DecodeError:
            raise Unreachable("an answer that is no token", endpoint=self._url.name) from None
        if answer.error:
            told = ", ".join(answer.error)[:ERROR_CHARS_SHOWN]
            kind = Throttled if "ate limit" in told else Rejected
            raise kind(f"no token: {told}", endpoint=self._url.name)
        if answer.result is None:
            raise Unreachable("an answer without a token", endpoint=self._url.name)
        return answer.result.token


def _words(body: bytes) -> str:
    """What the exchange says in an answer that is not 200: its errors, or a line of text; nothing of a page."""
    try:
        told = ", ".join(_decode(body).error)
    except msgspec.DecodeError:
        told = "" if body.lstrip().startswith(b"<") else body.decode("utf-8", "replace")
    line = " ".join(told.split())[:ERROR_CHARS_SHOWN]
    return f": {line}" if line and line.isprintable() else ""
