"""Lines of a screen as data: pieces of text with what they mean, cut and set in columns. Pure.

A style is a word for a meaning ("bid", "warn"), never a colour: without colours the words and marks say the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size

__all__ = [
    "ASCII",
    "STYLES",
    "UNICODE",
    "Glyphs",
    "Line",
    "Piece",
    "Style",
    "cut",
    "left",
    "line",
    "right",
    "row",
    "text_of",
    "wide",
]

STYLES = ("", "title", "dim", "good", "warn", "bad", "bid", "ask", "chosen", "key")
Style: TypeAlias = str  # one of these


class Piece(NamedTuple):
    """Text of one meaning. It is printable: what others wrote went through `printable` before."""

    text: str
    style: Style = ""


Line: TypeAlias = tuple[Piece, ...]


class Glyphs(NamedTuple):
    """What a terminal can draw."""

    ascii_only: bool
    full: str  # of a bar
    parts: str  # eighths of a cell that is filled from the left
    steps: str  # eighths of a cell that is filled from below
    proven: str
    unproven: str
    gap: str
    wick: str
    rise: str
    fall: str
    mean: str
    dots: str
    rule: str
    to: str


UNICODE = Glyphs(False, "█", " ▏▎▍▌▋▊▉", " ▁▂▃▄▅▆▇█", "━", "?", "░", "│", "█", "▒", "•", "…", "─", "→")
ASCII = Glyphs(True, "#", " ", " ._-=+*#@", "=", "?", "!", "|", "#", "o", ".", "..", "-", "->")


def line(*pieces: str | Piece | tuple[str, Style]) -> Line:
    """A line of pieces; a string alone means nothing in particular."""
    return tuple(Piece(each) if isinstance(each, str) else Piece(*each) for each in pieces if each)


def text_of(shown: Line) -> str:
    """What is read, without trailing space."""
    return "".join(piece.text for piece in shown).rstrip()


def wide(shown: Line) -> int:
    """Columns that it takes."""
    return sum(cell_len(piece.text) for piece in shown)


def cut(shown: Line, columns: int, dots: str = "") -> Line:
    """The line in at most so many columns; `dots` says that there was more."""
    if wide(shown) <= columns:
        return shown
    room = max(0, columns - len(dots))
    kept: list[Piece] = []
    for piece in shown:
        size = cell_len(piece.text)
        if size > room:
            kept.append(Piece(set_cell_size(piece.text, room), piece.style))
            break
        kept.append(piece)
        room -= size
    return (*kept, Piece(dots[:columns])) if dots else tuple(kept)


def right(text: str, columns: int) -> str:
    """At the right of so many columns; what is longer stays whole."""
    return " " * (columns - cell_len(text)) + text


def left(text: str, columns: int, dots: str = "") -> str:
    """At the left of exactly so many columns."""
    return set_cell_size(text_of(cut((Piece(text),), columns, dots)), columns)


def row(cells: Iterable[str | tuple[str, Style]], widths: Sequence[int], dots: str = "") -> Line:
    """Cells in columns: a width below zero sets to the right. Two spaces between them."""
    pieces: list[Piece] = []
    for cell, width in zip(cells, widths, strict=True):
        text, style = (cell, "") if isinstance(cell, str) else cell
        size = abs(width)
        if cell_len(text) > size:
            text = left(text, size, dots)
        pieces += [Piece(right(text, size) if width < 0 else left(text, size), style), Piece("  ")]
    return tuple(pieces[:-1])
