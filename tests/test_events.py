"""Every event that the source logs is in docs/events.md with its level, component and fields; and nothing else is."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tidelog"
PAGE = ROOT / "docs" / "events.md"
LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
AS = re.compile(r"as `(\w+)`")


class Event(Struct, frozen=True):
    level: str
    component: frozenset[str]
    fields: frozenset[str]
    open: bool = False  # some fields come as `**facts`, which the source does not name in the call


def logged() -> Iterator[tuple[str, Event]]:
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        component = next(
            (
                str(ast.literal_eval(node.value.args[0]))
                for node in tree.body
                if isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and ast.unparse(node.targets[0]) == "_log"
            ),
            "",
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and is_log(node.func):
                assert component, f"{path.name}: _log is not made by logger(NAME) at the top"
                assert isinstance(node.func, ast.Attribute)
                names = names_of(node.args[0])
                assert names, f"{path.name}:{node.lineno}: an event's name has to stand in the call"
                assert len(node.args) == 1, f"{path.name}:{node.lineno}: an event has fields, and no text to format"
                fields = frozenset(keyword.arg for keyword in node.keywords if keyword.arg is not None)
                is_open = any(keyword.arg is None for keyword in node.keywords)
                for name in names:
                    yield name, Event(node.func.attr, frozenset({component}), fields, is_open)


def is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id == "_log"
    )


def names_of(argument: ast.expr) -> list[str]:
    if isinstance(argument, ast.IfExp):
        return names_of(argument.body) + names_of(argument.orelse)
    return [argument.value] if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else []


@cache
def in_source() -> dict[str, Event]:
    found: dict[str, Event] = {}
    for name, event in logged():
        known = found.get(name, event)
        assert known.level == event.level, f"{name} is logged at two levels"
        found[name] = Event(
            event.level, known.component | event.component, known.fields | event.fields, known.open or event.open
        )
    return found


def in_docs() -> dict[str, Event]:
    found: dict[str, Event] = {}
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        name, level, component, fields, meaning = [cell.strip() for cell in line.strip("|").split("|")]
        name = name.strip("`")
        assert name not in found, f"{name} is listed twice"
        assert meaning.endswith("."), f"{name}: say what it means"
        same = AS.fullmatch(fields)
        listed = found[same[1]].fields if same else frozenset(filter(None, fields.split(", ")))
        found[name] = Event(level, frozenset(component.split(", ")), listed)
    return found


def test_the_page_lists_what_the_source_logs_and_nothing_else() -> None:
    assert sorted(in_docs()) == sorted(in_source())


def test_levels_and_components_are_as_listed() -> None:
    docs = in_docs()
    for name, event in in_source().items():
        assert (name, docs[name].level, docs[name].component) == (name, event.level, event.component)


def test_fields_are_as_listed() -> None:
    docs = in_docs()
    for name, event in in_source().items():
        assert event.fields <= docs[name].fields, name
        assert event.open or event.fields == docs[name].fields, name


def test_names_are_words_joined_by_underscores() -> None:
    assert [name for name in in_source() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


def test_only_the_logs_module_knows_structlog() -> None:
    users = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        if re.search(r"^\s*(import|from) structlog", path.read_text(), re.MULTILINE)
    ]
    assert users == ["telemetry/logs.py"]
