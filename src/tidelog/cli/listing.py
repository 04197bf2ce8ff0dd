"""Lists of what is stored: tables on a terminal, and elsewhere a line a row, JSON or CSV.

What goes on to a program is never cut, shortened or coloured, and has no title.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tidelog.cli.columns import Column
from tidelog.cli.options import Form
from tidelog.cli.out import say

__all__ = ["encoding", "fact_text", "on_terminal", "print_facts", "print_rows", "say_none", "time_text"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def on_terminal(form: Form) -> bool:
    """Whether a person reads it."""
    return not form.for_a_program and sys.stdout.isatty()


def encoding() -> str:
    """Of standard output."""
    return sys.stdout.encoding or "utf-8"  # in memory it has none


def fact_text(value: object) -> str:
    """A value, or several of them, in words."""
    match value:
        case None:
            return "none"
        case list():
            return " ".join(map(str, value))
        case dict():
            return ", ".join(f"{name} {item}" for name, item in value.items())
        case _:
            return str(value)


def _pairs(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in row.items() if value is not None)


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    form: Form,
    line: Callable[[Mapping[str, Any]], str] = _pairs,
    *,
    title: str | None = None,
) -> None:
    """A row a line: as one JSON object, or in words; on a terminal as a table. Bytes are printed as hex.

    Args:
        columns: those of the table.
        line: a row in words; name=value of what it has, if it is not given.
        title: of the table.
    """
    if on_terminal(form):
        from tidelog.cli.table import print_table

        if rows:
            print_table(columns, rows, form, title=title)
        return
    for row in rows:
        shown = {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in row.items()}
        say(json.dumps(shown) if form.as_json else line(shown))


def print_facts(facts: Mapping[str, Any], form: Form, columns: Sequence[Column] = (), *, wide: int = 15) -> None:
    """Names and values, one below the other: as one JSON object, or as text whose names take `wide` characters.

    Args:
        columns: of those values that are not what they look like.
    """
    if form.as_json:
        say(json.dumps(facts))
    elif on_terminal(form):
        from tidelog.cli import table

        known = {column.name: column for column in columns}
        table.print_facts([(known.get(name, Column(name)), value) for name, value in facts.items()], form)
    else:
        for name, value in facts.items():
            say(f"{name:{wide}} {fact_text(value)}")


def say_none(sentence: str, form: Form) -> None:
    """Say that a list is empty to who reads it; what goes on to a program stays empty."""
    if on_terminal(form):
        say(sentence)


def time_text(time_us: int) -> str:
    """Unix time in microseconds as UTC."""
    try:
        time = EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us"
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
