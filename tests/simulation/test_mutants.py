"""Deliberate faults are found: a fixed choice, each by a seed that is known to catch it. All of them, each within its
number of seeds: `python -m tests.simulation.mutants`."""

import re
from pathlib import Path

import pytest

import tidelog
from tests.simulation.mutants import MUTANTS, caught

CHOICE = {  # by the seeds that are tried here
    "endpoint_awaited_without_deadline": [6],
    "rollback_outside_the_commit": [1],
    "fence_removed": [7],
    "uncles_believed": [2],
    "loader_position_outside_the_commit": [0],
    "new_heads_relied_on": [24],
    "private_sequence_not_followed": [2],
    "no_new_token_where_one_is_refused": [12],
}


@pytest.mark.parametrize("name", CHOICE)
def test_it_is_caught(name: str) -> None:
    assert caught(name, CHOICE[name]) is not None


@pytest.mark.torture
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught_within_its_seeds(name: str) -> None:
    assert caught(name) is not None


@pytest.mark.parametrize("name", MUTANTS)
def test_it_still_fits_the_code(name: str) -> None:
    """Each patch finds its lines, once."""
    for module, before, _ in MUTANTS[name].patches:
        path = Path(tidelog.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
        assert len(re.findall(re.escape(before), path.read_text())) == 1, (module, before)
