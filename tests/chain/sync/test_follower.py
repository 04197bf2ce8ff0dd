"""Following the head: growth, reorganisations of every kind, disagreeing endpoints, finality.

The node changes while the engine sleeps or asks; at the end the store is the node's chain. Beside each
follower a reader polls: it never sees a gap, or a checkpoint that its rows do not bear out.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chain.native import use_python
from tests.chain.oracle import folded_changes
from tests.chain.rig import CHAIN_ID, Calls, Rig, a_node, commits, replicas, rig
from tests.patience import HANGS_S
from tidelog.chain.forks.choice import is_linked
from tidelog.chain.forks.position import decode_position, source_of
from tidelog.chain.reading.blocks import refs_between
from tidelog.chain.rows.tables import BLOCKS, REORGS, TRANSACTIONS
from tidelog.chain.sync.commits import WRITER_LIMITS, WriterLimits
from tidelog.chain.sync.engine import Sync, SyncLimits
from tidelog.errors import BelowFinality, Unreachable
from tidelog.sim.node.node import SimNode

Step = Callable[[Rig], object]


@asynccontextmanager
async def polled(r: Rig, *, may_shrink: bool = False) -> AsyncIterator[None]:
    """A reader polls while the block runs."""

    async def poll() -> None:
        highest = 0
        while True:
            async with r.store.snapshot() as snapshot:
                checkpoint = await snapshot.checkpoint(source_of(CHAIN_ID))
                position = None if checkpoint is None else decode_position(checkpoint)
                if position is not None:
                    refs = await refs_between(snapshot, CHAIN_ID, 0, 2**40)
                    assert is_linked(refs), "no gap, no broken link"
                    assert (refs[0].number, refs[-1].number) == (position.first, position.head)
                    assert refs[-1].hash == position.head_ref_hash
                    blocks = await snapshot.select(BLOCKS, scope=CHAIN_ID, low=position.head)
                    assert (
                        len(await snapshot.select(TRANSACTIONS, scope=CHAIN_ID, low=position.head))
                        == (blocks[0][BLOCKS.index("transaction_count")])
                    )
                    assert sorted(await folded_changes(snapshot, CHAIN_ID)) == [ref.number for ref in refs]
                    assert position.head >= highest or may_shrink, "the head does not shrink"
                    highest = position.head
            await asyncio.sleep(0)

    task = asyncio.create_task(poll())
    try:
        yield
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
    for result in results:
        if not isinstance(result, asyncio.CancelledError):
            raise AssertionError("the reader failed") from result


async def reorgs(r: Rig) -> list[tuple[Any, ...]]:
    """The audit rows: fork, depth, old head, new head, reason."""
    async with r.store.snapshot() as snapshot:
        return [(*row[2:5], row[6], row[8]) for row in await snapshot.select(REORGS)]


def grow(count: int) -> Step:
    return lambda r: r.tree.extend(count)


def reorg(depth: int, length: int | None = None) -> Step:
    return lambda r: r.tree.reorg(depth, length)


# -- growth and reorganisations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "audit"),
    [  # what happens after block 30       fork, depth, old head, new head
        ([grow(1)], []),
        ([grow(1), grow(2), grow(7)], []),
        ([grow(70)], []),  # further than one step reaches
        ([grow(300)], []),
        ([reorg(1)], [(29, 1, 30, 31)]),
        ([reorg(1, 1), grow(1)], [(29, 1, 30, 30)]),  # at least as high as ours
        ([reorg(5)], [(25, 5, 30, 31)]),
        ([reorg(5, 9)], [(25, 5, 30, 34)]),
        ([reorg(3), reorg(3)], [(27, 3, 30, 31), (28, 3, 31, 32)]),
        ([reorg(3), reorg(6)], [(27, 3, 30, 31), (25, 6, 31, 32)]),
        ([grow(3), reorg(2), grow(1), reorg(1)], [(31, 2, 33, 34), (34, 1, 35, 36)]),
        ([grow(40), reorg(40)], [(30, 40, 70, 71)]),
        ([grow(200), reorg(200)], [(30, 200, 230, 231)]),
        ([grow(200), reorg(200, 320)], [(30, 200, 230, 294)]),  # swapped in as far as a step reaches, then on
    ],
)
async def test_follows_growth_and_reorgs(tmp_path: Path, steps: list[Step], audit: list[tuple[int, ...]]) -> None:
    async with rig(tmp_path, a_node(30, finalized_depth=None)) as r, polled(r):
        r.tree.finalize(10)
        await r.follow_script(*[partial(step, r) for step in steps])
        await r.assert_equals_node()
        assert await reorgs(r) == [(*row, "reorg") for row in audit]


async def test_what_is_added_on_the_head_is_no_reorg(tmp_path: Path) -> None:
    """A head several blocks ahead is walked down to ours, and no block of ours is touched."""
    async with rig(tmp_path, a_node(30)) as r:
        await r.once()
        with commits(r.store) as seen:
            await r.follow_script(grow_now(r, 6), grow_now(r, 17))
        assert all(batch.rollback is None for batch in seen)


def grow_now(r: Rig, count: int) -> Callable[[], object]:
    return lambda: r.tree.extend(count)


async def test_follows_the_chain_back_to_an_old_branch(tmp_path: Path) -> None:
    """A, B, then A again, each time a block higher: nothing of the first time is in the way."""
    async with rig(tmp_path, a_node(30)) as r, polled(r):
        old: list[bytes] = [r.tree.head.hash]

        def back() -> None:
            other = r.tree.head.hash
            tip = r.tree.extend(3, on=old[0])[-1].hash
            old[0] = other
            r.tree.switch(tip)

        await r.follow_script(lambda: r.tree.reorg(4), back, back, back)
        await r.assert_equals_node()
        assert len(await reorgs(r)) == 4


async def test_a_reorg_while_history_is_fetched(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(120, finalized_depth=None)) as r, polled(r):
        r.tree.finalize(60)
        await r.once(to=30)
        left = [6, 11, 3]

        def before(host: str, calls: Calls) -> None:
            if left and any(call["params"][1:] == [True] for call in calls):
                r.tree.reorg(left.pop())

        r.http.before = before
        await r.once()
        assert not left
        await r.assert_equals_node()


@pytest.mark.parametrize("keep_branches", [True, False], ids=["branches kept", "branches forgotten"])
@pytest.mark.parametrize("depth", [2, 9, 30])
async def test_a_reorg_while_the_replacement_is_fetched(tmp_path: Path, depth: int, keep_branches: bool) -> None:
    """Between the headers and the bodies of the new branch the node reorganises again, several times."""
    async with rig(tmp_path, a_node(60, finalized_depth=40, keep_branches=keep_branches)) as r, polled(r):
        await r.once()
        left = [depth + 1, 1, depth]

        def before(host: str, calls: Calls) -> None:
            if left and any(call["method"] == "eth_getBlockByHash" and call["params"][1] for call in calls):
                r.tree.reorg(left.pop())

        r.http.before = before
        await r.follow_script(lambda: r.tree.reorg(depth))
        assert not left
        await r.assert_equals_node()


async def test_of_two_equal_heads_ours_stays(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        await r.once()
        before = await r.digest()
        node.replicas[0].tip = r.tree.extend(1, on=r.tree.canonical(29).hash)[-1].hash
        started = r.runtime.clock
        await r.follow(until=lambda run: r.runtime.clock > started + 300)
        assert await r.digest() == before
        await r.follow_script(grow_now(r, 1))
        await r.assert_equals_node(path="/replica-1")
        assert await reorgs(r) == []


async def test_a_range_that_began_at_the_head_is_replaced_from_its_root(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30)) as r, polled(r):
        await r.once(first_latest=True)
        r.tree.extend(2)
        await r.once()
        r.tree.reorg(3)
        await r.follow_script(grow_now(r, 2))
        await r.assert_equals_node(first=30)
        assert (await reorgs(r))[0] == (29, 3, 32, 33, "reorg")


async def test_a_range_that_began_at_the_head_and_is_reorganised_below_it(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30)) as r, polled(r):
        await r.once(first_latest=True)
        r.tree.reorg(6)
        await r.follow_script(grow_now(r, 2))
        await r.assert_equals_node(first=30)
        await r.once(first=3)
        await r.assert_equals_node(first=3)


@pytest.mark.parametrize("pruned", [False, True])
async def test_a_range_that_began_at_the_head_is_not_replaced_by_another_chain(tmp_path: Path, pruned: bool) -> None:
    """A development node that was made anew has the same id, and nothing in common with what is stored."""
    async with rig(tmp_path, a_node(30, finalized_depth=None, replicas=2), urls=replicas(2)) as r:
        await r.once(first_latest=True)
        before, anew = await r.digest(), a_node(40, seed=1, finalized_depth=None, replicas=2)
        if pruned:
            anew.tell("pruned", replica=1)  # it cannot tell, the other one can
        said: set[str | None] = set()

        def until(run: Sync) -> bool:
            r.http.serve(anew)
            said.add(run.facts.source)
            return r.runtime.clock > 60

        await r.follow(until=until)
        assert any("use another --db for another chain" in text for text in said if text)
        assert await r.digest() == before


async def test_an_endpoint_that_serves_another_chain_now_is_no_branch(tmp_path: Path) -> None:
    """Nothing is final yet, and its chain is higher."""
    async with rig(tmp_path, a_node(30, finalized_depth=None, replicas=2), urls=replicas(2)) as r:
        await r.once(first_latest=True)
        anew = a_node(400, seed=1, finalized_depth=None, replicas=2)

        def until(run: Sync) -> bool:
            r.http.serve(anew, "replica-1")
            grow_now(r, 1)()
            return r.runtime.clock > 60

        await r.follow(until=until)
        await r.once(to=r.tree.head.number)
        await r.assert_equals_node(first=30)


@pytest.mark.parametrize("seed", range(12))
async def test_follows_a_chain_that_reorganises_all_the_time(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth and reorgs at random moments, between any two requests too."""
    if seed // 2 % 2:
        use_python(monkeypatch)
    rng = random.Random(seed)
    async with rig(tmp_path, a_node(20, seed=seed, finalized_depth=16, keep_branches=bool(seed % 2))) as r, polled(r):
        left = 25

        def world(*_: Any) -> None:
            nonlocal left
            if left and rng.random() < 0.3:
                left -= 1
                final = r.tree.finalized or 0
                depth = rng.randint(0, min(6, r.tree.head.number - final - 1))
                r.tree.reorg(depth, depth + rng.randint(1, 3))

        r.http.before = world

        def until(run: Sync) -> bool:
            world()
            return left == 0 and r.caught_up(run)

        await r.follow(until=until)
        await r.assert_equals_node()


@pytest.mark.parametrize("change", [reorg(3, 2), reorg(6, 1), reorg(1, 0), reorg(9, 0)])
async def test_a_chain_that_falls_below_a_range_that_began_at_the_head(tmp_path: Path, change: Step) -> None:
    """Nothing of the range is final, and nothing is there to replace it: wait for the chain to grow."""
    async with rig(tmp_path, a_node(30, finalized_depth=None)) as r:
        r.tree.finalize(5)
        await r.once(first_latest=True)
        before = await r.digest()
        change(r)
        await r.follow(until=lambda run: r.runtime.clock > 100)
        assert await r.digest() == before
        r.tree.extend(12)
        await r.follow_script()
        await r.assert_equals_node(first=30)


# -- lagging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"confirmations": 20}, {"to": 500}], ids=str)
@pytest.mark.parametrize("lagging", [0, 1])
async def test_an_endpoint_that_stands_still_keeps_nobody(
    tmp_path: Path, lagging: int, options: dict[str, Any]
) -> None:
    """It answers, and it is further behind than one step reaches."""
    async with rig(tmp_path, a_node(100, replicas=2), urls=replicas(2)) as r:
        await r.once()
        r.tree.extend(500)
        r.node.replicas[lagging].lag = 500
        await r.once(give_up_s=5.0, **options)
        assert (await r.position()).head == options.get("to", 600 - options.get("confirmations", 0))


# -- shrinking ---------------------------------------------------------------------------------------------------


async def test_a_shrunken_chain_is_believed_after_patience(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30)) as r, polled(r, may_shrink=True):
        await r.once()
        r.tree.rollback(5)
        started = r.runtime.clock
        await r.follow(until=r.caught_up, reorg_patience_s=30.0)
        assert 30 <= r.runtime.clock - started < 45
        await r.assert_equals_node(head=25)
        assert await reorgs(r) == [(25, 5, 30, 25, "shrink")]
        await r.follow_script(grow_now(r, 9))
        await r.assert_equals_node()


async def test_a_lower_branch_is_believed_after_patience(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30, keep_branches=False)) as r, polled(r, may_shrink=True):
        await r.once()
        r.tree.reorg(6, 3)
        await r.follow(until=r.caught_up)
        await r.assert_equals_node(head=27)
        assert await reorgs(r) == [(24, 6, 30, 27, "shrink")]


async def test_a_head_that_comes_back_ends_the_patience(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30)) as r, polled(r):
        await r.once()
        tip = r.tree.head.hash
        before = await r.digest()
        started = r.runtime.clock

        def until(run: Sync) -> bool:
            phase = int((r.runtime.clock - started) // 20)
            r.node.replicas[0].lag = 5 if phase % 2 == 0 else 0  # 20 s away, 20 s there
            return phase > 20

        await r.follow(until=until, reorg_patience_s=30.0)
        assert r.tree.head.hash == tip
        assert await r.digest() == before


async def test_one_endpoint_that_knows_our_head_is_enough_to_keep_it(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r, polled(r):
        await r.once()
        before = await r.digest()
        node.replicas[0].lag = node.replicas[2].lag = 5
        started = r.runtime.clock
        await r.follow(until=lambda run: r.runtime.clock > started + 600)
        assert await r.digest() == before


# -- endpoints that disagree ---------------------------------------------------------------------------------------


async def test_a_lagging_endpoint_is_no_reorg(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)
    async with rig(tmp_path, node, urls=replicas(2)) as r, polled(r):
        node.replicas[0].lag = 4
        await r.follow_script(*[grow_now(r, 1)] * 20)
        await r.assert_equals_node(path="/replica-1")
        assert await reorgs(r) == []


async def test_heads_that_go_back_and_forth_are_no_reorg(tmp_path: Path) -> None:
    node = a_node(30)
    async with rig(tmp_path, node) as r, polled(r):
        node.tell("heads_flap", probability=0.5)
        await r.follow_script(*[grow_now(r, 1)] * 20)
        await r.assert_equals_node()
        assert await reorgs(r) == []


async def test_a_balancer_over_replicas_of_different_lag(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=["http://balanced"]) as r, polled(r):
        node.replicas[1].lag, node.replicas[2].lag = 1, 3
        await r.follow_script(*[grow_now(r, 1), lambda: r.tree.reorg(2)] * 6)
        await r.assert_equals_node()


async def test_a_stale_endpoint_on_a_side_branch_is_not_followed(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)
    async with rig(tmp_path, node, urls=replicas(2)) as r, polled(r):
        node.replicas[0].tip = r.tree.extend(2, on=r.tree.canonical(26).hash)[-1].hash
        await r.follow_script(*[grow_now(r, 1)] * 5)
        await r.assert_equals_node(path="/replica-1")
        assert await reorgs(r) == []


async def test_a_minority_fork_is_outvoted_however_high_it_is(tmp_path: Path) -> None:
    """And the blocks of the majority are still followed."""
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r, polled(r):
        await r.once()
        node.replicas[0].tip = r.tree.extend(40, on=r.tree.canonical(27).hash)[-1].hash
        await r.follow_script(*[grow_now(r, 1)] * 5, lambda: r.tree.reorg(2), grow_now(r, 3))
        await r.assert_equals_node(path="/replica-1")
        assert len(await reorgs(r)) == 1


async def test_the_majority_moves_to_another_branch(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r, polled(r):
        await r.once()
        side = r.tree.extend(6, on=r.tree.canonical(27).hash)[-1].hash
        node.replicas[0].tip = node.replicas[1].tip = side
        await r.follow(until=lambda run: (run.progress.head or 0) == 33)
        await r.assert_equals_node(head=33, path="/replica-0")


async def test_a_run_with_an_end_does_not_wait_for_a_fork_that_is_outvoted(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r:
        await r.once()
        node.replicas[0].tip = r.tree.extend(40, on=r.tree.canonical(27).hash)[-1].hash
        with pytest.raises(Unreachable, match="no progress for 60 s"):
            await r.once()
        await r.assert_equals_node(path="/replica-1")


# -- finality ------------------------------------------------------------------------------------------------------


async def test_finality_rises_with_the_majority_and_never_falls(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r:
        await r.once()
        assert (await r.position()).finalized == 22
        node.replicas[1].lag = 25
        node.tell("finalized_backwards", replica=2)
        r.tree.extend(10)
        await r.once()
        assert (await r.position()).finalized in range(22, 33)
        node.honest()
        node.replicas[1].lag = 0
        await r.follow_script(grow_now(r, 1))
        assert (await r.position()).finalized == 33
        await r.assert_equals_node()


async def test_a_tag_that_is_missing_for_a_moment_is_not_guessed(tmp_path: Path) -> None:
    """The spec's depth is for nodes that never name a finalized block: here it would be far too high."""
    node = a_node(200, finalized_depth=None)
    async with rig(tmp_path, node) as r:
        r.tree.finalize(5)
        await r.once()
        steps: list[Callable[[], object]] = []
        for lie in ("finalized_missing", "finalized_zero", "internal_error"):
            steps += [partial(node.tell, lie, probability=0.7), *[grow_now(r, 1)] * 8, node.honest]
        await r.follow_script(*steps)
        assert (await r.position()).finalized == 5


async def test_a_block_is_not_final_where_the_tag_names_another_one(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30)) as r:
        r.node.tell("finalized_conflict")
        await r.once()
        finalized = (await r.position()).finalized
        assert r.tree.finalized == 22
        assert finalized is None or finalized < 22
        r.node.honest()
        await r.once()
        assert (await r.position()).finalized == 22


async def test_a_block_is_not_final_because_a_stale_cache_has_it(tmp_path: Path) -> None:
    """For a number the endpoint gives what was dropped; its tags and hashes are of the branch that is."""
    async with rig(tmp_path, a_node(20)) as r:
        await r.once()
        r.tree.reorg(3)
        r.node.tell("block_stale")
        r.tree.extend(10)
        with pytest.raises(Unreachable):
            await r.once(give_up_s=5.0)
        assert r.tree.finalized == 23
        assert ((await r.position()).finalized or 0) <= 17, "what both branches have"
        r.node.honest()
        await r.once()
        await r.assert_equals_node()


async def test_finality_by_depth_where_there_is_no_tag(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(100, finalized_depth=None)) as r:
        await r.once()
        assert (await r.position()).finalized == 100 - 64


@pytest.mark.parametrize("options", [{}, {"confirmations": 3}, {"finality": "finalized"}], ids=str)
@pytest.mark.parametrize("count", [1, 2])
async def test_finality_by_depth_follows_the_head(tmp_path: Path, options: dict[str, Any], count: int) -> None:
    node = a_node(100, finalized_depth=None, replicas=count)
    async with rig(tmp_path, node, urls=replicas(count)) as r:
        await r.once(**options)
        for head in (101, 108):
            r.tree.extend(head - r.tree.head.number)
            await r.once(**options)
            assert (await r.position()).finalized == head - 64


async def test_a_block_is_not_final_by_depth_because_a_stale_cache_has_it(tmp_path: Path) -> None:
    """As with the tag: what our blocks do not lead to is not their chain, though each number is answered with ours."""
    async with rig(tmp_path, a_node(100, finalized_depth=None)) as r:
        await r.once()
        r.tree.reorg(5)
        r.node.tell("block_stale")
        grown = 0

        def until(run: Sync) -> bool:
            nonlocal grown
            grown += 1
            r.tree.extend(1)
            return grown == 70

        await r.follow(until=until)
        assert r.tree.head.number - 64 > 100
        assert (await r.position()).finalized == 100 - 64
        r.node.honest()
        await r.once()
        assert (await r.position()).finalized == r.tree.head.number - 64
        await r.assert_equals_node()


async def test_finality_rises_where_it_lags_behind_the_references_that_are_held(tmp_path: Path) -> None:
    """As on Arbitrum by depth: 20,000 blocks behind the head, where 16,384 references are held."""
    limits = SyncLimits(writer=WriterLimits(held_max=10))
    async with rig(tmp_path, a_node(60, finalized_depth=12), limits=limits) as r:
        await r.once()
        assert (await r.position()).finalized == 48
        await r.follow_script(*[grow_now(r, 1)] * 20)
        assert (await r.position()).finalized == 68
        await r.assert_equals_node()


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("extra", [1, 40])
async def test_a_reorg_below_finality_stops_and_changes_nothing(tmp_path: Path, follow: bool, extra: int) -> None:
    async with rig(tmp_path, a_node(30)) as r:
        await r.once()
        before, position = await r.digest(), await r.position()
        r.tree.reorg(12, 12 + extra)
        with pytest.raises(BelowFinality, match=r"block 22 is final here as 0x.* http://replica-0 has another one"):
            await r.once(follow=follow)
        assert BelowFinality.exit_code == 7
        assert await r.digest() == before
        assert await r.position() == position


@pytest.mark.parametrize("held", [WRITER_LIMITS.held_max, 5], ids=["held", "below what is held"])
async def test_an_endpoint_that_contradicts_finality_is_quarantined_until_it_agrees(tmp_path: Path, held: int) -> None:
    node, limits = a_node(30, replicas=2), SyncLimits(writer=WriterLimits(held_max=held))
    async with rig(tmp_path, node, urls=replicas(2), limits=limits) as r, polled(r):
        await r.once()
        node.replicas[0].tip = r.tree.extend(60, on=r.tree.canonical(10).hash)[-1].hash
        run = r.sync(follow=True)
        quarantined: list[int] = []

        def look() -> None:
            quarantined.append(len(run._pool.quarantined))
            if r.caught_up(run) and r.tree.head.number < 40:
                r.tree.extend(1)
            elif r.tree.head.number == 40:
                node.replicas[0].tip = None
                if quarantined[-1] == 0:
                    run.stop()

        with r.sleeping(look):
            async with asyncio.timeout(HANGS_S):
                await run.run()
        assert max(quarantined) == 1
        await r.assert_equals_node()


async def test_a_conflict_with_finality_waits_for_endpoints_that_cannot_be_asked(tmp_path: Path) -> None:
    """The one that answers contradicts finality; the one that would agree is away for a while."""
    node = a_node(30, replicas=2)
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        await r.once()
        node.replicas[0].tip = r.tree.extend(60, on=r.tree.canonical(10).hash)[-1].hash
        r.tree.extend(5)
        run = r.sync(follow=True)

        def look() -> None:
            away = 20 < r.runtime.clock < 200
            r.http.down = {"replica-1"} if away else set()
            if r.caught_up(run) and r.runtime.clock > 200:
                run.stop()

        r.http.before = lambda host, calls: r.http.down.add("replica-1") if r.runtime.clock == 0 else None
        r.runtime.clock = 21.0
        with r.sleeping(look):
            async with asyncio.timeout(HANGS_S):
                await run.run()
        await r.assert_equals_node(path="/replica-1")


async def test_a_lie_about_one_header_is_no_conflict(tmp_path: Path) -> None:
    """A header whose hash does not hold is evidence of nothing, least of all against what is final."""
    for lie in ("hash_wrong", "parent_wrong", "bloom_wrong", "bloom_stale"):
        folder = tmp_path / lie
        folder.mkdir()
        node = a_node(30)
        async with rig(folder, node) as r:
            await r.once()
            node.tell(lie, probability=0.4)
            await r.follow_script(*[grow_now(r, 1), lambda: r.tree.reorg(5)] * 4)
            node.honest()
            await r.assert_equals_node()


async def test_a_head_that_stands_still_is_noticed(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(5)) as r:
        await r.follow(until=lambda run: r.runtime.clock > 4_000, rounds=5_000)
        stalled = r.metrics.registry.get_sample_value("tidelog_chain_head_stalled", {"chain": str(CHAIN_ID)})
        assert stalled == 1
        await r.follow_script(grow_now(r, 1))
        stalled = r.metrics.registry.get_sample_value("tidelog_chain_head_stalled", {"chain": str(CHAIN_ID)})
        assert stalled == 0


async def test_a_head_that_stands_still_behind_a_balancer_is_noticed(tmp_path: Path) -> None:
    """Its nodes are not equally far, and take turns: no block is new."""
    node = a_node(20)
    async with rig(tmp_path, node) as r:
        await r.once()
        node.tell("heads_flap")
        await r.follow(until=lambda run: r.runtime.clock > 8_000, poll_s=60.0)
        stalled = r.metrics.registry.get_sample_value("tidelog_chain_head_stalled", {"chain": str(CHAIN_ID)})
        assert stalled == 1


async def test_a_new_head_wakes_the_sync_up(tmp_path: Path) -> None:
    """Set, the event ends the pause at once: the poll interval is longer than the test."""
    from tidelog.runtime import SystemRuntime
    from tidelog.store import open_store

    node: SimNode = a_node(10)
    async with rig(tmp_path, node) as r:
        runtime = SystemRuntime()
        store = await open_store(f"sqlite:///{tmp_path}/awake.db", runtime)
        run = Sync(store, r.pool(), runtime, r.metrics, r.sync(follow=True, poll_s=1_000.0)._options)
        reached = asyncio.Event()
        run._on_progress = lambda progress: reached.set() if r.caught_up(run) else None
        task = asyncio.create_task(run.run())
        try:
            async with asyncio.timeout(HANGS_S):
                for height in range(10, 15):
                    await reached.wait()
                    reached.clear()
                    assert run.progress.head == height
                    r.tree.extend(1)
                    run.wake.set()
                run.stop()
                await task
        finally:
            task.cancel()
            await store.close()
