"""Blooms asked for many addresses at once say what they say for each."""

from hypothesis import given
from hypothesis import strategies as st

from tidelog.chain.encoding.blooms import FEW, Bloom, BloomIndex, bloom_bits
from tidelog.chain.encoding.items import items_bloom, keccak

ADDRESSES = [keccak(b"%d" % number)[12:] for number in range(400)]


def test_bits_are_those_that_a_bloom_over_the_item_has() -> None:
    for address in ADDRESSES[:50]:
        assert bloom_bits(address) == items_bloom([address])


@given(
    st.lists(st.tuples(st.integers(0, 399), st.integers(0, 9)), max_size=3 * FEW),
    st.lists(st.integers(0, 399), max_size=120),
    st.integers(0, 9),
)
def test_an_index_finds_what_a_walk_finds(kept: list[tuple[int, int]], logged: list[int], number: int) -> None:
    index = BloomIndex()
    for place, born in kept:
        index.add(ADDRESSES[place], born)
    bloom = Bloom(items_bloom([ADDRESSES[place] for place in logged]).to_bytes(256, "big"))
    walked = any(bloom.may_have(bloom_bits(ADDRESSES[place])) and born <= number for place, born in kept)
    assert index.may_have(bloom, number) == walked
    if any(place in logged and born <= number for place, born in kept):
        assert walked, "what is there is never excluded"
