"""Raw answers to prove: recorded ones, and blocks of the simulated chain, each with the spec it falls under."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.chain.native import assert_agrees
from tidelog.chain.blocks import Bundle, RawBlock
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.decode.strict import decode_block, decode_receipts
from tidelog.chain.proof.checks import rooted_count
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import Proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.verify import Rules, prove_reading, read_bundle
from tidelog.errors import ProofFailure, Rejected
from tidelog.sim.node.chain.block_builder import FORKS, Shape
from tidelog.sim.node.chain.tree import BlockTree

FULL = Shape(transactions=(9, 14), logs=(0, 4), withdrawals=(1, 3))
CHAIN_IDS = {"ethereum": 1, "polygon": 137, "arbitrum": 42161, "cronos": 25}
PROVABLE = (
    *(("ethereum", number) for number in (1000000, 4369999, 18000000, 18500000)),
    *(("polygon", 50000000), ("arbitrum", 150000000), ("cronos", 10000), ("cronos", 6542), ("cronos", 68215)),
)


class Answers(NamedTuple):
    """The `result` of eth_getBlockByNumber and eth_getBlockReceipts."""

    block: bytes
    receipts: bytes
    chain_id: int

    @property
    def spec(self) -> ChainSpec:
        return PROFILES[self.chain_id]

    def parsed(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return json.loads(self.block), json.loads(self.receipts)


def answers_of(block: dict[str, Any], receipts: list[dict[str, Any]], chain_id: int) -> Answers:
    return Answers(json.dumps(block).encode(), json.dumps(receipts).encode(), chain_id)


def recorded(shared: Path, chain: str, number: int) -> Answers:
    folder = shared / "data" / "evm" / "rpc" / chain / str(number)
    return Answers((folder / "block.json").read_bytes(), (folder / "receipts.json").read_bytes(), CHAIN_IDS[chain])


@cache
def simulated(fork: str, number: int = 3) -> Answers:
    """A full block with every type of transaction that the fork has."""
    tree = BlockTree(seed=11, chain_id=1, forks=((0, FORKS[fork]),), shape=FULL, blocks=number)
    page = tree.canonical(number).page
    return Answers(page.full, page.receipts, 1)


def bundle_of(answers: Answers) -> Bundle:
    return Bundle(decode_block(answers.block), decode_receipts(answers.receipts))


def raw_of(answers: Answers) -> RawBlock:
    return RawBlock(answers.block, answers.receipts)


def rules_of(answers: Answers) -> Rules:
    return Rules(answers.chain_id, answers.spec)


def proven(answers: Answers, *, senders: bool = False) -> tuple[BlockRows, Proof]:
    """Taken in as `tidelog.chain.verify` does it. Where the compiled core is, it has to agree."""
    try:
        rows, proof = judged = _proven(answers, senders=senders)
    except (ProofFailure, Rejected):
        if not senders:
            assert_agrees(raw_of(answers), _number(answers), rules_of(answers), None)
        raise
    if not senders:
        assert_agrees(raw_of(answers), rows.number, rules_of(answers), judged)
    return rows, proof


def _number(answers: Answers) -> int:
    """The block's number as the answer says it; 0 if that cannot be read."""
    try:
        return min(int(json.loads(answers.block)["number"], 16), 2**63)
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0


def _proven(answers: Answers, *, senders: bool) -> tuple[BlockRows, Proof]:
    oddities = Oddities()
    bundle = read_bundle(answers.block, answers.receipts, oddities, chain_id=answers.chain_id)
    bundle, proof = prove_reading(bundle, answers.receipts, answers.spec, oddities, senders=senders)
    covered = rooted_count(bundle, answers.spec)
    rows = to_rows(answers.chain_id, bundle, proof, covered=covered, endpoint="http://node", ingested_at_ms=7)
    return rows, proof
