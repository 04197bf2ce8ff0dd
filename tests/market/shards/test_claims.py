"""Who may write which symbol: one shard at a time, and what is known of a symbol goes with it."""

import pytest

from tidelog.errors import Fenced
from tidelog.market.projection.state import ProjectionState, SymbolState
from tidelog.market.shards.claims import (
    Claimant,
    Claims,
    claim,
    decode_claims,
    encode_claims,
    give_up,
    merged,
    register,
    taken_over,
)

HERE, THERE = "here:/data", "there:/data"


def claimant(*symbols: str, epoch: int = 1, place: str = HERE) -> Claimant:
    return Claimant(epoch, 2, symbols, place, "market.journal", 7)


def two(first: Claimant, second: Claimant, owners: dict[str, int]) -> Claims:
    return Claims(begun=True, shards={1: first, 2: second}, owners=owners)


def test_what_nobody_has_is_had_at_once() -> None:
    claims = two(claimant("A", "B"), claimant(), {})
    claimed = claim(claims, 1, ["A", "B"], [], {})
    assert (claimed.taken, claimed.waits, claimed.refused) == ({}, None, None)
    assert claims.owners == {"A": 1, "B": 1}


def test_what_another_one_records_in_another_place_is_refused_and_he_is_named() -> None:
    claims = two(claimant("A"), claimant("A", "B", place=THERE), {"A": 1})
    claimed = claim(claims, 2, ["A", "B"], [], {})
    assert claimed.refused == (
        "shard 2/2 cannot have A: shard 1/2 (process 7 on here:/data) records it; start that one without it first, "
        "or give this one other symbols"
    )
    assert claims.owners == {"A": 1, "B": 2}


@pytest.mark.parametrize("place", [HERE, THERE])
def test_what_another_one_is_giving_up_is_waited_for(place: str) -> None:
    claims = two(claimant(), claimant("A", place=place), {"A": 1})
    claimed = claim(claims, 2, ["A"], [], {})
    assert claimed.refused is None
    assert claimed.waits == (
        "shard 2/2 waits for A: shard 1/2 (process 7 on here:/data) has it until its journal is loaded and it is "
        "started without it"
    )


def test_what_another_one_of_the_same_place_records_is_waited_for_since_he_will_be_started_anew() -> None:
    claims = two(claimant("A"), claimant("A"), {"A": 1})
    claimed = claim(claims, 2, ["A"], [], {})
    assert claimed.refused is None
    assert claimed.waits is not None


def test_what_another_one_has_in_an_earlier_run_is_his_first() -> None:
    claims = two(claimant("A"), claimant("A"), {})
    assert claim(claims, 2, ["A"], [], {"A": 1}).waits is not None
    assert claims.owners == {}


def test_what_is_known_goes_with_the_symbol() -> None:
    claims = two(claimant("A"), claimant("A"), {"A": 1})
    known = SymbolState(depth=25)
    give_up(claims, 1, {"A": known})
    assert (claims.owners, claims.idle) == ({}, {"A": known})
    claimed = claim(claims, 2, ["A"], [], {})
    assert claimed.taken == {"A": known}
    assert claim(claims, 2, ["A"], [], {}).taken == {"A": known}, "until the shard says that it has it"
    assert claim(claims, 2, ["A"], ["A"], {}).taken == {}
    taken_over(claims, 2, ["A"])
    assert claims.idle == {}
    give_up(claims, 1, {"A": SymbolState(depth=10)})
    assert (claims.owners, claims.idle) == ({"A": 2}, {}), "what is another's by now is not given up"


def test_an_earlier_process_of_a_shard_changes_nothing_any_more() -> None:
    claims = two(claimant("A", epoch=5), claimant(), {})
    with pytest.raises(Fenced, match=r"shard 1/2 \(process 7 on here:/data\) was started since"):
        register(claims, 1, claimant(epoch=4))
    register(claims, 1, claimant("B", epoch=5))
    assert claims.shards[1].symbols == ("B",)


def test_readers_see_all_symbols_wherever_they_are() -> None:
    one, left, idle, other = (SymbolState(depth=depth) for depth in (10, 25, 100, 500))
    first = ProjectionState(1, 5, 50, symbols={"A": one}, leaving={"B": left})
    second = ProjectionState(1_000_000_001, 3, 70, symbols={"D": other}, intervals_s=(60,))
    claims = Claims(begun=True, idle={"C": idle, "D": SymbolState(depth=1000)})
    state = merged(first, [second], claims)
    assert state.symbols == {"A": one, "B": left, "C": idle, "D": other}
    assert (state.id, state.at_us, state.intervals_s, state.leaving) == ((1, 5), 70, (60,), {})


def test_claims_are_read_as_they_were_written() -> None:
    claims = two(claimant("A"), claimant("B", place=THERE), {"A": 1, "B": 2})
    claims.idle["C"] = SymbolState(depth=25)
    assert decode_claims(encode_claims(claims)) == claims
