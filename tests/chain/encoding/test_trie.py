"""The root of an ordered list by the Ethereum specification's general trie."""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from ethereum.forks.prague.trie import EMPTY_TRIE_ROOT, Trie, root, trie_set
from ethereum_rlp import rlp
from ethereum_types.numeric import Uint
from hypothesis import given
from hypothesis import strategies as st

from tidelog.chain.encoding.trie import EMPTY_ROOT, ordered_branches, ordered_root, proven_value


def specified_root(values: Sequence[bytes]) -> bytes:
    trie: Any = Trie(secured=False, default=b"")
    for index, value in enumerate(values):
        trie_set(trie, rlp.encode(Uint(index)), value)
    return bytes(root(trie))


def test_the_root_of_an_empty_list() -> None:
    assert ordered_root([]) == EMPTY_ROOT == bytes(EMPTY_TRIE_ROOT) == specified_root([])


# keys change their length at 128 and 256, and 0 sorts behind 127, since rlp(0) is 0x80
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 126, 127, 128, 129, 130, 255, 256, 257, 300, 1000])
@pytest.mark.parametrize("size", [1, 3, 31, 32, 200])
def test_roots_of_lists_of_every_interesting_length(count: int, size: int) -> None:
    rng = random.Random(count * 1000 + size)
    values = [rng.randbytes(size) for _ in range(count)]
    assert ordered_root(values) == specified_root(values)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=40))
def test_the_root_of_any_list_is_the_specifications(values: list[bytes]) -> None:
    assert ordered_root(values) == specified_root(values)


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=20), st.data())
def test_small_nodes_are_embedded(values: list[bytes], data: st.DataObject) -> None:
    """Values of a few bytes make nodes under 32, which a parent holds whole."""
    assert ordered_root(values) == specified_root(values)
    at = data.draw(st.integers(0, len(values) - 1))
    changed = [*values[:at], values[at] + b"\x01", *values[at + 1 :]]
    assert ordered_root(changed) != ordered_root(values)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=30, unique=True), st.data())
def test_a_root_depends_on_the_order_of_its_list(values: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 2))
    swapped = [*values[:at], values[at + 1], values[at], *values[at + 2 :]]
    assert ordered_root(swapped) != ordered_root(values)
    assert ordered_root(values[:-1]) != ordered_root(values)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=300), st.data())
def test_a_branch_proves_the_value_at_its_index_and_nothing_else(values: list[bytes], data: st.DataObject) -> None:
    root = ordered_root(values)
    index = data.draw(st.integers(0, len(values) - 1))
    branch = ordered_branches(values, [index])[index]
    assert proven_value(root, index, branch) == values[index]
    other = data.draw(st.integers(0, 400).filter(lambda at: at != index))
    with suppress(ValueError):
        assert proven_value(root, other, branch) == values[other], "a short one stands within the same node"
    place = data.draw(st.integers(0, len(branch) - 1))
    at = data.draw(st.integers(0, len(branch[place]) - 1))
    altered = bytes([*branch[place][:at], branch[place][at] ^ 1, *branch[place][at + 1 :]])
    for wrong in ([*branch[:place], altered, *branch[place + 1 :]], branch[:-1], [*branch, branch[-1]], []):
        with pytest.raises(ValueError, match=r"branch|node"):
            proven_value(root, index, wrong)


def test_branches_are_those_of_each_index() -> None:
    values = [bytes([index % 256]) * (1 + index % 70) for index in range(600)]
    root, branches = ordered_root(values), ordered_branches(values, range(600))
    assert [proven_value(root, index, branches[index]) for index in range(600)] == values
    assert ordered_branches([], []) == {}
