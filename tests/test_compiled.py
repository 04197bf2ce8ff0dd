"""Which core is used: what the environment says, what is installed, and how both are told."""

import os
import shutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import pytest

from tests.chain.native import HERE, needs_core
from tidelog import compiled
from tidelog.compiled import CONTRACT, found
from tidelog.errors import ConfigError


def installed(monkeypatch: pytest.MonkeyPatch, contract: int = CONTRACT) -> ModuleType:
    """A core of this contract, in the place of the one that is here."""
    module = ModuleType("tidelog_core")
    module.__dict__.update(__version__="7.0", CONTRACT=contract, lanes=lambda: 4)
    monkeypatch.setitem(sys.modules, "tidelog_core", module)
    return module


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tidelog_core", None)


@pytest.mark.parametrize("wanted", [{}, {"TIDELOG_CORE": "auto"}, {"TIDELOG_CORE": " Native "}, {"TIDELOG_CORE": ""}])
def test_a_core_that_is_installed_is_used(monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str]) -> None:
    module = installed(monkeypatch)
    assert found(wanted) == (module, "native (tidelog-core 7.0, 4 lanes)")


def test_python_does_the_work_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert found({"TIDELOG_CORE": "python"}) == (None, "python (TIDELOG_CORE=python)")


def test_without_a_core_python_does_the_work_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch)
    assert found({}).module is None
    assert found({}).said.startswith("python (tidelog-core ")
    with pytest.raises(ConfigError, match="TIDELOG_CORE=native, but tidelog-core"):
        found({"TIDELOG_CORE": "native"})


@pytest.mark.parametrize("has_part", [False, True])
def test_half_a_core_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_part: bool) -> None:
    """A folder that was left behind; and a package whose compiled part is of another Python."""
    (tmp_path / "tidelog_core").mkdir()
    if has_part:
        (tmp_path / "tidelog_core" / "__init__.py").write_text("from .tidelog_core import *")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [PathFinder])  # and not what an editable installation puts before it
    absent(monkeypatch)  # so that it is put back as it was
    for name in [name for name in sys.modules if name.startswith("tidelog_core")]:
        monkeypatch.delitem(sys.modules, name)
    module, said = found({})
    assert module is None
    assert said.startswith("python (tidelog-core cannot be loaded" if has_part else "python (tidelog-core is not inst")


def test_a_core_of_another_tidelog_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, contract=CONTRACT + 1)
    why = "tidelog-core 7.0 belongs to another version of tidelog and has to be installed again"
    assert found({}) == (None, f"python ({why})")
    with pytest.raises(ConfigError, match="another version"):
        found({"TIDELOG_CORE": "native"})


def test_a_value_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="TIDELOG_CORE is 'rust': give auto, python or native"):
        found({"TIDELOG_CORE": "rust"})


@needs_core
def test_the_core_that_is_here_belongs_to_this_tidelog() -> None:
    assert found({"TIDELOG_CORE": "native"}).module is not None


def test_where_everything_is_required_and_cargo_is_here_the_core_is_used() -> None:
    if os.environ.get("TIDELOG_REQUIRE_ALL") == "1" and shutil.which("cargo") is not None:
        assert HERE
        assert os.environ.get(compiled.VARIABLE) == "python" or compiled.core().module is not None
