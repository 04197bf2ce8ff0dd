"""Deliberate faults are found: a fixed choice, each by a seed that is known to catch it. All of them, each within its
number of seeds: `python -m tests.simulation.mutants`."""

import re
from pathlib import Path

import pytest

import tidelog
from tests.simulation.mutants import MUTANTS, caught, in_the_documentation

CHOICE = {  # some of all parts, by the seeds that are tried here: those that take the least time
    "rows_of_reorged_events_left": [1],
    "endpoint_awaited_without_deadline": [6],
    "bounds_of_segments_left_by_a_reorg": [1],
    "fingerprints_of_fewer_rows_than_there_are": [1],
    "rollback_outside_the_commit": [1],
    "fence_removed": [7],
    "loader_position_outside_the_commit": [10],
    "new_heads_relied_on": [24],
    "reorg_told_one_block_too_short": [1],
    "final_because_one_endpoint_has_it": [31],
    "final_by_depth_below_a_head_that_is_not_ours": [5],
    "longer_candle_of_the_new_parts_alone": [0],
    "absence_believed_where_no_bloom_is_checked": [6],
}


@pytest.mark.parametrize("name", CHOICE)
def test_a_mutant_is_caught_by_its_seed(name: str) -> None:
    assert caught(name, CHOICE[name]) is not None


@pytest.mark.torture
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_within_its_seeds(name: str) -> None:
    assert caught(name) is not None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_still_fits_the_code(name: str) -> None:
    """Each patch finds its lines, once."""
    for module, before, _ in MUTANTS[name].patches:
        path = Path(tidelog.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
        assert len(re.findall(re.escape(before), path.read_text())) == 1, (module, before)


def test_the_documentation_says_by_what_each_is_caught() -> None:
    rows = in_the_documentation()
    assert list(rows) == list(MUTANTS)
    assert not [name for name, row in rows.items() if "escaped" in row]
