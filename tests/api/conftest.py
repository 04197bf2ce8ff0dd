"""Stores for the routes to read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api.held import HEAD, fill
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store


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
