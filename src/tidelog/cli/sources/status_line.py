"""One line that says where a program is, in the width of its terminal. Parts that do not fit are left out."""

from collections.abc import Sequence

WIDTH_LEAST = 20  # a terminal that says less is none


class Part:
    """A piece of the line. The lower `weight`, the sooner it is left out."""

    def __init__(self, text: str, weight: int) -> None:
        self.text = text
        self.weight = weight


def fitted(parts: Sequence[Part], width: int) -> str:
    """The parts in order, two spaces between them, in at most `width` columns: the lightest are left out first."""
    width = max(width, WIDTH_LEAST)
    kept = list(parts)
    while len(kept) > 1 and len(_line(kept)) > width:
        kept.remove(min(kept, key=lambda part: part.weight))
    return _line(kept)[:width]


def _line(parts: Sequence[Part]) -> str:
    return "  ".join(part.text for part in parts)


def short(number: int) -> str:
    """A count in few characters: 950, 12.3k, 4.5M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
