"""What is known of each chain, and its text in the store."""

import pytest

from tidelog.chain.known import PROFILES
from tidelog.chain.profiles import ALL, Profile, Range, decode_profile, encode_profile, encode_ranges, within
from tidelog.chain.proof import CHECKS
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
def test_known_chains(chain_id: int, name: str, lacks: set[str]) -> None:
    profile = PROFILES[chain_id]
    assert profile.name == name
    assert set(ALL) - set(profile.checks) == lacks
    assert profile.roots == (name != "cronos")
    assert profile.state_sync == (name == "polygon")
    assert profile.storage_withdrawals_root == (name == "op-stack")


def test_every_check_but_that_of_senders_is_in_a_profile_by_default() -> None:
    assert Profile("x").checks == ALL
    assert (*ALL, "senders") == CHECKS


@pytest.mark.parametrize("profile", [*PROFILES.values(), Profile("probed", checks=())])
def test_a_profile_reads_as_it_was_written(profile: Profile) -> None:
    assert decode_profile(encode_profile(profile), encode_ranges(profile)) == profile
    assert set(profile.checks) <= set(ALL)


RANGES = (Range(0, bloom_superset=True), Range(100), Range(200, checks=("parent",)))


@pytest.mark.parametrize(("number", "expected"), [(0, True), (99, True), (100, False), (199, False), (10**9, False)])
def test_the_rules_of_a_block_are_those_of_its_range(number: int, expected: bool) -> None:
    assert Profile("x", ranges=RANGES).at(number).bloom_superset == expected


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
    profile, outer, stored = (Profile("x", ranges=ranges) for ranges in (found, RANGES, inner))
    for number in range(300):
        rules = stored if first <= number <= last else outer
        assert profile.at(number) == rules.at(number)


def test_only_ranges_that_ascend_from_block_0_are_read() -> None:
    for text in ("[]", '[{"first":1}]', '[{"first":0},{"first":9},{"first":9}]', '[{"first":"0"}]', "{", "\ud800"):
        with pytest.raises(Corruption, match="profile"):
            decode_profile(encode_profile(Profile("x")), text)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"checks":[]}', '{"name":1}', "\ud800", '{"name":' + "[" * 9999])
def test_no_other_text_is_a_profile(text: str) -> None:
    with pytest.raises(Corruption, match="profile"):
        decode_profile(text)
