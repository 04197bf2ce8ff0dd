"""A symbol: its ladder with what is summed up to each level, its trades, and what all of that is worth. Pure."""

from decimal import Decimal, InvalidOperation

from tidelog.tui import questions
from tidelog.tui.answers import Book, Coverages, Gaps, Level, Trade, Trades
from tidelog.tui.figures import EXACT, age, bar, clock, plain, spark
from tidelog.tui.lines import Line, Piece, Style, line, right, wide
from tidelog.tui.questions import Question
from tidelog.tui.times import rfc_3339
from tidelog.tui.views.scene import Scene
from tidelog.tui.views.strip import strip_lines

__all__ = ["asked", "draw"]

LEVELS = 100  # of each side: more than a terminal has room for
TRADES = 100
STRIP_S = 600  # of the coverage that is shown: ten minutes
STRIP_STEP_S = 60  # in which the question's beginning moves on
TRADES_COLUMNS = 31
LADDER = ("price", "quantity", "summed up")


def asked(recording: str, symbol: str, now_us: int) -> list[Question]:
    begin_us = now_us - (STRIP_S + STRIP_STEP_S) * 1_000_000
    begin = rfc_3339(begin_us // (STRIP_STEP_S * 1_000_000) * STRIP_STEP_S * 1_000_000)
    return [
        questions.book(recording, symbol, LEVELS),
        questions.trades(recording, symbol, TRADES),
        questions.coverage(recording, symbol, begin),
        questions.gaps(recording, symbol),
    ]


def draw(scene: Scene) -> list[Line]:
    target = scene.place.target
    if target.recording is None or target.symbol is None:
        return [line("no symbol is chosen: search one by /")]
    book_question, trades_question, coverage_question, gaps_question = asked(
        target.recording, target.symbol, scene.now_us
    )
    book, trades = scene.world.answer(book_question), scene.world.answer(trades_question)
    trade_list = trades.data if isinstance(trades, Trades) else []
    head = [*_worth_lines(scene, book, book_question), *_price_lines(scene, trade_list)]
    coverage = scene.world.answer(coverage_question)
    covered = coverage if isinstance(coverage, Coverages) else None
    is_proven = isinstance(book, Book) and book.data.proven_depth > 0
    foot = [*strip_lines(scene, covered, STRIP_S), *_doubt_lines(scene, covered, book_is_proven=is_proven)]
    gaps = scene.world.answer(gaps_question)
    if isinstance(gaps, Gaps):
        foot += _gap_lines(scene, gaps)
    room = max(3, scene.rows - len(head) - len(foot))
    return [*head, *_beside(_ladder(scene, book, room), _trade_lines(scene, trade_list, room), scene, room), *foot]


def decimal(text: str) -> Decimal:
    """Zero where it is none."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _worth_lines(scene: Scene, book: object, question: Question) -> list[Line]:
    """What the book is worth: first of all, whether it is proven."""
    target = scene.place.target
    name = (f"{scene.says(target.symbol)}  {scene.says(target.recording)}  ", "title")
    if not isinstance(book, Book):
        failing = scene.world.failing.get(question.key)
        return [line(name, ("no book yet" if failing is None else scene.says(failing.words), "warn"))]
    data, standing = book.data, book.standing
    age_s = data.age_ms / 1_000 + (scene.world.age_s(question, scene.now_s) or 0.0)
    proven: tuple[str, Style]
    if data.proven_depth:
        proven = (f"PROVEN to {data.proven_depth} levels of {data.depth}", "good")
    else:
        reason = "" if standing is None or not standing.reason else f": {scene.says(standing.reason)}"
        proven = (f"NOT PROVEN{reason}", "bad")
    origin = "" if data.origin == "journal" else "  a stored sample, one every ten seconds"
    worth = line(name, proven, f"  last message {age(age_s)} ago", (origin, "dim"))
    last = (
        "" if standing is None else f"proven until {clock(standing.until_us)}, " if standing.state == "proven" else ""
    )
    return [worth, line((f"{last}as of commit {book.checkpoint.commit_seq}", "dim")), *_balance(scene, book)]


def _balance(scene: Scene, book: Book) -> list[Line]:
    """Spread, and how much stands on each side."""
    bids, asks = book.data.bids, book.data.asks
    sums = [EXACT.create_decimal(_total(side)) for side in (bids, asks)]
    whole = EXACT.add(*sums)
    share = float(sums[0] / whole) if whole else 0.5
    width = max(10, min(30, scene.columns - 58))
    glyphs = scene.glyphs
    filled = bar(share, width, glyphs)
    pieces: list[str | Piece | tuple[str, Style]] = [
        "bids ",
        (f"{share:4.0%} ", "bid"),
        (filled, "bid"),
        (f" {1 - share:.0%}", "ask"),
        " asks",
    ]
    if bids and asks:
        bid, ask = decimal(bids[0].price), decimal(asks[0].price)
        spread, mid = EXACT.subtract(ask, bid), (ask + bid) / 2
        points = float(spread / mid) * 10_000 if mid else 0.0
        pieces.append(f"   spread {plain(spread)} ({points:.2f} bp)")
        if ask <= bid:
            pieces.append(("  CROSSED", "bad"))
    return [line(*pieces)]


def _total(side: list[Level]) -> Decimal:
    total = Decimal(0)
    for level in side:
        total = EXACT.add(total, decimal(level.qty))
    return total


def _price_lines(scene: Scene, trades: list[Trade]) -> list[Line]:
    if not trades:
        return [line(("no trades yet", "dim"))]
    prices = [float(decimal(trade.price)) for trade in reversed(trades)]
    last = trades[0]
    tail = f"  last {scene.says(last.price)}"
    return [line("price ", (spark(prices, scene.columns - len(tail) - 6, scene.glyphs), ""), tail)]


def _ladder(scene: Scene, book: object, room: int) -> list[Line]:
    """Asks above, bids below, the best of both in the middle; bars are of what is summed up from the best on."""
    if not isinstance(book, Book):
        return []
    each = max(1, (room - 1) // 2)
    columns = scene.columns - TRADES_COLUMNS - 2
    sides = []
    for side in (book.data.asks[:each], book.data.bids[:each]):
        total, rows = Decimal(0), []
        for level in side:
            total = EXACT.add(total, decimal(level.qty))
            rows.append((level, total))
        sides.append(rows)
    most = max((rows[-1][1] for rows in sides if rows), default=Decimal(0))
    shown = [(level.price, level.qty, plain(total)) for rows in sides for level, total in rows]
    widths = [max(len(cells[at]) for cells in (LADDER, *shown)) for at in range(3)]
    bar_columns = max(0, columns - sum(widths) - 10)
    lines = [line(("      ", ""), (_cells(scene, LADDER, widths), "dim"))]
    for rows, name in ((sides[0][::-1], "ask"), (sides[1], "bid")):
        style: Style = "ask" if name == "ask" else "bid"
        for level, total in rows:
            share = float(total / most) if most else 0.0
            text = _cells(scene, (level.price, level.qty, plain(total)), widths)
            lines.append(line((f"{name}   {text} ", style), (bar(share, bar_columns, scene.glyphs), style)))
    return lines


def _cells(scene: Scene, cells: tuple[str, str, str], widths: list[int]) -> str:
    return "  ".join(right(scene.says(cell), width) for cell, width in zip(cells, widths, strict=True))


def _trade_lines(scene: Scene, trades: list[Trade], room: int) -> list[Line]:
    lines = [line(("trades", "dim"))]
    for trade in trades[: max(0, room - 1)]:
        style: Style = "bid" if trade.side == "buy" else "ask"
        mark = "!" if _is_large(scene, trade) else " "
        side, qty, price = map(scene.says, (trade.side[:1], trade.qty, trade.price))
        text = f"{clock(trade.time_us)} {side}{mark}{qty} {price}"
        lines.append(line((text, "chosen" if mark == "!" else style)))
    return lines


def _is_large(scene: Scene, trade: Trade) -> bool:
    qty, price = float(decimal(trade.qty)), float(decimal(trade.price))
    by_qty = scene.large_qty is not None and qty >= scene.large_qty
    return by_qty or (scene.large_value is not None and qty * price >= scene.large_value)


def _beside(ladder: list[Line], trades: list[Line], scene: Scene, room: int) -> list[Line]:
    """The two side by side."""
    columns = scene.columns - TRADES_COLUMNS - 2
    lines: list[Line] = []
    for at in range(min(room, max(len(ladder), len(trades)))):
        one = ladder[at] if at < len(ladder) else ()
        other = trades[at] if at < len(trades) else ()
        lines.append((*one, Piece(" " * max(0, columns - wide(one) + 2)), *other))
    return lines


def _doubt_lines(scene: Scene, coverage: Coverages | None, *, book_is_proven: bool) -> list[Line]:
    """Why something is not proven now, in the exchange's words where it gave any; else when it last was not.

    The coverage is as old as the store's last commit: a book may be proven again by now.
    """
    last = {each.channel: each for each in coverage.data} if coverage is not None else {}
    for each in last.values():
        if each.state != "proven" and each.reason and not (each.channel == "book" and book_is_proven):
            what = f"{scene.says(each.channel)} {scene.says(each.state)} now: "
            return [line((what, "warn"), scene.says(each.reason))]
    before = [] if coverage is None else [each for each in coverage.data if each.state == "unproven"]
    if not before:
        return []
    each = max(before, key=lambda each: each.since_us)
    reason = f" ({scene.says(each.reason)})" if each.reason else ""
    when = f"{clock(each.since_us)} for {age((each.until_us - each.since_us) / 1e6)}"
    return [line(("last doubt ", "title"), f"{when}: {scene.says(each.channel)} unproven{reason}")]


def _gap_lines(scene: Scene, gaps: Gaps) -> list[Line]:
    """The last one: what is missing, and whether it came after all."""
    if not gaps.data:
        return [line(("no gaps", "dim"))]
    gap = max(gaps.data, key=lambda gap: gap.opened_at or "")  # they come by what they are gaps of
    what = f"{scene.says(gap.scope)} {gap.first} to {gap.last}"
    if gap.scope.partition(":")[0] == "connection":  # or that of a shard
        what = "no connection"
    closed = ("it came after all", "good") if gap.closed_at else ("still missing", "bad")
    opened = scene.says((gap.opened_at or "")[11:19])
    return [line(("last gap ", "title"), f"{opened} ", closed, f": {what} ({scene.says(gap.reason)})")]
