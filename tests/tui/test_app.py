"""The shell under Textual's pilot: keys, sizes, a pause, answers that end; what it shows is the screen of its world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from tests.patience import HANGS_S
from tests.tui.hearing import scripted
from tests.tui.scripts import ANSWERS
from tidelog.errors import Unreachable
from tidelog.runtime import SystemRuntime
from tidelog.tui.app import Playback, Settings, TopApp
from tidelog.tui.asking import Reply
from tidelog.tui.canvas import STYLES as COLOURS
from tidelog.tui.lines import STYLES, UNICODE, text_of


class Script:
    """Answers until it is told to be away; counts what was asked."""

    def __init__(self) -> None:
        self.away = False
        self.answers = dict(ANSWERS)
        self.asked = 0

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        self.asked += 1
        if self.away:
            raise Unreachable("no connection (Connection refused)")
        return scripted(self.answers)(path, body)


class Watched:
    """An app that runs, what it asks, and what it shows."""

    def __init__(self, app: TopApp, script: Script, pilot: Pilot[None]) -> None:
        self.app = app
        self.script = script
        self.pilot = pilot

    @property
    def text(self) -> str:
        return "\n".join(map(text_of, self.app.canvas.lines))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGS_S):
            while not condition():
                await self.pilot.pause(0.01)

    async def shows(self, *words: str) -> None:
        try:
            await self.until(lambda: all(word in self.text for word in words))
        except TimeoutError:
            raise AssertionError(f"{words} are not shown:\n{self.text}") from None


@asynccontextmanager
async def watched(
    size: tuple[int, int] = (80, 24), search: str | None = None, playback: Playback | None = None
) -> AsyncIterator[Watched]:
    script = Script()
    app = TopApp(script, SystemRuntime(), Settings("here", UNICODE, search=search), playback)
    async with app.run_test(size=size) as pilot:
        yield Watched(app, script, pilot)


async def test_keys_lead_through_all_views() -> None:
    async with watched() as top:
        await top.shows("recording", "BTC/USD", "not healthy")
        await top.pilot.press("end", "enter")
        await top.shows("ETH/USD  kraken  PROVEN", "spread 0.2")
        await top.pilot.press("3")
        await top.shows("ETH/USD  kraken  1m", "C 100.1")
        await top.pilot.press("4")
        await top.shows("chain 1  ethereum", "dropped by a reo")
        await top.pilot.press("enter")
        await top.shows("block")
        await top.pilot.press("slash", *"1000", "enter")
        await top.shows("block 1,000", "+parent", "Transfer(from=0x111111…1111")
        await top.pilot.press("question_mark")
        await top.shows("up down", "esc       back")
        await top.pilot.press("escape")
        await top.shows("block 1,000")


async def test_what_is_on_the_screen_is_what_was_decided() -> None:
    async with watched() as top:
        await top.shows("not healthy")
        canvas = top.app.canvas
        for y in range(24):
            drawn = canvas.render_line(y)
            assert drawn.text.rstrip() == text_of(canvas.lines[y])
            assert drawn.cell_length == 80
    assert set(COLOURS) == set(STYLES)


async def test_a_terminal_that_is_resized_is_filled_again() -> None:
    async with watched((200, 60), search="eth") as top:
        await top.shows("ETH/USD  kraken  PROVEN")
        assert len(top.app.canvas.lines) == 60
        for size in ((80, 24), (30, 8), (120, 40)):
            await top.pilot.resize_terminal(*size)
            await top.until(lambda size=size: len(top.app.canvas.lines) == size[1])  # type: ignore[misc]
            assert all(sum(len(piece.text) for piece in line) <= size[0] for line in top.app.canvas.lines)


async def test_answers_that_end_are_told_and_come_back() -> None:
    async with watched() as top:
        await top.shows(" live ")
        top.script.away = True
        await top.shows("STALE: ", "no answer: no connection (Connection refused)")
        assert "BTC/USD" in top.text  # what was known stays
        top.script.away = False
        await top.until(lambda: " live " in top.text and "no answer" not in top.text)


async def test_a_pause_stands_still_while_the_world_goes_on() -> None:
    async with watched() as top:
        await top.shows(" live ", "1,234")
        await top.pilot.press("space")
        await top.shows("PAUSED")
        before, asked = top.text, top.script.asked
        stats = ANSWERS["/v1/stats"]
        recording = stats["recordings"][0] | {"trades": 5_678}
        top.script.answers["/v1/stats"] = stats | {"recordings": [recording]}
        await top.until(lambda: top.script.asked > asked + 20)
        assert top.text == before
        await top.pilot.press("left_square_bracket")
        await top.shows("PAUSED")
        await top.pilot.press("space")
        await top.shows(" live ", "5,678")


class Replayed:
    """A `Playback` that notes what is asked of it."""

    words = "replay x5"

    def __init__(self) -> None:
        self.done: list[object] = []

    def stand(self, still: bool) -> None:
        self.done.append(still)

    def seek(self, by_s: float) -> str | None:
        self.done.append(by_s)
        return "there is nothing before" if by_s < 0 else None


async def test_a_replay_stands_still_with_the_screen_and_is_moved_by_keys() -> None:
    replay = Replayed()
    async with watched(playback=replay) as top:
        await top.shows(" replay x5 ", "1,234")
        await top.pilot.press("space")
        await top.shows("PAUSED")
        await top.pilot.press("greater_than_sign")
        await top.shows(" replay x5 ")
        await top.pilot.press("less_than_sign")
        await top.shows("there is nothing before")
    assert replay.done == [True, 60.0, False, -60.0]


async def test_what_is_live_cannot_be_moved() -> None:
    async with watched() as top:
        await top.shows(" live ")
        await top.pilot.press("less_than_sign")
        await top.shows("this is live")


async def test_the_user_leaves() -> None:
    async with watched() as top:
        await top.shows(" live ")
        await top.pilot.press("q")
        await top.until(lambda: top.app.return_code is not None)
    assert top.app.return_code == 0


async def test_no_key_ends_it_but_the_one() -> None:
    async with watched() as top:
        await top.shows(" live ")
        for key in ("tab", "f1", "ctrl+a", "ctrl+p", "insert", "x", "ö", "end", "pagedown", "i", "n", "p", "right"):
            await top.pilot.press(key)
        await top.pilot.press("1")
        await top.shows("overview")
