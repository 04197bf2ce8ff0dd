"""An API at an address answers `tidelog top`."""

from tidelog.errors import TooLarge
from tidelog.net.http import AioHttp
from tidelog.tui.asking import Reply

__all__ = ["HttpAnswers"]

ANSWER_BYTES_MAX = 64 * 1024 * 1024  # of one answer: a block in full is some 20 MB
JSON = {"content-type": "application/json"}


class HttpAnswers:
    """An API at an address.

    Args:
        token: is sent with every question, and to nobody else: redirects are not followed.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if not token else {"authorization": f"Bearer {token}"}
        self._http = AioHttp()

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        if body is None:
            asked = self._http.get(self._url + path, headers=self._headers, timeout_s=timeout_s)
        else:
            asked = self._http.post(self._url + path, body, headers=self._headers | JSON, timeout_s=timeout_s)
        async with asked as response:
            content = bytearray()
            async for chunk in response.chunks():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise TooLarge(f"an answer has more than {ANSWER_BYTES_MAX} bytes")
            return Reply(response.status, bytes(content))

    async def close(self) -> None:
        await self._http.close()
