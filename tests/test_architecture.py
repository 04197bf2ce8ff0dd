"""ARCHITECTURE.md is the map: every package is on it, and everything that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tidelog"
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
MAP = PAGE[PAGE.index("## The map") :]
PACKAGES = sorted(path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py"))
DIVIDED = {".", "api", "chain", "market", "sim"}  # they are on the map by what is in them


@pytest.mark.parametrize("package", [package for package in PACKAGES if package not in DIVIDED])
def test_each_package_is_on_the_map_with_all_its_modules(package: str) -> None:
    (row,) = re.findall(rf"^\| `{package}/` \|(.*)\|$", MAP, re.MULTILINE)
    modules = sorted(path.stem for path in (SOURCE / package).glob("*.py") if path.stem != "__init__")
    named = re.search(r"\*([a-z0-9_, ]+)\*", row)
    assert named is not None
    assert named.group(1).split(", ") == modules


@pytest.mark.parametrize("package", sorted(DIVIDED - {"."}))
def test_each_module_beside_the_packages_is_on_the_map(package: str) -> None:
    modules = {path.name for path in (SOURCE / package).glob("*.py")} - {"__init__.py"}
    assert modules == set(re.findall(rf"^\| `{package}/([a-z0-9_]+\.py)` \|", MAP, re.MULTILINE))


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/reliability.md", "docs/simulation.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = set(re.findall(r"`([a-z0-9_/]+/[a-z0-9_]+\.(?:py|sql))`", (ROOT / page).read_text()))
    assert named
    assert [name for name in sorted(named) if not any((at / name).exists() for at in (ROOT, SOURCE))] == []


def test_names_in_the_glossary_are_in_the_code() -> None:
    section = PAGE[PAGE.index("## Glossary") :].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|([^|]*)\|$", section, re.MULTILINE)[2:]
    words = [word for word, _ in rows]
    assert words == sorted(words)
    code = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    named = [name for _, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert len(named) > len(rows) / 2
    assert [name for name in named if not re.search(rf"^(class {name}\b|{name} = )", code, re.MULTILINE)] == []
