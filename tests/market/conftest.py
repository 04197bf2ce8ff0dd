"""Recorded frames, where they are to be had: $TIDELOG_SHARED, or `shared` beside the repository."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.store.conftest import opener, store, url

__all__ = ["opener", "store", "url"]  # fixtures: what goes into a store is tested on both kinds

Recording = Callable[[str], list[bytes]]


@pytest.fixture(scope="session")
def kraken_data() -> Path:
    """The folder of recordings of Kraken. Without it the test is skipped, or fails if nothing may be."""
    root = Path(os.environ.get("TIDELOG_SHARED") or Path(__file__).parents[3] / "shared")
    folder = root / "data" / "kraken"
    if not folder.is_dir():
        missing(f"no recorded frames at {folder}: set TIDELOG_SHARED to the folder that holds data/kraken")
    return folder


@pytest.fixture(scope="session")
def recording(kraken_data: Path) -> Recording:
    """Frames of a recording by its name, as received."""
    return lambda name: (kraken_data / f"{name}.jsonl").read_bytes().splitlines()
