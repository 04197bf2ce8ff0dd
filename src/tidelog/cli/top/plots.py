"""`tidelog market plot`, `tidelog chain plot`: pictures of what is stored, as text or as a file."""

import shutil
import sys
from collections.abc import Callable, Sequence

from tidelog.cli.out import say
from tidelog.cli.top.inside import store_answers
from tidelog.cli.top.pictures import picture_of_blocks, picture_of_market, require_picture
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.tui.asking import heard_once
from tidelog.tui.lines import ASCII, UNICODE, Line, cut, text_of
from tidelog.tui.place import INTERVALS, Place, Target, matching
from tidelog.tui.questions import CHAINS, MARKETS
from tidelog.tui.screen import known
from tidelog.tui.views.plots import asked_of_blocks, asked_of_market, end_us, plot_blocks, plot_market
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import World

__all__ = ["plot_chain", "plot_symbol"]

ROWS = 24  # of the candles
PICTURE_BLOCKS = 300

Draw = Callable[[Scene], Sequence[Line]]


def plot_symbol(db: str, name: str | None, symbol: str, interval: str, out: str | None) -> None:
    """Args:
        out: the file of a picture; None: print it as text.

    Raises:
        ConfigError: there is no such symbol or interval, or no picture can be drawn or written.
    """
    if interval not in INTERVALS:
        raise ConfigError(f"--interval {interval[:80]!r}: give one of {', '.join(INTERVALS)}")
    if out is not None:
        require_picture(out)
    run(_plot_symbol(db, name, symbol, interval, out))


async def _plot_symbol(db: str, name: str | None, symbol: str, interval: str, out: str | None) -> None:
    runtime = SystemRuntime()
    async with store_answers(db, (), runtime) as answers:
        there = known(await heard_once(answers, runtime, lambda world: [CHAINS, MARKETS]))
        target = matching(symbol, [each for each in there if name in (None, each.recording)])
        if target is None:
            raise ConfigError(f"the store holds no market {symbol[:80]!r}: see `tidelog market coverage`")
        place = Place(view="candles", target=target, interval=interval)
        now_us = int(runtime.now() * 1_000_000)
        first = await heard_once(answers, runtime, lambda world: asked_of_market(place, now_us)[:1])
        end = end_us(first, place, now_us)
        world = await heard_once(answers, runtime, lambda world: asked_of_market(place, end))
    if out is not None:
        picture_of_market(out, world, place, end)
        say(out)
        return
    _print(world, place, end, plot_market)


def plot_chain(db: str, chain_id: int | None, out: str | None) -> None:
    """Args:
        out: as of `plot_symbol`.

    Raises:
        ConfigError: the store has no such chain, or several and none is named; no picture can be drawn or written.
    """
    if out is not None:
        require_picture(out)
    run(_plot_chain(db, chain_id, out))


async def _plot_chain(db: str, chain_id: int | None, out: str | None) -> None:
    runtime = SystemRuntime()
    columns = _columns() if out is None else PICTURE_BLOCKS
    async with store_answers(db, (), runtime) as answers:
        there = [each.chain for each in known(await heard_once(answers, runtime, lambda world: [CHAINS])) if each.chain]
        if chain_id is None and len(there) == 1:
            chain_id = there[0]
        if chain_id is None or chain_id not in there:
            raise ConfigError(f"say which chain by --chain-id: the store holds {', '.join(map(str, there)) or 'none'}")
        chain, asked = chain_id, asked_of_blocks(chain_id, columns)
        world = await heard_once(answers, runtime, lambda world: asked)
    if out is not None:
        picture_of_blocks(out, world, chain, columns)
        say(out)
        return
    _print(world, Place(target=Target(chain=chain)), 0, lambda scene: plot_blocks(scene, chain))


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _print(world: World, place: Place, now_us: int, draw: Draw) -> None:
    glyphs = UNICODE if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else ASCII
    scene = Scene(world, place, 0.0, now_us, _columns(), ROWS, glyphs)
    for each in draw(scene):
        say(text_of(cut(each, scene.columns, glyphs.dots)))
