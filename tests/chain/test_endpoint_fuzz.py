"""Every answer of a second endpoint is anything at all, beside an honest one: the sync completes, and nothing but
tidelog's own errors leaves an endpoint.

Whole bodies, results inside right envelopes, and fields inside right results are replaced, from a seed.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import CHAIN_ID, Rig, WatchedHttp, a_node, replicas
from tests.virtual import VirtualRuntime, virtually
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.source.client import Endpoint
from tidelog.chain.verify import Rules, verify_blocks
from tidelog.config import EndpointUrl
from tidelog.errors import ProofFailure, SourceError
from tidelog.net.http import HttpResponse
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics, diverted_logs

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**53, 2**64, 10**400, "", "0x", "0x0", "0x-1", "0xzz", "0x" + "f" * 5_000, "latest",
    "0x" + "0" * 100_000, "\ud83d\ude00" * 1_000, "a" * 100_000, [], {}, [[]], [None], {"a": None}, [{}] * 200,
]  # fmt: skip
NESTED = b"[" * 100_000 + b"]" * 100_000
RAW = [b"", b"null", b"\xff\xfe", b'"', b"{" * 50_000, NESTED, b'{"jsonrpc":"2.0","id":1,"result":' + NESTED + b"}"]
HUGE_NUMBER = "9" * 5_000  # more digits than Python makes a number of


def odd(rng: random.Random, depth: int = 0) -> Any:
    """A value of any kind."""
    if depth < 3 and rng.random() < 0.3:
        size = rng.randint(0, 4)
        if rng.random() < 0.5:
            return [odd(rng, depth + 1) for _ in range(size)]
        return {
            rng.choice(("hash", "number", "error", "code", "message", "x")): odd(rng, depth + 1) for _ in range(size)
        }
    return rng.choice(ODD)


def changed(rng: random.Random, value: Any) -> Any:
    """The value with something of it replaced, at a random place."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(sorted(value))
        return {**value, name: changed(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], changed(rng, value[place]), *value[place + 1 :]]
    return odd(rng)


class _Response:
    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status, self.headers, self._body = status, headers, body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class FuzzedHttp:
    """The rig's transport; what replica 1 answers is changed."""

    def __init__(self, inner: Any, seed: int) -> None:
        self._inner = inner
        self._rng = random.Random(seed)
        self.changed = 0

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        async with self._inner.post(url, body, headers=headers, timeout_s=timeout_s) as response:
            if "replica-1" not in url or self._rng.random() < 0.3:  # now and then it is honest, and comes back
                yield response
                return
            truth = b"".join([chunk async for chunk in response.chunks()])
            self.changed += 1
            status = self._rng.choice((200, 200, 200, 200, 400, 401, 429, 500, 503))
            said = {"retry-after": self._rng.choice(("1", "x", "-1", "9" * 50, ""))} if status in (429, 503) else {}
            yield _Response(status, self._lied(truth), said)

    def _lied(self, truth: bytes) -> bytes:
        kind = self._rng.random()
        if kind < 0.15:
            return self._rng.choice(RAW)
        if kind < 0.25:
            return truth[: self._rng.randrange(len(truth) + 1)]
        if kind < 0.35:
            return json.dumps(odd(self._rng)).encode()
        answers = json.loads(truth)
        for answer in answers if isinstance(answers, list) else [answers]:
            if self._rng.random() < 0.7 and "result" in answer:
                answer["result"] = changed(self._rng, answer["result"])
        if kind < 0.5:
            answers = changed(self._rng, answers)
        text = json.dumps(answers)
        return (text.replace(str(2**53), HUGE_NUMBER) if kind < 0.8 else text).encode()

    async def close(self) -> None:
        await self._inner.close()


@pytest.mark.parametrize("seed", range(4))
def test_only_errors_of_tidelogs_own_leave_an_endpoint(seed: int) -> None:
    """Every question that the engine asks, a hundred times, up to the proof of whole blocks."""

    async def main() -> None:
        node, runtime, metrics = a_node(20, replicas=2, seed=seed), VirtualRuntime(seed=seed), ChainMetrics()
        http = FuzzedHttp(WatchedHttp(node, runtime), seed)
        endpoint = Endpoint(EndpointUrl("http://replica-1"), http, runtime, metrics)
        rules = Rules(CHAIN_ID, PROFILES[CHAIN_ID], senders=True)
        head = node.chain.head

        async def proven() -> None:
            for key, raw in zip((7, 8), await endpoint.bundles([7, 8]), strict=True):
                if not isinstance(raw, SourceError):
                    verify_blocks([raw], [key], rules, range_first=None, endpoint="e", now_ms=0)
                    verify_blocks([await endpoint.singly(raw)], [key], rules, range_first=None, endpoint="e", now_ms=0)

        questions: list[Callable[[], Awaitable[object]]] = [
            endpoint.chain_id,
            endpoint.heads,
            lambda: endpoint.header_by_number(7),
            lambda: endpoint.header_by_hash(head.hash),
            lambda: endpoint.headers_by_number(5, 9),
            lambda: endpoint.bundles([head.hash]),
            proven,
        ]
        for round_ in range(60):
            endpoint.proves_headers = round_ % 2 == 0
            for question in questions:
                with suppress(SourceError, ProofFailure):
                    await asyncio.wait_for(question(), 120)
                await asyncio.sleep(650)  # longer than any pause that it may ask for
        assert http.changed > 120

    virtually(main())


@pytest.mark.parametrize("seed", range(8))
def test_no_answer_of_a_second_endpoint_stops_the_sync(tmp_path: Path, seed: int) -> None:
    node = a_node(20, replicas=2, seed=seed)
    events: list[str] = []

    async def main() -> None:
        runtime = VirtualRuntime(seed=seed)
        store = await open_store(f"sqlite:///{tmp_path}/chain.db", runtime)
        try:
            r = Rig(store, node, runtime, replicas(2))
            fuzzed = r.http = FuzzedHttp(r.http, seed)  # type: ignore[assignment]
            run = r.sync(follow=True, chain_id=CHAIN_ID)
            task = asyncio.ensure_future(run.run())
            for _ in range(30):
                await asyncio.sleep(3)
                r.tree.extend(1)
            for _ in range(120):
                await asyncio.sleep(1)
                if r.caught_up(run):
                    break
            run.stop()
            await task
            await r.assert_equals_node(path="/replica-0")
            assert fuzzed.changed, "the second endpoint was asked"
        finally:
            await store.close()

    with diverted_logs(lambda level, event: events.append(f"{event}")):
        virtually(main())
    faults = [event for event in events if "answer_unreadable" in event]
    assert not faults, faults[0]
