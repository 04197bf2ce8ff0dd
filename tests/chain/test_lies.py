"""Every lie that the simulated node can tell, told to the engine: nothing wrong is ever stored.

Told a few times, by the only endpoint: the run ends with the node's chain. Told always, by the only endpoint:
the run ends as the table says, and the store holds a part of the node's chain or nothing. Told always by one
endpoint beside an honest one: the run ends with the chain. Half of these tests prove blocks in Python, the others by
the compiled core where it is: so each lie is told to both.
"""

from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chain.oracle import held_position
from tests.chain.rig import CHAIN_ID, Calls, Rig, a_node, replicas, rig
from tests.patience import HANGS_S
from tests.sim.asking import ask
from tidelog.chain.rows.tables import BLOCKS
from tidelog.chain.source.client import RpcLimits
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, TooLarge, Unreachable
from tidelog.sim.node.chain.block_builder import LONDON, Shape
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.node import SimNode

FULL = Shape(transactions=(3, 5), logs=(1, 3), withdrawals=(1, 2), failing=0.0)
MINED = replace(FULL, uncles=(1, 2))
CHAIN = "the whole chain"

ENDS: dict[object, str] = {  # how a run ends whose only endpoint tells the lie always
    CHAIN: (  # what it lies about is not believed, not needed, or can be had otherwise
        "zero_as_0x leading_zeros uppercase_hex heads_flap finalized_missing finalized_zero "
        "finalized_backwards finalized_conflict block_stale syncing new_heads_skip new_heads_stall new_heads_backwards "
        "receipt_null indexing method_missing method_refused_whole "
        "batch_reordered batch_short batch_doubled batch_refused "
        "receipts_empty receipts_missing receipts_null receipts_other_fork receipts_doubled receipts_with_nulls "
        "asked_logs_missing asked_logs_at_random asked_log_altered asked_log_doubled asked_logs_other_fork "
        "asked_range_refused asked_addresses_refused asked_logs_many asked_logs_slow "  # nobody asks eth_getLogs
        "logs_at_random "  # one answer in some has all of them
        "receipts_crash receipts_by_number_only receipts_invalid_params "
        "uncle_null uncle_unsupported "  # the block is stored with its uncles unproven, and says so
        + " ".join(name for name, lie in LIES.items() if lie.harmless)
    ),
    ProofFailure: (  # blocks that contradict their header
        "transaction_altered transaction_missing transaction_unknown_type sender_wrong withdrawal_altered "
        "receipt_altered logs_missing receipt_logs_missing log_index_duplicate "
        "log_index_wrong log_altered receipt_bloom_wrong uncle_altered uncle_hash_wrong uncles_missing "
    ),
    Rejected: (  # answers that are none
        "block_other optional_missing chain_id_wrong lagging_backend bloom_wrong bloom_stale "
        "parent_wrong hash_wrong block_null wide_numbers required_missing chain_id_huge html_200 redirect truncated "
        "empty_body id_wrong result_missing "
    ),
    TooLarge: (  # ... or more than can be read
        "too_large endless "
    ),
    Pruned: (  # it said itself that it never will have them
        "pruned "
    ),
    Unreachable: (  # no answer, until patience ended
        "internal_error rate_limited_200 throttle throttle_date throttle_silent bad_gateway cut reset stall "
        "stall_body trickle key_echoed "
    ),
}
ALWAYS = {name: end for end, names in ENDS.items() for name in names.split()}

# one that is told once is enough to be refused: who serves another chain is the user's to settle
REFUSED_AT_ONCE = {"chain_id_wrong"}


# What stalls, and what never ends, is cut short: the only limits here that take real time and memory.
STALLING = {"stall", "stall_body", "trickle"}


def limits(name: str = "") -> RpcLimits:
    """The time that an answer has is near for those lies alone that let it pass: the machine may let it pass too."""
    return RpcLimits(request_timeout_s=0.1 if name in STALLING else HANGS_S, answer_bytes_max=2_000_000)


def liar(name: str = "", count: int = 1) -> SimNode:
    """A node for a lie: for one about uncles with a chain that has some."""
    if name.startswith("uncle"):
        return a_node(11, shape=MINED, forks=((0, LONDON),), replicas=count)
    return a_node(11, shape=FULL, replicas=count)


async def outcome(r: Rig) -> object:
    """How a run ends: the class of its error, or that it has the chain."""
    try:
        await r.once(chain_id=CHAIN_ID, senders=True, give_up_s=20.0)
    except (SourceError, ProofFailure) as error:
        return type(error)
    return CHAIN


def test_every_lie_is_in_the_table() -> None:
    assert sorted(ALWAYS) == sorted(LIES)


@pytest.mark.parametrize("name", LIES)
@pytest.mark.usefixtures("python_path")
async def test_a_lie_told_a_few_times_is_outlived(tmp_path: Path, name: str) -> None:
    node = liar(name)
    async with rig(tmp_path, node, rpc=limits(name)) as r:
        node.tell(name, times=2)
        if name in REFUSED_AT_ONCE:
            assert await outcome(r) is Rejected
            node.honest()
        assert await outcome(r) == CHAIN
        node.honest()
        await r.assert_equals_node()


@pytest.mark.parametrize("name", LIES)
@pytest.mark.usefixtures("python_path")
async def test_a_lie_told_now_and_then_while_following_is_outlived(tmp_path: Path, name: str) -> None:
    node = liar(name)
    async with rig(tmp_path, node, rpc=limits(name)) as r:
        assert await outcome(r) == CHAIN
        told = partial(node.tell, name, probability=0.3)
        growth = [lambda: r.tree.extend(2), lambda: r.tree.reorg(2), lambda: r.tree.extend(1)]
        await r.follow_script(*growth[:1], told, *growth, senders=True)
        node.honest()
        assert await outcome(r) == CHAIN
        await r.assert_equals_node()


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_told_always_ends_the_run_by_its_error(tmp_path: Path, name: str) -> None:
    node = liar(name)
    async with rig(tmp_path, node, rpc=limits(name)) as r:
        node.tell(name)
        ended = await outcome(r)
        node.honest()
        position = await held_position(r.store, CHAIN_ID)
        if position is None:
            async with r.store.snapshot() as snapshot:
                assert await snapshot.count(BLOCKS) == 0
        else:
            await r.assert_equals_node(head=position.head)
        assert ended == ALWAYS[name]
        if ended != CHAIN:
            assert await outcome(r) == CHAIN, "once it tells the truth, all is well"
            await r.assert_equals_node()


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_told_always_beside_an_honest_endpoint_changes_nothing(tmp_path: Path, name: str) -> None:
    node = liar(name, 2)
    async with rig(tmp_path, node, rpc=limits(name), urls=replicas(2)) as r:
        node.tell(name, replica=0)
        assert await outcome(r) == CHAIN
        await r.assert_equals_node(path="/replica-1")
        r.tree.reorg(2)
        assert await outcome(r) == CHAIN
        r.tree.extend(4)
        assert await outcome(r) == CHAIN
        await r.assert_equals_node(path="/replica-1")


async def test_a_sender_is_the_endpoints_word_unless_recovery_is_asked_for(tmp_path: Path) -> None:
    """No commitment covers `from` but the signature: the proof that is stored says whether that was checked."""
    node = liar()
    blocks = [ask(node, "eth_getBlockByNumber", hex(number), True) for number in range(1, 12)]
    calling = [int(block["number"], 16) for block in blocks if block["transactions"][0]["to"]]
    async with rig(tmp_path, node, rpc=limits()) as r:
        node.tell("sender_wrong", blocks=calling)  # a creation would show: its address is made of the sender's
        await r.once()
        assert node.told["sender_wrong"] > 3
        async with r.store.snapshot() as snapshot:
            proofs = {str(row[BLOCKS.index("proof")]).split()[-1] for row in await snapshot.select(BLOCKS)}
        assert proofs == {"senders-"}


async def test_a_method_that_requests_are_refused_for_as_a_whole_costs_few_of_them(tmp_path: Path) -> None:
    refused = 0

    def count(_: str, calls: Calls) -> None:
        nonlocal refused
        refused += any(call["method"] == "eth_getBlockReceipts" for call in calls)

    async with rig(tmp_path, liar("method_refused_whole")) as r:
        r.http.before = count
        await r.once()
        await r.assert_equals_node()
        assert 0 < refused <= 12, "its part of a request is halved down to one call, and then it is known to be missing"


@pytest.mark.parametrize("seed", range(4))
async def test_a_balancer_some_of_whose_nodes_have_no_history_gives_all_of_it(tmp_path: Path, seed: int) -> None:
    node = a_node(60, seed=seed)
    async with rig(tmp_path, node, rpc=limits()) as r:
        node.tell("pruned", probability=0.05)
        assert await outcome(r) == CHAIN
        assert node.told["pruned"] > 3
        node.honest()
        await r.assert_equals_node()
