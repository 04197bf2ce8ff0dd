"""What a program was told of blocks, read as whoever judges finality needs it."""

import msgspec
import pytest

from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.witness import Statement, Witness
from tidelog.sim.oracle.chain import Standing
from tidelog.sim.oracle.history import finality_was_voted
from tidelog.sim.world.world import Violation

NUMBER = 7


def told(tree: BlockTree, *lies: str, tag: str) -> Statement:
    """What a node with these lies says of the block of that tag or number."""
    node = SimNode(tree, seed=1)
    for lie in lies:
        node.tell(lie)
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [tag, False]}
    answer = node.handle("/replica-0", msgspec.json.encode(call)).statement
    assert answer is not None
    return answer


def judged(tree: BlockTree, *lies: str) -> None:
    """Hold block 7 as final, as a program may that has heard of it in these words."""
    witness = Witness(0.0)
    for tag in ("finalized", hex(NUMBER)):
        witness.heard(0, told(tree, *lies, tag=tag), 1.0)
    stored = {NUMBER: "0x" + tree.canonical(NUMBER).hash.hex()}
    now = Standing(1, 1, 0, tree.head.number, tree.head.hash, NUMBER, 0)
    finality_was_voted(None, now, stored, witness, at_s=2.0, away_s=10.0, depth=64)


@pytest.mark.parametrize("lie", ["uppercase_hex", "odd_prefix", "odd_numbers", "odd_snake_case"])
def test_a_block_named_in_other_words_is_named(lie: str) -> None:
    judged(BlockTree(seed=1, blocks=20, finalized_depth=12), lie)


def test_another_hash_names_no_block() -> None:
    with pytest.raises(Violation, match="block 7 is final by 0 that have named it"):
        judged(BlockTree(seed=1, blocks=20, finalized_depth=12), "hash_wrong", "uppercase_hex")
