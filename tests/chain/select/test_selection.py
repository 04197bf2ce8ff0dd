"""What is selected, and what a bloom decides: against whole blocks of a simulated chain, and specs of odd ones."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.chain.sync.test_contracts import ALL, BOARD, SHAPE, SHELLS, TIDE
from tidelog.chain.abi.known import known_abi
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.select.selection import Selection, bloom_decides, bloom_has
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as places

SPEC = ChainSpec("test")


def logs_of(block: Any) -> list[Any]:
    return [log for receipt in block.receipts for log in receipt.logs]


@pytest.mark.parametrize("contracts", [ALL, (SHELLS,), (TIDE, BOARD), ()], ids=len)
def test_a_bloom_never_excludes_a_block_that_has_a_log_that_is_wanted(contracts: tuple[Contract, ...]) -> None:
    tree, selection = BlockTree(seed=4, shape=SHAPE, blocks=80), Selection(contracts)
    excluded = 0
    for number in range(81):
        block = tree.canonical(number)
        logs = [(log, log.topics[0] if log.topics else None) for log in logs_of(block)]
        wanted = [log for log, first in logs if selection.wants(number, log.address, first)]
        if not selection.may_have(number, block.header.bloom):
            excluded += 1
            assert wanted == []
        for log in wanted:
            assert all(bloom_has(block.header.bloom, item) for item in (log.address, *log.topics))
    assert excluded > 0


def test_only_the_events_that_are_named_are_wanted_and_of_an_anonymous_one_all() -> None:
    transfers = Selection([replace(TIDE, events=known_abi("erc20").events_named("Transfer"), first_block=5)])
    transfer, approval = (known_abi("erc20").events_named(name)[0].topic0 for name in ("Transfer", "Approval"))
    assert transfers.wants(5, places.TIDE, transfer)
    assert not transfers.wants(4, places.TIDE, transfer), "below the contract's first block"
    assert not transfers.wants(5, places.TIDE, approval)
    assert not transfers.wants(5, places.TIDE, None)
    assert not transfers.wants(5, places.SALT, transfer)
    assert Selection([BOARD]).wants(0, places.BOARD, None), "it has an anonymous event, of which no topic tells"
    assert Selection([TIDE, replace(TIDE, name="b", events=BOARD.events)]).wants(0, places.TIDE, None), (
        "of either of two"
    )


@pytest.mark.parametrize(
    ("spec", "decides"),
    [
        (SPEC, True),
        (replace(SPEC, checks=tuple(name for name in SPEC.checks if name != "bloom")), False),
        (replace(SPEC, checks=tuple(name for name in SPEC.checks if name != "hash")), False),
        (replace(SPEC, unconfirmed=("bloom",)), False),
        (replace(SPEC, unconfirmed=("withdrawals",)), True),
        (replace(SPEC, bloom_superset=True), True),
        (replace(SPEC, state_sync=True), False),
        (replace(SPEC, accepted=("bloom",), checks=("hash", "parent")), False),
    ],
)
def test_a_bloom_decides_where_the_chain_is_known_to_check_it(spec: ChainSpec, decides: bool) -> None:
    assert bloom_decides(spec, 7) is decides
