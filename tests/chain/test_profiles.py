"""What is known of each chain, and its text in the store."""

import pytest

from tidelog.chain.profiles import ALL, PROFILES, Profile, decode_profile, encode_profile
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
    assert decode_profile(encode_profile(profile)) == profile
    assert set(profile.checks) <= set(ALL)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"checks":[]}', '{"name":1}', "\ud800", '{"name":' + "[" * 9999])
def test_no_other_text_is_a_profile(text: str) -> None:
    with pytest.raises(Corruption, match="profile"):
        decode_profile(text)
