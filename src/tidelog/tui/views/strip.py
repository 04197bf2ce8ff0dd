"""Coverage as a strip: what a channel was worth at each time, in which gaps and unproven stretches are seen. Pure."""

from collections.abc import Sequence

from tidelog.tui.answers import Coverage, Coverages
from tidelog.tui.lines import Line, Piece, Style, line
from tidelog.tui.views.scene import Scene

__all__ = ["strip", "strip_lines", "worst"]

STATES: tuple[str, ...] = ("gap", "unproven", "proven")  # the worst first
STYLES: dict[str, Style] = {"gap": "bad", "unproven": "warn", "proven": "good"}
LABEL = 7


def worst(intervals: Sequence[Coverage], begin_us: int, end_us: int) -> str | None:
    """The worst of what was there between two times; None: nothing was recorded then."""
    found = {each.state for each in intervals if each.since_us < end_us and each.until_us > begin_us}
    return next((state for state in STATES if state in found), None)


def strip(scene: Scene, intervals: Sequence[Coverage], begin_us: int, end_us: int, columns: int) -> list[Piece]:
    """A cell for each part of the time; neighbours of one state are one piece."""
    marks = {"proven": scene.glyphs.proven, "unproven": scene.glyphs.unproven, "gap": scene.glyphs.gap}
    pieces: list[Piece] = []
    for at in range(columns):
        low = begin_us + (end_us - begin_us) * at // columns
        high = begin_us + (end_us - begin_us) * (at + 1) // columns
        state = worst(intervals, low, high)
        piece = Piece(" ") if state is None else Piece(marks[state], STYLES[state])
        if pieces and pieces[-1].style == piece.style and pieces[-1].text[0] == piece.text:
            piece = Piece(pieces.pop().text + piece.text, piece.style)
        pieces.append(piece)
    return pieces


def strip_lines(scene: Scene, coverage: Coverages | None, span_s: int) -> list[Line]:
    """Books and trades over the last `span_s`, up to now."""
    marks = f"{scene.glyphs.proven} proven  {scene.glyphs.unproven} unproven  {scene.glyphs.gap} gap"
    begin_us = scene.now_us - span_s * 1_000_000
    lines = [line((f"coverage of the last {span_s // 60} min: {marks}", "dim"))]
    for channel in ("book", "trade"):
        intervals = [] if coverage is None else [each for each in coverage.data if each.channel == channel]
        shown = strip(scene, intervals, begin_us, scene.now_us, max(10, scene.columns - LABEL))
        lines.append((Piece(f"{channel:{LABEL}}"), *shown))
    return lines
