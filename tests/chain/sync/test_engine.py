"""The sync as a whole: which range ends up in the store, from where a run goes on, and what it refuses.

Every run ends with the store compared with the node, field by field (`oracle`), and verified.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chain.oracle import assert_equals_node
from tests.chain.rig import Rig, a_node, commits, replicas, rig
from tests.conftest import missing
from tests.patience import HANGS_S
from tidelog.chain.endpoint.budget import BudgetLimits
from tidelog.chain.rows.tables import BLOCKS, CHANGES
from tidelog.chain.sync.committer import CommitLimits
from tidelog.chain.sync.engine import Sync, SyncLimits
from tidelog.chain.sync.follower import Follower, Step
from tidelog.errors import ConfigError, Full, ProofFailure, Rejected, SourceError, Unreachable
from tidelog.sim.node.chain.block_builder import BERLIN, CANCUN, FRONTIER, LONDON, PRAGUE, SHANGHAI, Shape
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.recorded import RecordedChain

SHARED = Path(os.environ.get("TIDELOG_SHARED", Path(__file__).parents[4] / "shared"))
RECORDED = SHARED / "data" / "evm" / "rpc"
EVERY_FORK = ((0, FRONTIER), (3, BERLIN), (6, LONDON), (9, SHANGHAI), (12, CANCUN), (15, PRAGUE))
BUSY = Shape(transactions=(4, 9), logs=(1, 4), withdrawals=(1, 3))


# -- which blocks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "first", "head"),
    [
        ({}, 0, 30),
        ({"first": 0}, 0, 30),
        ({"first": 12}, 12, 30),  # begins in finalized history
        ({"first": 22}, 22, 30),  # begins at the finalized block
        ({"first": 23}, 23, 30),  # begins above it
        ({"first": 30}, 30, 30),
        ({"first_latest": True}, 30, 30),
        ({"to": 0}, 0, 0),
        ({"to": 22}, 0, 22),
        ({"to": 27}, 0, 27),
        ({"to": 30}, 0, 30),
        ({"first": 5, "to": 5}, 5, 5),
        ({"first": 25, "to": 25}, 25, 25),
        ({"first": 20, "to": 24}, 20, 24),
        ({"confirmations": 1}, 0, 29),
        ({"confirmations": 10}, 0, 20),
        ({"confirmations": 30}, 0, 0),
        ({"finality": "safe"}, 0, 26),
        ({"finality": "finalized"}, 0, 22),
        ({"finality": "finalized", "to": 10}, 0, 10),
        ({"finality": "finalized", "confirmations": 10}, 0, 20),
        ({"first_latest": True, "finality": "safe"}, 26, 26),
        ({"to": 25, "follow": True}, 0, 25),  # done though it follows: there is nothing more to do
        ({"senders": True}, 0, 30),
    ],
)
async def test_syncs_the_range_that_is_asked_for(
    tmp_path: Path, options: dict[str, Any], first: int, head: int
) -> None:
    async with rig(tmp_path, a_node(30)) as r:
        progress = await r.once(**options)
        await r.assert_equals_node(first=first, head=head)
        assert (progress.first, progress.head) == (first, head)
        assert progress.blocks == head - first + 1


@pytest.mark.parametrize("shape", [BUSY, Shape(transactions=(0, 0), withdrawals=(0, 0))], ids=["busy", "empty"])
@pytest.mark.usefixtures("either_path")
async def test_syncs_blocks_of_every_fork(tmp_path: Path, shape: Shape) -> None:
    async with rig(tmp_path, a_node(24, forks=EVERY_FORK, shape=shape)) as r:
        await r.once(senders=True)
        await r.assert_equals_node()


@pytest.mark.parametrize(
    ("blocks", "options", "says"),
    [
        (5, {"first": 6}, "--from 6 is not there yet: the chain goes to 5"),
        (5, {"to": 6}, "--to 6 is not there yet: stored up to 5"),
        (5, {"first": 6, "to": 9}, "--from 6 is not there yet"),
    ],
)
async def test_refuses_a_range_that_is_not_there_yet(
    tmp_path: Path, blocks: int, options: dict[str, Any], says: str
) -> None:
    async with rig(tmp_path, a_node(blocks)) as r:
        with pytest.raises(ConfigError, match=says):
            await r.once(**options)


async def test_following_waits_for_the_first_and_the_last_block(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(5)) as r:
        grow = lambda run: bool(r.tree.extend(1)) and False  # noqa: E731
        await r.follow(until=grow, first=9, to=14)
        await r.assert_equals_node(first=9, head=14)


async def test_syncs_a_chain_of_a_single_block(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(0)) as r:
        await r.once()
        await r.assert_equals_node(head=0)


@pytest.mark.parametrize("finality", ["safe", "finalized"])
async def test_syncs_a_chain_without_a_final_block(tmp_path: Path, finality: str) -> None:
    async with rig(tmp_path, a_node(5, finalized_depth=None)) as r:
        with pytest.raises(Unreachable, match=f"no {finality} block yet"):
            await r.once(finality=finality)


@pytest.mark.parametrize("finality", ["safe", "finalized"])
async def test_never_goes_beyond_the_finality_tag(tmp_path: Path, finality: str) -> None:
    async with rig(tmp_path, a_node(20)) as r:

        def tag() -> int:
            return (r.tree.safe if finality == "safe" else r.tree.finalized) or 0

        def until(run: Sync) -> bool:
            head = run.progress.head or 0
            assert head <= tag()
            if head == tag():
                r.tree.extend(3)
            return r.tree.head.number > 60

        await r.follow(until=until, finality=finality)
        position = await r.position()
        await r.assert_equals_node(head=position.head)


# -- recorded blocks, each a range of one ----------------------------------------------------------------------


def recorded(chain: str, number: int) -> SimNode:
    folder = RECORDED / chain
    if not folder.exists():
        missing(f"no recorded blocks at {RECORDED}: set TIDELOG_SHARED to the folder that holds data/evm/rpc")
    return SimNode(RecordedChain.from_folder(folder / str(number), chain_id=RecordedChain.from_folder(folder).chain_id))


@pytest.mark.parametrize(
    ("chain", "number", "lowered"),
    [
        ("ethereum", 1_000_000, ()),
        ("ethereum", 4_369_999, ()),
        ("ethereum", 18_000_000, ()),
        ("ethereum", 18_500_000, ()),
        ("polygon", 50_000_000, ()),
        ("arbitrum", 150_000_000, ("transactions", "derived", "withdrawals")),
        ("cronos", 10_000, ("hash", "transactions", "receipts", "derived", "withdrawals")),
        ("cronos", 6_542, ("hash", "transactions", "receipts", "derived", "withdrawals")),
        ("cronos", 68_215, ("hash", "transactions", "receipts", "derived", "withdrawals")),
    ],
)
@pytest.mark.usefixtures("either_path")
async def test_syncs_a_recorded_block(tmp_path: Path, chain: str, number: int, lowered: tuple[str, ...]) -> None:
    node = recorded(chain, number)
    async with rig(tmp_path, node) as r:
        progress = await r.once(first=number, to=number)
        assert progress.lowered == lowered
        report = await module_verify(r, node)
        assert report == []
        if chain == "ethereum":
            await assert_equals_node(r.store, node, r.runtime, first=number, head=number)


async def module_verify(r: Rig, node: SimNode) -> list[Any]:
    from tidelog.chain.maintenance.verify import verify_jobs

    report = await verify_jobs("", r.store, r.runtime, node.chain.chain_id, low=None, high=None, jobs=1, findings_max=9)
    return report.findings


@pytest.mark.parametrize(
    ("number", "check"), [(6_541, "receipts"), (68_216, "receipts"), (131_465, "receipts"), (11_446_765, "bloom")]
)
@pytest.mark.usefixtures("either_path")
async def test_refuses_a_recorded_block_that_is_broken(tmp_path: Path, number: int, check: str) -> None:
    async with rig(tmp_path, recorded("cronos", number)) as r:
        with pytest.raises(ProofFailure) as failure:
            await r.once(first=number, to=number)
        assert failure.value.check == check
        assert failure.value.exit_code == 4
        assert r.runtime.clock < 30, "it is said soon: waiting does not mend a block"
        async with r.store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 0


# -- going on -------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        for _ in range(4):
            progress = await r.once()
            await r.assert_equals_node()
            r.tree.extend(15)
        assert progress.blocks == 15


@pytest.mark.parametrize("nth", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "point", ["ledger.before_commit", "store.rolled_back", "store.written", "store.committed", "ledger.after_commit"]
)
async def test_a_run_that_dies_around_any_commit_goes_on(tmp_path: Path, point: str, nth: int) -> None:
    class Killed(BaseException):
        pass

    node = a_node(40)
    async with rig(tmp_path, node, limits=SyncLimits(commit=CommitLimits(blocks=7))) as r:

        def reached(name: str) -> None:
            if r.runtime.points.count(point) == nth:
                raise Killed

        r.runtime.on_point = reached
        with pytest.raises(Killed):
            await r.once()
    node.chain.reorg(3)  # type: ignore[attr-defined]
    async with rig(tmp_path, node) as r:
        await r.once()
        await r.assert_equals_node()


async def test_stopped_between_commits_and_taken_up_again(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(60), limits=SyncLimits(commit=CommitLimits(blocks=5))) as r:
        runs = 0
        while True:
            run = r.sync()
            run._on_progress = lambda progress, run=run: run.stop() if progress.blocks else None  # type: ignore[misc]
            await run.run()
            runs += 1
            if (await r.position()).head == 60:
                break
        assert runs > 5
        await r.assert_equals_node()


async def test_the_later_run_fences_the_earlier_one(tmp_path: Path) -> None:
    from tidelog.errors import Fenced

    async with rig(tmp_path, a_node(20)) as r:
        first = r.sync(follow=True)
        second: list[asyncio.Task[Any]] = []

        def look() -> None:
            if not second:
                second.append(asyncio.create_task(r.sync().run()))
            else:
                r.tree.extend(1)

        with r.sleeping(look), pytest.raises(Fenced, match="another writer"):
            async with asyncio.timeout(HANGS_S):
                await first.run()
        await second[0]
        await r.once()
        await r.assert_equals_node()


# -- backwards ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("either_path")
async def test_a_lower_from_fills_in_downwards(tmp_path: Path) -> None:
    (tmp_path / "straight").mkdir()
    (tmp_path / "backwards").mkdir()
    node = a_node(30)
    async with rig(tmp_path / "straight", node) as straight, rig(tmp_path / "backwards", node) as r:
        await straight.once(first=3)
        await r.once(first=20)
        for first in (19, 3):
            await r.once(first=first)
            await r.assert_equals_node(first=first)
        assert await r.digest() == await straight.digest()


async def test_the_digest_is_that_of_a_run_from_the_genesis(tmp_path: Path) -> None:
    (tmp_path / "straight").mkdir()
    (tmp_path / "backwards").mkdir()
    node = a_node(30)
    async with rig(tmp_path / "straight", node) as straight, rig(tmp_path / "backwards", node) as r:
        await straight.once()
        await r.once(first_latest=True)
        await r.once(first=0)
        assert await r.digest() == await straight.digest()
        await r.assert_equals_node()


async def test_filling_in_that_is_stopped_halfway_leaves_a_proven_store(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(40), limits=SyncLimits(commit=CommitLimits(blocks=4))) as r:
        r.limits = BudgetLimits(calls_max=8)
        await r.once(first=35)
        run = r.sync(first=10)
        run._on_progress = lambda progress: run.stop() if (progress.first or 99) < 30 else None
        await run.run()
        position = await r.position()
        assert 10 < position.first < 30
        await r.assert_equals_node(first=position.first)
        await r.once(first=10)
        await r.assert_equals_node(first=10)


async def test_filling_in_has_to_lead_to_what_is_stored(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(30, finalized_depth=None)) as r:
        r.tree.finalize(1)
        await r.once(first=25)
        before = await r.digest()
        r.tree.reorg(10)
        with pytest.raises(Unreachable, match=r"names 0x.* as its parent"):
            await r.once(first=10, give_up_s=5.0)
        assert await r.digest() == before


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"first": 22}, "--from 22 would leave a hole: the store holds blocks 10 to 20"),
        ({"to": 5}, "--to 5 is below the store's first block 10"),
        ({"anchor": bytes(32)}, "is not the hash of the store's first block 10"),
        ({"anchor": bytes(32), "first": 10}, "is not the hash of the store's first block 10"),
    ],
)
async def test_refuses_a_range_that_does_not_fit_the_store(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    async with rig(tmp_path, a_node(30)) as r:
        await r.once(first=10, to=20)
        before = await r.digest()
        with pytest.raises(ConfigError, match=says):
            await r.once(**options)
        assert await r.digest() == before
        await r.once(first=21)
        await r.assert_equals_node(first=10)


@pytest.mark.usefixtures("either_path")
async def test_an_anchor_pins_the_first_block(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(20)) as r:
        with pytest.raises(ProofFailure) as failure:
            await r.once(first=5, anchor=r.tree.canonical(6).hash)
        assert failure.value.check == "anchor"
        await r.once(first=5, anchor=r.tree.canonical(5).hash)
        await r.once(anchor=r.tree.canonical(5).hash)
        with pytest.raises(ProofFailure):
            await r.once(first=2, anchor=r.tree.canonical(3).hash)
        await r.once(first=2, anchor=r.tree.canonical(2).hash)
        await r.assert_equals_node(first=2)


async def test_refuses_another_chain_id_than_the_stores(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        await r.once()
    async with rig(tmp_path, a_node(10, chain_id=31337)) as other:
        with pytest.raises(ConfigError, match=r"holds chain 1337, the endpoint serves chain 31337.*--chain-id 31337"):
            await other.once()
        await other.once(chain_id=31337)
        await other.assert_equals_node()
    async with rig(tmp_path, a_node(12)) as r:
        with pytest.raises(ConfigError, match="holds chain 1337"):
            async with rig(tmp_path, a_node(3, chain_id=5)) as third:
                await third.once()
        await r.once()
        await r.assert_equals_node()


async def test_refuses_another_chain_id_than_asked_for(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        with pytest.raises(Rejected, match="serves chain 1337, not chain 1"):
            await r.once(chain_id=1)


async def test_refuses_another_genesis_than_the_stores(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        await r.once()
        before = await r.digest()
    async with rig(tmp_path, a_node(20, seed=1)) as other:
        with pytest.raises(ConfigError, match="another --db for another chain"):
            await other.once()
        assert await other.digest() == before


@pytest.mark.parametrize("other", [0, 1])
async def test_one_endpoint_with_another_genesis_is_left_out(tmp_path: Path, other: int) -> None:
    """Wherever it stands in the user's order; where the other one cannot be asked, nothing is decided."""
    async with rig(tmp_path, a_node(10, replicas=2), urls=replicas(2)) as r:
        await r.once()
        r.tree.extend(5)
        r.http.serve(a_node(30, seed=1, replicas=2), f"replica-{other}")
        await r.once()
        await r.assert_equals_node()
        r.http.down.add(f"replica-{1 - other}")
        with pytest.raises(Unreachable, match=f"http://replica-{1 - other} cannot be asked about it"):
            await r.once()
        await r.assert_equals_node()


async def test_refuses_a_chain_id_that_cannot_be_stored(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(1, chain_id=2**53 + 1)) as r:
        with pytest.raises(Rejected, match="http://replica-0: eth_chainId answered a number beyond 2\\^53"):
            await r.once()
        assert r.runtime.clock < 20


async def test_ends_where_nothing_listens(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(1)) as r:
        r.http.down.add("replica-0")
        with pytest.raises(Unreachable, match=r"no contact within 10 s: http://replica-0: no connection \(refused\)"):
            await r.once()
        assert r.runtime.clock < 20


# -- outages --------------------------------------------------------------------------------------------------


async def test_gives_up_when_the_endpoint_goes_away_for_good(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        run = r.sync(to=20)
        run._on_progress = lambda progress: r.http.down.add("replica-0") if progress.blocks else None
        with pytest.raises(SourceError):
            await run.run()
        assert 30 < r.runtime.clock < 300, "patient, and not for ever"


async def test_following_outlives_any_outage(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(10)) as r:
        begun: list[float] = []

        def until(run: Sync) -> bool:
            if r.caught_up(run) and not begun:
                begun.append(r.runtime.clock)
                r.http.down.add("replica-0")
                r.tree.extend(3)
                r.tree.reorg(4)
            if begun and r.runtime.clock > begun[0] + 3_600:
                r.http.down.clear()
            return r.caught_up(run) and r.tree.head.number > 10

        await r.follow(until=until)
        assert r.runtime.clock > 3_600
        await r.assert_equals_node()


@pytest.mark.parametrize("follow", [False, True])
async def test_gives_up_on_history_that_never_links(
    tmp_path: Path, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole blocks come from another branch than all headers, and fork choice finds nothing to do."""
    async with rig(tmp_path, a_node(15, finalized_depth=None)) as r:
        r.tree.finalize(2)
        await r.once()
        side = r.tree.extend(20, on=r.tree.canonical(10).hash)[-1].hash
        r.tree.extend(15)
        r.tree.finalize(25)

        def before(host: str, calls: list[dict[str, Any]]) -> None:
            whole = any(call["params"][1:] == [True] for call in calls)
            r.node.replicas[0].tip = side if whole and r.runtime.clock < 600 else None

        async def step(*_: Any) -> Step:
            return Step.WAITING

        r.http.before = before
        monkeypatch.setattr(Follower, "step", step)
        if follow:
            await r.follow(until=lambda run: (run.progress.head or 0) >= 25)
            assert r.runtime.clock >= 600
        else:
            with pytest.raises(Unreachable, match="block 16 never links"):
                await r.once()


# -- what a commit holds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (CommitLimits(blocks=10), lambda blocks, rows: blocks <= 10),
        (CommitLimits(rows=40), lambda blocks, rows: rows < 40 + 60),  # the last block may go over it
        (CommitLimits(answer_bytes=60_000), lambda blocks, rows: blocks <= 30),
    ],
)
async def test_a_commit_is_bounded(tmp_path: Path, limits: CommitLimits, most: Callable[[int, int], bool]) -> None:
    async with rig(tmp_path, a_node(100), limits=SyncLimits(commit=limits)) as r:
        with commits(r.store) as seen:
            await r.once(to=90)
        sizes = [
            (sum(len(rows.rows) for rows in batch.add if rows.table is BLOCKS), batch.row_count - len_changes(batch))
            for batch in seen
        ]
        assert len(sizes) > 5
        assert all(most(blocks, rows) for blocks, rows in sizes), sizes
        await r.assert_equals_node(head=90)


def len_changes(batch: Any) -> int:
    return sum(len(rows.rows) for rows in batch.add if rows.table is CHANGES)


async def test_tiny_blocks_go_together(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(400, shape=Shape(transactions=(0, 0), withdrawals=(0, 0)))) as r:
        with commits(r.store) as seen:
            await r.once(finality="finalized")
        assert len(seen) <= 3
        await r.assert_equals_node(head=392)


async def test_one_huge_block_goes_alone(tmp_path: Path) -> None:
    limits = SyncLimits(commit=CommitLimits(answer_bytes=200_000))
    huge = Shape(transactions=(150, 150), logs=(3, 3), withdrawals=(0, 0), failing=0.0)
    async with rig(tmp_path, a_node(4, shape=huge, finalized_depth=0), limits=limits) as r:
        with commits(r.store) as seen:
            await r.once()
        assert [sum(len(rows.rows) for rows in batch.add if rows.table is BLOCKS) for batch in seen][-2] == 1
        await r.assert_equals_node()


async def test_limits_of_the_node_are_found_out(tmp_path: Path) -> None:
    node = a_node(80, limits=Limits(batch_calls=12, response_bytes=80_000))
    async with rig(tmp_path, node) as r:
        await r.once()
        await r.assert_equals_node()


async def test_several_endpoints_share_the_work(tmp_path: Path) -> None:
    asked: dict[str, int] = {}
    async with rig(tmp_path, a_node(2_000, shape=Shape((0, 0), (0, 0), (0, 0)), replicas=2), urls=replicas(2)) as r:
        r.http.before = lambda host, calls: asked.update({host: asked.get(host, 0) + len(calls)})
        await r.once()
        assert min(asked.values()) > 500, asked


# -- commits and what is gathered meanwhile --------------------------------------------------------------------


async def test_the_next_commit_is_gathered_while_one_is_under_way(tmp_path: Path) -> None:
    node = a_node(60, finalized_depth=0)
    async with rig(tmp_path, node, limits=SyncLimits(commit=CommitLimits(blocks=5))) as r:
        asked = asyncio.Event()
        r.http.before = lambda host, calls: asked.set()
        under_way, most, inner = 0, 0, r.store.commit

        async def commit(batch: Any) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            asked.clear()
            if batch.before.commit_seq == 1:
                await asked.wait()  # nobody would ask if the commit were waited for
            outcome = await inner(batch)
            under_way -= 1
            return outcome

        r.store.commit = commit  # type: ignore[method-assign]
        r.limits = BudgetLimits(calls_max=2, in_flight_first=1.0, in_flight_max=1)
        await r.once()
        assert most == 1
        await r.assert_equals_node()


async def test_a_commit_that_fails_ends_the_run_and_what_was_gathered_is_not_committed(tmp_path: Path) -> None:
    from tidelog.errors import StoreError

    async with rig(tmp_path, a_node(60, finalized_depth=0), limits=SyncLimits(commit=CommitLimits(blocks=5))) as r:
        tried, inner = 0, r.store.commit

        async def commit(batch: Any) -> Any:
            nonlocal tried
            tried += 1
            if tried == 3:
                raise StoreError("the disk is on fire")
            return await inner(batch)

        r.store.commit = commit  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="on fire"):
            await r.once()
        assert tried == 3
        r.store.commit = inner  # type: ignore[method-assign]
        await r.once()
        await r.assert_equals_node()


async def test_the_first_commits_are_small_and_each_is_twice_the_one_before(tmp_path: Path) -> None:
    node = a_node(100, shape=Shape((0, 0), (0, 0), (0, 0)), finalized_depth=0)
    async with rig(tmp_path, node, limits=SyncLimits(commit=CommitLimits(blocks=32, interval_s=1e6))) as r:
        with commits(r.store) as seen:
            await r.once()
        sizes = [sum(len(rows.rows) for rows in batch.add if rows.table is BLOCKS) for batch in seen]
        assert sizes[:5] == [4, 8, 16, 32, 32]
        await r.assert_equals_node()


async def test_a_commit_that_fails_is_raised_though_no_endpoint_answers_any_more(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(60, finalized_depth=0), limits=SyncLimits(commit=CommitLimits(blocks=5))) as r:
        asked, silent, inner = asyncio.Event(), asyncio.Event(), r.store.commit

        async def commit(batch: Any) -> Any:
            if batch.before.commit_seq < 2:
                return await inner(batch)
            silent.set()
            await asked.wait()
            raise Full("no room is left on the disk")

        @asynccontextmanager
        async def post(*args: Any, **options: Any) -> AsyncIterator[Any]:
            if silent.is_set():
                asked.set()
                await asyncio.Event().wait()
            async with answer(*args, **options) as response:
                yield response

        answer = r.http.post
        r.http.post = post  # type: ignore[method-assign]
        r.store.commit = commit  # type: ignore[method-assign]
        r.limits = BudgetLimits(calls_max=2, in_flight_first=1.0, in_flight_max=1)
        with pytest.raises(Full, match="no room"):
            await r.once()
