"""Chains that no table describes, or a table alone: looked at over several heights, by the majority, and by range."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.chain.rig import Rig, a_node, replicas, rig
from tests.sim.asking import FULL as SHAPE
from tidelog.chain.proof.evidence import FULL, OFF, WEAKER, form_of
from tidelog.chain.proof.known_chains import KNOWN, PROFILES
from tidelog.chain.proof.spec import ALL, LOWERABLE, ChainSpec, rules_text
from tidelog.chain.source.probe import DEPTH, Probe, height
from tidelog.chain.sync.rulebook import first_contact
from tidelog.errors import ConfigError, SourceError, Unreachable
from tidelog.sim.node.chain.block_builder import LONDON, PRAGUE, Fork
from tidelog.sim.node.node import SimNode

STRANGE = 424_242


def odd(*oddities: str, fork: Fork = PRAGUE) -> Fork:
    return replace(fork, oddities=oddities)


def strange(*forks: tuple[int, Fork], blocks: int = 200, count: int = 1, chain_id: int = STRANGE) -> SimNode:
    return a_node(blocks, chain_id=chain_id, replicas=count, shape=SHAPE, forks=forks or ((0, PRAGUE),))


async def probed(r: Rig) -> ChainSpec:
    pool = r.pool()
    await pool.identify(None)
    return await first_contact(r.node.chain.chain_id, pool, r.runtime)


def weaker(spec: ChainSpec) -> dict[int, dict[str, int]]:
    """By the first block of each range, the checks that do not hold in full."""
    return {
        found.first: {check: form for check in LOWERABLE if (form := form_of(spec.at(found.first), check)) != FULL}
        for found in spec.as_ranges()
    }


@pytest.mark.parametrize("chain_id", [1, 1337, 137, 42161, 25])
async def test_a_chain_that_recorded_blocks_confirm_is_not_looked_at(tmp_path: Path, chain_id: int) -> None:
    async with rig(tmp_path, strange(blocks=5, chain_id=chain_id)) as r:
        pool = r.pool()
        await pool.identify(None)
        asked = r.http.requests
        assert await first_contact(chain_id, pool, r.runtime) == PROFILES[chain_id]
        assert r.http.requests == asked


async def test_a_chain_like_ethereum_has_every_check_confirmed(tmp_path: Path) -> None:
    async with rig(tmp_path, strange()) as r:
        spec = await probed(r)
        (found,) = spec.ranges
        assert spec.at(0).checks == ALL
        assert found.unconfirmed == ()
        assert all(each.passed and not each.failed for each in found.evidence)
        assert "transactions: holds" in rules_text(found)


@pytest.mark.parametrize(
    ("forks", "expected"),
    [
        # a quiet hour before odd roots: an empty block proves nothing
        ([(0, odd("quiet")), (100, odd("transactions_root"))], {0: {"transactions": WEAKER}}),
        ([(0, odd("transactions_root")), (150, odd("quiet"))], {0: {"transactions": WEAKER}}),
        ([(0, odd("receipts_root"))], {0: {"receipts": WEAKER}}),
        ([(0, odd("header_field"))], {0: {"hash": OFF}}),
        # a fork changed the header's form before now
        ([(0, PRAGUE), (77, odd("storage_root"))], {0: {}, 77: {"withdrawals": WEAKER}}),
        ([(0, odd("bloom_superset", fork=LONDON)), (133, LONDON)], {0: {"bloom": WEAKER}, 133: {}}),
        ([(0, odd("aura", fork=LONDON)), (133, PRAGUE)], {0: {}}),  # with the seal the hash is right
        ([(0, PRAGUE), (60, odd("receipts_root")), (120, PRAGUE)], {0: {}, 60: {"receipts": WEAKER}, 120: {}}),
    ],
)
async def test_a_probe_finds_what_holds_by_range(
    tmp_path: Path, forks: Sequence[tuple[int, Fork]], expected: dict[int, dict[str, int]]
) -> None:
    async with rig(tmp_path, strange(*forks)) as r:
        found = weaker(await probed(r))
        assert list(found.values()) == list(expected.values())
        for first, wanted in zip(found, expected, strict=True):
            # blocks with nothing to compare may lie at the border
            assert wanted - 4 <= first <= wanted + 4


async def test_a_chain_that_is_empty_throughout_keeps_every_check_unconfirmed(tmp_path: Path) -> None:
    async with rig(tmp_path, strange((0, odd("quiet")))) as r:
        (found,) = (await probed(r)).ranges
        assert found.checks == ALL
        assert set(found.unconfirmed) == {"transactions", "receipts", "derived", "bloom", "withdrawals"}
        assert "transactions: not yet confirmed" in rules_text(found)


@pytest.mark.parametrize(
    ("lying", "count", "lost"),
    [(1, 3, False), (2, 3, False), (1, 2, False), (3, 3, True), (2, 2, True), (1, 1, True)],
)
async def test_one_endpoint_whose_answers_pass_keeps_a_check(
    tmp_path: Path, lying: int, count: int, lost: bool
) -> None:
    node = strange(count=count)
    for replica in range(lying):
        node.tell("log_altered", replica=replica)
    async with rig(tmp_path, node, urls=replicas(count)) as r:
        assert ("receipts" in weaker(await probed(r))[0]) == lost


async def test_an_endpoint_that_is_away_does_not_make_a_liar_the_majority(tmp_path: Path) -> None:
    node = strange(count=3)
    node.tell("log_altered", replica=0)
    async with rig(tmp_path, node, urls=replicas(3)) as r:
        r.http.down = {"replica-1", "replica-2"}
        spec = await probed(r)
        assert weaker(spec) == {0: {}}
        assert "receipts" in spec.ranges[0].unconfirmed


@pytest.mark.parametrize("probability", [0.1, 0.3])
async def test_a_few_bad_answers_switch_no_check_off(tmp_path: Path, probability: float) -> None:
    node = strange()
    for lie in ("log_altered", "transaction_altered", "withdrawal_altered", "bloom_wrong"):
        node.tell(lie, probability=probability)
    async with rig(tmp_path, node) as r:
        assert weaker(await probed(r)) == {0: {}}


async def test_two_blocks_that_contradict_themselves_always_are_no_rule(tmp_path: Path) -> None:
    node = strange()
    node.tell("receipt_altered", blocks=[92, 93])
    async with rig(tmp_path, node) as r:
        spec = await probed(r)
        assert weaker(spec) == {0: {}}
        assert next(each for each in spec.ranges[0].evidence if each.check == "receipts").failed in (1, 2)


@pytest.mark.parametrize("lie", ["receipts_empty", "receipts_missing", "receipts_null", "reset", "internal_error"])
async def test_incomplete_answers_are_no_evidence(tmp_path: Path, lie: str) -> None:
    node = strange(count=2)
    node.tell(lie, replica=0)
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        assert weaker(await probed(r)) == {0: {}}
    node.tell(lie)
    node.tell("receipt_null")  # nor are receipts to be had one by one
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        try:
            spec = await probed(r)
        except SourceError:
            return  # not even an empty block
        assert weaker(spec) == {0: {}}
        assert {"transactions", "receipts", "derived"} <= set(spec.ranges[0].unconfirmed)


async def test_without_a_whole_block_the_endpoints_words_are_the_reason(tmp_path: Path) -> None:
    node = strange()
    node.tell("internal_error", blocks=range(1, 150))
    async with rig(tmp_path, node) as r:
        pool = r.pool()
        await pool.identify(None)
        with pytest.raises(Unreachable, match=r"no endpoint gives a whole block: .*internal error"):
            await Probe(pool, r.runtime, ChainSpec("new")).whole(1, 149)


async def test_probe_of_a_short_chain(tmp_path: Path) -> None:
    for blocks in (0, 1, 5):
        folder = tmp_path / str(blocks)
        folder.mkdir()
        async with rig(folder, strange(blocks=blocks)) as r:
            assert (await probed(r)).at(0).checks == ALL
            await r.once()
            await r.assert_equals_node()


async def test_a_probe_leaves_the_head_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, strange(blocks=100)) as r:
        pool = r.pool()
        await pool.identify(None)
        assert await height(pool) == 100 - DEPTH


async def test_an_unproven_entry_of_the_table_is_held_to_the_chains_blocks(tmp_path: Path) -> None:
    """The table says that Avalanche's hash cannot be computed; on this chain of its id it can."""
    async with rig(tmp_path, strange(chain_id=43114)) as r:
        assert form_of(PROFILES[43114], "hash") == OFF
        spec = await probed(r)
        assert spec.name == "avalanche"
        assert weaker(spec) == {0: {}}


async def test_an_entry_of_the_table_stays_where_its_chain_is_quiet(tmp_path: Path) -> None:
    async with rig(tmp_path, strange((0, odd("quiet")), chain_id=324)) as r:
        assert {"transactions": WEAKER, "receipts": WEAKER}.items() <= weaker(await probed(r))[0].items()


@pytest.mark.parametrize("chain_id", [314, 314159])
async def test_a_chain_whose_numbers_have_holes_is_refused_in_one_sentence(tmp_path: Path, chain_id: int) -> None:
    async with rig(tmp_path, strange(chain_id=chain_id)) as r:
        with pytest.raises(ConfigError, match=r"filecoin: its numbers have holes .null rounds.*cannot be stored"):
            await r.once()


def test_every_rule_of_the_table_has_a_source() -> None:
    assert all(known.source for known in KNOWN.values())
    assert all(known.spec.finality_depth > 0 and known.spec.stall_s > 0 for known in KNOWN.values())


async def test_an_endpoint_that_asks_for_patience_is_asked_again(tmp_path: Path) -> None:
    node = strange()
    node.tell("rate_limited_200", probability=0.3)
    async with rig(tmp_path, node) as r:
        pool = r.pool()
        while await pool.identify(None) is None:
            await r.runtime.sleep(1.0)
        (found,) = (await first_contact(STRANGE, pool, r.runtime)).ranges
        assert found.unconfirmed == ()


async def test_what_a_probe_finds_is_logged_as_a_warning(tmp_path: Path, capsys: Any) -> None:
    async with rig(tmp_path, strange((0, odd("transactions_root")))) as r:
        await probed(r)
    said = capsys.readouterr().err
    assert "chain_probed" in said
    assert "transactions: without the root (0 of" in said


async def test_the_second_look_comes_later(tmp_path: Path) -> None:
    async with rig(tmp_path, strange((0, odd("transactions_root")))) as r:
        pool = r.pool()
        await pool.identify(None)
        before = r.runtime.monotonic()
        await Probe(pool, r.runtime, ChainSpec("new")).whole(0, 180)
        assert r.runtime.monotonic() > before
