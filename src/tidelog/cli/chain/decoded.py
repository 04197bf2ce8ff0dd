"""Decoded events and calls as commands print them: as a table, as JSON with one object a line, or as CSV.

What does not fit is counted on standard error, by the reason.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from tidelog.cli.chain.lists import DECODED_COLUMNS
from tidelog.cli.columns import Column
from tidelog.cli.listing import encoding, on_terminal, print_rows
from tidelog.cli.options import TableForm
from tidelog.cli.out import complain, say
from tidelog.printable import printable

__all__ = ["print_decoded", "say_misfits"]


def print_decoded(
    found: Sequence[Struct], shape: type[Struct], names: Sequence[tuple[str, ...]], form: TableForm
) -> None:
    """Print them.

    Args:
        shape: the class of all, whose last field is `args`.
        names: of the arguments, of each event or function that may be there: each has its column where they are alike.
    """
    rows: list[dict[str, Any]] = [{name: _text(value) for name, value in asdict(each).items()} for each in found]
    if form.as_json:
        for row in rows:
            say(json.dumps(row))
        return
    *place, _ = shape.__struct_fields__
    alike = all(each == names[0] for each in names) and not set(names[0]) & set(place)
    head = [*place, *(names[0] if alike else ("args",))]
    lines = [[*(row[name] for name in place), *_cells(row["args"], alike)] for row in rows]
    if form.as_csv:
        written = [head, *lines]
        if sys.stdout.isatty():  # exact for a program; what a contract or its ABI says commands no terminal
            written = [[printable(str(cell)) for cell in line] for line in written]
        csv.writer(sys.stdout, lineterminator="\n").writerows(written)
    elif lines and on_terminal(form):
        columns = [DECODED_COLUMNS.get(name, Column(name, weight=8)) for name in head]
        print_rows([dict(zip(head, line, strict=True)) for line in lines], columns, form)
    elif lines:
        _print_table([head, *([printable(str(cell), encoding()) for cell in line] for line in lines)])


def say_misfits(misfits: Counter[str], what: str) -> None:
    """Each reason, and how many logs or transactions it holds for."""
    for reason, count in misfits.most_common():
        these = f"1 {what} does" if count == 1 else f"{count} {what}s do"
        complain(f"tidelog: {these} not fit the signature: {reason}")


def _cells(args: dict[str, Any], alike: bool) -> list[Any]:
    if not alike:
        return [json.dumps(args)]
    return [json.dumps(value) if isinstance(value, list | dict | bool) else value for value in args.values()]


def _text(value: object) -> object:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
