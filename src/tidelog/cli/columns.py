"""A list's columns on a terminal: how each value reads there, which columns fit, and how wide each is. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Literal

from msgspec import Struct

from tidelog.printable import printable

__all__ = ["GAP", "Column", "Drawn", "Kind", "drawn", "fitted", "head_lines", "shortened"]

GAP = 2  # spaces between two columns
TEXT_LEAST = 10  # columns that text is cut to, before a whole column is left out
BEGIN, END = 6, 4  # hex digits that are left of a hash
HEX = re.compile(r"0x[0-9a-fA-F]+")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
FRACTION = re.compile(r"\.[0-9]{6}$")


class Kind(Enum):
    """What a column's values are."""

    VALUE = auto()  # numbers, flags, hex or text: as they look
    TIME = auto()  # "2024-05-01T12:30:00.000000Z"
    SECONDS = auto()  # Unix time
    WHOLE = auto()  # text that says nothing when it is cut, such as a digest


class Column(Struct, frozen=True):
    """A column of a list.

    `weight`: where not all columns fit, the heavier ones have the room. `styles`: the style of a value, by its text.
    `brief`: what is shown of a value unless `--wide` asks for all of it. `absent`: what is shown where there is none.
    """

    name: str
    kind: Kind = Kind.VALUE
    weight: int = 0
    styles: Mapping[str, str] = {}
    brief: Callable[[str], str] | None = None
    absent: str = ""


class Drawn(Struct, frozen=True):
    """A column's cells as text that a terminal may show, and what may become of them."""

    column: Column
    head: str
    cells: Sequence[str]
    side: Literal["left", "right"]
    cut: bool  # whether a cell may be cut


def drawn(column: Column, values: Sequence[object], *, encoding: str, wide: bool, full: bool) -> Drawn | None:
    """A column with its values, or None if there are none. Bytes are hex.

    Args:
        encoding: of the terminal.
        wide: nothing is shown in brief.
        full: hashes, and whatever else is long and hex, are not shortened.
    """
    if all(value is None or value == "" for value in values) and not column.absent:
        return None
    head = column.name
    if column.kind in (Kind.TIME, Kind.SECONDS):
        texts = _times(column.kind, values)
        head += " (UTC)"
    else:
        texts = [column.absent if value is None else _text(value) for value in values]
        if column.brief is not None and not wide:
            texts = [column.brief(text) if text else text for text in texts]
    numeric = all(NUMBER.fullmatch(text) for text in texts if text)
    hexadecimal = all(HEX.fullmatch(text) for text in texts if text)
    if column.kind is Kind.VALUE and not full:
        texts = [shortened(text, encoding) for text in texts]
    return Drawn(
        column,
        printable(head, encoding),
        [printable(text, encoding) for text in texts],
        side="right" if numeric and column.kind is Kind.VALUE else "left",
        cut=column.kind is Kind.VALUE and not numeric and not hexadecimal,
    )


def _text(value: object) -> str:
    match value:
        case bytes():
            return f"0x{value.hex()}"
        case bool():
            return "yes" if value else "no"
        case list():
            return " ".join(map(str, value))
        case dict():
            return ", ".join(f"{name} {item}" for name, item in value.items())
        case _:
            return str(value)


def _times(kind: Kind, values: Sequence[object]) -> list[str]:
    """Without what no time of the column has: microseconds, or the whole fraction."""
    if kind is Kind.SECONDS:
        return ["" if value is None else _of_seconds(value) for value in values]
    texts = ["" if value is None else str(value).replace("T", " ").removesuffix("Z") for value in values]
    fractions = [found[0] for text in texts if (found := FRACTION.search(text))]
    ends = 7 if all(each == ".000000" for each in fractions) else 3 if all(e[-3:] == "000" for e in fractions) else 0
    return [text[: len(text) - ends] if FRACTION.search(text) else text for text in texts]


def _of_seconds(value: object) -> str:
    try:
        return datetime.fromtimestamp(int(str(value)), UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{value} s"


def shortened(text: str, encoding: str = "utf-8") -> str:
    """A hash or an address without its middle; anything else, and what is short, as it is."""
    if len(text) <= 2 + BEGIN + END + 8 or not HEX.fullmatch(text):
        return text
    return f"{text[: 2 + BEGIN]}{dots(encoding)}{text[-END:]}"


def dots(encoding: str) -> str:
    """What stands for what is left out."""
    return "…" if printable("…", encoding) == "…" else ".."


def fitted(
    natural: Sequence[int], least: Sequence[int], weights: Sequence[int], width: int | None
) -> list[tuple[int, int]]:
    """Which columns fit into a width, and how wide each is: (index, columns of the terminal).

    What may be cut is cut to its least before a column is left out. The first one always stays; of the others the
    heaviest come first, and lighter ones where there is room still.

    Args:
        natural: how wide each column would be.
        least: how wide it has to be.
        weights: how heavy it is.
        width: None: all of them, as wide as they would be.
    """
    if width is None:
        return list(enumerate(natural))
    widths = {0: min(least[0], width)}
    room = width - widths[0]
    for i in sorted(range(1, len(natural)), key=lambda i: (-weights[i], i)):
        if GAP + least[i] <= room:
            widths[i] = least[i]
            room -= GAP + least[i]
    kept = sorted(widths)
    growing = sorted(kept, key=lambda i: natural[i] - least[i])
    for place, i in enumerate(growing):  # an equal share each, of which the ones that need less leave the rest
        more = min(natural[i] - least[i], room // (len(growing) - place))
        widths[i] += more
        room -= more
    return [(i, widths[i]) for i in kept]


def head_lines(head: str, width: int) -> list[str]:
    """A column's name in lines of at most so many characters, divided behind `_` and at spaces."""
    lines: list[str] = []
    for piece in head_pieces(head):
        if lines and len(lines[-1] + piece.rstrip()) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return [line.rstrip() for line in lines]


def head_pieces(head: str) -> list[str]:
    """What a column's name is divided into."""
    return re.findall(r"[^_ ]+[_ ]*|[_ ]+", head)


def least_width(each: Drawn, natural: int) -> int:
    """How wide a column has to be, of which the widest cell is so wide."""
    longest = max(len(piece.rstrip()) for piece in head_pieces(each.head) or [""])
    return max(min(natural, TEXT_LEAST) if each.cut else natural, longest)
