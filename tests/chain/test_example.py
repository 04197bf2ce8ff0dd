"""The program for chains, examples/chain.py: it syncs, verifies, and ends with a sentence where it cannot."""

import subprocess
import sys
from pathlib import Path

from tests.patience import HANGS_S
from tests.simulated import Simulated
from tidelog.sim.node.chain.tree import BlockTree

EXAMPLE = Path(__file__).parents[2] / "examples" / "chain.py"


def example(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, timeout=HANGS_S)


def test_the_example_syncs_and_verifies_a_chain(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    with Simulated(BlockTree(seed=3, blocks=20)) as node:
        done = example(node.url, db)
    assert done.returncode == 0, done.stderr
    synced, verified = done.stdout.splitlines()
    assert synced == "chain 1337: blocks 0 to 20, 21 of 21 proven whole"
    assert verified.startswith("verified 21 blocks, ")
    assert "block 20 of 20" in done.stderr


def test_the_example_ends_with_a_sentence_where_there_is_no_such_store(tmp_path: Path) -> None:
    done = example("http://127.0.0.1:9", f"sqlite:///{tmp_path}/no/folder/chain.db")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
