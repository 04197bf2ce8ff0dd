"""The shell around the views: Textual gives keys and a screen, the API answers. Nothing is decided in here."""

import asyncio
from collections import deque
from typing import NamedTuple, Protocol

from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.events import Key, Resize

from tidelog.runtime import Runtime
from tidelog.tui.asking import Answers, Asking
from tidelog.tui.canvas import Canvas
from tidelog.tui.lines import Glyphs
from tidelog.tui.place import Place, found, pressed
from tidelog.tui.questions import CHAINS, MARKETS, Question
from tidelog.tui.screen import asked, entries, known, screen
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import World

__all__ = ["Playback", "Settings", "TopApp"]

DRAW_S = 0.1  # between drawings, whatever comes: faster than anybody reads
CLOCK_S = 1.0  # between drawings while nothing comes: ages grow
MOMENTS_MAX = 60  # kept, one a second, to step back to
SEEK_S = 60.0  # of a step through a replay

KEYS = {"space": "space", "ctrl+h": "backspace", "ctrl+j": "enter"}
NAMED = ("up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "escape", "backspace")


class Settings(NamedTuple):
    """What the user chose at the start."""

    source: str  # what is watched, in words
    glyphs: Glyphs
    mean: int = 10
    large_qty: float | None = None
    large_value: float | None = None
    search: str | None = None  # what to open as soon as it is there


class Moment(NamedTuple):
    world: World
    now_s: float
    now_us: int


class Playback(Protocol):
    """What is watched is a journal: live, or a replay that can be moved."""

    @property
    def words(self) -> str:
        """Where it stands, in a word or two."""
        ...

    def stand(self, still: bool) -> None:
        """Stand still, or go on."""
        ...

    def seek(self, by_s: float) -> str | None:
        """Go so far back or on; why that cannot be."""
        ...


class TopApp(App[None]):
    """`await TopApp(..).run_async()` until the user leaves."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: transparent; layers: base; }"

    def __init__(
        self, answers: Answers, runtime: Runtime, settings: Settings, playback: Playback | None = None
    ) -> None:
        super().__init__(ansi_color=True)
        self.place = Place()
        self.canvas = Canvas()
        self._runtime = runtime
        self._settings = settings
        self._playback = playback
        self._search = settings.search
        self._asking = Asking(answers, runtime, self._wanted, self._heard)
        self._moments: deque[Moment] = deque(maxlen=MOMENTS_MAX)
        self._paused: list[Moment] = []  # the newest first, while paused
        self._is_new = True
        self._drawn_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield self.canvas

    async def on_mount(self) -> None:
        self._task = asyncio.create_task(self._asking.run())
        self.set_interval(DRAW_S, self._draw_if_new)

    async def on_unmount(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def world(self) -> World:
        """What was heard until now, also while it is paused."""
        return self._asking.world

    def _wanted(self, world: World) -> list[Question]:
        return asked(world, self.place, self._now_us())

    def _now_us(self) -> int:
        return int(self._runtime.now() * 1_000_000)

    def _heard(self) -> None:
        self._is_new = True
        if self._search is not None and all(self.world.answer(each) is not None for each in (CHAINS, MARKETS)):
            there = known(self.world)
            if there or self._playback is None:  # of a journal, symbols come as it is read
                text, self._search = self._search, None
                self._move(found(self.place, text, there))

    def on_resize(self, event: Resize) -> None:
        self._is_new = True

    def on_key(self, event: Key) -> None:
        key = KEYS.get(event.key, event.key)
        if key not in NAMED and key != "space":
            if event.character is None or not event.character.isprintable():
                return
            key = event.character
        event.stop()
        event.prevent_default()
        world = self._moment().world
        self._move(pressed(self.place, key, entries(world, self.place), known(world), self.size.height))

    def _move(self, place: Place) -> None:
        before, self.place = self.place, place
        if place.ended:
            self.exit()
            return
        if place.sought:
            self._seek(place.sought)
        if self._playback is not None and place.paused != before.paused:
            self._playback.stand(place.paused)
        if place.paused and not before.paused:
            now = Moment(self.world, self._runtime.monotonic(), self._now_us())
            self._paused = [now, *reversed(self._moments)]
        if place.paused:
            self.place = replace(place, back=min(place.back, len(self._paused) - 1))
        if place.target.chain != before.target.chain:
            self._asking.world = self.world.watch()
        self._asking.look()
        self.draw()

    def _seek(self, steps: int) -> None:
        refused: str | None = "this is live: only in a journal that is replayed can one move"
        if self._playback is not None:
            refused = self._playback.seek(steps * SEEK_S)
        if refused is None:
            self._moments.clear()
        self.place = replace(self.place, sought=0, said=refused or "")

    def _moment(self) -> Moment:
        if self.place.paused:
            return self._paused[self.place.back]
        return Moment(self.world, self._runtime.monotonic(), self._now_us())

    def _draw_if_new(self) -> None:
        now_s = self._runtime.monotonic()
        if not self._moments or now_s - self._moments[-1].now_s >= 1.0:
            self._moments.append(Moment(self.world, now_s, self._now_us()))
        if self._is_new or now_s - self._drawn_s >= CLOCK_S:
            self.draw()

    def draw(self) -> None:
        """Show what is known now."""
        self._is_new, self._drawn_s = False, self._runtime.monotonic()
        moment, settings = self._moment(), self._settings
        scene = Scene(
            moment.world,
            self.place,
            moment.now_s,
            moment.now_us,
            self.size.width,
            self.size.height,
            settings.glyphs,
            settings.mean,
            settings.large_qty,
            settings.large_value,
            "live" if self._playback is None else self._playback.words,
        )
        self.canvas.show(screen(scene, settings.source))
