"""A screen of lines for Textual: what changed is drawn again, and nothing else."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tidelog.tui.lines import Line

__all__ = ["Canvas"]

# Words and marks say the same: who has no colours reads as much, and sees bold and reverse.
STYLES = {
    "": RichStyle(),
    "title": RichStyle(bold=True),
    "dim": RichStyle(dim=True),
    "good": RichStyle(color="green"),
    "warn": RichStyle(color="yellow"),
    "bad": RichStyle(color="red", bold=True),
    "bid": RichStyle(color="green"),
    "ask": RichStyle(color="red"),
    "chosen": RichStyle(reverse=True),
    "key": RichStyle(color="cyan"),
}


class Canvas(Widget):
    """Fills its parent."""

    DEFAULT_CSS = "Canvas { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Show these instead of the present ones."""
        before, self.lines = self.lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, lines, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """One line, as wide as the widget."""
        shown = self.lines[y] if y < len(self.lines) else ()
        strip = Strip([Segment(piece.text, STYLES[piece.style]) for piece in shown])
        return strip.adjust_cell_length(self.size.width, RichStyle())
