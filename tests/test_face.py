"""The public names: docs/stability.md lists them, each loads by itself and has a docstring, and what it takes and gives
is public too; examples use no others.
"""

import ast
import enum
import importlib
import inspect
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from tidelog import Runtime, SystemRuntime

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "stability.md").read_text()
PACKAGES = ("tidelog", "tidelog.chain", "tidelog.market", "tidelog.stream")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def exported(package: str) -> list[str]:
    names: list[str] = importlib.import_module(package).__all__
    return names


NAMES = [(package, name) for package in PACKAGES for name in exported(package)]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_lists_what_the_package_exports(package: str) -> None:
    _, _, section = PAGE.partition(f"### `{package}`\n")
    section = section.partition("\n### ")[0]
    listed = [
        name
        for line in section.splitlines()
        if re.fullmatch(r"(`\w+` ?)+", line)
        for name in re.findall(r"`(\w+)`", line)
    ]
    assert sorted(listed) == sorted(exported(package))
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_there(package: str, name: str) -> None:
    assert getattr(importlib.import_module(package), name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_not_exported_is_none_of_the_package(package: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = importlib.import_module(package).Nothing


def test_importing_the_packages_loads_nothing_behind_them() -> None:
    program = (
        "import sys; before = set(sys.modules); import tidelog.chain, tidelog.market, tidelog.stream;"
        "print([name for name in set(sys.modules) - before if name not in sys.stdlib_module_names"
        " and name.partition('.')[0] not in sys.stdlib_module_names])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(done.stdout)) == set(PACKAGES)


def own_docstring(value: Any) -> str:
    """What was written; nothing, where Python made it up."""
    text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    made_up = isinstance(value, type) and text is not None and text.startswith(f"{value.__name__}(")
    return "" if text is None or made_up else text


def public_parts(value: type) -> list[tuple[str, Any]]:
    """The methods and properties that a user meets."""
    parts: list[tuple[str, Any]] = []
    for name, part in vars(value).items():
        part = part.__func__ if isinstance(part, classmethod | staticmethod) else part
        if not name.startswith("_") and isinstance(part, types.FunctionType | property):
            parts.append((name, part))
    return parts


def is_type_alias(value: Any) -> bool:
    return typing.get_origin(value) is not None or isinstance(value, types.UnionType)


UNSPOKEN = {"Pool"}  # is opened and handed on: its methods are not public


@pytest.mark.parametrize(("package", "name"), [each for each in NAMES if each[1] != "__version__"])
def test_a_public_name_and_its_methods_have_docstrings(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    if is_type_alias(value):
        return
    missing = [] if own_docstring(value).strip() else [name]
    if isinstance(value, type) and not issubclass(value, enum.Enum) and name not in UNSPOKEN:
        said = vars(Runtime) if value is SystemRuntime else {}  # by the protocol that it is of
        parts = [(part, made) for part, made in public_parts(value) if part not in said]
        missing += [f"{name}.{part}" for part, made in parts if not (inspect.getdoc(made) or "").strip()]
    assert missing == []


WITHOUT_PROMISE = {  # what docs/stability.md takes out, or only tidelog calls
    "Store.acquire",
    "Store.commit",
    "Snapshot.lookup",
    "Snapshot.pieces",
    "Snapshot.select",
    "Snapshot.scan",
    "Snapshot.count",
    "Snapshot.misspelled",
    "Sync.__init__.projections",
    "Sync.__init__.contracts",
    "Progress.spec",
    "EventBatch.__init__",  # a subscription makes it
    "Subscription.__init__",  # `Feed.subscribe` makes it
}


def said_types(value: Any) -> dict[str, Any]:
    """By place, the types of a function's parameters and result, or of a class's fields, methods and properties."""
    if isinstance(value, types.FunctionType):
        return {f"{value.__name__}.{place}": kind for place, kind in typing.get_type_hints(value).items()}
    if not isinstance(value, type) or issubclass(value, enum.Enum):
        return {}
    own = [name for name in inspect.get_annotations(value) if not name.startswith("_")]
    found = {f"{value.__name__}.{name}": typing.get_type_hints(value)[name] for name in own}
    made = vars(value).get("__init__")
    parts = [*public_parts(value), *([("__init__", made)] if isinstance(made, types.FunctionType) else [])]
    for name, part in parts:
        function = part.fget if isinstance(part, property) else part
        for place, kind in typing.get_type_hints(function).items():
            found[f"{value.__name__}.{name}.{place}"] = kind
    return found


def classes_in(kind: Any) -> set[type]:
    """The classes that an annotation is made of."""
    if isinstance(kind, list):  # the parameters of a Callable
        return set().union(*map(classes_in, kind))
    inside = set().union(*map(classes_in, typing.get_args(kind)))
    return inside | ({kind} if isinstance(kind, type) else set())


@pytest.mark.parametrize(("package", "name"), [each for each in NAMES if each[1] not in {"__version__", *UNSPOKEN}])
def test_what_a_public_name_takes_and_gives_is_public_too(package: str, name: str) -> None:
    public = {getattr(importlib.import_module(home), each) for home, each in NAMES if each != "__version__"}
    private = {
        f"{place}: {kind.__module__}.{kind.__name__}"
        for place, said in said_types(getattr(importlib.import_module(package), name)).items()
        if not any(place == each or place.startswith(f"{each}.") for each in WITHOUT_PROMISE)
        for kind in classes_in(said)
        if kind.__module__.partition(".")[0] == "tidelog" and kind not in public
    }
    assert private == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_import_public_names_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.partition(".")[0] == "tidelog"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tidelog":
            assert node.module in PACKAGES
            assert {alias.name for alias in node.names} <= set(exported(node.module or ""))
