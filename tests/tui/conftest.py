"""A store with a chain that went through a reorg and a recording, and a server over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.served import Filled, Served, filled, sqlite_url


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A store that nobody changes any more."""
    folder: Path = tmp_path_factory.mktemp("tui")
    return filled(sqlite_url(folder))


@pytest.fixture(scope="session")
def served(small: Filled) -> Iterator[Served]:
    with Served(small.url) as api:
        yield api
