"""Whose logs are whose where contracts create others, log by log."""

from typing import Any

import pytest

from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.births import Births, Child
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.creation import Creation
from tidelog.chain.contracts.kinship import Kin, ancestors, by_descent, require_creator
from tidelog.chain.encoding.blooms import Bloom, BloomIndex
from tidelog.chain.encoding.items import items_bloom
from tidelog.chain.rows.columns import LogColumns
from tidelog.errors import ConfigError

MADE = parse_event("Made(address indexed what)")
A, B, C, D = (bytes([number]) * 20 for number in range(1, 5))
ROOT = Contract("root", A, (MADE,), first_block=2)
BRANCH = Contract("branch", b"", (MADE,), created_by=Creation("root", "Made", "what"))
LEAF = Contract("leaf", b"", (MADE,), created_by=Creation("branch", "Made", "what"), first_block=6)
KIN = Kin((LEAF, BRANCH, ROOT))


def log(number: int, index: int, address: bytes, names: bytes) -> Any:
    return LogColumns(1, number, index, 0, address, MADE.topic0, bytes(12) + names, None, None, b"", 1)


def told(births: Births, *logs: Any) -> list[tuple[list[str], list[Child]]]:
    return [([each.name for each in told.owners], list(told.named)) for told in KIN.walk(logs, births)]


def test_what_a_log_names_counts_from_the_next_log_on_however_far_down() -> None:
    births = Births()
    found = told(
        births,
        log(1, 0, A, B),  # before the root's first block
        log(5, 0, B, C),  # not named yet
        log(5, 1, A, B),
        log(5, 2, B, C),  # a branch now: it names a leaf
        log(5, 3, C, D),  # whose own first block is later
        log(6, 0, C, D),
        log(6, 1, A, B),  # again: it stays what it was
    )
    assert found == [
        ([], []),
        ([], []),
        (["root"], [Child("branch", B, (5, 1))]),
        (["branch"], [Child("leaf", C, (5, 2))]),
        ([], []),
        (["leaf"], []),
        (["root"], [Child("branch", B, (6, 1))]),
    ]
    assert births.birth("branch", B) == (5, 1)


def test_a_branch_that_is_not_committed_sees_what_is_below_its_fork_and_what_it_adds() -> None:
    stored = Births()
    stored.add(Child("branch", B, (5, 1)))
    stored.add(Child("branch", C, (8, 0)))
    fork = stored.over(7)
    assert (fork.birth("branch", B), fork.birth("branch", C)) == ((5, 1), None)
    fork.add(Child("branch", C, (8, 3)))
    assert (fork.birth("branch", C), stored.birth("branch", C)) == ((8, 3), (8, 0))
    assert fork.added == [Child("branch", C, (8, 3))]
    bloom = Bloom(items_bloom([C]).to_bytes(256, "big"))
    assert fork.may_have("branch", 8, bloom)
    assert not stored.over(7).may_have("branch", 20, bloom)
    assert not stored.may_have("branch", 7, bloom)
    stored.drop("branch", 6, 8)
    assert stored.birth("branch", C) is None
    assert not stored.may_have("branch", 20, bloom)
    assert stored.birth("branch", B) == (5, 1)


def test_a_reorg_that_takes_a_few_of_many_children_does_not_go_through_all(monkeypatch: pytest.MonkeyPatch) -> None:
    births, added = Births(), 0
    for number in range(300):
        births.add(Child("branch", number.to_bytes(20, "big"), (number, 0)))
    add = BloomIndex.add

    def adding(index: BloomIndex, address: bytes, number: int) -> None:
        nonlocal added
        added += 1
        add(index, address, number)

    def may_have(number: int) -> bool:
        bloom = items_bloom([number.to_bytes(20, "big")]).to_bytes(256, "big")
        return births.may_have("branch", number, Bloom(bloom))

    monkeypatch.setattr(BloomIndex, "add", adding)
    for low in range(299, 209, -1):  # and one that is never found again leaves less than that many behind
        births.drop("branch", low, low)
        assert births.birth("branch", low.to_bytes(20, "big")) is None
    assert added == 0
    assert all(may_have(number) for number in range(210))
    births.drop("branch", 100, 299)
    assert added == 100
    assert [number for number in range(300) if may_have(number)] == [*range(100)]


def test_lines_of_descent() -> None:
    given = (LEAF, BRANCH, ROOT)
    assert ancestors(LEAF, given) == [BRANCH, ROOT]
    assert by_descent(given) == [ROOT, BRANCH, LEAF]
    for each in given:
        require_creator(each, given)
    with pytest.raises(ConfigError, match="there is no contract 'root'"):
        require_creator(BRANCH, (BRANCH,))


def test_of_one_that_nobody_creates_no_other_is_looked_at() -> None:
    """After each commit the line of each contract is asked for."""
    assert ancestors(ROOT, (pytest.fail("looked at") for _ in range(1))) == []


@pytest.mark.parametrize("text", ["", "a", "a.b", "a..c", ".b.c", "a.b."])
def test_a_creation_has_three_parts(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give CONTRACT\.EVENT\.ARGUMENT"):
        Creation.read(text)
