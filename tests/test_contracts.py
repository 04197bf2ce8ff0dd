"""The contracts of import-linter hold: who reads a clock in a pure folder is found."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.patience import HANGS_S

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = ("the chain's pure folders do no I/O", "the market's pure folders do no I/O")


def pure_packages() -> list[str]:
    named = [module for contract in CONTRACTS if contract["name"] in PURE for module in contract["source_modules"]]
    return [module for module in named if (ROOT / "src" / module.replace(".", "/")).is_dir()]


def linted(copy: Path) -> str:
    """What lint-imports says of a copy of the package."""
    shutil.copy(ROOT / "pyproject.toml", copy)
    made = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", copy / "pyproject.toml"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)


def test_a_clock_that_is_read_in_a_pure_folder_is_found(tmp_path: Path) -> None:
    packages = pure_packages()
    assert len(packages) >= 10
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for package in packages:
        (tmp_path / "src" / package.replace(".", "/") / "late.py").write_text("import time\n\nNOW = time.time()\n")
    said = linted(tmp_path)
    assert "2 broken" in said
    assert [package for package in packages if f"{package}.late -> time" not in said] == []
