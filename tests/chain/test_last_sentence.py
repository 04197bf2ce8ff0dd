"""A run with an end ends soon, and its last sentence is the cause: endpoint, block, and the peer's own words."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chain.rig import Rig, a_node, replicas
from tests.virtual import VirtualRuntime, virtually
from tidelog.errors import TidelogError
from tidelog.net.http import HttpResponse
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

SECONDS = 30.0  # in which a run ends that nobody can help


class _Response:
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.headers, self._body = status, dict[str, str](), body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class SaysHttp:
    """The rig's transport; `says` may answer a request in the node's place."""

    def __init__(self, inner: Any, says: Callable[[list[dict[str, Any]]], tuple[int, bytes] | None]) -> None:
        self._inner = inner
        self._says = says

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        calls = msgspec.json.decode(body)
        said = self._says(calls if isinstance(calls, list) else [calls])
        if said is not None:
            yield _Response(*said)
            return
        async with self._inner.post(url, body, headers=headers, timeout_s=timeout_s) as response:
            yield response

    async def close(self) -> None:
        await self._inner.close()


def always(status: int, body: bytes) -> Callable[[list[dict[str, Any]]], tuple[int, bytes] | None]:
    return lambda calls: (status, body)


def receipts_fail(message: str) -> Callable[[list[dict[str, Any]]], tuple[int, bytes] | None]:
    """Whatever asks for receipts of blocks 3 and up fails, alone or in a batch."""

    def says(calls: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        if not any("Receipt" in call["method"] for call in calls):
            return None
        answers = [{"jsonrpc": "2.0", "id": c["id"], "error": {"code": -32000, "message": message}} for c in calls]
        return 200, msgspec.json.encode(answers if len(answers) > 1 else answers[0])

    return says


def ended(path: Path, node: SimNode, prepare: Callable[[Rig], object], **options: Any) -> tuple[str, float]:
    """The last sentence of a run, and when it came."""

    async def main() -> tuple[str, float]:
        runtime = VirtualRuntime()
        store = await open_store(f"sqlite:///{path}/chain.db", runtime)
        try:
            r = Rig(store, node, runtime, replicas(len(node.replicas)))
            prepare(r)
            with pytest.raises(TidelogError) as failure:
                await r.sync(**options).run()
            return str(failure.value), runtime.monotonic()
        finally:
            await store.close()

    return virtually(main())


def says(http: Callable[[list[dict[str, Any]]], tuple[int, bytes] | None]) -> Callable[[Rig], object]:
    def prepare(r: Rig) -> None:
        r.http = SaysHttp(r.http, http)  # type: ignore[assignment]

    return prepare


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"error":"Must be authenticated!"}', "HTTP 401: "),
        (403, b"Forbidden: the key has expired", "HTTP 403: Forbidden: the key has expired"),
        (404, b"no such project", "HTTP 404: no such project"),
        (200, b'{"error":"Too many requests"}', "Too many requests"),
    ],
)
def test_a_wrong_key_is_the_cause_in_the_last_sentence(tmp_path: Path, status: int, body: bytes, words: str) -> None:
    sentence, seconds = ended(tmp_path, a_node(20), says(always(status, body)))
    assert "http://replica-0: " in sentence
    assert words in sentence
    assert seconds < SECONDS


def test_a_head_that_does_not_hash_is_the_cause_in_the_last_sentence(tmp_path: Path) -> None:
    node = a_node(20)
    sentence, seconds = ended(tmp_path, node, lambda r: node.tell("hash_wrong"))
    assert sentence.startswith("http://replica-0: ")
    assert "does not hash to its hash" in sentence
    assert seconds < SECONDS


def test_receipts_that_no_endpoint_has_are_the_cause_in_the_last_sentence(tmp_path: Path) -> None:
    sentence, seconds = ended(tmp_path, a_node(20), says(receipts_fail("missing block body or receipts")))
    assert "http://replica-0: " in sentence
    assert "missing block body or receipts" in sentence
    assert seconds < 60 + 10, "as long as the run may go without progress, and no longer"


@pytest.mark.parametrize("lie", ["receipts_null", "receipts_empty"])
def test_pruned_receipts_are_the_cause_in_the_last_sentence(tmp_path: Path, lie: str) -> None:
    node = a_node(20)

    def prepare(r: Rig) -> None:
        node.tell(lie)
        node.tell("receipt_null")

    sentence, seconds = ended(tmp_path, node, prepare)
    assert "replica-0" in sentence
    assert seconds < SECONDS


def test_each_of_two_endpoints_is_quoted_in_the_last_sentence(tmp_path: Path) -> None:
    node = a_node(20, replicas=2)

    def prepare(r: Rig) -> None:
        node.tell("html_200", replica=0)
        r.http.down.add("replica-1")

    sentence, seconds = ended(tmp_path, node, prepare)
    assert "http://replica-0: no JSON-RPC answer" in sentence
    assert "http://replica-1: no connection (refused)" in sentence
    assert seconds < SECONDS
