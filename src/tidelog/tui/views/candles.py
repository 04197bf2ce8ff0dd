"""Candles of a symbol, with volume and a mean; gaps are shaded, and candles that are not complete are marked. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tidelog.tui import questions
from tidelog.tui.answers import Candle, Candles, Coverage, Coverages, Trade, Trades
from tidelog.tui.figures import EXACT, clock, plain
from tidelog.tui.figures import bars as bars_of_volume
from tidelog.tui.lines import Line, Piece, Style, line, right
from tidelog.tui.place import MADE_HERE, Place
from tidelog.tui.questions import ROWS_MAX, Question
from tidelog.tui.times import rfc_3339
from tidelog.tui.views.market import decimal
from tidelog.tui.views.scene import Scene
from tidelog.tui.views.strip import worst
from tidelog.tui.world import World

__all__ = ["Bar", "asked", "bars_in", "bars_of_trades", "draw", "mean", "seconds"]

COLUMNS_MAX = 250  # candles of a screen
SECONDS = {**MADE_HERE, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}
AXIS = 12  # columns of the prices at the right
VOLUME_ROWS = 3


class Bar(NamedTuple):
    """A candle, to be drawn."""

    begin_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    complete: bool


def seconds(interval: str) -> int:
    return SECONDS[interval]


def asked(place: Place, now_us: int) -> list[Question]:
    """Candles as they are stored; short ones are made of the trades, which no store has as candles."""
    recording, symbol = place.target.recording or "", place.target.symbol or ""
    span_us = seconds(place.interval) * 1_000_000
    begin_us = max(0, now_us - (COLUMNS_MAX + 1) * span_us)
    made: Question
    if place.interval in MADE_HERE:
        made = questions.trades(recording, symbol, ROWS_MAX)
    else:
        made = questions.candles(recording, symbol, place.interval, COLUMNS_MAX)
    step_us = max(span_us, 60_000_000)
    return [made, questions.coverage(recording, symbol, rfc_3339(begin_us // step_us * step_us))]


def bars_of(candles: Sequence[Candle]) -> list[Bar]:
    """By time."""
    return sorted(map(_bar, candles))


def _bar(candle: Candle) -> Bar:
    first, high, low, last = map(decimal, (candle.open, candle.high, candle.low, candle.close))
    return Bar(candle.time_us, first, high, low, last, decimal(candle.volume), candle.complete)


def bars_of_trades(trades: Sequence[Trade], span_us: int, *, whole: bool) -> list[Bar]:
    """Candles of the trades, newest first, of a page of the API.

    The last one is never complete, since trades may follow; nor is the first, unless the page has all there are.
    """
    bars: dict[int, Bar] = {}
    for trade in reversed(trades):
        begin_us = trade.time_us // span_us * span_us
        price, qty = decimal(trade.price), decimal(trade.qty)
        old = bars.get(begin_us)
        if old is None:
            bars[begin_us] = Bar(begin_us, price, price, price, price, qty, True)
        else:
            high, low = max(old.high, price), min(old.low, price)
            bars[begin_us] = Bar(begin_us, old.open, high, low, price, EXACT.add(old.volume, qty), True)
    found = sorted(bars.values())
    if found and not whole:
        found[0] = found[0]._replace(complete=False)
    if found:
        found[-1] = found[-1]._replace(complete=False)
    return found


def bars_in(world: World, place: Place, now_us: int) -> list[Bar] | None:
    """The candles that were answered, by time; None: none were."""
    made = world.answer(asked(place, now_us)[0])
    if isinstance(made, Candles):
        return bars_of(made.data)
    if isinstance(made, Trades):
        return bars_of_trades(made.data, seconds(place.interval) * 1_000_000, whole=len(made.data) < ROWS_MAX)
    return None


def mean(bars: Sequence[Bar], last: int) -> list[Decimal | None]:
    """Of the closes of so many candles up to each; None where there are fewer."""
    return [
        sum((bar.close for bar in bars[at + 1 - last : at + 1]), Decimal(0)) / last if at + 1 >= last else None
        for at in range(len(bars))
    ]


def draw(scene: Scene) -> list[Line]:
    place = scene.place
    if place.target.symbol is None:
        return [line("no symbol is chosen: search one by /")]
    made_question, coverage_question = asked(place, scene.now_us)
    span_us = seconds(place.interval) * 1_000_000
    coverage = scene.world.answer(coverage_question)
    covered = [each for each in coverage.data if each.channel == "trade"] if isinstance(coverage, Coverages) else []
    bars = bars_in(scene.world, place, scene.now_us)
    if bars is None:
        failing = scene.world.failing.get(made_question.key)
        words = "no answer yet" if failing is None else scene.says(failing.words)
        return [line((f"{scene.says(place.target.symbol)} {place.interval}  ", "title"), (words, "warn"))]
    lines = [_head(scene, bars)]
    if not bars:
        return [*lines, line(("no trades yet", "dim"))]
    return [*lines, *_chart(scene, bars, covered, span_us)]


def _head(scene: Scene, bars: list[Bar]) -> Line:
    place = scene.place
    name = (f"{scene.says(place.target.symbol)}  {scene.says(place.target.recording)}  {place.interval}  ", "title")
    if not bars:
        return line(name)
    last = bars[-1]
    done = ("", "") if last.complete else (" ?", "warn")
    prices = [plain(price) for price in (last.open, last.high, last.low, last.close)]
    figures = "{}  O {}  H {}  L {}  C {}".format(clock(last.begin_us), *prices)
    return line(name, figures, done)


def _rounded(value: Decimal, like: Decimal) -> Decimal:
    """A mean, with as many decimals as a price has."""
    return value.quantize(like, context=EXACT) if like.is_finite() else value


def _trend(means: Sequence[Decimal | None]) -> str:
    known = [value for value in means[-2:] if value is not None]
    if len(known) < 2 or known[0] == known[1]:
        return "level"
    return "rising" if known[1] > known[0] else "falling"


def _chart(scene: Scene, bars: list[Bar], covered: list[Coverage], span_us: int) -> list[Line]:
    columns = max(5, min(COLUMNS_MAX, scene.columns - AXIS - 1))
    rows = max(4, scene.rows - VOLUME_ROWS - 4)
    end_us = bars[-1].begin_us
    begins = [end_us - span_us * (columns - 1 - at) for at in range(columns)]
    means = mean(bars, scene.mean)
    by_begin = {each.begin_us: (each, average) for each, average in zip(bars, means, strict=True)}
    shown = [by_begin.get(begin_us) for begin_us in begins]
    drawn = [each for each in shown if each is not None]
    low, high = float(min(each[0].low for each in drawn)), float(max(each[0].high for each in drawn))
    states = [worst(covered, begin_us, begin_us + span_us) for begin_us in begins]
    shaded = [state in ("gap", "unproven") for state in states]
    grid = [[Piece(" ")] * columns for _ in range(rows)]
    for at, found in enumerate(shown):
        column = _column(scene, found, rows, low, high, shaded=shaded[at])
        for y in range(rows):
            grid[y][at] = column[y]
    lines = [(*_joined(cells), Piece(f" {_price(scene, y, rows, low, high)}", "dim")) for y, cells in enumerate(grid)]
    volumes = [0.0 if found is None else float(found[0].volume) for found in shown]
    lines += [line((text, "dim")) for text in bars_of_volume(volumes, VOLUME_ROWS, scene.glyphs)]
    marks = [" " if found is None or found[0].complete else "?" for found in shown]
    lines.append(_marks(marks))
    lines.append(_time_axis(begins))
    glyphs = scene.glyphs
    average = "" if means[-1] is None else f": {plain(_rounded(means[-1], bars[-1].close))} {_trend(means)}"
    return [
        *lines,
        line(
            (f"{glyphs.rise} up {glyphs.fall} down  {glyphs.mean} mean of {scene.mean}", "dim"),
            average,
            (f"  {glyphs.gap} gap or unproven  ? incomplete", "dim"),
        ),
    ]


def _column(
    scene: Scene, found: tuple[Bar, Decimal | None] | None, rows: int, low: float, high: float, *, shaded: bool
) -> list[Piece]:
    glyphs = scene.glyphs
    empty = Piece(glyphs.gap, "dim") if shaded else Piece(" ")
    column = [empty] * rows
    if found is None:
        return column
    candle, average = found
    top, bottom = _row(candle.high, rows, low, high), _row(candle.low, rows, low, high)
    body = sorted((_row(candle.open, rows, low, high), _row(candle.close, rows, low, high)))
    style: Style = "bid" if candle.close >= candle.open else "ask"
    if average is not None and low <= average <= high:
        column[_row(average, rows, low, high)] = Piece(glyphs.mean, "title")
    for y in range(top, bottom + 1):
        column[y] = Piece(glyphs.wick, style)
    for y in range(body[0], body[1] + 1):
        column[y] = Piece(glyphs.rise if style == "bid" else glyphs.fall, style)
    return column


def _row(price: Decimal | float, rows: int, low: float, high: float) -> int:
    """From the top."""
    return rows // 2 if high == low else max(0, min(rows - 1, round((high - float(price)) / (high - low) * (rows - 1))))


def _price(scene: Scene, y: int, rows: int, low: float, high: float) -> str:
    """At the top, in the middle and at the bottom."""
    if y not in (0, rows // 2, rows - 1):
        return ""
    return f"{high - (high - low) * y / (rows - 1):.8g}"[: AXIS - 1]


def _joined(cells: Sequence[Piece]) -> list[Piece]:
    """Neighbours of one meaning as one piece."""
    pieces: list[Piece] = []
    for cell in cells:
        if pieces and pieces[-1].style == cell.style:
            cell = Piece(pieces.pop().text + cell.text, cell.style)
        pieces.append(cell)
    return pieces


def _marks(marks: Sequence[str]) -> Line:
    return line(("".join(marks), "warn")) if any(mark != " " for mark in marks) else line(" ")


def _time_axis(begins: Sequence[int]) -> Line:
    text = ""
    for at in range(0, len(begins), 20):
        text += right(clock(begins[at])[:5], 0).ljust(20)
    return line((text[: len(begins)], "dim"))
