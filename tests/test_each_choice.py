"""Which combinations of parameters `make test` takes of tests that are marked `each_choice`."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from tests.each_choice import chosen


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_each_value_once_and_no_more_combinations_than_the_longest_has_values(sizes: list[int]) -> None:
    combinations = [frozenset(enumerate(values)) for values in product(*map(range, sizes))]
    taken = [combinations[place] for place in chosen(combinations)]
    assert frozenset().union(*taken) == frozenset().union(*combinations)
    assert len(taken) == max(sizes)
