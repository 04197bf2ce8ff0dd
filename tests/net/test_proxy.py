"""Proxies of the environment: which one a URL goes through, and that both transports do go through it."""

import asyncio
import re

import pytest

from tests.net.proxying import small_proxy
from tests.net.test_http import post, response
from tests.net.test_http import serving as serving_http
from tests.net.test_websocket import TEXT, frame, handshake
from tests.net.test_websocket import serving as serving_socket
from tests.patience import HANGS_S
from tidelog.errors import ConfigError, SourceError, Unreachable
from tidelog.net.http import AioHttp
from tidelog.net.proxy import Proxies, shown
from tidelog.net.websocket import PicoWebSocket

A, B = "http://a:1", "http://b:2"


@pytest.mark.parametrize(
    # the environment                                    a URL                     goes through
    ("environment", "url", "proxy"),
    [
        ({}, "https://x.org", None),
        ({"HTTPS_PROXY": A}, "https://x.org/path", A),
        ({"HTTPS_PROXY": A}, "wss://x.org/v2", A),
        ({"HTTPS_PROXY": A}, "http://x.org", None),
        ({"HTTP_PROXY": A}, "ws://x.org", A),
        ({"http_proxy": A, "HTTP_PROXY": B}, "http://x.org", A),
        ({"ALL_PROXY": A}, "wss://x.org", A),
        ({"ALL_PROXY": A, "HTTPS_PROXY": B}, "wss://x.org", B),
        ({"ALL_PROXY": "socks5://s:1080"}, "wss://x.org", "socks5://s:1080"),
        ({"HTTPS_PROXY": "a:1"}, "https://x.org", A),
        ({"HTTPS_PROXY": ""}, "https://x.org", None),
        ({"HTTPS_PROXY": A, "NO_PROXY": "*"}, "https://x.org", None),
        ({"HTTPS_PROXY": A, "NO_PROXY": "y.org, x.org"}, "https://x.org", None),
        ({"HTTPS_PROXY": A, "no_proxy": ".x.org"}, "https://api.x.org", None),
        ({"HTTPS_PROXY": A, "no_proxy": "*.x.org"}, "https://API.X.org", None),
        ({"HTTPS_PROXY": A, "no_proxy": "x.org"}, "https://notx.org", A),
        ({"HTTPS_PROXY": A, "no_proxy": "x.org:443"}, "https://x.org", None),
        ({"HTTPS_PROXY": A, "no_proxy": "x.org:444"}, "https://x.org", A),
        ({"HTTPS_PROXY": A, "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": A, "no_proxy": "10.0.0.0/8"}, "https://11.1.2.3", A),
        ({"HTTPS_PROXY": A, "no_proxy": "10.1.2.3"}, "https://10.1.2.3:99", None),
        ({"HTTPS_PROXY": A, "no_proxy": "fd00::/8"}, "https://[fd00::1]", None),
        ({"ALL_PROXY": A}, "http://127.0.0.1:8545", None),
        ({"ALL_PROXY": A}, "ws://localhost:8545", None),
        ({"ALL_PROXY": A}, "http://[::1]:8545", None),
        ({"ALL_PROXY": A}, "https://x.org:port", None),
    ],
)
def test_which_proxy_a_url_goes_through(environment: dict[str, str], url: str, proxy: str | None) -> None:
    assert Proxies(environment).of(url) == proxy


@pytest.mark.parametrize("value", ["ftp://a:1", "http://?", "http://a:port", "http://[::1", "http://a:99999"])
def test_malformed_proxy_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="the environment's HTTPS_PROXY is no address of a proxy") as failure:
        Proxies({"HTTPS_PROXY": value})
    assert value not in str(failure.value)


def test_a_proxy_is_shown_without_its_credentials() -> None:
    assert shown("http://user:CANARY@proxy.org:3128") == "proxy.org:3128"


async def test_a_websocket_goes_through_the_proxy() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        writer.write(frame(TEXT, b"one"))
        await reader.read()

    async with small_proxy() as proxy, serving_socket(serve) as url:
        with_password = proxy.url.replace("//", "//user:p%40ss@")
        socket = await PicoWebSocket(Proxies({"ALL_PROXY": with_password})).connect(_elsewhere(url), timeout_s=HANGS_S)
        assert await asyncio.wait_for(socket.receive(), HANGS_S) == b"one"
        await socket.close()
        assert re.fullmatch(r"CONNECT exchange\.test:\d+ HTTP/1\.1", proxy.asked[0])
        assert proxy.credentials == ["user:p@ss"]


async def test_http_goes_through_the_proxy() -> None:
    async with small_proxy() as proxy, serving_http(response("200 OK", b"{}")) as url:
        http = AioHttp(Proxies({"HTTP_PROXY": proxy.url.replace("//", "//user:pass@")}))
        try:
            assert (await post(http, _elsewhere(url)))[0] == 200
        finally:
            await http.close()
        assert proxy.asked[0].startswith("POST http://exchange.test:")
        assert proxy.credentials == ["user:pass"]


async def test_hosts_in_no_proxy_are_reached_directly() -> None:
    async with small_proxy() as proxy, serving_http(response("200 OK", b"{}")) as url:
        http = AioHttp(Proxies({"HTTP_PROXY": proxy.url, "NO_PROXY": "exchange.test"}))
        try:
            with pytest.raises(Unreachable, match="does not resolve"):
                await post(http, _elsewhere(url))
        finally:
            await http.close()
        assert proxy.asked == []


@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_is_named_and_its_password_is_not_shown(refusal: str) -> None:
    async with small_proxy() as proxy:
        proxy.refusal = refusal
        proxies = Proxies({"ALL_PROXY": proxy.url.replace("//", "//user:CANARY@")})
        at = proxy.url.removeprefix("http://")
        with pytest.raises(SourceError, match=f"through the proxy {at} .*{refusal[:3]}") as failure:
            await PicoWebSocket(proxies).connect("ws://exchange.test/v2", timeout_s=HANGS_S)
        assert "CANARY" not in str(failure.value)
        http = AioHttp(proxies)
        try:
            status, _, _ = await post(http, "http://node.test/")  # plain HTTP: the proxy's answer is the answer
            assert status == int(refusal[:3])
            with pytest.raises(Unreachable, match=f"through the proxy {at} .*{refusal[:3]}") as failure:
                await post(http, "https://node.test/")
            assert "CANARY" not in str(failure.value)
        finally:
            await http.close()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://user:CANARY@127.0.0.1:9"])
async def test_a_proxy_that_is_not_there_is_named(proxy: str) -> None:
    proxies = Proxies({"ALL_PROXY": proxy})
    with pytest.raises(Unreachable, match=r"through the proxy 127\.0\.0\.1:9") as failure:
        await PicoWebSocket(proxies).connect("ws://exchange.test/v2", timeout_s=HANGS_S)
    assert "CANARY" not in str(failure.value)
    http = AioHttp(proxies)
    try:
        with pytest.raises(Unreachable, match=r"through the proxy 127\.0\.0\.1:9") as failure:
            await post(http, "http://node.test/")
        assert "CANARY" not in str(failure.value)
    finally:
        await http.close()


async def test_http_through_socks_is_refused_with_what_to_do() -> None:
    http = AioHttp(Proxies({"ALL_PROXY": "socks5://127.0.0.1:1080"}))
    with pytest.raises(Unreachable, match="set https_proxy"):
        await post(http, "https://node.test/")
    await http.close()


def _elsewhere(url: str) -> str:
    """The URL by a name that only the proxy resolves."""
    return url.replace("127.0.0.1", "exchange.test")
