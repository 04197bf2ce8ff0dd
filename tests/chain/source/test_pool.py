"""Several endpoints: who is asked, who waits, who is left out, and who comes back.

Endpoints answer by a script: each entry is a value, or an error to raise. The clock moves only by sleeps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.chain.rig import WatchedHttp, a_node
from tests.runtime import FakeRuntime
from tidelog.chain.endpoint.health import HEALTH_LIMITS
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.standing import FAILURE_CHARS_MAX, FAILURE_S, POOL_LIMITS
from tidelog.config import EndpointUrl
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Throttled, TooLarge, Unreachable
from tidelog.telemetry import ChainMetrics

Script = dict[str, list[object]]


class Bench:
    """A pool of named endpoints, all identified, and a log of who was asked at which moment."""

    def __init__(self, *names: str) -> None:
        self.runtime = FakeRuntime()
        self.metrics = ChainMetrics()
        self.node = a_node(3)
        self.http = WatchedHttp(self.node, self.runtime)
        urls = [EndpointUrl(f"http://{name}/") for name in names]
        endpoints = [Endpoint(url, self.http, self.runtime, self.metrics, name=url.name[7:]) for url in urls]
        self.pool = Pool(endpoints, self.runtime, self.metrics)
        self.asked: list[tuple[str, float]] = []

    async def identified(self) -> "Bench":
        assert await self.pool.identify(None) == 1337
        return self

    def work(self, script: Script) -> Callable[[Endpoint], Awaitable[Any]]:
        """Takes the next entry of the endpoint's script; its last one stays."""

        async def work(endpoint: Endpoint) -> Any:
            self.asked.append((endpoint.name, round(self.runtime.clock, 3)))
            entries = script[endpoint.name]
            entry = entries.pop(0) if len(entries) > 1 else entries[0]
            if isinstance(entry, Exception):
                raise entry
            return entry

        return work

    @property
    def names(self) -> str:
        return " ".join(name for name, _ in self.asked)

    @property
    def pauses(self) -> list[float]:
        moments = [moment for _, moment in self.asked]
        return [round(b - a, 3) for a, b in pairwise(moments)]


def down() -> Unreachable:
    return Unreachable("down")


def differs() -> ProofFailure:
    return ProofFailure("bloom", expected="a", got="b", subject="block 1")


# -- one question --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ({"a": ["yes"], "b": ["yes"]}, "a"),  # the order is the user's
        ({"a": [down(), "yes"], "b": ["yes"]}, "a b"),
        ({"a": [differs()], "b": ["yes"]}, "a b"),
        ({"a": [Throttled("wait")], "b": ["yes"]}, "a b"),
        ({"a": [TooLarge("large")], "b": ["yes"]}, "a b"),
        ({"a": [down(), "yes"], "b": [down(), "no"]}, "a b a"),
        ({"a": [down(), down(), "yes"], "b": [down(), down(), "no"]}, "a b a b a"),
    ],
)
async def test_a_failure_is_taken_elsewhere(script: Script, asked: str) -> None:
    bench = await Bench("a", "b").identified()
    assert await bench.pool.ask(bench.work(script)) == "yes"
    assert bench.names == asked


@pytest.mark.parametrize("error", [down(), Rejected("wrong"), differs(), Pruned("gone"), TooLarge("large")])
async def test_the_last_failure_ends_it(error: Exception) -> None:
    bench = await Bench("a").identified()
    with pytest.raises(type(error)):
        await bench.pool.ask(bench.work({"a": [error]}))
    assert len(bench.asked) == POOL_LIMITS.attempts
    assert bench.runtime.clock < 15


async def test_how_an_endpoint_failed_last_is_told_for_a_while_also_when_it_answers_again() -> None:
    bench = await Bench("a", "b").identified()
    assert await bench.pool.ask(bench.work({"a": [Rejected("w" * 999)], "b": ["yes"]})) == "yes"
    assert await bench.pool.ask(bench.work({"a": ["yes"], "b": ["yes"]})) == "yes"
    bench.runtime.clock += 5.0
    (told,) = bench.pool.last_failures()
    assert told == f"{('a: ' + 'w' * 999)[:FAILURE_CHARS_MAX]} (5 s ago)"
    bench.runtime.clock += FAILURE_S
    assert bench.pool.last_failures() == []


async def test_failures_back_off_for_longer_and_a_success_clears_them() -> None:
    bench = await Bench("a").identified()
    with pytest.raises(Unreachable):
        await bench.pool.ask(bench.work({"a": [down()]}), attempts=14)
    floors = [min(HEALTH_LIMITS.backoff_max_s, HEALTH_LIMITS.backoff_first_s * 2**failures) for failures in range(13)]
    assert all(floor <= pause <= 1.11 * floor for floor, pause in zip(floors, bench.pauses, strict=True)), bench.pauses
    bench.asked.clear()
    assert await bench.pool.ask(bench.work({"a": [down(), "yes"]})) == "yes", "it may be benched for long still"
    bench.asked.clear()
    assert await bench.pool.ask(bench.work({"a": [down(), "yes"]})) == "yes"
    assert bench.pauses[0] < 0.3, "the success has cleared the failures"


async def test_an_endpoint_that_failed_comes_back() -> None:
    bench = await Bench("a", "b").identified()
    script: Script = {"a": [down(), "a"], "b": ["b"]}
    assert [await bench.pool.ask(bench.work(script)) for _ in range(3)] == ["b", "b", "b"], "b has no failures"
    await bench.runtime.sleep(1)
    await bench.pool.quorum_read(bench.work(script))
    assert await bench.pool.ask(bench.work(script)) == "a"


@pytest.mark.parametrize(
    ("retry_after_s", "waits_s"),
    [(None, HEALTH_LIMITS.throttled_wait_s), (0.0, 0.001), (7.0, 7.0), (600.0, 600.0)],
)
async def test_retry_after_is_honoured(retry_after_s: float | None, waits_s: float) -> None:
    bench = await Bench("a").identified()
    script: Script = {"a": [Throttled("wait", retry_after_s=retry_after_s), "yes"]}
    assert await bench.pool.ask(bench.work(script)) == "yes"
    assert waits_s <= bench.pauses[0] <= 1.11 * waits_s or (waits_s < 0.01 and bench.pauses[0] < 0.01)


async def test_being_asked_to_wait_is_no_failure_but_not_for_ever_either() -> None:
    bench = await Bench("a").identified()
    assert (
        await bench.pool.ask(bench.work({"a": [Throttled("wait")] * (POOL_LIMITS.throttled_max - 1) + ["yes"]}))
        == "yes"
    )
    bench.asked.clear()
    with pytest.raises(Throttled):
        await bench.pool.ask(bench.work({"a": [Throttled("wait")]}))
    assert len(bench.asked) == POOL_LIMITS.throttled_max + POOL_LIMITS.attempts


async def test_the_less_busy_of_two_equals_is_asked() -> None:
    bench = await Bench("a", "b").identified()
    bench.pool.endpoints[0].budget.in_flight = 2
    await bench.pool.ask(bench.work({"a": ["yes"], "b": ["yes"]}))
    assert bench.names == "b"


async def test_what_an_endpoint_has_pruned_it_is_asked_for_ever_more_rarely() -> None:
    bench = await Bench("a", "b").identified()
    script: Script = {"a": [Pruned("gone")], "b": ["b"]}
    for _ in range(7_200):
        assert await bench.pool.ask(bench.work(script), number=100) == "b"
        await bench.runtime.sleep(1.0)
    moments = [moment for name, moment in bench.asked if name == "a"]
    pauses = [round(b - a) for a, b in pairwise(moments)]
    assert pauses[:12] == [1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert set(pauses[12:]) == {600}


async def test_what_an_endpoint_has_pruned_is_what_lies_below() -> None:
    bench = await Bench("a", "b").identified()
    script: Script = {"a": [Pruned("gone"), "a"], "b": ["b"]}
    for number in (100, 0, 50, 100):
        assert await bench.pool.ask(bench.work(script), number=number) == "b"
    assert await bench.pool.ask(bench.work(script), number=101) == "a"
    assert await bench.pool.ask(bench.work(script)) == "a"


async def test_what_one_of_a_balancers_nodes_has_pruned_another_one_has() -> None:
    bench = await Bench("a").identified()
    script: Script = {"a": [*[Pruned("gone")] * 3, "yes", Pruned("gone"), "yes"]}
    for pause_s in (0.25, 0.5, 1.0):
        with pytest.raises(Pruned, match="no endpoint holds block 5"):
            await bench.pool.ask(bench.work(script), number=5)
        await bench.runtime.sleep(pause_s)
    assert await bench.pool.ask(bench.work(script), number=5) == "yes"
    with pytest.raises(Pruned):
        await bench.pool.ask(bench.work(script), number=4)
    await bench.runtime.sleep(0.25)  # as at first, since it has answered
    assert await bench.pool.ask(bench.work(script), number=4) == "yes"


async def test_questions_under_way_together_are_refused_as_pruned_once() -> None:
    bench = await Bench("a").identified()
    script: Script = {"a": [*[Pruned("gone")] * 8, "yes"]}
    asked = [bench.pool.ask(bench.work(script), number=5) for _ in range(8)]
    assert all(isinstance(error, Pruned) for error in await asyncio.gather(*asked, return_exceptions=True))
    await bench.runtime.sleep(0.25)
    assert await bench.pool.ask(bench.work(script), number=5) == "yes"


async def test_what_all_have_pruned_is_said_so() -> None:
    bench = await Bench("a", "b").identified()
    with pytest.raises(Pruned, match="no endpoint holds block 5: give one with the full history"):
        await bench.pool.ask(bench.work({"a": [Pruned("gone")], "b": [Pruned("gone")]}), number=5)
    assert bench.names == "a b"


# -- a question to all ---------------------------------------------------------------------------------------------


async def test_a_quorum_read_asks_the_healthy_endpoints() -> None:
    bench = await Bench("a", "b", "c").identified()
    script: Script = {"a": [1], "b": [down(), 2], "c": [3]}

    async def quorum_read() -> dict[str, object]:
        return {
            endpoint.name: answer for endpoint, answer in (await bench.pool.quorum_read(bench.work(script))).items()
        }

    assert await quorum_read() == {"a": 1, "c": 3}
    assert await quorum_read() == {"a": 1, "c": 3}, "b is on the bench"
    await bench.runtime.sleep(0.3)
    assert await quorum_read() == {"a": 1, "b": 2, "c": 3}
    bench.pool.quarantine(bench.pool.endpoints[0], True)
    assert await quorum_read() == {"b": 2, "c": 3}
    assert bench.pool.quarantined == [bench.pool.endpoints[0]]
    bench.pool.quarantine(bench.pool.endpoints[0], False)
    assert await quorum_read() == {"a": 1, "b": 2, "c": 3}


async def test_quarantine_of_all_is_said_so() -> None:
    bench = await Bench("a").identified()
    bench.pool.quarantine(bench.pool.endpoints[0], True)
    with pytest.raises(Rejected, match="contradicts the finalized chain"):
        await bench.pool.ask(bench.work({"a": ["yes"]}))


# -- which chain ---------------------------------------------------------------------------------------------------


def with_chains(*chain_ids: int | None) -> Bench:
    """Endpoints a, b, ... that name these chains; None does not answer."""
    bench = Bench(*"abc"[: len(chain_ids)])

    def patched(endpoint: Endpoint, chain_id: int | None) -> Callable[[], Coroutine[Any, Any, int]]:
        async def name_it() -> int:
            if chain_id is None:
                raise Unreachable("down", endpoint=endpoint.name)
            return chain_id

        return name_it

    for endpoint, chain_id in zip(bench.pool.endpoints, chain_ids, strict=True):
        endpoint.chain_id = patched(endpoint, chain_id)  # type: ignore[method-assign]
    return bench


@pytest.mark.parametrize(
    ("chain_ids", "expected", "outcome"),
    [
        ([1], None, 1),
        ([1], 1, 1),
        ([1, 1], None, 1),
        ([None], None, None),
        ([None, 1], None, 1),
        ([None, None], 1, None),
        ([1], 2, "a: serves chain 1, not chain 2"),
        ([1, 2], None, "b: serves chain 2, not chain 1"),  # who is right, only the user knows
        ([1, 2], 1, 1),  # the user has said
        ([2, 1], 1, 1),
        ([2, None], 1, "a: serves chain 2, not chain 1"),
    ],
)
async def test_endpoints_name_their_chain(
    chain_ids: Sequence[int | None], expected: int | None, outcome: int | str | None
) -> None:
    bench = with_chains(*chain_ids)
    if isinstance(outcome, str):
        with pytest.raises(Rejected) as failure:
            await bench.pool.identify(expected)
        assert str(failure.value) == outcome
    else:
        assert await bench.pool.identify(expected) == outcome


async def test_an_endpoint_of_another_chain_is_never_asked_anything() -> None:
    bench = with_chains(2, 1)
    assert await bench.pool.identify(1) == 1
    await bench.runtime.sleep(60)
    await bench.pool.identify(1)
    for _ in range(5):
        await bench.pool.ask(bench.work({"a": ["a"], "b": ["b"]}))
    await bench.pool.quorum_read(bench.work({"a": ["a"], "b": ["b"]}))
    assert set(bench.names.split()) == {"b"}


async def test_nobody_is_asked_before_it_has_named_its_chain() -> None:
    bench = Bench("a")
    with pytest.raises(Unreachable, match="no endpoint has answered yet"):
        await bench.pool.ask(bench.work({"a": ["yes"]}))
    assert await bench.pool.quorum_read(bench.work({"a": ["yes"]})) == {}


async def test_failures_are_counted() -> None:
    bench = await Bench("a").identified()
    with pytest.raises(SourceError):
        await bench.pool.ask(bench.work({"a": [differs(), Rejected("wrong")]}), attempts=2)
    value = bench.metrics.registry.get_sample_value
    assert value("tidelog_chain_proof_failures_total", {"check": "bloom", "endpoint": "a"}) == 1
