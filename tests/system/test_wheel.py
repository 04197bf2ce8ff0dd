"""What is shipped: the wheel, built from this tree, installed into an empty environment with its pins, and run."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.command import Finished, environment
from tests.simulated import Simulated
from tidelog.sim.node.chain.tree import BlockTree

ROOT = Path(__file__).parents[2]
STEP_S = 300.0  # the slowest is pip, which may have to fetch everything
SHIPPED = {
    "tidelog/py.typed",
    "tidelog/store/sqlite/migrations/0001_chain.sql",
    "tidelog/store/sqlite/schema_0024.sql",
    "tidelog/store/postgres/migrations/0001_chain.sql",
}


def step(*command: str | Path, cwd: Path, inherit: bool = False) -> str:
    """Run a program that has to succeed; its output. Nothing of this tree is on its path, unless inherited."""
    env = environment()
    if not inherit:
        env.pop("PYTHONPATH")
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=STEP_S)
    finished = Finished(done.returncode, done.stdout, done.stderr)
    assert finished.code == 0, f"{command}: {finished}"
    return finished.out


@pytest.mark.timeout(4 * STEP_S)
def test_the_wheel_installs_into_an_empty_environment_and_runs(tmp_path: Path) -> None:
    # by the build backend that the development group pins: nothing is fetched, and nothing but the tree is read
    step(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        tmp_path,
        ROOT,
        cwd=tmp_path,
        inherit=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= SHIPPED
    assert all(name.startswith(("tidelog/", "tidelog-")) for name in names), "something else is shipped too"

    step(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python, empty = tmp_path / "venv" / "bin" / "python", tmp_path / "empty"
    empty.mkdir()
    pins = ROOT / "constraints.txt"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
    step(*pip, "--constraint", pins, wheel, cwd=empty)
    command = python.with_name("tidelog")
    told = r"\d+\.\d+\.\d+, core: python \(tidelog-core is not installed\)\n"
    assert re.fullmatch(told, step(command, "--version", cwd=empty))
    with Simulated(BlockTree(seed=2, blocks=80)) as node:
        step(command, "chain", "sync", "--rpc", node.url, cwd=empty)
    assert "81 blocks (0 to 80)" in step(command, "chain", "verify", "--jobs", "2", cwd=empty)
    assert {path.name.partition("-")[0] for path in empty.iterdir()} == {"tidelog.db"}
