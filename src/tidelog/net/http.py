"""HTTP as a port: bytes out, a status, headers and a stream of chunks back. No JSON, no retries, no policy.

`HttpTransport` is the seam: `AioHttp` is the real one, the simulation brings its own. Limits on bodies,
JSON, error pages and retries are the business of the code above, so that they are tested over any transport.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp

from tidelog.errors import Overloaded, Unreachable
from tidelog.net.proxy import Proxies, shown

CHUNK_BYTES = 256 * 1024  # what one read hands over: large blocks in few turns, small enough to stop early
CONNECTIONS_PER_HOST = 64  # above the most requests that a pool keeps in flight to one endpoint


class HttpResponse(Protocol):
    """The head of an answer, and its body as it arrives."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header names in lower case."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed. Unreachable if it stops in the middle."""
        ...


class HttpTransport(Protocol):
    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send one POST. Redirects are not followed: they are answers.

        Leaving the context before the end of the body gives the connection up; so does cancelling it.

        Args:
            timeout_s: for everything up to the last byte of the body.

        Raises:
            Overloaded: no complete answer within the time-out.
            Unreachable: no connection, reset, or broken HTTP. No text holds the URL.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _AioResponse:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_chunked(CHUNK_BYTES):
            yield chunk


class AioHttp:
    """`HttpTransport` over aiohttp, with one pool of connections, through the environment's proxy where it names one.

    Raises:
        ConfigError: the environment's proxy is no address.
    """

    def __init__(self, proxies: Proxies | None = None) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies = proxies or Proxies(os.environ)

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AbstractAsyncContextManager[HttpResponse]:
        return self._asked("POST", url, body, headers, timeout_s)

    def get(
        self, url: str, *, headers: Mapping[str, str], timeout_s: float
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """As `post`, without a body."""
        return self._asked("GET", url, None, headers, timeout_s)

    @asynccontextmanager
    async def _asked(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        session, proxy = self._open(), self._proxies.of(url)
        through = "" if proxy is None else f" through the proxy {shown(proxy)}"
        if proxy is not None and not proxy.startswith("http"):
            raise Unreachable(f"no connection{through} (HTTP goes through http:// proxies only: set https_proxy)")
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=dict(headers),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
                proxy=proxy,
            ) as response:
                yield _AioResponse(response)
        except TimeoutError:
            raise Overloaded(f"no complete answer within {timeout_s:g} s{through}") from None
        except aiohttp.ClientHttpProxyError as error:
            raise Unreachable(f"no connection{through} (it says HTTP {error.status})") from None
        except aiohttp.ClientProxyConnectionError as error:
            raise Unreachable(f"no connection{through} ({error.os_error.strerror or type(error).__name__})") from None
        except aiohttp.InvalidURL:
            raise Unreachable("the URL is not valid") from None
        except aiohttp.ClientConnectorDNSError:
            raise Unreachable("the host name does not resolve") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unreachable("no connection (the TLS certificate is not trusted)") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"no connection ({error.os_error.strerror or type(error).__name__})") from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            # the text of these may quote the URL, and the URL may hold a key
            raise Unreachable(f"the connection broke ({type(error).__name__})") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
