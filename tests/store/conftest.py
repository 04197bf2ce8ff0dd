"""The two kinds of database that every store test runs on, each empty at first."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from tests.chain.native import either_path, needs_core
from tidelog.batch import INT_MAX
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store
from tidelog.store.sqlite import packing

__all__ = ["Opener", "either_path", "opener", "store", "url"]


class Opener(Protocol):
    """Opens the test's database, any number of times; closes all of them at the end."""

    def __call__(
        self, *, readonly: bool = False, statement_timeout_s: float | None = None, readers: int | None = None
    ) -> Awaitable[Store]: ...


@pytest.fixture(params=["sqlite", pytest.param("sqlite, packed", marks=needs_core), "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a database that holds nothing yet; SQLite's takes rows one by one, or packed, however few."""
    if request.param != "postgresql":
        monkeypatch.setattr(packing, "ROWS_MIN", 1 if request.param == "sqlite, packed" else INT_MAX)
        return f"sqlite:///{tmp_path}/store.db"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest_asyncio.fixture
async def opener(url: str) -> AsyncIterator[Opener]:
    stores: list[Store] = []

    async def open_one(
        *, readonly: bool = False, statement_timeout_s: float | None = None, readers: int | None = None
    ) -> Store:
        store = await open_store(
            url, SystemRuntime(), readonly=readonly, statement_timeout_s=statement_timeout_s, readers=readers
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest_asyncio.fixture
async def store(opener: Opener) -> Store:
    return await opener()
