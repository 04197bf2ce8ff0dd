"""What `market plot` and `chain plot` draw into a file, by matplotlib, which is imported when it is wanted."""

import importlib.util
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from tidelog.errors import ConfigError
from tidelog.printable import printable
from tidelog.tui.answers import Block, Book, Coverage, Coverages, Level
from tidelog.tui.figures import EXACT
from tidelog.tui.place import Place
from tidelog.tui.views.candles import Bar, bars_in, mean, seconds
from tidelog.tui.views.market import decimal
from tidelog.tui.views.plots import asked_of_market, blocks_in
from tidelog.tui.world import World

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["picture_of_blocks", "picture_of_market", "require_picture"]

FORMATS = (".png", ".svg")
INCHES = (11.0, 7.0)
RISE, FALL, SHADES = "#2e8b57", "#c0392b", {"gap": "#c0392b", "unproven": "#e0a030", "proven": "#2e8b57"}
DAY_US = 86_400_000_000
BODY = 0.8  # of a candle's time that its body is wide
MEAN = 10  # candles


def require_picture(path: str) -> None:
    """ConfigError: nothing can be drawn into such a file, or not on this machine."""
    if not path.lower().endswith(FORMATS):
        raise ConfigError(f"--out {path[:200]!r}: give a file that ends with {' or '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("pictures need matplotlib: pip install 'tidelog[plot]'")


def picture_of_market(path: str, world: World, place: Place, now_us: int) -> None:
    """Candles with gaps shaded, volume, coverage, and the depth of the last book. ConfigError: it cannot be written."""
    _, coverage_question, book_question = asked_of_market(place, now_us)
    coverage, book = world.answer(coverage_question), world.answer(book_question)
    bars = bars_in(world, place, now_us) or []
    intervals = coverage.data if isinstance(coverage, Coverages) else []
    span_s = seconds(place.interval)

    def draw(figure: "Figure") -> None:
        rows = figure.add_gridspec(4, 1, height_ratios=(6, 1.5, 0.8, 3))
        price = figure.add_subplot(rows[0])
        volume, strip = (figure.add_subplot(rows[at], sharex=price) for at in (1, 2))
        _draw_candles(price, volume, bars, intervals, span_s)
        _draw_coverage(strip, intervals)
        price.xaxis_date("UTC")
        if bars:
            price.set_xlim(_days(bars[0].begin_us), _days(bars[-1].begin_us + span_s * 1_000_000))
        for each in (price, volume):
            each.tick_params(labelbottom=False)
        what = printable(f"{place.target.symbol} of {place.target.recording}")  # names that others chose: no formulas
        price.set_title(f"{what}, candles of {place.interval}, UTC", parse_math=False)
        _draw_depth(figure.add_subplot(rows[3]), book if isinstance(book, Book) else None)

    _save(path, draw)


def picture_of_blocks(path: str, world: World, chain: int, blocks: int) -> None:
    """Gas, of the limit, and logs by block. ConfigError: it cannot be written."""
    found = blocks_in(world, chain, blocks)

    def draw(figure: "Figure") -> None:
        gas, logs = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        numbers = [each.number for each in found]
        gas.bar(numbers, [_gas(each) for each in found], width=1.0, color=RISE)
        gas.set_ylabel("gas used, of the limit")
        gas.set_title(f"chain {chain}, blocks {numbers[0]:,} to {numbers[-1]:,}" if numbers else f"chain {chain}")
        logs.bar(numbers, [each.log_count or 0 for each in found], width=1.0, color="#34608a")
        logs.set_ylabel("logs")
        logs.set_xlabel("block")
        logs.ticklabel_format(style="plain", useOffset=False, axis="x")

    _save(path, draw)


def _gas(block: Block) -> float:
    return int(block.gas_used) / max(1, int(block.gas_limit))


def _days(at_us: int) -> float:
    """A time as an axis of dates counts it: days since 1970."""
    return at_us / DAY_US


def _draw_candles(
    price: "Axes", volume: "Axes", bars: Sequence[Bar], intervals: Sequence[Coverage], span_s: int
) -> None:
    """Candles that are not complete are pale; times of which trades are missing or unproven are shaded."""
    width = _days(span_s * 1_000_000) * BODY
    for each in intervals:
        if each.channel == "trade" and each.state != "proven":
            for axes in (price, volume):
                axes.axvspan(_days(each.since_us), _days(each.until_us), color=SHADES[each.state], alpha=0.25, lw=0)
    for bar, average in zip(bars, mean(bars, MEAN), strict=True):
        middle = _days(bar.begin_us + span_s * 500_000)
        colour = RISE if bar.close >= bar.open else FALL
        alpha = 1.0 if bar.complete else 0.35
        price.vlines(middle, float(bar.low), float(bar.high), color=colour, lw=0.8, alpha=alpha)
        bottom, height = float(min(bar.open, bar.close)), float(abs(bar.close - bar.open))
        price.bar(middle, height, width, bottom, color=colour, alpha=alpha, edgecolor=colour, linewidth=0.5)
        volume.bar(middle, float(bar.volume), width, color=colour, alpha=alpha)
        if average is not None:
            price.plot(middle, float(average), ".", color="#333333", markersize=2)
    if bars:
        low, high = float(min(bar.low for bar in bars)), float(max(bar.high for bar in bars))
        room = (high - low or 1.0) * 0.05
        price.set_ylim(low - room, high + room)
    price.set_ylabel("price")
    price.text(0.01, 0.96, f"points: mean of {MEAN}; pale: incomplete", transform=price.transAxes, va="top", fontsize=8)
    volume.set_ylabel("volume")


def _draw_coverage(strip: "Axes", intervals: Sequence[Coverage]) -> None:
    """What books and trades were worth at each time."""
    channels = ("trade", "book")
    for each in intervals:
        if each.channel in channels:
            begin, end = _days(each.since_us), _days(each.until_us)
            strip.barh(channels.index(each.channel), end - begin, left=begin, height=0.7, color=SHADES[each.state])
    strip.set_yticks(range(len(channels)), channels)
    strip.set_ylim(-0.6, len(channels) - 0.4)
    strip.set_xlabel("coverage: green proven, yellow unproven, red gap", fontsize=8)


def _draw_depth(axes: "Axes", book: Book | None) -> None:
    """What is summed up from the best level on."""
    axes.set_ylabel("depth")
    if book is None:
        axes.set_xlabel("no book is stored")
        return
    for side, colour in ((book.data.bids, RISE), (book.data.asks, FALL)):
        prices, sums = [float(decimal(level.price)) for level in side], _summed(side)
        axes.step(prices, sums, where="post", color=colour)
        axes.fill_between(prices, sums, step="post", color=colour, alpha=0.2)
    worth = f"proven to {book.data.proven_depth} levels" if book.data.proven_depth else "not proven"
    axes.set_xlabel(f"the last book, {worth}: bids and asks, summed up from the best")
    axes.ticklabel_format(style="plain", useOffset=False)


def _summed(side: Sequence[Level]) -> list[float]:
    total, found = Decimal(0), []
    for level in side:
        total = EXACT.add(total, decimal(level.qty))
        found.append(float(total))
    return found


def _save(path: str, draw: Callable[["Figure"], None]) -> None:
    """The same picture is the same file: no time of its making, no names made up anew."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "tidelog"}):
        figure = Figure(figsize=INCHES, layout="constrained")
        draw(figure)
        try:
            figure.savefig(path, dpi=120, metadata={"Date": None} if path.lower().endswith(".svg") else None)
        except OSError as error:
            raise ConfigError(f"--out {path[:200]} cannot be written: {error.strerror or error}") from None
