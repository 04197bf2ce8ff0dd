"""Raw answers to prove: recorded ones, and blocks of the simulated chain, each with the profile it falls under."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tidelog.chain.blocks import Bundle
from tidelog.chain.intake import prove_reading, read_bundle
from tidelog.chain.known import PROFILES
from tidelog.chain.plain import Oddities
from tidelog.chain.profiles import Profile
from tidelog.chain.proof import Proof, covered_count
from tidelog.chain.rows import BlockRows, to_rows
from tidelog.chain.wire import decode_block, decode_receipts
from tidelog.sim.forge import FORKS, Shape
from tidelog.sim.ledger import Ledger

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
    def profile(self) -> Profile:
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
    ledger = Ledger(seed=11, chain_id=1, forks=((0, FORKS[fork]),), shape=FULL, blocks=number)
    page = ledger.canonical(number).page
    return Answers(page.full, page.receipts, 1)


def bundle_of(answers: Answers) -> Bundle:
    return Bundle(decode_block(answers.block), decode_receipts(answers.receipts))


def proven(answers: Answers, *, senders: bool = False) -> tuple[BlockRows, Proof]:
    """Taken in as `tidelog.chain.intake` does it."""
    oddities = Oddities()
    bundle = read_bundle(answers.block, answers.receipts, oddities, chain_id=answers.chain_id)
    bundle, proof = prove_reading(bundle, answers.receipts, answers.profile, oddities, senders=senders)
    covered = covered_count(bundle, answers.profile)
    rows = to_rows(answers.chain_id, bundle, proof, covered=covered, endpoint="http://node", ingested_at_ms=7)
    return rows, proof
