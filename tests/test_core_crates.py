"""What the compiled core is made of: pinned crates under known licences, unsafe code in one crate alone, nothing of a
registry.
"""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NO_CARGO, missing

CORE = Path(__file__).parents[1] / "core"
FUZZ = CORE / "fuzz" / "Cargo.toml"  # a workspace of its own, in no wheel
SQLITE = CORE / "sqlite"  # an extension of SQLite speaks C: the one crate with unsafe code
MANIFESTS = sorted(path for path in CORE.glob("*/Cargo.toml") if path != FUZZ)
LICENCES = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def is_allowed(licence: str) -> bool:
    """Whether a licence expression can be met by what is allowed."""
    expression = licence.replace("/", " OR ").replace("(", "").replace(")", "")
    return all(any(choice.strip() in LICENCES for choice in part.split(" OR ")) for part in expression.split(" AND "))


def test_expressions_of_licences() -> None:
    assert is_allowed("MIT")
    assert is_allowed("MIT OR GPL-3.0")
    assert is_allowed("Unlicense/MIT")
    assert is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
    assert not is_allowed("GPL-3.0-only")
    assert not is_allowed("MIT AND GPL-3.0")


@pytest.fixture(scope="module")
def packages() -> list[dict[str, Any]]:
    """Every crate that the core is built from, the fetched ones included."""
    if shutil.which("cargo") is None:
        missing(f"the core's crates are not known: {NO_CARGO}")
    command = ["cargo", "metadata", "--format-version", "1", "--offline"]
    done = subprocess.run(command, cwd=CORE, capture_output=True, text=True)
    if done.returncode != 0:
        missing("the core's crates are not here: make rust")
    found: list[dict[str, Any]] = json.loads(done.stdout)["packages"]
    return found


def test_every_crate_is_under_a_licence_of_the_list(packages: list[dict[str, Any]]) -> None:
    assert len(packages) > 20
    assert {p["name"]: p["license"] for p in packages if not is_allowed(p["license"] or "none")} == {}


def test_what_the_core_asks_for_is_pinned_and_little() -> None:
    wanted: dict[str, Any] = {}
    for path in MANIFESTS:
        wanted |= tomllib.loads(path.read_text()).get("dependencies", {})
    outside = {name: need for name, need in wanted.items() if "path" not in need}
    assert set(outside) == {"crc32fast", "memchr", "pulp", "pyo3", "sha2"}
    assert all(need["version"].startswith("=") for need in outside.values())


def test_the_search_for_panics_is_no_part_of_what_is_built() -> None:
    fuzz = tomllib.loads(FUZZ.read_text())
    assert "workspace" in fuzz
    assert fuzz["dependencies"].keys() == {"libfuzzer-sys", "tidelog-pure"}
    assert fuzz["dependencies"]["libfuzzer-sys"].startswith("=")


def test_there_is_unsafe_code_in_one_crate_alone_and_sums_are_checked() -> None:
    whole = tomllib.loads((CORE / "Cargo.toml").read_text())
    assert whole["workspace"]["lints"]["rust"]["unsafe_code"] == "forbid"
    assert whole["profile"]["release"]["overflow-checks"] is True
    assert whole["profile"]["release"]["panic"] == "unwind"
    assert set(whole["workspace"]["members"]) == {path.parent.name for path in MANIFESTS}
    others = [path for path in MANIFESTS if path.parent != SQLITE]
    assert all(tomllib.loads(path.read_text())["lints"]["workspace"] for path in others)


def test_the_crate_with_unsafe_code_is_small_and_gives_a_reason_for_each_piece() -> None:
    """clippy holds it to that in `make check`; what it reads bytes by is in a crate without unsafe code."""
    manifest = tomllib.loads((SQLITE / "Cargo.toml").read_text())
    assert manifest["dependencies"].keys() == {"tidelog-pure"}
    assert manifest["lints"]["rust"]["unsafe_op_in_unsafe_fn"] == "deny"
    assert manifest["lints"]["clippy"]["undocumented_unsafe_blocks"] == "deny"
    texts = [path.read_text() for path in SQLITE.rglob("*.rs")]
    assert sum(text.count("\n") for text in texts) < 600
    assert sum(text.count("unsafe {") for text in texts) == sum(text.count("// SAFETY: ") for text in texts) > 10
    assert not any("allow(" in text for text in texts)


def test_what_is_committed_names_no_registry() -> None:
    tracked = subprocess.run(["git", "ls-files", "."], cwd=CORE, capture_output=True, text=True).stdout.split()
    assert "Cargo.lock" not in tracked
    for path in (CORE / name for name in tracked if name != "LICENSE"):  # that of Apache has its own address
        assert "://" not in path.read_text(), path


def test_the_core_s_own_distributions_have_the_licence_s_text() -> None:
    """maturin takes it from the project's folder into what it builds, and into no wheel from the folder above."""
    assert (CORE / "LICENSE").read_bytes() == (CORE.parent / "LICENSE").read_bytes()
