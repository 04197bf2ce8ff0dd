"""The API's own status, the store's, and that of the processes that fill it, over the application itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chain.rig import Rig, a_node, rig
from tests.patience import HANGS_S
from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.limits import ApiLimits, LookLimits
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.problems import Refused
from tidelog.api.operation import health
from tidelog.batch import Batch
from tidelog.errors import Corruption, StoreError
from tidelog.market.events import NOTHING
from tidelog.market.load.recorded import source_of
from tidelog.market.projection.state import ProjectionState, SymbolState, encode_state
from tidelog.market.shards.claims import Claimant, Claims, claims_source, encode_claims, shard_source
from tidelog.net.status import StatusServer
from tidelog.telemetry import ApiMetrics, ChainMetrics, Readiness, rendered

NODE = a_node(20)
LOOKS = LookLimits(store_s=HANGS_S, tokens_s=HANGS_S, scrape_s=HANGS_S)  # whatever the machine does meanwhile
CHAIN = str(NODE.chain.chain_id)


@asynccontextmanager
async def served(
    r: Rig, scrape: Mapping[str, str] | None = None, *, tokens_s: float = 1.0, looks: LookLimits = LOOKS
) -> AsyncIterator[httpx.AsyncClient]:
    options = ApiOptions(scrape=scrape or {}, tokens_s=tokens_s)
    backend = Backend(r.store, r.runtime, options, (), ApiMetrics(), ApiLimits(looks=looks))
    app = create_app(backend)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=cast(Any, app)), base_url="http://localhost"
    ) as client:
        yield client


@asynccontextmanager
async def process(path: Path, readiness: Readiness, text: bytes | None = None) -> AsyncIterator[str]:
    """A process that fills the store; its address."""

    async def metrics() -> bytes:
        return rendered(ChainMetrics().registry) if text is None else text

    async with StatusServer(f"unix:{path}", metrics=metrics, ready=lambda: readiness) as server:
        yield server.address


async def samples(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """By name and label values, in the order of the labels' names."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def loaded(r: Rig, state: ProjectionState, shard: int = 1) -> None:
    await committed(r, shard_source("kraken", shard), encode_state(state))


async def committed(r: Rig, source: str, position: str) -> None:
    before = await r.store.acquire(source)
    await r.store.commit(Batch(before, before.advanced(position)))


async def test_livez_answers(tmp_path: Path) -> None:
    async with rig(tmp_path, NODE) as r, served(r) as client:
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"live": True})
        assert answer.headers["cache-control"] == "no-store"


async def test_metrics_include_what_the_store_holds(tmp_path: Path) -> None:
    async with rig(tmp_path, NODE) as r, served(r) as client:
        assert ("tidelog_store_chain_indexed_block", CHAIN, "api") not in await samples(client)
        await r.once(first=3, to=17)
        await loaded(r, ProjectionState(run=2, seq=77, at_us=1_700_000_000_500_000))
        found = await samples(client)
        position = await r.position()
        expected = {
            ("tidelog_store_chain_first_block", CHAIN, "api"): 3,
            ("tidelog_store_chain_indexed_block", CHAIN, "api"): 17,
            ("tidelog_store_chain_blocks", CHAIN, "api"): 15,
            ("tidelog_store_chain_transactions", CHAIN, "api"): position.transactions,
            ("tidelog_store_chain_logs", CHAIN, "api"): position.logs,
            ("tidelog_store_chain_changes_seq", CHAIN, "api"): position.changes,
            ("tidelog_store_recording_run", "api", "kraken"): 2,
            ("tidelog_store_recording_seq", "api", "kraken"): 77,
            ("tidelog_store_recording_loaded_timestamp_seconds", "api", "kraken"): 1_700_000_000.5,
            ("tidelog_store_commit_seq", "api", "market:kraken"): 1,
            ("tidelog_store_schema_version", "api"): (await r.store.info()).schema_version,
            ("tidelog_up", "api"): 1,
        }
        assert {key: found[key] for key in expected} == expected
        assert found["tidelog_store_size_bytes", "api"] > 0


async def test_metrics_show_a_recording_with_shards_as_one(tmp_path: Path) -> None:
    names = ("run", "seq", "loaded_timestamp_seconds", "trades")

    async def shown() -> dict[str, float]:
        """What is told of the recording: by metric, or by symbol."""
        found = await samples(client)
        return {
            key[-1] if name == "trades" else name: value
            for key, value in found.items()
            for name in names
            if key[0] == f"tidelog_store_recording_{name}" and "kraken" in key
        }

    async with rig(tmp_path, NODE) as r, served(r) as client:
        shards = {number: Claimant(1, 4, (), "here:/data", f"{number}.journal", 7) for number in (1, 2, 3, 4)}
        claims = Claims(begun=True, shards=shards, idle={"D": SymbolState(trades=40)})
        await committed(r, claims_source("kraken"), encode_claims(claims))
        await r.store.acquire(source_of("kraken"))
        assert await shown() == {"D": 40}  # nothing is loaded yet
        for shard, run, seq, at_s, trades in (
            (1, 2, 77, 1_700_000_100, {"A": 10}),
            (2, 1_000_000_001, 5, 1_700_000_090, {"B": 20}),
            (3, 2_000_000_001, 9, 1_600_000_000, {}),  # it has given all up
            (4, *NOTHING, 0, {"C": 30}),  # it has just taken one over
        ):
            symbols = {symbol: SymbolState(trades=count) for symbol, count in trades.items()}
            await loaded(r, ProjectionState(run=run, seq=seq, at_us=at_s * 1_000_000, symbols=symbols), shard)
        expected = {"run": 2, "seq": 77, "loaded_timestamp_seconds": 1_700_000_090, "A": 10, "B": 20, "C": 30, "D": 40}
        assert await shown() == expected


async def test_metrics_of_all_processes_are_one_text(tmp_path: Path) -> None:
    async with rig(tmp_path, NODE) as r, process(tmp_path / "s.sock", Readiness(True)) as address:
        scrape = {"mainnet": address, "gone": f"unix:{tmp_path}/nobody.sock", "nonsense": "here"}
        async with served(r, scrape) as client:
            found = await samples(client)
    assert {key[1]: value for key, value in found.items() if key[0] == "tidelog_up"} == {
        "api": 1,
        "mainnet": 1,
        "gone": 0,
        "nonsense": 0,
    }
    builds = [key for key in found if key[0] == "tidelog_build_info"]
    assert sorted(key[-2] for key in builds) == ["api", "mainnet"]


async def test_readiness_is_that_of_all_processes(tmp_path: Path) -> None:
    async with rig(tmp_path, NODE) as r:
        ready = Readiness(True, notes=("https://node: HTTP 429 (5 s ago)",))
        async with process(tmp_path / "s.sock", ready) as address, served(r, {"mainnet": address}) as client:
            answer = await client.get("/readyz")
            notes = ["mainnet: https://node: HTTP 429 (5 s ago)"]
            assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": [], "notes": notes})
        reasons = ("chain 1: 77 blocks behind", "the store has not taken a commit for 31 s")
        async with process(tmp_path / "s.sock", Readiness(False, reasons)) as address:
            scrape = {"mainnet": address, "gone": f"unix:{tmp_path}/nobody.sock"}
            async with served(r, scrape) as client:
                answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "reasons": [*(f"mainnet: {reason}" for reason in reasons), "gone: the process does not answer"],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"ready":false,"reasons":[]}', "it is not ready"),
        (b"<html>", "the process answers with something else than its readiness"),
        (b"[" * 5_000, "the process answers with something else than its readiness"),
        (b"x" * (LOOKS.reasons_bytes_max + 1), "the process does not answer"),
    ],
)
async def test_rejects_malformed_readiness_of_another_process(
    body: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, NODE) as r, process(tmp_path / "s.sock", Readiness(True)) as address:
        monkeypatch.setattr("tidelog.net.status._json", lambda value, status: _plain(body))
        async with served(r, {"mainnet": address}) as client:
            answer = await client.get("/readyz")
    assert answer.json()["reasons"] == [f"mainnet: {said}"]


def _plain(body: bytes) -> Any:
    from aiohttp import web

    return web.Response(body=body)


async def test_reasons_are_for_those_who_may_read_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(connection: object, handler: object) -> None:
        raise Refused(403, "no")

    monkeypatch.setattr(health, "authorize", nobody)
    async with rig(tmp_path, NODE) as r, served(r, {"gone": f"unix:{tmp_path}/nobody.sock"}) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, msgspec.json.decode(answer.content, type=Readiness)) == (503, Readiness(False))


@asynccontextmanager
async def silent() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield


def away() -> Any:
    raise StoreError("postgresql://secret@host is away")


def damaged() -> Any:
    raise Corruption("/secret/tidelog.db is damaged")


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (away, "api: the store cannot be read"),
        (damaged, "api: the store is damaged"),
        (silent, "api: the store has not answered within 0.05 s"),
    ],
)
async def test_a_store_that_cannot_be_read_is_a_reason_and_no_fault(
    snapshot: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = LookLimits(store_s=0.05, tokens_s=0.05) if snapshot is silent else LOOKS
    async with rig(tmp_path, NODE) as r, served(r, tokens_s=1e-9, looks=looks) as client:
        monkeypatch.setattr(r.store, "snapshot", snapshot)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, [])  # who asks is not known
        assert (await client.get("/metrics")).status_code == (500 if snapshot is damaged else 503)
        monkeypatch.undo()
        server: Any = client._transport
        await server.app.state.tokens.current()  # the tokens are known from now on
        monkeypatch.setattr(r.store, "snapshot", snapshot)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, [reason])
        found = await samples(client)
        assert found["tidelog_up", "api"] == 1
        assert ("tidelog_store_size_bytes", "api") not in found


def test_metrics_need_their_scope_and_life_needs_none() -> None:
    assert {handler.fn.__name__: handler.opt["scope"] for handler in (health.livez, health.metrics, health.readyz)} == {
        "livez": None,
        "metrics": "metrics",
        "readyz": None,
    }
