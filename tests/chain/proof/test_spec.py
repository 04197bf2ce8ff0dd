"""What is known of each chain, and its text in the store."""

import pytest

from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import CHECKS
from tidelog.chain.proof.spec import (
    ALL,
    ChainSpec,
    Range,
    decode_spec,
    encode_ranges,
    encode_spec,
    within,
)
from tidelog.errors import Corruption


@pytest.mark.parametrize(
    ("chain_id", "name", "lacks"),
    [
        (1, "ethereum", set()),
        (11155111, "ethereum", set()),
        (10, "op-stack", set()),
        (8453, "op-stack", set()),
        (137, "polygon", set()),
        (42161, "arbitrum", {"transactions", "derived", "withdrawals"}),
        (25, "cronos", {"hash", "derived", "withdrawals"}),
        (31337, "anvil", set()),
    ],
)
def test_specs_of_known_chains(chain_id: int, name: str, lacks: set[str]) -> None:
    spec = PROFILES[chain_id]
    assert spec.name == name
    assert set(ALL) - set(spec.checks) == lacks
    assert spec.roots == (name != "cronos")
    assert spec.state_sync == (name == "polygon")
    assert spec.storage_withdrawals_root == (name == "op-stack")


def test_every_check_but_that_of_senders_is_in_a_spec_by_default() -> None:
    assert ChainSpec("x").checks == ALL
    assert (*ALL, "senders") == CHECKS


@pytest.mark.parametrize("spec", [*PROFILES.values(), ChainSpec("probed", checks=())])
def test_a_spec_reads_as_it_was_written(spec: ChainSpec) -> None:
    assert decode_spec(encode_spec(spec), encode_ranges(spec)) == spec
    assert set(spec.checks) <= set(ALL)


RANGES = (Range(0, bloom_superset=True), Range(100), Range(200, checks=("parent",)))


@pytest.mark.parametrize(("number", "expected"), [(0, True), (99, True), (100, False), (199, False), (10**9, False)])
def test_the_rules_of_a_block_are_those_of_its_range(number: int, expected: bool) -> None:
    assert ChainSpec("x", ranges=RANGES).at(number).bloom_superset == expected


@pytest.mark.parametrize(
    ("inner", "first", "last", "expected"),
    [
        ((Range(0),), 0, 50, [(0, False), (51, True), (100, False), (200, False)]),
        ((Range(0),), 50, 150, [(0, True), (50, False), (200, False)]),
        ((Range(0),), 50, 99, [(0, True), (50, False), (200, False)]),
        ((Range(0, bloom_superset=True),), 100, 150, [(0, True), (151, False), (200, False)]),
        (RANGES, 0, 10**6, [(0, True), (100, False), (200, False)]),
    ],
)
def test_the_rules_of_stored_blocks_stay_as_they_were(
    inner: tuple[Range, ...], first: int, last: int, expected: list[tuple[int, bool]]
) -> None:
    found = within(RANGES, inner, first, last)
    assert [(each.first, each.bloom_superset) for each in found] == expected
    spec, outer, stored = (ChainSpec("x", ranges=ranges) for ranges in (found, RANGES, inner))
    for number in range(300):
        rules = stored if first <= number <= last else outer
        assert spec.at(number) == rules.at(number)


def test_only_ranges_that_ascend_from_block_0_are_read() -> None:
    for text in ("[]", '[{"first":1}]', '[{"first":0},{"first":9},{"first":9}]', '[{"first":"0"}]', "{", "\ud800"):
        with pytest.raises(Corruption, match="profile"):
            decode_spec(encode_spec(ChainSpec("x")), text)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"checks":[]}', '{"name":1}', "\ud800", '{"name":' + "[" * 9999])
def test_no_other_text_is_a_spec(text: str) -> None:
    with pytest.raises(Corruption, match="profile"):
        decode_spec(text)
