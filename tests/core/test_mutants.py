"""Deliberate faults in the compiled core still fit its code. That each is caught: `python -m tests.core.mutants`."""

import pytest

from tests.chain.native import needs_core
from tests.core.comparison import main
from tests.core.mutants import MUTANTS, PANIC, PANIC_IN_A_BOOK, Patch, text_of


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_core_still_fits_the_code(name: str) -> None:
    assert text_of(MUTANTS[name])


@pytest.mark.parametrize("panic", [PANIC, PANIC_IN_A_BOOK])
def test_a_panic_still_fits_the_code(panic: Patch) -> None:
    assert text_of(panic)


@needs_core
def test_the_core_itself_is_not_taken_for_a_mutant() -> None:
    assert main() == 0
