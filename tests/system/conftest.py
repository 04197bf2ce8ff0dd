"""What system tests stand on: a real node, and a database of either kind with a schema and nothing else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import tidelog
from tests.conftest import missing
from tests.simulated import Simulated
from tests.system.anvil import Anvil, program
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import open_store


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Anvil]:
    """A node with nothing but its genesis and the block that made its two contracts."""
    binary = program()
    if binary is None:
        missing("anvil is not here: `.ci/anvil .anvil` installs it by npm, TIDELOG_ANVIL names another one")
    assert binary is not None
    node = Anvil(binary, tmp_path)
    try:
        node.start()
        node.deploy()
        yield node
    finally:
        node.kill9()


def with_schema(url: str) -> str:
    async def migrate() -> None:
        store = await open_store(url, SystemRuntime())
        await store.close()

    asyncio.run(migrate())
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return with_schema(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture
def postgres_url(postgres_url: str) -> str:
    return with_schema(postgres_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return address


@pytest.fixture(scope="session")
def few_blocks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store of three blocks, for tests that change nothing of it."""
    address = f"sqlite:///{tmp_path_factory.mktemp('stored')}/chain.db"
    with Simulated(BlockTree(seed=1, blocks=2)) as node:
        assert tidelog("chain", "sync", "--rpc", node.url, "--db", address).code == 0
    return address
