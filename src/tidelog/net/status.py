"""A process's own status over HTTP: `/metrics`, `/livez`, `/readyz`; and how another process reads it.

For this machine only: there are no tokens here, so it listens on loopback or on a unix socket that nobody
else may open. A client elsewhere asks the API, which has tokens and shows the same.
"""

import asyncio
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp import web

from tidelog.errors import ConfigError, SourceError, TooLarge, Unreachable
from tidelog.telemetry import CONTENT_TYPE, Readiness, logger
from tidelog.telemetry.exposition import EXPOSITION_BYTES_MAX

UNIX = "unix:"
UNIX_PATH_MAX = 107  # bytes, what Linux has room for
BACKLOG = 16  # connections that may wait to be accepted: one scraper, a supervisor, a person
KEEP_ALIVE_S = 75.0  # above the usual interval of a scraper, so that it may keep its connection
SHUTDOWN_S = 1.0  # what an answer under way may take when the process ends
SCRAPE_S = 5.0  # half of the time that Prometheus gives a scrape, so that its own is still answered
METRICS_S = 4.0  # ... and less than that, so that a store that does not answer shows as an error and no time-out
SILENT = ("does not answer",)  # the reasons of a process that is not there
READINESS_BYTES_MAX = 64 * 1024  # reasons are a few sentences
HEAD_BYTES_MAX = 4_096  # of a request's line and each of its headers

_log = logger("status")


class TcpAddress(NamedTuple):
    host: str
    port: int


class UnixAddress(NamedTuple):
    path: str


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """An address as `127.0.0.1:9464`, `[::1]:9464`, `localhost:9464` or `unix:PATH`.

    Raises:
        ConfigError: it is none of these, or it is not of this machine alone.
    """
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path or "\0" in path or len(os.fsencode(path)) > UNIX_PATH_MAX:
            raise ConfigError(f"the status address {text!r} needs a path of 1 to {UNIX_PATH_MAX} bytes after unix:")
        return UnixAddress(path)
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (separator and host and port.isascii() and port.isdecimal() and int(port) < 65_536):
        raise ConfigError(f"the status address {text!r} is none: write 127.0.0.1:PORT or unix:PATH")
    if not _is_loopback(host):
        raise ConfigError(
            f"the status address {text!r} is not of this machine alone, and has no tokens: listen on 127.0.0.1 or "
            "unix:PATH, and let others ask the API's /metrics"
        )
    return TcpAddress(host, int(port))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@web.middleware
async def _for_this_machine(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A page in a browser, whose own name was made to point here, names itself in `Host`, and reads nothing."""
    host = request.host
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if not _is_loopback(name.lower()):
        raise web.HTTPForbidden(text="this server answers to the names of this machine alone\n")
    return await handler(request)


class StatusServer:
    """Serves the status of this process. An async context manager, or `start` and `close`.

    Args:
        address: see `parse_address`. A unix socket that a dead process left is replaced; port 0 takes any free one.
        metrics: gives the text of `/metrics`.
        ready: says whether the process is ready; must not wait for anything.
        metrics_s: seconds after which `/metrics` is answered with 503.
    """

    def __init__(
        self,
        address: str,
        *,
        metrics: Callable[[], Awaitable[bytes]],
        ready: Callable[[], Readiness],
        metrics_s: float = METRICS_S,
    ) -> None:
        self._parsed = parse_address(address)
        self._metrics = metrics
        self._ready = ready
        self._metrics_s = metrics_s
        self._runner: web.AppRunner | None = None
        self._inode: tuple[int, int] | None = None  # of our unix socket: another's is not ours to remove
        self._rendering = asyncio.Lock()  # however many ask, one answer is made at a time
        self.address = address  # once it listens: with the port that it has

    async def __aenter__(self) -> "StatusServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address is in use, or may not be listened on.
        """
        middlewares = [_for_this_machine] if isinstance(self._parsed, TcpAddress) else []
        application = web.Application(client_max_size=1, middlewares=middlewares)
        for path, handler in (("/metrics", self._show_metrics), ("/livez", self._live), ("/readyz", self._show_ready)):
            application.router.add_get(path, handler)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            shutdown_timeout=SHUTDOWN_S,
        )
        await self._runner.setup()
        try:
            listener = self._listen()
        except OSError as error:
            await self.close()
            raise ConfigError(f"cannot listen on the status address {self.address!r}: {_why(error)}") from None
        except ConfigError:
            await self.close()
            raise
        await web.SockSite(self._runner, listener, backlog=BACKLOG).start()
        _log.info("status_listening", address=self.address)

    async def close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._inode is not None and isinstance(self._parsed, UnixAddress):
            if _inode_of(self._parsed.path) == self._inode:
                os.unlink(self._parsed.path)
            self._inode = None

    def _listen(self) -> socket.socket:
        match self._parsed:
            case TcpAddress(host, port):
                listener = socket.create_server((host, port), family=_family_of(host))
                bound = listener.getsockname()
                self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
            case UnixAddress(path):
                _clear(path)
                listener = socket.socket(socket.AF_UNIX)
                try:
                    listener.bind(path)
                    os.chmod(path, 0o600)  # before it listens: until then nobody can connect
                except OSError:
                    listener.close()
                    raise
                self._inode = _inode_of(path)
        listener.setblocking(False)
        return listener

    async def _live(self, request: web.Request) -> web.Response:
        return _json({"live": True}, 200)

    async def _show_ready(self, request: web.Request) -> web.Response:
        readiness = self._ready()
        return _json(readiness, 200 if readiness.ready else 503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._metrics_s), self._rendering:
                text = await self._metrics()
        except TimeoutError:
            return web.Response(status=503, text=f"no metrics within {self._metrics_s:g} s\n")
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE})


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=status, content_type="application/json")


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _inode_of(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear(path: str) -> None:
    """Remove the socket that a dead process has left. ConfigError where it lives, or is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there and is no socket: give another path for the status address")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        else:
            raise ConfigError(f"{path} is in use by a process that runs: give another path for the status address")
    os.unlink(path)


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there"
    return error.strerror or type(error).__name__


class Answer(NamedTuple):
    status: int
    body: bytes


async def ask(address: str, path: str, *, timeout_s: float = SCRAPE_S, bytes_max: int = EXPOSITION_BYTES_MAX) -> Answer:
    """What a status server answers to a path, with any status.

    Raises:
        ConfigError: the address is none.
        Unreachable: no whole answer within the time.
        TooLarge: more than `bytes_max`.
    """
    parsed = parse_address(address)
    match parsed:
        case UnixAddress(socket_path):
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(path=socket_path)
            url = f"http://localhost{path}"
        case TcpAddress(host, port):
            connector = aiohttp.TCPConnector()
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            parts, size = [], 0
            async for chunk in response.content.iter_any():
                parts.append(chunk)
                size += len(chunk)
                if size > bytes_max:
                    raise TooLarge(f"more than {bytes_max} bytes", endpoint=address)
            return Answer(response.status, b"".join(parts))
    except TimeoutError:
        raise Unreachable(f"no answer within {timeout_s:g} s", endpoint=address) from None
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"no answer ({type(error).__name__})", endpoint=address) from None


async def ask_readiness(address: str, *, timeout_s: float) -> Readiness:
    """How a process on this machine is; not ready, where it does not answer."""
    try:
        answer = await ask(address, "/readyz", timeout_s=timeout_s, bytes_max=READINESS_BYTES_MAX)
        return msgspec.json.decode(answer.body, type=Readiness)
    except (SourceError, msgspec.DecodeError):
        return Readiness(ready=False, reasons=SILENT)


async def scrape(
    address: str,
    path: str = "/metrics",
    *,
    timeout_s: float = SCRAPE_S,
    bytes_max: int = EXPOSITION_BYTES_MAX,
) -> bytes:
    """The body of a good answer; Unreachable for any other, and what `ask` raises."""
    answer = await ask(address, path, timeout_s=timeout_s, bytes_max=bytes_max)
    if answer.status != 200:
        raise Unreachable(f"HTTP {answer.status}", endpoint=address)
    return answer.body
