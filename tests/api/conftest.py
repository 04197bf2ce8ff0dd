"""Stores that were filled once, on both backends, and servers over them. Tests that write fill their own."""

from collections.abc import Iterator

import pytest

from tests.api.served import Filled, Served, filled, sqlite_url
from tests.postgres import PostgresServer
from tests.store.conftest import postgres_url, url

__all__ = ["postgres_url", "url"]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A store that nobody changes any more."""
    if request.param == "sqlite":
        return filled(sqlite_url(tmp_path_factory.mktemp("api")))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return filled(server.create_database())


@pytest.fixture(scope="session")
def api(full: Filled) -> Iterator[Served]:
    """A server over it."""
    with Served(full.url) as served:
        yield served


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The same store in a file, for what the backend has no part in."""
    return filled(sqlite_url(tmp_path_factory.mktemp("small")))
