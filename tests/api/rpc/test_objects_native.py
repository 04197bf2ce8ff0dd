"""JSON-RPC objects by the compiled core: the bytes that Python makes of the same rows, or none at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.rpc.test_objects import rows_of
from tests.chain.answers import PROVABLE, Answers, answers_of, recorded, simulated
from tests.chain.native import needs_core, use_python
from tests.chain.test_native_chains import L1_FEES, op_stack
from tidelog import compiled
from tidelog.api.rpc import objects
from tidelog.api.rpc.objects import block_answer, place_of, receipts_answer
from tidelog.batch import Row
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows
from tidelog.sim.node.chain.block_builder import FORKS

pytestmark = needs_core
OTHERS = (None, 0, 7, 2**64 - 1, 2**70, -1, b"", b"\x01", bytes(32), b"\xc0", b"\xc1\x80", "", "{}", '{"receipt":5}')


def made(rows: BlockRows) -> tuple[bytes | None, bytes | None]:
    """What the core makes: whole transactions, and receipts."""
    module = compiled.core().module
    assert module is not None
    place = place_of(rows.block)
    return (
        module.transaction_objects(place, rows.transactions),
        module.receipt_objects(place, rows.transactions, rows.logs),
    )


def answers_of_rows(rows: BlockRows) -> list[bytes | type[Exception]]:
    """The answers, or what is raised in their place."""
    found: list[bytes | type[Exception]] = []
    place = place_of(rows.block)
    for make in (
        lambda: block_answer(rows, full=True),
        lambda: receipts_answer(place, rows.transactions, rows.logs),
    ):
        found.append(outcome_of(make))
    return found


def outcome_of(make: Callable[[], bytes]) -> bytes | type[Exception]:
    try:
        return make()
    except Exception as error:
        return type(error)


def alike(rows: BlockRows, monkeypatch: pytest.MonkeyPatch) -> None:
    by_core = answers_of_rows(rows)
    with monkeypatch.context() as patch:
        use_python(patch)
        assert answers_of_rows(rows) == by_core


@pytest.mark.parametrize("fork", FORKS)
def test_blocks_of_every_fork_are_made_alike(fork: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(simulated(fork))
    assert None not in made(rows)
    alike(rows, monkeypatch)


@pytest.mark.parametrize("fork", L1_FEES)
def test_deposits_and_fees_of_the_op_stack_are_made_alike(fork: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(op_stack(fork))
    assert None not in made(rows)
    alike(rows, monkeypatch)


def test_recorded_blocks_are_made_alike(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for chain, number in PROVABLE:
        rows = rows_of(recorded(shared, chain, number))
        assert None not in made(rows), f"{chain} {number}"
        alike(rows, monkeypatch)


def test_odd_cases_are_made_alike(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unproven = ChainSpec("unproven", checks=(), roots=False)
    for path in sorted((shared / "cases" / "chain").glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            answers: Answers = answers_of(line["block"], line["receipts"], line["chain_id"])
            try:
                rows = rows_of(answers, PROFILES.get(line["chain_id"], unproven))
            except Exception:  # it is no block that is stored
                continue
            alike(rows, monkeypatch)


def in_python(rows: BlockRows, monkeypatch: pytest.MonkeyPatch) -> list[bytes | type[Exception]]:
    """What Python makes in the place of `made`."""
    place = place_of(rows.block)
    with monkeypatch.context() as patch:
        use_python(patch)
        return [
            outcome_of(lambda: bytes(objects._whole_transactions(rows.transactions, place))),
            outcome_of(lambda: receipts_answer(place, rows.transactions, rows.logs)),
        ]


@pytest.mark.parametrize("table", ["transactions", "logs"])
def test_damaged_rows_are_made_alike_or_left_to_python(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value at a time, of the first rows: another kind of value, another size, no list, no JSON."""
    whole = rows_of(op_stack("isthmus"))
    kept: dict[str, list[Row]] = {
        "transactions": list(whole.transactions[:4]),
        "logs": [log for log in whole.logs if int(log[3] or 0) < 4],
    }
    assert len(kept[table]) > 2
    taken = 0
    for place in range(3):
        for column in range(len(kept[table][0])):
            for other in OTHERS:
                changed = list(kept[table])
                changed[place] = (*changed[place][:column], other, *changed[place][column + 1 :])
                groups = {**kept, table: changed}
                damaged = BlockRows(whole.block, groups["transactions"], groups["logs"], [])
                for by_core, expected in zip(made(damaged), in_python(damaged, monkeypatch), strict=True):
                    assert by_core in (None, expected), (table, place, column, other)
                    taken += by_core is not None
    assert taken > 500  # what was changed are mostly columns that the objects do not have, or sizes
