"""A search for panics of the compiled core, led by coverage: `core/fuzz`, for cargo fuzz."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import NO_CARGO, missing
from tests.core.corpus import write

SECONDS = 120  # for each target
TOP = Path(__file__).parents[2]


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_nothing_that_is_answered_or_stored_makes_the_core_panic(tmp_path: Path) -> None:
    write(tmp_path)
    command = [str(TOP / ".ci" / "core"), "fuzz", str(SECONDS), str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if "the compiled core is not built" in child.stdout:
        missing(f"{NO_CARGO}: {child.stdout}")
    assert child.returncode == 0, child.stdout + child.stderr
    assert child.stdout.count("Done") == len(list((TOP / "core" / "fuzz" / "targets").glob("*.rs")))
