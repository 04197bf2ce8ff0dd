"""Who is let in: every route, with each kind of token and without one; the routes are those that the app has."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.routes import HTTPRoute, WebSocketRoute

from tests.api.served import Served, sqlite_url
from tests.command import until
from tidelog.api.access.guard import READ, scope_of
from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store, tokens
from tidelog.telemetry import ApiMetrics

DAY_MS = 86_400_000
OPEN = {"/livez", "/readyz"}  # the only routes that ask for no token: they say whether, and not why


class Keys:
    """The tokens of a store; each is also its own canary."""

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, name: str, *scopes: str, expires_at: int | None = None) -> str:
        async def work() -> str:
            store = await open_store(self.url, SystemRuntime())
            try:
                return await tokens.create(store, SystemRuntime(), name, scopes, expires_at)
            finally:
                await store.close()

        return asyncio.run(work())

    def revoke(self, name: str) -> None:
        async def work() -> None:
            store = await open_store(self.url, SystemRuntime())
            try:
                await tokens.revoke(store, SystemRuntime(), name)
            finally:
                await store.close()

        asyncio.run(work())


@pytest.fixture
def keys(url: str) -> Keys:
    asyncio.run(_migrated(url))
    return Keys(url)


@pytest.fixture
def own_keys(tmp_path: Path) -> Keys:
    """In a file: for what the backend has no part in."""
    url = sqlite_url(tmp_path)
    asyncio.run(_migrated(url))
    return Keys(url)


async def _migrated(url: str) -> None:
    await (await open_store(url, SystemRuntime())).close()


def routes() -> Iterator[tuple[str, str, str | None]]:
    """(method, an address, scope) of every route that answers HTTP."""
    backend: Any = Backend(None, SystemRuntime(), ApiOptions(), (), ApiMetrics())  # type: ignore[arg-type]
    for route in create_app(backend).routes:
        assert isinstance(route, HTTPRoute | WebSocketRoute), f"{route.path}: is a route of its kind guarded?"
        if isinstance(route, HTTPRoute):
            address = "/".join("1" if part.startswith("{") else part for part in route.path_format.split("/"))
            for method, (handler, _) in route.route_handler_map.items():
                yield method, address, scope_of(handler)


ROUTES = sorted(set(routes()), key=str)


def test_the_walk_finds_the_routes() -> None:
    found = {address for _, address, _ in ROUTES}
    assert {"/v1/chains", "/v1/chains/1/logs", "/v1/markets/1/book", "/docs", "/openapi.json"} <= found
    assert {address for _, address, scope in ROUTES if scope is None} <= OPEN


def test_every_route_asks_for_its_token(own_keys: Keys) -> None:
    tokens_of = {scope: own_keys.make(f"has-{scope}", scope) for scope in tokens.SCOPES}
    late = own_keys.make("late", *tokens.SCOPES, expires_at=int(SystemRuntime().now() * 1000) + 300)
    gone = own_keys.make("gone", *tokens.SCOPES)
    own_keys.revoke("gone")
    wrong = [
        None,
        "",
        "Bearer",
        f"Basic {tokens_of[READ]}",
        tokens_of[READ],
        f"Bearer {tokens_of[READ][:-1]}",
        f"Bearer {tokens_of[READ]}x",
        f"Bearer {gone}",
        f"Bearer {'x' * 5_000}",
        "Bearer \xff\xfe",
    ]
    with Served(own_keys.url) as api:
        until(lambda: api.ask("GET", "/v1/chains", headers=bearer(late)).status == 401, "the token to expire")
        for method, address, scope in ROUTES:
            if scope is None:
                continue
            for shown in wrong:
                headers = {} if shown is None else {"authorization": shown}
                reply = api.ask(method, address, headers=headers)
                assert reply.status == 401, (method, address, shown, reply)
                by_people = method == "GET" and address.startswith(("/docs", "/openapi.json"))
                assert reply.headers["www-authenticate"].startswith("Basic" if by_people else "Bearer")
                assert reply.error
            for other, token in tokens_of.items():
                reply = api.ask(method, address, headers=bearer(token))
                assert (reply.status == 403) == (other != scope), (method, address, other, reply)
                assert reply.status not in (401, 500), (method, address, reply)


def test_a_browser_shows_its_token_as_a_password(own_keys: Keys) -> None:
    token = own_keys.make("only", READ)

    def status(path: str, said: str) -> int:
        return api.ask("GET", path, headers={"authorization": f"Basic {b64encode(said.encode()).decode()}"}).status

    with Served(own_keys.url) as api:
        for said, answer in (
            (f":{token}", 200),
            (f"anybody:{token}", 200),
            (token, 401),
            (f"{token}:", 401),
            (f":{token}x", 401),
            (f":{token}:", 401),
            (":", 401),
            ("", 401),
        ):
            assert status("/docs", said) == status("/v1/chains", said) == answer, said
        assert status("/metrics", f":{token}") == 403


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_on_this_machine_tokens_are_optional_until_there_is_one(keys: Keys) -> None:
    with Served(keys.url, tokens_s=0.05) as api:
        assert api.get("/v1/chains").status == 200
        assert (
            api.ask("GET", "/v1/chains", headers=bearer("tl_" + "A" * 43)).status == 401
        )  # shown, so it has to be good
        token = keys.make("first", READ)
        until(lambda: api.get("/v1/chains").status == 401, "the server to see the token")
        assert api.ask("GET", "/v1/chains", headers=bearer(token)).status == 200
        keys.revoke("first")
        until(lambda: api.ask("GET", "/v1/chains", headers=bearer(token)).status == 401, "the token to be given up")
        assert api.get("/v1/chains").status == 401  # one that is revoked was one all the same


def test_on_other_addresses_tokens_are_needed_from_the_start(keys: Keys) -> None:
    with Served(keys.url, host="0.0.0.0", tokens_s=0.05) as api:
        assert api.get("/v1/chains").status == 401
        assert api.get("/docs").status == 401
        token = keys.make("first", READ)
        until(lambda: api.ask("GET", "/docs", headers=bearer(token)).status == 200, "the server to see the token")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/v1/chains/1/logs", {"content-type": "application/json"}, b"{" * 200_000),
        ("POST", "/v1/chains/1/logs", {"content-type": "application/json"}, b"\xff\xfe"),
        ("POST", "/v1/chains/1/logs", {"content-type": "application/json"}, b" " * 400_000),
        ("GET", "/v1/chains/%ff%00/blocks", {}, None),
        ("GET", "/v1/chains/1/blocks?" + "x" * 9_000, {}, None),
        ("GET", "/v1/markets/" + "%2F" * 500 + "/book", {}, None),
    ],
)
def test_malformed_requests_without_a_token_are_unauthorized(
    own_keys: Keys, method: str, path: str, headers: dict[str, str], body: bytes | None
) -> None:
    token = own_keys.make("only", READ)
    with Served(own_keys.url) as api:
        assert api.ask(method, path, headers=headers, body=body).status == 401
        reply = api.ask(method, path, headers=headers | bearer(token), body=body)
        assert 400 <= reply.status < 500, reply
        assert reply.error


def test_no_token_shows_anywhere(own_keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    """In no answer, log line or metric: neither one that is good, nor one that somebody has mistyped."""
    good, bad = own_keys.make("canary", READ), "tl_" + "Canary" * 7 + "x"
    seen: list[str] = []
    with Served(own_keys.url) as api:
        for token in (good, bad):
            for method, address, _ in ROUTES:
                for path in (address, f"{address}?token={token}", f"{address}/{token}", f"{address}?{token}=1"):
                    reply = api.ask(method, path, headers=bearer(token) | {"x-api-key": token})
                    seen.append(f"{reply.headers} {reply.body!r}" if path == address else "")
        seen += [str(sample) for metric in api.metrics.registry.collect() for sample in metric.samples]
    printed = capsys.readouterr()
    text = "\n".join([*seen, printed.out, printed.err])
    for token in (good, bad):
        assert token not in text
