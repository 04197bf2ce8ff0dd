"""Figures in few characters: bars, a line of a price, counts, ages, hashes. Pure."""

from collections.abc import Sequence
from decimal import Context, Decimal

from tidelog.tui.lines import Glyphs

__all__ = ["EXACT", "age", "bar", "bars", "clock", "count", "middle", "plain", "rate", "spark"]

EXACT = Context(prec=200)  # sums of an exchange's decimals stay exact; its own numbers have some 20 digits
HASH_HEAD, HASH_TAIL = 6, 4  # hex digits that tell two hashes of a list apart for a reader
DAY_S = 86_400


def bar(share: float, columns: int, glyphs: Glyphs) -> str:
    """A bar over `share` (0 to 1) of so many columns."""
    eighths = round(max(0.0, min(1.0, share)) * columns * len(glyphs.parts))
    whole, part = divmod(eighths, len(glyphs.parts))
    return (glyphs.full * whole + (glyphs.parts[part] if part else "")).ljust(columns)[:columns]


def spark(values: Sequence[float], columns: int, glyphs: Glyphs) -> str:
    """The last values as a line, one a column, between their least and their greatest."""
    shown = values[-columns:] if columns > 0 else ()
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    steps = glyphs.steps[1:]
    span = high - low
    middle_step = len(steps) // 2
    return "".join(
        steps[middle_step if not span else round((value - low) / span * (len(steps) - 1))] for value in shown
    )


def bars(values: Sequence[float], rows: int, glyphs: Glyphs) -> list[str]:
    """Values as bars from below, one a column, in so many rows; the greatest fills them."""
    most, steps = max(values, default=0.0), glyphs.steps
    shown = []
    for y in range(rows):
        filled = [value / most * rows - (rows - 1 - y) if most else 0.0 for value in values]
        shown.append("".join(steps[round(max(0.0, min(1.0, part)) * (len(steps) - 1))] for part in filled))
    return shown


def count(number: int) -> str:
    """A count, its thousands apart."""
    return f"{number:,}"


def rate(per_s: float | None) -> str:
    """How many a second, in few characters."""
    if per_s is None:
        return "-"
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.1f}"


def age(seconds: float, *, whole: bool = False) -> str:
    """How long something is ago: 0.3 s (0 s if `whole`), 45 s, 12 min, 3.5 h, 4 d."""
    seconds = max(0.0, seconds)
    if seconds < 10 and not whole:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f} d"


def clock(at_us: int | None) -> str:
    """The time of day in UTC; 8 characters."""
    if at_us is None:
        return "--:--:--"
    seconds = at_us // 1_000_000 % DAY_S
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def middle(text: str, glyphs: Glyphs) -> str:
    """A hash or an address, shortened in its middle."""
    if len(text) <= 2 + HASH_HEAD + len(glyphs.dots) + HASH_TAIL:
        return text
    return f"{text[: 2 + HASH_HEAD]}{glyphs.dots}{text[-HASH_TAIL:]}"


def plain(number: Decimal) -> str:
    """A decimal as it is written, without an exponent."""
    return f"{number:f}"
