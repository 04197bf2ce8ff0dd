"""A chain's rules while it is synced: a fork after first contact, lowered checks tried again, what a user accepts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import Rig, a_node, replicas, rig
from tests.chain.source.test_probe import STRANGE, odd, strange, weaker
from tidelog.batch import Rows
from tidelog.chain.forks.checkpoint import chain_row
from tidelog.chain.maintenance.verify import verify_range
from tidelog.chain.proof.evidence import OFF, WEAKER
from tidelog.chain.proof.outcome import parse_proof
from tidelog.chain.proof.spec import ALL, ChainSpec, decode_spec, encode_spec, spec_of
from tidelog.chain.rows.tables import BLOCKS, CHAINS
from tidelog.chain.sync.rulebook import LOOK_AGAIN_S
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import ConfigError, ProofFailure
from tidelog.sim.node.chain.block_builder import PRAGUE, Fork


async def stored(r: Rig) -> ChainSpec:
    async with r.store.snapshot() as snapshot:
        ((*row,),) = await snapshot.select(CHAINS)
    return spec_of(tuple(row))


async def lowered(r: Rig) -> dict[str, list[int]]:
    """By check, the stored blocks whose proof says that it could not be made."""
    found: dict[str, list[int]] = {}
    async with r.store.snapshot() as snapshot:
        for row in await snapshot.select(BLOCKS):
            for check in parse_proof(str(row[BLOCKS.index("proof")])).lowered:
                found.setdefault(check, []).append(int(str(row[BLOCKS.index("number")])))
    return found


async def assert_sound(r: Rig) -> None:
    """What is stored is the node's chain, and `verify` agrees by the rules that are stored."""
    await r.assert_equals_node(proven=False)


async def test_a_known_chain_has_no_ranges_and_its_row_reads_as_before(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(20)) as r:
        await r.once()
        async with r.store.snapshot() as snapshot:
            ((_, _, text, spec),) = await snapshot.select(CHAINS)
    assert spec is None
    assert text == (
        '{"name":"anvil","checks":["hash","parent","uncles","transactions","receipts","derived","bloom","withdrawals"],'
        '"roots":true,"opaque_types":[],"state_sync":false,"storage_withdrawals_root":false,"finality_depth":64,'
        '"stall_s":3600}'
    )


@pytest.mark.each_choice
@pytest.mark.parametrize(
    ("forks", "expected"),
    [
        ([(0, odd("quiet")), (150, odd("transactions_root"))], {"transactions": WEAKER}),
        ([(0, PRAGUE), (150, odd("storage_root"))], {"withdrawals": WEAKER}),
        ([(0, PRAGUE), (150, odd("receipts_root"))], {"receipts": WEAKER}),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_a_fork_after_first_contact_neither_stops_the_sync_nor_accuses_the_node(
    tmp_path: Path, forks: Sequence[tuple[int, Fork]], expected: dict[str, int], count: int
) -> None:
    """As a new OP chain at Isthmus, or a chain that was first seen in a quiet hour."""
    async with rig(tmp_path, strange(*forks, blocks=140, count=count), urls=replicas(count)) as r:
        await r.once()
        assert weaker(await stored(r)) == {0: {}}
        r.tree.extend(60)
        await r.once()
        (_, at_first), (first, found) = weaker(await stored(r)).items()
        assert at_first == {}
        assert found == expected
        assert 150 <= first < 160
        (numbers,) = (await lowered(r)).values()
        assert min(numbers) == first
        await assert_sound(r)


async def test_a_fork_while_following(tmp_path: Path) -> None:
    node = strange((0, PRAGUE), (150, odd("storage_root")), blocks=140, count=3)
    async with rig(tmp_path, node, urls=replicas(3)) as r:
        await r.follow_script(lambda: r.tree.extend(30))
        assert list(weaker(await stored(r)).values()) == [{}, {"withdrawals": WEAKER}]
        await assert_sound(r)


@pytest.mark.parametrize("oddity", ["transactions_root", "receipts_root", "bloom_superset"])
async def test_a_reorg_may_bring_the_first_blocks_in_which_a_check_compares_anything(
    tmp_path: Path, oddity: str
) -> None:
    """The stored blocks that it replaces say nothing of the rule; the sync failed at it for ever."""
    async with rig(tmp_path, strange((0, odd("quiet")), blocks=140)) as r:
        await r.once()
    async with rig(tmp_path, strange((0, odd("quiet")), (135, odd(oddity)), blocks=170)) as r:
        await r.once()
        (first,) = [first for first, found in weaker(await stored(r)).items() if found]
        assert 135 <= first < 140
        (numbers,) = (await lowered(r)).values()
        assert min(numbers) >= first
        await assert_sound(r)


@pytest.mark.parametrize("lie", ["log_altered", "transaction_altered", "withdrawal_altered"])
async def test_an_endpoint_that_begins_to_lie_about_everything_lowers_nothing(tmp_path: Path, lie: str) -> None:
    """It gives the stored blocks wrongly as well: that is no fork."""
    async with rig(tmp_path, strange()) as r:
        await r.once(to=150)
        r.node.tell(lie)
        with pytest.raises(ProofFailure, match="passed when it was stored, fails now"):
            await r.once()
        assert weaker(await stored(r)) == {0: {}}
        r.node.honest()
        await r.once()
        await assert_sound(r)
        assert not await lowered(r)


async def test_one_endpoint_of_three_that_lies_about_new_blocks_lowers_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, strange(count=3), urls=replicas(3)) as r:
        await r.once(to=150)
        r.node.tell("log_altered", replica=0, blocks=range(151, 400))
        r.http.down = {"replica-1", "replica-2"}
        with pytest.raises(ProofFailure, match="no majority of the 3 endpoints"):
            await r.once()
        assert weaker(await stored(r)) == {0: {}}
        r.http.down = set()
        await r.once()
        r.node.honest()
        await assert_sound(r)


async def test_a_single_bad_block_is_no_rule_and_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    async with rig(tmp_path, strange()) as r:
        await r.once(to=150)
        r.node.tell("receipt_altered", blocks=[160])
        with pytest.raises(ProofFailure, match=r"a rule shows in 3; --accept-unproven receipts continues"):
            await r.once()
        assert weaker(await stored(r)) == {0: {}}


async def test_what_the_user_accepts_is_lowered_from_the_next_block_on_and_said(tmp_path: Path, capsys: Any) -> None:
    async with rig(tmp_path, strange()) as r:
        await r.once(to=150)
        r.node.tell("receipt_altered", blocks=[160])
        progress = await r.once(accept_unproven=("receipts", "derived"))
        assert set(progress.lowered) == {"receipts", "derived"}
        assert weaker(await stored(r)) == {0: {}, 151: {"receipts": OFF, "derived": OFF}}
        found = await lowered(r)
        assert found["receipts"] == list(range(151, 201))
        async with r.store.snapshot() as snapshot:
            (row,) = await snapshot.select(BLOCKS, low=170, high=170)
        assert "receipts?(accepted as unproven by the user)" in str(row[BLOCKS.index("proof")])
        position = await r.position()
        assert not (await verify_range(r.store, r.runtime, STRANGE, 0, position.head)).findings
    assert "check_accepted_unproven" in capsys.readouterr().err


async def test_an_accepted_check_is_tried_again_when_the_option_is_gone(tmp_path: Path) -> None:
    async with rig(tmp_path, strange()) as r:
        await r.once(accept_unproven=("receipts",))
        assert weaker(await stored(r)) == {0: {"receipts": OFF}}
        r.tree.extend(50)
        await r.once(accept_unproven=("receipts",))
        r.tree.extend(50)
        assert (await r.once()).lowered == ()
        assert list(weaker(await stored(r)).values()) == [{"receipts": OFF}, {}]
        await assert_sound(r)


async def test_a_known_chain_is_lowered_by_the_users_word_only(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(40)) as r:
        await r.once(to=29)
        r.node.tell("receipt_altered", blocks=range(30, 99))
        with pytest.raises(ProofFailure, match="it is a rule of this chain"):
            await r.once()
        await r.once(accept_unproven=("receipts", "derived"))
        assert weaker(await stored(r))[30] == {"receipts": OFF, "derived": OFF}


async def test_a_check_that_was_lowered_is_raised_when_it_holds_again(tmp_path: Path, capsys: Any) -> None:
    """Probed from one endpoint while it lied, as stores of before were."""
    node = strange((0, odd("transactions_root")), (150, PRAGUE), blocks=140)
    async with rig(tmp_path, node) as r:
        await r.once()
        assert weaker(await stored(r)) == {0: {"transactions": WEAKER}}
        r.tree.extend(100)
        await r.once(to=200)
        await r.once()
        assert list(weaker(await stored(r)).values()) == [{"transactions": WEAKER}, {}]
        await assert_sound(r)
        assert max((await lowered(r))["transactions"]) == 200
    assert "check_raised" in capsys.readouterr().err


async def test_a_follower_tries_a_lowered_check_again_after_an_hour(tmp_path: Path) -> None:
    node = strange((0, odd("transactions_root")), (150, PRAGUE), blocks=140)
    async with rig(tmp_path, node) as r:

        def hour() -> None:
            r.runtime.clock += LOOK_AGAIN_S + 1
            r.tree.extend(1)

        await r.follow_script(lambda: r.tree.extend(100), hour, lambda: r.tree.extend(5))
        assert list(weaker(await stored(r)).values()) == [{"transactions": WEAKER}, {}]
        await assert_sound(r)


async def test_a_store_of_an_earlier_release_opens_and_means_the_same(tmp_path: Path) -> None:
    """Its row has a spec and no ranges: all of its blocks stay as they were proven."""
    node = strange((0, odd("transactions_root")), blocks=60)
    old = ChainSpec("chain-424242", checks=tuple(check for check in ALL if check != "transactions"))
    async with rig(tmp_path, node) as r:
        await r.once(to=0)
        async with r.store.snapshot() as snapshot:
            ((chain_id, genesis, _, _),) = await snapshot.select(CHAINS)
        assert isinstance(genesis, bytes)
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, STRANGE)
        await writer.rewind(0, below_finalized=True)
        await writer.describe(Rows(CHAINS, [(chain_id, genesis, encode_spec(old), None)]))
        assert chain_row(STRANGE, genesis, old).rows == [(chain_id, genesis, encode_spec(old), None)]
        await r.once()
        assert decode_spec(encode_spec(await stored(r))) == old
        assert (await lowered(r))["transactions"] == list(range(61))


async def genesis(r: Rig) -> object:
    """What the store says that block 0 is."""
    async with r.store.snapshot() as snapshot:
        ((_, found, _, _),) = await snapshot.select(CHAINS)
    return found


async def test_block_0_that_nobody_would_tell_is_asked_for_again(tmp_path: Path) -> None:
    """Not before a block has come: a node of another chain with this id would tell its own."""
    node = a_node(40)
    async with rig(tmp_path, node) as r:
        node.tell("pruned")
        await r.once(first=38)
        assert await genesis(r) is None
        node.honest()
        await r.once()
        assert await genesis(r) is None
        await r.follow_script(lambda: r.tree.extend(1))
        assert await genesis(r) == r.tree.canonical(0).hash
    async with rig(tmp_path, a_node(50, seed=1)) as other:
        with pytest.raises(ConfigError, match="another --db for another chain"):
            await other.once()


async def test_a_follower_asks_for_block_0_once_an_hour(tmp_path: Path) -> None:
    node = a_node(40)
    async with rig(tmp_path, node) as r:
        node.tell("pruned")

        def honest() -> None:
            node.honest()
            r.tree.extend(1)

        def hour() -> None:
            r.runtime.clock += LOOK_AGAIN_S + 1
            r.tree.extend(1)

        await r.follow_script(lambda: r.tree.extend(1), honest, first=38)
        assert await genesis(r) is None
        await r.follow_script(hour, hour)
        assert await genesis(r) == r.tree.canonical(0).hash


async def test_block_0_is_what_the_store_has_of_it(tmp_path: Path) -> None:
    node = a_node(5)
    async with rig(tmp_path, node) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, r.tree.chain_id)
        async with r.store.snapshot() as snapshot:
            ((chain_id, _, text, spec),) = await snapshot.select(CHAINS)
        await writer.describe(
            Rows(CHAINS, [(chain_id, None, text, spec)])
        )  # as nobody told, and block 0 came all the same
        await r.once()
        assert await genesis(r) == r.tree.canonical(0).hash


async def test_a_lower_start_is_proven_by_its_own_rules(tmp_path: Path) -> None:
    """Filling in downwards over the height at which the bloom's form changed."""
    node = strange((0, odd("storage_root")), (77, PRAGUE))
    async with rig(tmp_path, node) as r:
        await r.once(first=120)
        await r.once(first=0)
        assert (await r.position()).first == 0
        assert max((await lowered(r))["withdrawals"]) == 76
        await assert_sound(r)


@pytest.mark.parametrize("answered", ["null", "error", "before"])
@pytest.mark.parametrize("seen", [40, 20])
async def test_holes_in_the_numbers_are_said_in_one_sentence(tmp_path: Path, answered: str, seen: int) -> None:
    """Of a chain that is seen first where it has none, and of one that has them from the start (Filecoin)."""
    node = strange(blocks=40)
    async with rig(tmp_path, node) as r:
        r.tree.skip(41, 44, 45, answered=answered)
        if seen == 40:
            await r.once()
        r.tree.extend(30)
        with pytest.raises(ConfigError, match=r"there is no block 4[145] on this chain.*null rounds.*cannot be stored"):
            await r.once()
