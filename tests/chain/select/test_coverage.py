"""Spans of blocks with their evidence: written as `0-9 p`, against a set of single blocks."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.rig import CHAIN_ID
from tidelog.chain.select.coverage import CONTRACT_COVERAGE, Span, Spans, changed, clipped, gaps, joined, read_coverage
from tidelog.errors import Corruption

SPANS = st.builds(
    lambda first, length, evidence: Span(first, first + length, evidence),
    st.integers(0, 30),
    st.integers(-1, 12),
    st.sampled_from(("proven", "asked")),
)


def singly(spans: Spans) -> dict[int, str]:
    return {number: each.evidence for each in spans for number in range(each.first, each.last + 1)}


def assert_in_shape(spans: Spans) -> None:
    for below, above in pairwise(spans):
        assert below.last < above.first
        assert below.last + 1 < above.first or below.evidence != above.evidence, "neighbours of one evidence are one"


@given(st.lists(SPANS, max_size=8), st.integers(-1, 45))
def test_joining_and_clipping_are_those_of_single_blocks(added: list[Span], last: int) -> None:
    spans: Spans = ()
    wanted: dict[int, str] = {}
    for each in added:
        spans = joined(spans, each)
        wanted |= singly((each,))
        assert singly(spans) == wanted
        assert_in_shape(spans)
    assert singly(clipped(spans, last)) == {number: said for number, said in wanted.items() if number <= last}
    low, high = 3, 25
    missing = {number for stretch in gaps(spans, low, high) for number in stretch}
    assert missing == set(range(low, high + 1)) - wanted.keys()


@given(st.lists(SPANS, max_size=6), st.lists(SPANS, max_size=6))
def test_the_table_goes_from_one_coverage_to_another(first: list[Span], second: list[Span]) -> None:
    before: dict[str, Spans] = {}
    after: dict[str, Spans] = {}
    for found, spans in ((before, first), (after, second)):
        made: Spans = ()
        for each in spans:
            made = joined(made, each)
        if made:
            found["tide"] = made
    rows = {(name, each.first): each for name, spans in before.items() for each in spans}
    change = changed(CHAIN_ID, before, after)
    for drop in change.drop:
        assert drop.table is CONTRACT_COVERAGE
        first_is = dict(drop.where).get("first")
        rows = {key: row for key, row in rows.items() if key[1] > drop.through or first_is not in (None, key[1])}
    for put in change.put:
        new: list[Any] = list(put.rows)
        rows |= {(name, low): Span(low, high, said, who) for _, name, low, high, said, who in new}
    stored = [
        (CHAIN_ID, name, each.first, each.last, each.evidence, each.endpoint)
        for (name, _), each in sorted(rows.items())
    ]
    assert read_coverage(stored) == after


def test_growing_at_the_head_is_one_row() -> None:
    change = changed(1, {"a": (Span(0, 9, "proven"),)}, {"a": (Span(0, 10, "proven"),)})
    assert (change.drop, [list(each.rows) for each in change.put]) == ((), [[(1, "a", 0, 10, "proven", None)]])
    assert changed(1, {"a": (Span(0, 9, "proven"),)}, {"a": (Span(0, 9, "proven"),)}).put == ()


def test_what_a_commit_writes_does_not_grow_with_what_endpoints_said_in_turn() -> None:
    """The head grows by a block, and what is asked by a range that the endpoint of the lowest one answers too."""
    spans = tuple([Span(10 * at, 10 * at + 9, "asked", ("one", "other")[at % 2]) for at in range(100, 1_100)])
    spans = (*spans, Span(11_000, 11_000, "proven"))
    higher = joined(spans, Span(11_001, 11_001, "proven"))
    assert all(one is other for one, other in zip(spans[:-1], higher[:-1], strict=True))
    change = changed(1, {"a": spans}, {"a": higher})
    assert (change.drop, [list(each.rows) for each in change.put]) == ((), [[(1, "a", 11_000, 11_001, "proven", None)]])
    lower = joined(spans, Span(990, 999, "asked", "one"))
    change = changed(1, {"a": spans}, {"a": lower})
    assert [list(each.rows) for each in change.put] == [[(1, "a", 990, 1_009, "asked", "one")]]
    assert [(drop.where, drop.through) for drop in change.drop] == [((("contract", "a"), ("first", 1_000)), 1_000)]


@pytest.mark.parametrize(
    "rows", [[(1, "a", 5, 4, "proven", None)], [(1, "a", 0, 4, "proven", None), (1, "a", 4, 6, "proven", None)]]
)
def test_rows_that_no_commit_has_left_are_refused(rows: list[tuple[int, str, int, int, str, None]]) -> None:
    with pytest.raises(Corruption, match="the coverage of contract 'a'"):
        read_coverage(rows)
