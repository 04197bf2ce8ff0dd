"""The whole screen: a title that says where one is and how old that is, the view, and the keys. Pure."""

from collections.abc import Sequence

from tidelog.tui.figures import age, clock
from tidelog.tui.lines import Line, Piece, Style, cut, line, text_of, wide
from tidelog.tui.place import INTERVALS, Place, Target, matching
from tidelog.tui.questions import CHAINS, MARKETS, READY, Question
from tidelog.tui.views import block, candles, chain, market, overview
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import STALE_S, World

__all__ = ["asked", "entries", "known", "screen", "stale_s", "trouble"]

KEYS = {
    "overview": "enter open",
    "market": "n/p next symbol  3 candles",
    "candles": "i interval  n/p next symbol  2 book",
    "chain": "enter block",
    "block": "enter open  n/p next block",
    "address": "enter block",
    "help": "esc back",
}
VIEWS = "1 overview 2 book 3 candles 4 chain"
COMMON = "/ search  space pause  ? help  q quit"
NOTHING = (
    "nothing is stored yet, or no answer came yet",
    "",
    "tidelog demo --live     makes something to look at",
    "tidelog run, serve      listen where this looks; elsewhere: tidelog top --api URL",
    "tidelog top --db URL    looks at a store, and tidelog top FILE at a journal, without a server",
)
HELP = (
    ("1 2 3 4", "overview, book of a symbol, its candles, a chain"),
    ("up down", "through what is listed; page up, page down, home, end"),
    ("enter", "open what is chosen: a chain, a symbol, a block, an address"),
    ("esc", "back"),
    ("/", "search: a symbol, a block's number, the hash of a block or a transaction, an address"),
    ("n p", "next and previous symbol, chain or block"),
    ("i I", f"next and previous interval of candles: {' '.join(INTERVALS)}"),
    ("space", "pause, and go on; while paused [ and ] step through the moments before"),
    ("< >", "in a journal that is replayed: a minute back, a minute on"),
    ("q", "quit; it can be killed at any time as well: it only reads"),
    ("", ""),
    ("proven", "a book whose top ten levels equal the exchange's, by its checksum, at its last message"),
    ("unproven", "a book in doubt until a checksum matches again; trades that no number connects"),
    ("gap", "nothing could be received then"),
    ("checks", "+ passed, ? cannot be computed on this chain, - does not apply"),
    ("STALE", "what is shown is older than two seconds: no answer came since"),
)


def asked(world: World, place: Place, now_us: int) -> list[Question]:
    """Everything that the screen needs, what the title needs first."""
    target = place.target
    always = [CHAINS, MARKETS, READY]
    match place.view:
        case "overview":
            return list(dict.fromkeys([*always, *overview.asked(world)]))
        case "market" if target.recording is not None and target.symbol is not None:
            return [*always, *market.asked(target.recording, target.symbol, now_us)]
        case "candles" if target.symbol is not None:
            return [*always, *candles.asked(place, now_us)]
        case "chain" if target.chain is not None:
            return [*always, *chain.asked(world, target.chain)]
        case "block":
            return [*always, *block.asked(world, place)]
        case "address":
            return [*always, *block.asked_of_address(world, place)]
    return always


def known(world: World) -> list[Target]:
    return overview.known(world)


def entries(world: World, place: Place) -> list[Target]:
    """What the cursor goes through."""
    match place.view:
        case "overview":
            return overview.entries(world)
        case "chain" if place.target.chain is not None:
            return chain.entries(world, place.target.chain)
        case "block":
            return block.entries(world, place)
        case "address":
            return block.entries_of_address(world, place)
    return []


def stale_s(world: World, questions: Sequence[Question], now_s: float) -> float | None:
    """How old the oldest of what is shown is, where it is older than its question's pace allows; None: all is fresh."""
    ages = [found for each in questions if (found := world.age_s(each, now_s)) is not None and found > STALE_S]
    return max(ages, default=None)


def trouble(world: World, questions: Sequence[Question]) -> str | None:
    """Why there is no answer to something that is asked; what the API refuses is told by its view."""
    for each in questions:
        found = world.failing.get(each.key)
        if found is not None and not found.refused:
            return found.words
    return None


def screen(scene: Scene, source: str) -> list[Line]:
    """Exactly `scene.rows` lines of at most `scene.columns`; the view gets what title and keys leave."""
    world, place = scene.world, scene.place
    questions = asked(world, place, scene.now_us)
    head = [_title(scene, source, questions)]
    why = trouble(world, questions)
    if why is not None:
        head.append(line(("no answer: ", "bad"), scene.says(why)))
    view = scene._replace(rows=max(1, scene.rows - len(head) - 1))
    body = [cut(each, scene.columns, scene.glyphs.dots) for each in _view(view)][: view.rows]
    body += [()] * (view.rows - len(body))
    shown = [*(cut(each, scene.columns, scene.glyphs.dots) for each in head), *body, _keys(scene)]
    return shown[: scene.rows]


def _view(scene: Scene) -> list[Line]:
    match scene.place.view:
        case "overview":
            shown = overview.draw(scene)
            return shown or [line((words, "dim")) for words in NOTHING]
        case "market":
            return market.draw(scene)
        case "candles":
            return candles.draw(scene)
        case "chain":
            return chain.draw(scene)
        case "block":
            return block.draw(scene)
        case "address":
            return block.draw_address(scene)
        case "help":
            return [line((f"{keys:10}", "key"), text) for keys, text in HELP]


def _title(scene: Scene, source: str, questions: Sequence[Question]) -> Line:
    place, world = scene.place, scene.world
    old_s = stale_s(world, questions, scene.now_s)
    state: tuple[str, Style] = (scene.playing, "good")
    if place.paused:
        state = (f"PAUSED{f', {place.back} s before' if place.back else ''}", "warn")
    elif old_s is not None:
        state = (f"STALE: {age(old_s)} old", "bad")
    elif not any(each.key in world.heard for each in questions):
        state = ("no answer yet", "warn")
    begin = line(("tidelog top ", "title"), (f" {scene.says(source)} ", "dim"), f" {place.view} ")
    end = line(state, f" {clock(scene.now_us)}Z")
    room = scene.columns - wide(end)
    begin = cut(begin, max(0, room - 1), scene.glyphs.dots)
    return (*begin, Piece(" " * max(1, room - wide(begin))), *end)


def _keys(scene: Scene) -> Line:
    place = scene.place
    if place.typed is not None:
        match = matching(place.typed, known(scene.world)) if place.typed else None
        hint = "" if match is None else f"   enter: {scene.says(match.symbol)}"
        return cut(line(("search: ", "key"), scene.says(place.typed), "_", (hint, "dim")), scene.columns)
    if place.said:
        return cut(line((scene.says(place.said), "warn")), scene.columns)
    full = line((f"{VIEWS}  {COMMON}", "key"))
    with_view = line((f"{KEYS[place.view]}  {VIEWS}  {COMMON}", "key"))
    return cut(with_view if wide(with_view) <= scene.columns else full, scene.columns)


def texts(lines: Sequence[Line]) -> list[str]:
    """What is read."""
    return [text_of(each) for each in lines]
