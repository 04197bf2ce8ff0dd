"""From raw answers to proven rows: what was asked for, from whom, and when it is refused."""

from typing import Any

import pytest

from tests.chain.answers import FULL, bundle_of, proven, simulated
from tidelog import compiled
from tidelog.chain import native
from tidelog.chain.blocks import RawBlock
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import Outcome
from tidelog.chain.rows.tables import BLOCKS
from tidelog.chain.verify import Rules, VerifiedBlock, verify_blocks
from tidelog.errors import ProofFailure, Rejected
from tidelog.sim.node.chain.tree import BlockTree

pytestmark = pytest.mark.usefixtures("either_path")

RULES = Rules(1, PROFILES[1])
ANSWERS = simulated("prague")
RAW = RawBlock(ANSWERS.block, ANSWERS.receipts)
HEADER = bundle_of(ANSWERS).block.header


def take(raw: RawBlock = RAW, key: int | bytes = HEADER.number, rules: Rules = RULES, first: int | None = None) -> Any:
    """By the core, if it is in use and does not decline the block; else in Python."""
    if compiled.core().module is not None:
        (outcome,) = native.verify_blocks([raw], [key], rules, range_first=first, endpoint="https://node", now_ms=7)
        if isinstance(outcome, VerifiedBlock):
            return outcome
    (proven_block,) = verify_blocks([raw], [key], rules, range_first=first, endpoint="https://node", now_ms=7)
    return proven_block


@pytest.mark.parametrize("key", [HEADER.number, HEADER.hash])
def test_verifies_a_block_that_was_asked_for(key: int | bytes) -> None:
    block = take(key=key)
    assert block.ref.hash == HEADER.hash
    assert block.timestamp == HEADER.timestamp
    assert block.size_bytes == len(ANSWERS.block) + len(ANSWERS.receipts)
    expected, _ = proven(ANSWERS)
    assert block.rows.transactions == expected.transactions
    row = dict(zip(BLOCKS.names, block.rows.block, strict=True))
    assert (row["endpoint"], row["ingested_at"], row["proof"]) == ("https://node", 7, str(block.proof))


def test_the_first_block_of_a_range_has_no_parent_to_check() -> None:
    assert take().proof.results["parent"].outcome is Outcome.PASSED
    assert take(first=HEADER.number).proof.results["parent"].outcome is Outcome.NOT_APPLICABLE
    assert take(first=HEADER.number - 1).proof.results["parent"].outcome is Outcome.PASSED


def test_senders_are_recovered_where_the_user_asks_for_it() -> None:
    assert take().proof.results["senders"].outcome is Outcome.NOT_APPLICABLE
    assert take(rules=Rules(1, PROFILES[1], senders=True)).proof.results["senders"].outcome is Outcome.PASSED


@pytest.mark.parametrize("key", [HEADER.number + 1, 0, bytes(32), HEADER.parent_hash])
def test_refuses_another_block_than_the_one_asked_for(key: int | bytes) -> None:
    with pytest.raises(Rejected, match="https://node: answered block 3 where") as caught:
        take(key=key)
    assert caught.value.endpoint == "https://node"


def test_an_anchor_pins_the_first_block_and_no_other() -> None:
    assert take(rules=Rules(1, PROFILES[1], anchor=HEADER.hash), first=HEADER.number)
    with pytest.raises(ProofFailure, match="anchor differs") as caught:
        take(rules=Rules(1, PROFILES[1], anchor=bytes(32)), first=HEADER.number)
    assert caught.value.endpoint == "https://node"
    assert take(rules=Rules(1, PROFILES[1], anchor=bytes(32)), first=HEADER.number - 1)


def test_a_wrong_shape_names_the_endpoint() -> None:
    with pytest.raises(Rejected, match="https://node: receipts answer of the wrong shape"):
        take(RawBlock(RAW.block, b"[null]"))


def test_a_block_that_contradicts_itself_names_the_endpoint() -> None:
    with pytest.raises(ProofFailure, match="block 3 from https://node: receipts differs"):
        take(RawBlock(RAW.block, b"[]"))


def test_one_bad_block_refuses_the_lot() -> None:
    tree = BlockTree(seed=4, chain_id=1, shape=FULL, blocks=3)
    pages = [tree.canonical(number).page for number in (1, 2, 3)]
    raws = [RawBlock(page.full, page.receipts) for page in pages]
    taken = verify_blocks(raws, [1, 2, 3], RULES, range_first=1, endpoint="e", now_ms=0)
    assert [block.ref.number for block in taken] == [1, 2, 3]
    assert taken[1].ref.parent_hash == taken[0].ref.hash
    mixed = [raws[0], RawBlock(raws[1].block, raws[0].receipts)]
    with pytest.raises(ProofFailure, match="block 2"):
        verify_blocks(mixed, [1, 2], RULES, range_first=1, endpoint="e", now_ms=0)
