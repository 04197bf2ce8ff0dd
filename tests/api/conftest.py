"""Stores that were filled once, on both backends, and servers over them. Tests that write fill their own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.api.served import Filled, Served, filled, sqlite_url
from tests.api.stored import HEAD, fill
from tests.postgres import PostgresServer
from tests.store.conftest import url
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

__all__ = ["url"]


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


# -- a part of a chain, for JSON-RPC -----------------------------------------------------------------------


@pytest_asyncio.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Store]:
    """A store that holds nothing."""
    store = await open_store(f"sqlite:///{tmp_path}/store.db", SystemRuntime())
    yield store
    await store.close()


@pytest_asyncio.fixture
async def whole(empty: Store) -> Store:
    """All of the chain, final up to block 8."""
    await fill(empty, 0, HEAD, finalized=8)
    return empty


@pytest_asyncio.fixture
async def part(empty: Store) -> Store:
    """Blocks 4 to the head, none of them known to be final."""
    await fill(empty, 4, HEAD)
    return empty
