"""Rows as the commands that list what is stored print them: for a program as they are, on a terminal as a table."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tidelog.cli.options import Look
from tidelog.cli.out import say
from tidelog.printable import printable

__all__ = ["print_rows", "print_table", "say_none", "time_text"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEX = re.compile(r"0x[0-9a-f]{40,}")  # addresses, hashes and data: what nobody reads to its end
HEAD, TAIL = 8, 4  # characters of it that are shown
NUMBER = re.compile(r"-?[0-9][0-9.]*")
TIMES = ("timestamp",)  # columns of Unix seconds
GAP = 2  # columns between two
LEAST = 4  # that a column keeps, where a line has to be cut


def print_rows(rows: Sequence[Mapping[str, object]], look: Look) -> None:
    """One JSON object a row, or name=value of what it has; on a terminal a table in its width. Bytes are hex."""
    found = [
        {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in row.items()} for row in rows
    ]
    if look.as_json:
        for row in found:
            say(json.dumps(row))
    elif sys.stdout.isatty():
        print_table(found, look)
    else:
        for row in found:
            say("  ".join(f"{name}={value}" for name, value in row.items() if value is not None))


def print_table(rows: Sequence[Mapping[str, object]], look: Look) -> None:
    """A table with its columns' names, in the width of the terminal unless `look.wide`. Empty columns are left out."""
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    if not names:
        return
    cells = [[_cell(name, row.get(name), look) for name in names] for row in rows]
    lines = [names, *cells]
    widths = [max(_width(line[at]) for line in lines) for at in range(len(names))]
    if not look.wide:
        widths = narrowed(widths, os.get_terminal_size(sys.stdout.fileno()).columns)
    for line in lines:
        shown = zip(names, line, widths, cells[0] if cells else line, strict=True)
        say((" " * GAP).join(_set(text, width, _is_number(first)) for _, text, width, first in shown if width).rstrip())


def narrowed(widths: Sequence[int], columns: int) -> list[int]:
    """The widths, so that a line has at most so many columns: the widest give first. 0: there is no room for it."""
    kept = list(widths)
    while sum(kept) + GAP * (len(kept) - 1) > columns:
        widest = max(range(len(kept)), key=lambda at: (kept[at], at))
        if kept[widest] <= LEAST:
            return _first(kept, columns)
        kept[widest] -= 1
    return kept


def _first(widths: Sequence[int], columns: int) -> list[int]:
    """As many of the columns as there is room for."""
    kept, room = [], columns
    for width in widths:
        kept.append(width if width <= room else 0)
        room -= kept[-1] + GAP
    return kept


def _cell(name: str, value: object, look: Look) -> str:
    if value is None:
        return ""
    if name in TIMES and isinstance(value, int):
        return time_text(value * 1_000_000).replace(".000000Z", "Z")
    text = printable(str(value), sys.stdout.encoding or "utf-8")
    return text if look.full else HEX.sub(lambda found: f"{found[0][:HEAD]}..{found[0][-TAIL:]}", text)


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _set(text: str, width: int, to_the_right: bool) -> str:
    """In exactly so many columns; `..` says that it is cut."""
    from rich.cells import set_cell_size

    size = _width(text)
    if size > width:
        return set_cell_size(text, max(0, width - 2)) + ".."[:width]
    return " " * (width - size) + text if to_the_right else set_cell_size(text, width)


def say_none(sentence: str, as_json: bool) -> None:
    """Say that a list is empty to who reads it; what goes on to a program stays empty."""
    if not as_json and sys.stdout.isatty():
        say(sentence)


def time_text(time_us: int) -> str:
    """Unix time in microseconds as UTC."""
    try:
        time = EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us"
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
