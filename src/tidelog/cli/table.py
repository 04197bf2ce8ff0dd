"""A list as a table on a terminal, drawn by rich: colours only where the terminal has them, no line beyond its width.

Imported where there is a terminal alone: rich takes longer to load than a read of a store.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from tidelog.cli.columns import GAP, Column, Drawn, dots, drawn, fitted, head_lines, least_width
from tidelog.cli.front import width as terminal_width
from tidelog.cli.front import wrapped
from tidelog.cli.options import Form
from tidelog.printable import printable

__all__ = ["print_facts", "print_table"]

WIDTH_LEAST = 20  # a terminal that says less is none
ROWS_AT_ONCE = 500  # that are styled before they are written

HEAD, RULE, NOTE, NAME = Style(bold=True), Style(dim=True), Style(dim=True), Style(bold=True)


def print_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, object]], form: Form, *, title: str | None = None
) -> None:
    """Print rows by these columns, and say which of them did not fit."""
    encoding = sys.stdout.encoding
    found = [
        drawn(column, [row.get(column.name) for row in rows], encoding=encoding, wide=form.wide, full=form.full)
        for column in columns
    ]
    shown = [each for each in found if each is not None]
    natural = [max(cell_len(each.head), *map(cell_len, each.cells)) for each in shown]
    least = [least_width(each, max(map(cell_len, each.cells))) for each in shown]
    width = None if form.wide else _width()
    kept = fitted(natural, least, [each.column.weight for each in shown], width)
    console = _console()
    if title is not None:
        _write(console, [Segment(title, HEAD), Segment.line()])
    _write(console, _head([(shown[i], wide) for i, wide in kept], encoding))
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        lines = range(begin, min(begin + ROWS_AT_ONCE, len(rows)))
        _write(console, [segment for line in lines for segment in _line(shown, kept, line, encoding)])
    left_out = [each.head for i, each in enumerate(shown) if i not in dict(kept)]
    if left_out:
        words = f"not shown, for want of room: {', '.join(left_out)}; --wide shows all"
        for text in wrapped(words, _width()):
            _write(console, [Segment(text, NOTE), Segment.line()])


def print_facts(facts: Sequence[tuple[Column, object]], form: Form) -> None:
    """Print names and values, one below the other; what is longer than a line goes on in the next one."""
    encoding = sys.stdout.encoding
    console = _console()
    names = max(len(column.name) for column, _ in facts)
    room = max(_width() - names - GAP, WIDTH_LEAST // 2)
    for column, value in facts:
        each = drawn(column, [value], encoding=encoding, wide=form.wide, full=form.full)
        text = "none" if each is None else each.cells[0] + (" UTC" if each.head != column.name else "")
        style = _style(column, text)
        lines = [text] if form.wide else [part for word in _lines(text, room) for part in _pieces(word, room)]
        for i, line in enumerate(lines or [""]):
            name = f"{printable(column.name, encoding) if i == 0 else '':{names}}"
            _write(console, [Segment(name, NAME), Segment(" " * GAP), Segment(line, style), Segment.line()])


def _lines(text: str, room: int) -> list[str]:
    return wrapped(text, room) if cell_len(text) > room else [text]


def _pieces(text: str, room: int) -> Iterator[str]:
    """A word that is longer than a line, in pieces."""
    while cell_len(text) > room:
        piece = set_cell_size(text, room).rstrip()
        piece = text[: max(1, len(piece))]
        yield piece
        text = text[len(piece) :]
    yield text


def _width() -> int:
    return max(terminal_width(), WIDTH_LEAST)


def _console() -> Console:
    return Console(file=sys.stdout, width=_width(), markup=False, emoji=False, highlight=False)


def _write(console: Console, segments: Sequence[Segment]) -> None:
    console.print(Segments(segments), end="", soft_wrap=True)


def _head(kept: Sequence[tuple[Drawn, int]], encoding: str) -> list[Segment]:
    """The names, the last line of each above a rule of its column's width."""
    names = [head_lines(each.head, wide) for each, wide in kept]
    height = max(map(len, names))
    segments: list[Segment] = []
    for i in range(height):
        cells = [(name[i - height + len(name)] if i >= height - len(name) else "") for name in names]
        line = (" " * GAP).join(
            _cell(cell, wide, each.side, encoding) for cell, (each, wide) in zip(cells, kept, strict=True)
        )
        segments += [Segment(line.rstrip(), HEAD), Segment.line()]
    rule = "─" if printable("─", encoding) == "─" else "-"
    segments += [Segment((" " * GAP).join(rule * wide for _, wide in kept), RULE), Segment.line()]
    return segments


def _line(shown: Sequence[Drawn], kept: Sequence[tuple[int, int]], line: int, encoding: str) -> Iterator[Segment]:
    last = max((place for place, (i, _) in enumerate(kept) if shown[i].cells[line]), default=0)
    for place, (i, wide) in enumerate(kept[: last + 1]):
        each = shown[i]
        text = _cell(each.cells[line], wide, each.side, encoding)
        yield Segment(text if place < last else text.rstrip(), _style(each.column, each.cells[line]))
        yield Segment(" " * GAP) if place < last else Segment.line()


def _cell(text: str, wide: int, side: str, encoding: str) -> str:
    """In exactly so many columns of the terminal."""
    if (length := cell_len(text)) > wide:
        mark = dots(encoding)
        return set_cell_size(text, max(0, wide - len(mark))) + mark[:wide]
    return " " * (wide - length) + text if side == "right" else text + " " * (wide - length)


def _style(column: Column, text: str) -> Style | None:
    style = column.styles.get(text)
    return None if style is None else Style.parse(style)
