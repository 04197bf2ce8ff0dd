"""The simulated chain is a real one by the Ethereum specification's own code, and the tree keeps its word."""

import json
from typing import Any

import pytest
from ethereum.forks.london.fork import calculate_base_fee_per_gas
from ethereum.utils.numeric import taylor_exponential
from ethereum_rlp import rlp
from ethereum_types.numeric import Uint
from sha3 import keccak_256

from tests.sim import specification
from tidelog.sim.node.chain.block_builder import BENCH, FORKS, PRAGUE, Fork, Shape
from tidelog.sim.node.chain.tree import BlockTree

FULL = Shape(transactions=(8, 12), logs=(0, 4), withdrawals=(1, 3))


def block_json(tree: BlockTree, number: int) -> dict[str, Any]:
    block: dict[str, Any] = json.loads(tree.canonical(number).page.full)
    return block


def receipts_json(tree: BlockTree, number: int) -> list[dict[str, Any]]:
    receipts: list[dict[str, Any]] = json.loads(tree.canonical(number).page.receipts)
    return receipts


def number_of(text: str) -> int:
    return int(text, 16)


def hashes(tree: BlockTree) -> list[bytes]:
    return [tree.canonical(number).hash for number in range(tree.head.number + 1)]


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_every_commitment_is_what_the_specification_computes(fork: Fork) -> None:
    tree = BlockTree(seed=5, chain_id=1, forks=((0, fork),), shape=FULL, blocks=4)
    types, creations = set(), 0
    for number in range(5):
        block, receipts = block_json(tree, number), receipts_json(tree, number)
        assert block["hash"] == specification.header_hash(block, fork.name)
        assert block["transactionsRoot"] == specification.transactions_root(block)
        assert block["receiptsRoot"] == specification.receipts_root(block, receipts, fork.name)
        logs = [log for receipt in receipts for log in receipt["logs"]]
        assert block["logsBloom"] == specification.bloom(logs)
        assert ("withdrawals" in block) == (fork.header_fields >= 17)
        if "withdrawals" in block:
            assert block["withdrawalsRoot"] == specification.withdrawals_root(block)
        for item in block["transactions"]:
            assert item["hash"] == specification.transaction_hash(item)
            assert item["from"] == specification.sender(item)
            types.add((number_of(item["type"]), "chainId" in item))
            creations += item["to"] is None
    assert {kind for kind, _ in types} == set(fork.types)
    assert {(0, True), (0, False)} <= types, "with and without the chain id of EIP-155"
    assert creations


def test_derived_fields_follow_from_the_block() -> None:
    tree = BlockTree(seed=2, shape=FULL, blocks=6)
    for number in range(1, 7):
        block, receipts = block_json(tree, number), receipts_json(tree, number)
        base_fee, spent, log_index = number_of(block["baseFeePerGas"]), 0, 0
        for index, (item, receipt) in enumerate(zip(block["transactions"], receipts, strict=True)):
            spent += number_of(receipt["gasUsed"])
            assert number_of(receipt["cumulativeGasUsed"]) == spent
            assert number_of(receipt["gasUsed"]) <= number_of(item["gas"])
            if "maxFeePerGas" in item:
                tip = number_of(item["maxPriorityFeePerGas"])
                price = min(number_of(item["maxFeePerGas"]), base_fee + tip)
                assert number_of(item["gasPrice"]) == number_of(receipt["effectiveGasPrice"]) == price
            assert number_of(receipt["effectiveGasPrice"]) >= base_fee
            created = None
            if item["to"] is None:
                parts: list[Any] = [bytes.fromhex(item["from"][2:]), Uint(number_of(item["nonce"]))]
                created = "0x" + keccak_256(rlp.encode(parts)).digest()[12:].hex()
            assert receipt["contractAddress"] == created
            if item["type"] == "0x3":
                assert number_of(receipt["blobGasUsed"]) == 131_072 * len(item["blobVersionedHashes"])
            for log in receipt["logs"]:
                assert number_of(log["logIndex"]) == log_index
                assert number_of(log["transactionIndex"]) == index
                assert (log["transactionHash"], log["blockHash"]) == (item["hash"], block["hash"])
                log_index += 1
        assert number_of(block["gasUsed"]) == spent
        blobs = sum(len(item.get("blobVersionedHashes", ())) for item in block["transactions"])
        assert number_of(block["blobGasUsed"]) == 131_072 * blobs


def test_fees_follow_the_parent() -> None:
    tree = BlockTree(seed=3, shape=Shape(transactions=(20, 40)), blocks=30)
    excesses = set()
    for number in range(1, 31):
        parent, block = tree.canonical(number - 1).header, tree.canonical(number)
        header = block.header
        assert parent.base_fee is not None
        limit, used, fee = Uint(parent.gas_limit), Uint(parent.gas_used), Uint(parent.base_fee)
        assert header.base_fee == calculate_base_fee_per_gas(limit, limit, used, fee)
        assert parent.excess_blob_gas is not None
        assert parent.blob_gas_used is not None
        excess = max(0, parent.excess_blob_gas + parent.blob_gas_used - 6 * 131_072)
        assert header.excess_blob_gas == excess
        assert block.blob_fee == taylor_exponential(Uint(1), Uint(excess), Uint(5_007_716))
        excesses.add(excess)
    assert len(excesses) > 1


def test_logs_have_every_number_of_topics_and_odd_data() -> None:
    tree = BlockTree(shape=FULL, blocks=12)
    logs = [log for n in range(13) for receipt in receipts_json(tree, n) for log in receipt["logs"]]
    assert {len(log["topics"]) for log in logs} == {0, 1, 2, 3, 4}
    assert len({len(log["data"]) for log in logs}) > 4


def test_forks_follow_each_other_on_one_chain() -> None:
    forks = tuple([(3 * place, fork) for place, fork in enumerate(FORKS.values())])
    tree = BlockTree(chain_id=1, forks=forks, shape=FULL, blocks=20)
    for number in range(21):
        fork = tuple(FORKS)[min(number // 3, 5)]
        assert block_json(tree, number)["hash"] == specification.header_hash(block_json(tree, number), fork)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    one, same, other = BlockTree(seed=1, blocks=9), BlockTree(seed=1, blocks=9), BlockTree(seed=2, blocks=9)
    for tree in (one, same):
        tree.reorg(3)
    assert [one.canonical(n).page.full for n in range(11)] == [same.canonical(n).page.full for n in range(11)]
    assert not set(hashes(one)) & set(hashes(other))
    assert hashes(BlockTree(seed=1, blocks=9)) == hashes(BlockTree(seed=1, blocks=4)) + [
        block.hash for block in BlockTree(seed=1, blocks=4).extend(5)
    ], "made at once or one after the other"


@pytest.mark.parametrize(
    ("depth", "length", "head"),
    [(1, None, 11), (1, 1, 10), (5, None, 11), (5, 2, 7), (5, 0, 5), (10, 12, 12), (0, 3, 13)],
)
def test_a_reorg_replaces_exactly_the_last_blocks(depth: int, length: int | None, head: int) -> None:
    tree = BlockTree(blocks=10)
    before = hashes(tree)
    made = tree.reorg(depth, length)
    after = hashes(tree)
    assert tree.head.number == head
    assert after[: 11 - depth] == before[: 11 - depth]
    assert after[11 - depth :] == [block.hash for block in made]
    assert not set(after[11 - depth :]) & set(before)
    for number in range(1, head + 1):
        assert tree.canonical(number).parent_hash == tree.canonical(number - 1).hash


def test_a_reorg_takes_dropped_transactions_in_again_with_valid_nonces() -> None:
    tree = BlockTree(seed=4, shape=FULL, blocks=8)
    old = {tx.hash for number in range(4, 9) for tx in tree.canonical(number).transactions}
    tree.reorg(5)
    new = [tx for number in range(1, 10) for tx in tree.canonical(number).transactions]
    assert len(old & {tx.hash for tx in new}) > 5
    assert len({tx.hash for tx in new}) == len(new)
    nonces: dict[bytes, int] = {}
    for tx in new:
        assert tx.payload.nonce == nonces.get(tx.sender, 0)
        nonces[tx.sender] = tx.payload.nonce + 1


def test_a_chain_that_shrank_grows_otherwise() -> None:
    tree = BlockTree(blocks=10)
    before = hashes(tree)
    tree.rollback(4)
    assert hashes(tree) == before[:7]
    tree.extend(4)
    assert not set(hashes(tree)[7:]) & set(before)


def test_old_branches_can_be_had_or_are_forgotten_at_once() -> None:
    for keep in (True, False):
        tree = BlockTree(blocks=10, keep_branches=keep)
        old = tree.head
        tree.reorg(3)
        assert (tree.by_hash(old.hash) is old) == keep


def test_a_side_branch_becomes_canonical_when_switched_to() -> None:
    tree = BlockTree(blocks=10)
    main = tree.head
    side = tree.extend(2, on=tree.canonical(6).hash)
    assert tree.head is main
    assert tree.at(7, side[-1]) is side[0]
    assert tree.at(5, side[-1]) is tree.canonical(5)
    tree.switch(side[-1].hash)
    assert (tree.head, tree.canonical(7)) == (side[1], side[0])
    tree.switch(main.hash)
    assert tree.head is main


def test_finality_follows_the_head_or_what_was_said_and_never_falls() -> None:
    tree = BlockTree(blocks=100)
    assert (tree.safe, tree.finalized) == (68, 36)
    tree.rollback(20)
    assert tree.finalized == 36
    tree.finalize(70)
    tree.finalize(10)
    assert (tree.safe, tree.finalized) == (70, 70)
    silent = BlockTree(blocks=3, finalized_depth=None, safe_depth=None)
    assert (silent.safe, silent.finalized) == (None, None)
    with pytest.raises(ValueError, match="above the head"):
        silent.finalize(4)


def test_a_rival_is_on_the_same_parent_and_in_no_branch() -> None:
    tree = BlockTree(blocks=3)
    before = hashes(tree)
    rival = tree.rival(tree.canonical(2))
    assert rival is not None
    assert rival.parent_hash == tree.canonical(1).hash
    assert tree.by_hash(rival.hash) is None
    assert hashes(tree) == before
    assert tree.rival(tree.canonical(0)) is None


def test_the_benchmark_shape_is_what_it_says() -> None:
    tree = BlockTree(shape=BENCH, forks=((0, PRAGUE),), blocks=1)
    receipts = receipts_json(tree, 1)
    assert (len(receipts), sum(len(receipt["logs"]) for receipt in receipts)) == (120, 360)
    assert block_json(tree, 1)["receiptsRoot"] == specification.receipts_root(block_json(tree, 1), receipts, "prague")
