"""Commands in this process, a simulated node that stands still, and a store that was synced from it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Finished
from tests.market.conftest import kraken_data
from tests.simulated import Simulated
from tidelog.cli import main
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree

__all__ = ["kraken_data"]

BLOCKS = 100

Cli = Callable[..., Finished]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that configures tidelog comes from outside, and lines are wide enough for whole sentences."""
    for name in ("TIDELOG_RPC", "TIDELOG_DB", "TIDELOG_WS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process."""

    def run(*arguments: str) -> Finished:
        capsys.readouterr()
        try:
            main(arguments)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Finished(code, *capsys.readouterr())

    return run


def tree(*, seed: int = 4, blocks: int = BLOCKS) -> BlockTree:
    return BlockTree(seed=seed, blocks=blocks, shape=Shape(transactions=(1, 3), logs=(1, 3)))


@pytest.fixture(scope="session")
def node() -> Iterator[Simulated]:
    """For tests that change nothing of it."""
    with Simulated(tree()) as served:
        yield served


@pytest.fixture
def own_node() -> Iterator[Simulated]:
    """The same chain, for a test that plays with it."""
    with Simulated(tree()) as served:
        yield served


@pytest.fixture(scope="session")
def synced(node: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all of the node's blocks. Not to be changed: see `db`."""
    path = tmp_path_factory.mktemp("synced") / "chain.db"
    with pytest.raises(SystemExit) as ended:
        main(["chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{path}", "--log-level", "error"])
    assert ended.value.code == 0
    return path


@pytest.fixture
def db(synced: Path, tmp_path: Path) -> str:
    """The URL of a copy of the synced store."""
    shutil.copy(synced, tmp_path / "chain.db")
    return f"sqlite:///{tmp_path}/chain.db"
