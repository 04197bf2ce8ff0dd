"""What `make` fetches, on machines that have less than this one: it is left out, and said, and nothing fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).parents[1] / ".ci"
USUAL = ("bash", "env", "uname", "mkdir", "cat", "rm", "grep", "tail", "cut", "mktemp", "dirname")  # also on macOS


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs, which is all of PATH: without GNU's `timeout` and `realpath`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in USUAL:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def stub(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def run(programs: Path, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [shutil.which("bash") or "bash", CI / script, *arguments],
        env=os.environ | {"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kafka_is_fetched_without_gnu_s_programs(programs: Path, tmp_path: Path) -> None:
    stub(programs, "java", "exit 0")
    stub(programs, "mvn", f'echo "$*" >{tmp_path}/asked')
    assert run(programs, "kafka", str(tmp_path / "kafka")) == ""
    assert f"-DoutputDirectory={tmp_path}/kafka/lib" in (tmp_path / "asked").read_text()


def test_crates_are_fetched_without_gnu_s_programs(programs: Path, tmp_path: Path) -> None:
    stub(programs, "cargo", f'echo "$*" >>{tmp_path}/asked\n[ "$*" = fetch ] && echo "no network" && exit 1\nexit 1')
    assert "its crates cannot be fetched (no network)" in run(programs, "core", "lint")
    assert (tmp_path / "asked").read_text().splitlines() == ["fetch --offline", "fetch"]


def test_an_npm_that_reaches_nobody_is_no_failure(programs: Path, tmp_path: Path) -> None:
    stub(programs, "npm", "exit 1")
    assert "npm cannot fetch anvil: tests against it will be skipped" in run(programs, "anvil", str(tmp_path))
