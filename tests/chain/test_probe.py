"""A chain that no profile describes: probed once, by the majority, stored, and never lowered silently."""

from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import Rig, a_node, replicas, rig
from tests.sim.asking import FULL
from tidelog.batch import CHAINS
from tidelog.chain.probe import profile_for
from tidelog.chain.profiles import ALL, PROFILES, Profile, decode_profile
from tidelog.errors import ProofFailure, SourceError, Unreachable
from tidelog.sim.node import SimNode

STRANGE = 424_242


def strange(count: int = 1) -> SimNode:
    return a_node(40, chain_id=STRANGE, replicas=count, shape=FULL)


async def probed(r: Rig) -> Profile:
    pool = r.pool()
    await pool.identify(None)
    return await profile_for(r.node.chain.chain_id, pool, r.runtime)


async def stored(r: Rig) -> Profile:
    async with r.store.snapshot() as snapshot:
        ((_, _, text),) = await snapshot.select(CHAINS)
    return decode_profile(str(text))


async def test_a_known_chain_is_not_probed(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(5)) as r:
        pool = r.pool()
        await pool.identify(None)
        asked = r.http.requests
        assert await profile_for(1337, pool, r.runtime) == PROFILES[1337]
        assert r.http.requests == asked


async def test_a_chain_like_ethereum_has_every_check(tmp_path: Path) -> None:
    async with rig(tmp_path, strange()) as r:
        assert await probed(r) == Profile("chain-424242", checks=ALL)


@pytest.mark.parametrize(
    ("lie", "lacks"),
    [
        ("hash_wrong", None),  # whatever the block's hash is, transactions name it: nothing is left to believe
        ("parent_wrong", ("hash",)),
        ("bloom_wrong", ("hash", "bloom")),
        ("transaction_altered", ("transactions",)),
        ("receipt_altered", ("receipts", "derived")),
        ("log_altered", ("receipts",)),
        ("withdrawal_altered", ("withdrawals",)),
    ],
)
async def test_what_does_not_hold_there_is_not_checked(tmp_path: Path, lie: str, lacks: tuple[str, ...] | None) -> None:
    node = strange()
    node.tell(lie)
    async with rig(tmp_path, node) as r:
        if lacks is None:
            with pytest.raises(Unreachable, match="chain 424242 is not known, and no endpoint gave blocks"):
                await probed(r)
        else:
            assert set(ALL) - set((await probed(r)).checks) == set(lacks)


@pytest.mark.parametrize(("lying", "count", "lost"), [(1, 3, False), (2, 3, True), (1, 2, True), (1, 1, True)])
async def test_the_majority_decides(tmp_path: Path, lying: int, count: int, lost: bool) -> None:
    """A check is kept only where it held at more than half of the endpoints."""
    node = strange(count)
    for replica in range(lying):
        node.tell("log_altered", replica=replica)
    async with rig(tmp_path, node, urls=replicas(count)) as r:
        assert ("receipts" not in (await probed(r)).checks) == lost


@pytest.mark.parametrize("lie", ["receipts_empty", "receipts_missing", "receipts_null", "reset"])
async def test_incomplete_answers_are_no_evidence(tmp_path: Path, lie: str) -> None:
    node = strange(2)
    node.tell(lie, replica=0)
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        assert (await probed(r)).checks == ALL
    node.tell(lie)
    node.tell("receipt_null")  # nor are receipts to be had one by one
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        with pytest.raises(SourceError):
            await probed(r)


async def test_a_chain_is_probed_once_and_never_lowered(tmp_path: Path) -> None:
    """Later the same endpoint lies always: what held at first is still asked of it."""
    node = strange()
    async with rig(tmp_path, node) as r:
        await r.once(to=20)
        assert (await stored(r)).checks == ALL
        node.tell("log_altered")
        with pytest.raises(ProofFailure):
            await r.once()
        assert (await stored(r)).checks == ALL
        node.honest()
        await r.once()
        await r.assert_equals_node()


async def test_a_check_that_never_held_stays_left_out_and_every_block_says_so(tmp_path: Path) -> None:
    node = strange()
    node.tell("transaction_altered")
    async with rig(tmp_path, node) as r:
        progress = await r.once()
        assert progress.lowered == ("transactions",)
        node.honest()
        r.ledger.extend(3)
        assert (await r.once()).lowered == ("transactions",), "the profile is the stored one"
        assert "transactions" not in (await stored(r)).checks


async def test_a_short_chain(tmp_path: Path) -> None:
    for blocks in (0, 1, 5):
        folder = tmp_path / str(blocks)
        folder.mkdir()
        async with rig(folder, a_node(blocks, chain_id=STRANGE)) as r:
            assert (await probed(r)).checks == ALL
            await r.once()
            await r.assert_equals_node()


async def test_it_is_said_loudly(tmp_path: Path, capsys: Any) -> None:
    async with rig(tmp_path, strange()) as r:
        await probed(r)
    assert "chain_probed" in capsys.readouterr().err
