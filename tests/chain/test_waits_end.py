"""Every wait for a store ends when the sync is to end, and the cause is what /readyz says."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import Rig, a_node, replicas
from tests.virtual import VirtualRuntime, virtually
from tidelog.batch import Batch, Outcome
from tidelog.chain.sync.monitoring.health import Limits, readiness
from tidelog.chain.sync.monitoring.trouble import TROUBLE_S
from tidelog.errors import BelowFinality, Busy
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

AWAY = "postgresql://host/db cannot be reached (ConnectionRefusedError)"


async def with_rig(path: Path, node: SimNode, count: int, work: Callable[[Rig], Any]) -> Any:
    runtime = VirtualRuntime()
    store = await open_store(f"sqlite:///{path}/chain.db", runtime)
    try:
        return await work(Rig(store, node, runtime, replicas(count)))
    finally:
        await store.close()


def test_a_stop_ends_a_commit_that_waits_for_a_database_that_is_away(tmp_path: Path) -> None:
    async def main(r: Rig) -> None:
        async def commit(batch: Batch) -> Outcome:
            raise Busy(AWAY)

        r.store.commit = commit  # type: ignore[method-assign]
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(60)
        assert readiness(run.facts, Limits()).reasons == (f"chain 1337: the store takes no commit: {AWAY}",)
        at = r.runtime.monotonic()
        run.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert r.runtime.monotonic() - at < 1

    virtually(with_rig(tmp_path, a_node(10), 1, main))


def test_a_stop_waits_for_a_commit_that_is_under_way(tmp_path: Path) -> None:
    async def main(r: Rig) -> None:
        inner, committed = r.store.commit, []

        async def commit(batch: Batch) -> Outcome:
            await asyncio.sleep(5)
            committed.append(await inner(batch))
            return committed[-1]

        r.store.commit = commit  # type: ignore[method-assign]
        task = asyncio.ensure_future(r.sync(follow=True).run())
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(committed) == 1

    virtually(with_rig(tmp_path, a_node(10), 1, main))


@pytest.mark.parametrize("lie", ["html_200", "reset", "stall", "hash_wrong"])
def test_readiness_says_the_cause_within_seconds(tmp_path: Path, lie: str) -> None:
    node = a_node(30)

    async def main(r: Rig) -> None:
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(5)
        assert readiness(run.facts, Limits()).ready
        node.tell(lie)
        await asyncio.sleep(4 * TROUBLE_S)
        (reason,) = readiness(run.facts, Limits()).reasons
        assert reason.startswith("chain 1337: http://replica-0: "), reason
        node.honest()
        await asyncio.sleep(100)  # two requests may time out, one after the other
        assert readiness(run.facts, Limits()).ready
        run.stop()
        await task

    virtually(with_rig(tmp_path, node, 1, main))


# -- the endpoint's chain is not ours ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [3, 8])
def test_a_lower_chain_that_contradicts_final_blocks_is_refused_though_the_run_ends_there(
    tmp_path: Path, length: int
) -> None:
    """Ours is final up to 22, and theirs leaves it at 12."""
    node = a_node(30)

    async def main(r: Rig) -> None:
        await r.sync().run()
        before = await r.digest()
        node.replicas[0].tip = r.tree.extend(length, on=r.tree.canonical(12).hash)[-1].hash
        with pytest.raises(BelowFinality, match="rewind --to 12 --below-finalized"):
            await r.sync().run()
        assert await r.digest() == before

    virtually(with_rig(tmp_path, node, 1, main))


def test_a_lower_chain_above_finality_is_adopted_after_patience_and_not_called_done(tmp_path: Path) -> None:
    node = a_node(30)

    async def main(r: Rig) -> None:
        await r.sync().run()
        node.replicas[0].tip = r.tree.extend(2, on=r.tree.canonical(25).hash)[-1].hash
        progress = await r.sync().run()
        assert progress.head == 27
        assert r.runtime.monotonic() >= 30

    virtually(with_rig(tmp_path, node, 1, main))


def test_a_chain_that_only_lags_is_done(tmp_path: Path) -> None:
    node = a_node(30)

    async def main(r: Rig) -> None:
        await r.sync().run()
        node.replicas[0].lag = 20
        at = r.runtime.monotonic()
        assert (await r.sync().run()).head == 30
        assert r.runtime.monotonic() - at < 5

    virtually(with_rig(tmp_path, node, 1, main))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("on_side", "head"), [((2,), 30), ((0,), 30), ((0, 1), 40)])
def test_a_fresh_sync_follows_the_branch_of_most_endpoints(
    tmp_path: Path, seed: int, on_side: tuple[int, ...], head: int
) -> None:
    """The branches leave each other at block 1, deep below what either calls final."""
    node = a_node(30, replicas=3, seed=seed)

    async def main(r: Rig) -> None:
        side = r.tree.extend(39, on=r.tree.canonical(1).hash)[-1].hash
        for replica in on_side:
            node.replicas[replica].tip = side
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(60)  # an endpoint is left alone for a while where it lacks the other branch's blocks
        assert run.progress.head == head
        run.stop()
        await task
        most = next(replica for replica in range(3) if (replica in on_side) == (len(on_side) == 2))
        await r.assert_equals_node(head=head, path=f"/replica-{most}")

    virtually(with_rig(tmp_path, node, 3, main))


def test_of_two_endpoints_on_two_branches_the_higher_is_followed(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> None:
        node.replicas[1].tip = r.tree.extend(39, on=r.tree.canonical(1).hash)[-1].hash
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(20)
        assert run.progress.head == 40
        run.stop()
        await task
        await r.assert_equals_node(head=40, path="/replica-1")

    virtually(with_rig(tmp_path, node, 2, main))
