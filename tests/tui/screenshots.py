"""Pictures of `tidelog top` for the documents: driven by keys under Textual's pilot, as SVG, always the same ones.

`make screenshots` writes docs/images.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from tests.tui.hearing import scripted
from tests.tui.scenery import NOW_US, answers
from tidelog.runtime import SystemRuntime
from tidelog.tui.app import Settings, TopApp
from tidelog.tui.asking import Reply
from tidelog.tui.lines import UNICODE
from tidelog.tui.screen import asked

__all__ = ["IMAGES", "SHOTS", "taken"]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SOURCE = "http://127.0.0.1:8420"
PACE_S = 10.0  # between the two looks that rates are made of
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # which a reader's browser would have to fetch from elsewhere
WAIT_S = 60.0


class Shot(NamedTuple):
    """Keys that lead to a view, and the size of the terminal."""

    keys: tuple[str, ...]
    size: tuple[int, int] = (100, 30)


SHOTS = {
    "overview": Shot(()),
    "book": Shot(("slash", *"btc/usd", "enter")),
    "candles": Shot(("slash", *"btc/usd", "enter", "3")),
    "chain": Shot(("4",)),
    "block": Shot(("4", "enter")),
}


class StillRuntime(SystemRuntime):
    """Its clocks stand, so that each question is asked once, until somebody moves them."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def now(self) -> float:
        return NOW_US / 1_000_000

    def monotonic(self) -> float:
        return 1_000.0 + self.passed_s


class Script:
    """Who answers."""

    def __init__(self, runtime: StillRuntime) -> None:
        self._runtime = runtime

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        return scripted(answers(self._runtime.passed_s))(path, body)


async def taken(shot: Shot) -> str:
    """The picture, as SVG."""
    runtime = StillRuntime()
    settings = Settings(SOURCE, UNICODE, large_qty=2.0)
    app = TopApp(Script(runtime), runtime, settings)
    async with app.run_test(size=shot.size) as pilot:
        await _settled(app, runtime, pilot)
        for key in shot.keys:
            await pilot.press(key)
            await _settled(app, runtime, pilot)
        runtime.passed_s = PACE_S
        await _settled(app, runtime, pilot)
        svg = app.export_screenshot(title="tidelog top")
    return FONTS.sub("", svg) + "\n"


async def _settled(app: TopApp, runtime: StillRuntime, pilot: "Pilot[None]") -> None:
    """Until all that the view asks was answered at this time, and is drawn."""

    def is_fresh() -> bool:
        questions = asked(app.world, app.place, NOW_US)
        now_s = runtime.monotonic()
        return all(
            each.key in app.world.failing or ((found := app.world.age_s(each, now_s)) is not None and found == 0.0)
            for each in questions
        )

    await _until(is_fresh, pilot)
    app.draw()
    await pilot.pause()


async def _until(condition: Callable[[], bool], pilot: "Pilot[None]") -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await pilot.pause(0.01)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for name, shot in SHOTS.items():
        (IMAGES / f"top-{name}.svg").write_text(asyncio.run(taken(shot)))


if __name__ == "__main__":
    main()
