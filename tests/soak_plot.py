"""What a soak has sampled, as a picture: a row of charts by what was measured, a line for each process."""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

__all__ = ["Sample", "plot", "slope_per_hour"]

WIDTH, HEIGHT, LEFT, GAP = 900, 150, 80, 45
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


class Sample(NamedTuple):
    """What a process took, `second` seconds after the start. Bytes; counts."""

    second: float
    name: str
    rss: int
    uss: int
    sqlite: int
    handles: int
    threads: int
    tasks: int


CHARTS: tuple[tuple[str, Callable[[Sample], float]], ...] = (
    ("USS, MiB", lambda one: one.uss / 2**20),
    ("of it SQLite, MiB", lambda one: one.sqlite / 2**20),
    ("RSS, MiB", lambda one: one.rss / 2**20),
    ("open handles", lambda one: one.handles),
    ("threads", lambda one: one.threads),
    ("tasks", lambda one: one.tasks),
)


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits best; 0 where there is none."""
    count = len(points)
    mean_x, mean_y = (sum(values) / count for values in zip(*points, strict=True)) if points else (0.0, 0.0)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def plot(samples: Sequence[Sample], lines: Sequence[str]) -> str:
    """An SVG document."""
    names = list(dict.fromkeys(one.name for one in samples))
    top = 30 + 18 * (len(lines) + 1)
    body = [_text(LEFT, 24 + 18 * row, line) for row, line in enumerate(lines)]
    for at, name in enumerate(names):
        body.append(_text(LEFT + 110 * at, 24 + 18 * len(lines), f"— {name}", COLOURS[at % len(COLOURS)]))
    for row, (title, value) in enumerate(CHARTS):
        body += _chart(samples, names, title, value, top + row * (HEIGHT + GAP))
    height = top + len(CHARTS) * (HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + LEFT + 40}" height="{height}"'
        f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(body)}</svg>\n"
    )


def _chart(
    samples: Sequence[Sample], names: Sequence[str], title: str, value: Callable[[Sample], float], top: float
) -> list[str]:
    most = max([value(one) for one in samples], default=1) * 1.1 or 1
    last = max([one.second for one in samples], default=1) or 1
    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        _text(LEFT + 6, top + 14, title),
        _text(4, top + 10, f"{most:.0f}"),
        _text(4, top + HEIGHT, "0"),
        _text(LEFT + WIDTH - 60, top + HEIGHT + 15, f"{last / 60:.1f} min"),
    ]
    for at, name in enumerate(names):
        points = " ".join(
            f"{LEFT + one.second / last * WIDTH:.1f},{top + HEIGHT - value(one) / most * HEIGHT:.1f}"
            for one in samples
            if one.name == name
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[at % len(COLOURS)]}" stroke-width="1.5"/>'
        )
    return parts


def _text(x: float, y: float, text: str, colour: str = "#222") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(text)}</text>'
