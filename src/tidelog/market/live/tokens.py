"""Tokens for private channels: one signed REST call each. Neither key nor token is ever shown."""

from tidelog.config import EndpointUrl
from tidelog.errors import Rejected, Throttled, Unreachable
from tidelog.market.venue import TokenKey
from tidelog.net.http import HttpTransport
from tidelog.net.retry_after import retry_after
from tidelog.runtime import Runtime

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024  # a real one has 200


class RestTokens:
    """Call it for a token; a feed does so at every connection.

    Raises:
        Unreachable, Throttled: no token can be had now.
        Rejected: the exchange does not accept the key.
    """

    def __init__(self, key: TokenKey, http: HttpTransport, runtime: Runtime, url: str) -> None:
        self._key = key
        self._http = http
        self._runtime = runtime
        self._url = EndpointUrl(url)
        self._nonce = 0

    async def __call__(self) -> str:
        self._nonce = max(self._nonce + 1, int(self._runtime.now() * 1_000_000))  # has to grow, across restarts too
        path, headers, body = self._key.token_call(str(self._nonce))
        url = self._url.reveal().rstrip("/") + path
        async with self._http.post(url, body, headers=headers, timeout_s=TIMEOUT_S) as response:
            after_s = retry_after(response.headers.get("retry-after"), now=self._runtime.now())
            answer = bytearray()
            async for chunk in response.chunks():
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    raise Rejected("an answer too long for a token", endpoint=self._url.name)
            if response.status != 200:
                text = f"HTTP {response.status} for a token{_told(self._key.words_of(bytes(answer)))}"
                if response.status == 429 or (response.status == 503 and after_s is not None):
                    raise Throttled(text, endpoint=self._url.name, retry_after_s=after_s)
                raise Unreachable(text, endpoint=self._url.name)
        return self._key.read_token(bytes(answer), self._url.name)


def _told(words: str) -> str:
    return f": {words}" if words else ""
