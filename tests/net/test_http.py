"""The HTTP transport over real sockets: what it hands over, what it does not do, and how it fails."""

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

import pytest

from tests.patience import HANGS_S
from tests.sim.asking import full_node
from tidelog.errors import Unreachable
from tidelog.net.http import CHUNK_BYTES, AioHttp
from tidelog.sim.node.server import NodeServer

KEY = "CANARY-0123456789abcdef"
BODY = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def http() -> AsyncIterator[AioHttp]:
    transport = AioHttp()
    yield transport
    await transport.close()


@asynccontextmanager
async def serving(answer: bytes | Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request and plays the answer; the URL, with a key in it."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}/v2/{KEY}?token={KEY}"
    finally:
        server.close()
        await server.wait_closed()


async def post(http: AioHttp, url: str, *, timeout_s: float = HANGS_S) -> tuple[int, dict[str, str], list[bytes]]:
    async with http.post(url, BODY, headers={"content-type": "application/json"}, timeout_s=timeout_s) as response:
        return response.status, dict(response.headers), [chunk async for chunk in response.chunks()]


def response(head: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Too Many Requests", "502 Bad Gateway"])
async def test_any_status_comes_with_its_headers_and_body(http: AioHttp, status: str) -> None:
    async with serving(response(f"{status}\r\nRetry-After: 3\r\nX-Odd: yes", b"<html>")) as url:
        got, headers, chunks = await post(http, url)
    assert (got, chunks) == (int(status[:3]), [b"<html>"])
    assert (headers["retry-after"], headers["x-odd"]) == ("3", "yes")


async def test_redirects_are_not_followed(http: AioHttp) -> None:
    elsewhere = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal elsewhere
        elsewhere += 1

    async with serving(count) as other:
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            async with serving(response(f"{status}\r\nLocation: {other}")) as url:
                got, headers, _ = await post(http, url)
                assert (got, headers["location"]) == (int(status[:3]), other)
    assert elsewhere == 0


async def test_a_compressed_body_is_handed_over_plain(http: AioHttp) -> None:
    plain = b'{"result":"' + b"0" * 1_000_000 + b'"}'
    async with serving(response("200 OK\r\nContent-Encoding: gzip", gzip.compress(plain))) as url:
        _, _, chunks = await post(http, url)
    assert b"".join(chunks) == plain
    assert max(map(len, chunks)) <= CHUNK_BYTES


async def test_a_body_that_never_ends_can_be_left(http: AioHttp) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"8000\r\n" + b"0" * 32_768 + b"\r\n")
            await writer.drain()

    async with serving(endless) as url:
        read = 0
        async with http.post(url, BODY, headers={}, timeout_s=HANGS_S) as answer:
            async for chunk in answer.chunks():
                read += len(chunk)
                if read > 1_000_000:
                    break
        with pytest.raises(Unreachable, match=r"no complete answer within 0\.2 s"):
            await post(http, url, timeout_s=0.2)


TRAILERS_BYTES_MAX = 64 * 1024 * 1024  # far more than the sockets of both sides hold, whatever they grow to


async def test_trailers_without_end_are_refused(http: AioHttp) -> None:
    """They were kept for as long as the peer sent some, and it could send for as long as the time-out is."""
    sent = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        while sent <= TRAILERS_BYTES_MAX:
            line = f"x-{sent}: {'y' * 1_000}\r\n".encode()
            writer.write(line)
            sent += len(line)
            await writer.drain()

    async with serving(play) as url:
        with pytest.raises(Unreachable, match="the connection broke"):
            await post(http, url, timeout_s=HANGS_S)
    assert sent <= TRAILERS_BYTES_MAX


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"<html>not HTTP at all</html>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_answers_that_are_not_http_are_unreachable(http: AioHttp, answer: bytes) -> None:
    async with serving(answer) as url:
        with pytest.raises(Unreachable, match="the connection broke") as failure:
            await post(http, url)
    assert KEY not in f"{failure.value} {failure.value!r}"


async def test_a_reset_is_unreachable(http: AioHttp) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(reset) as url:
        with pytest.raises(Unreachable, match="the connection broke"):
            await post(http, url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://127.0.0.1:9/{KEY}", "no connection"),
        (f"http://no-such-host.invalid/{KEY}", "does not resolve"),
        (f"http://[/{KEY}", "not valid"),
        (f"ftp://host/{KEY}", "."),
    ],
)
async def test_connecting_where_nobody_answers_is_unreachable(http: AioHttp, url: str, says: str) -> None:
    with pytest.raises(Unreachable, match=says) as failure:
        await post(http, url)
    assert KEY not in f"{failure.value} {failure.value!r}"


async def test_untrusted_certificate_is_unreachable(http: AioHttp, tmp_path: Path) -> None:
    async with serving(response("200 OK"), tls=self_signed(tmp_path)) as url:
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            await post(http, url)


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate of its own, for localhost."""
    from datetime import datetime, timedelta

    x509 = pytest.importorskip("cryptography.x509", reason="a certificate is made by cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_connections_are_kept_and_closed(http: AioHttp) -> None:
    async with NodeServer(full_node()) as server:
        for _ in range(3):
            status, _, chunks = await post(http, server.url(f"v2/{KEY}"))
            assert status == 200
            assert json.loads(b"".join(chunks))["result"] == "0x14"
        await http.close()
        await http.close()
        assert (await post(http, server.url()))[0] == 200, "it opens again"


async def test_nothing_of_the_url_is_logged(http: AioHttp, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(response("500 Oops")) as url:
            await post(http, url)
        with pytest.raises(Unreachable):
            await post(http, f"http://127.0.0.1:9/{KEY}")
    assert KEY not in caplog.text
