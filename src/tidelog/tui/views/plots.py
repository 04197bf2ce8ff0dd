"""Pictures of what is stored: candles, coverage and depth of a symbol, gas and logs by block of a chain. Pure."""

from decimal import Decimal

from tidelog.tui import questions
from tidelog.tui.answers import Block, Blocks, Book, Candles, Coverages, Trades
from tidelog.tui.figures import EXACT, bars, count
from tidelog.tui.lines import Line, line
from tidelog.tui.place import Place
from tidelog.tui.questions import Question
from tidelog.tui.views import candles
from tidelog.tui.views.market import LEVELS, decimal
from tidelog.tui.views.scene import Scene
from tidelog.tui.views.strip import strip_lines
from tidelog.tui.world import World

__all__ = ["asked_of_blocks", "asked_of_market", "blocks_in", "end_us", "plot_blocks", "plot_market"]

GAS_ROWS, LOG_ROWS, DEPTH_ROWS = 8, 4, 5


def asked_of_market(place: Place, now_us: int) -> list[Question]:
    recording, symbol = place.target.recording or "", place.target.symbol or ""
    return [*candles.asked(place, now_us), questions.book(recording, symbol, LEVELS)]


def end_us(world: World, place: Place, now_us: int) -> int:
    """When the last candle ends: a recording may be of long ago."""
    found = world.answer(candles.asked(place, now_us)[0])
    if not isinstance(found, Candles | Trades) or not found.data:
        return now_us
    span_us = candles.seconds(place.interval) * 1_000_000
    return (found.data[0].time_us // span_us + 1) * span_us


def plot_market(scene: Scene) -> list[Line]:
    """Candles with gaps shaded, the coverage of their time, and the depth of the last book."""
    place = scene.place
    made, coverage_question, book_question = asked_of_market(place, scene.now_us)
    coverage, book = scene.world.answer(coverage_question), scene.world.answer(book_question)
    lines = candles.draw(scene)
    span_s = candles.seconds(place.interval) * max(5, scene.columns - candles.AXIS - 1)
    if scene.world.answer(made) is not None and isinstance(coverage, Coverages):
        lines += strip_lines(scene, coverage, span_s)
    return lines + (_depth(scene, book) if isinstance(book, Book) else [])


def _depth(scene: Scene, book: Book) -> list[Line]:
    """What is summed up from the best level on: bids to the left, asks to the right."""
    sums: list[list[float]] = []
    for side in (book.data.bids, book.data.asks):
        total, summed = Decimal(0), []
        for level in side:
            total = EXACT.add(total, decimal(level.qty))
            summed.append(float(total))
        sums.append(summed)
    bids, asks = sums
    worth = f"proven to {book.data.proven_depth} levels" if book.data.proven_depth else "not proven"
    drawn = bars([*reversed(bids), 0.0, *asks], DEPTH_ROWS, scene.glyphs)
    head = line(("depth of the last book  ", "title"), f"{worth}; bids | asks, summed up from the best")
    return [head, *(line((text[: len(bids)], "bid"), (text[len(bids) :], "ask")) for text in drawn)]


def asked_of_blocks(chain: int, blocks: int) -> list[Question]:
    return [questions.blocks(chain, blocks)]


def blocks_in(world: World, chain: int, blocks: int) -> list[Block]:
    """The last blocks that were answered, in order."""
    found = world.answer(questions.blocks(chain, blocks))
    return found.data[:blocks][::-1] if isinstance(found, Blocks) else []


def plot_blocks(scene: Scene, chain: int) -> list[Line]:
    """The last blocks, one a column: how much of its gas each used, and its logs."""
    blocks = blocks_in(scene.world, chain, scene.columns)
    if not blocks:
        return [line(("no blocks are stored yet", "dim"))]
    gas = [int(each.gas_used) / max(1, int(each.gas_limit)) for each in blocks]
    logs = [float(each.log_count or 0) for each in blocks]
    span = f"blocks {count(blocks[0].number)} to {count(blocks[-1].number)} of chain {chain}"
    return [
        line((f"gas used, of the limit: at most {max(gas):.1%}  ", "title"), span),
        *(line(text) for text in bars(gas, GAS_ROWS, scene.glyphs)),
        line((f"logs: at most {count(int(max(logs)))}", "title")),
        *(line(text) for text in bars(logs, LOG_ROWS, scene.glyphs)),
    ]
