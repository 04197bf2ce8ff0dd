"""The questions of a view, asked again and again: what comes goes into a `World`. The port to the API is in here."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from tidelog.errors import TidelogError
from tidelog.runtime import Runtime
from tidelog.tui.answers import Readiness, Refusal
from tidelog.tui.metrics import Samples, read_samples
from tidelog.tui.questions import Question
from tidelog.tui.world import EMPTY, World

__all__ = ["Answers", "Asking", "Reply", "heard_once", "read"]

ANSWER_S = 5.0  # then the question is given up, and asked again; what is shown is told to be old long before
LOOK_S = 0.05  # between looks which question is due: below the shortest pace of any


class Reply(NamedTuple):
    status: int
    body: bytes


class Answers(Protocol):
    """Who answers: an API over HTTP, or one in this process over a store."""

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        """The answer to a GET, or to a POST of JSON. TidelogError: there is none."""
        ...


class Asking:
    """Asks until it is cancelled; `world` is what was heard.

    Args:
        wanted: the questions of the present view.
        heard: called after each answer.
    """

    def __init__(
        self,
        answers: Answers,
        runtime: Runtime,
        wanted: Callable[[World], Sequence[Question]],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self.world: World = EMPTY
        self._answers = answers
        self._runtime = runtime
        self._wanted = wanted
        self._heard = heard
        self._asked_s: dict[str, tuple[str, float]] = {}  # by key: which path was asked last, and when
        self._under_way: dict[str, asyncio.Task[None]] = {}  # by key: one of each at a time
        self._wake = asyncio.Event()

    def look(self) -> None:
        """The view changed: what it asks is asked at once."""
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                self._ask_what_is_due()
                self._wake.clear()
                waiting = asyncio.ensure_future(self._wake.wait())
                resting = asyncio.ensure_future(self._runtime.sleep(LOOK_S))
                try:
                    await asyncio.wait([waiting, resting], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                    resting.cancel()
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _ask_what_is_due(self) -> None:
        questions = self._wanted(self.world)
        now_s = self._runtime.monotonic()
        for question in questions:
            path, asked_s = self._asked_s.get(question.key, ("", 0.0))
            moved_on = path != question.path and question.after is None
            due = question.key not in self._asked_s or moved_on or now_s - asked_s >= question.every_s
            if due and question.key not in self._under_way:
                self._asked_s[question.key] = (question.path, now_s)
                task = asyncio.create_task(self._ask(question))
                self._under_way[question.key] = task
                task.add_done_callback(partial(self._is_done, question.key))
        wanted = {each.key for each in questions}
        if not self.world.heard.keys() | self.world.failing.keys() <= wanted:
            self.world = self.world.only(questions)
            self._asked_s = {key: value for key, value in self._asked_s.items() if key in wanted}

    def _is_done(self, key: str, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(key, None)

    async def _ask(self, question: Question) -> None:
        words, refused = "", False
        try:
            reply = await self._answers.ask(question.path, question.body, ANSWER_S)
            answer, words = read(question, reply)
            refused = 400 <= reply.status < 500 and reply.status not in (401, 403, 408, 429)
        except TidelogError as error:
            answer, words = None, str(error)
        now_s = self._runtime.monotonic()
        if answer is not None:
            self.world = self.world.hear(question, answer, now_s)
        else:
            self.world = self.world.fail(question, words, now_s, refused=refused)
        self._heard()


async def heard_once(answers: Answers, runtime: Runtime, wanted: Callable[[World], Sequence[Question]]) -> World:
    """Each question is asked once, and those that the answers lead to."""
    world, done = EMPTY, set[str]()
    while new := [each for each in wanted(world) if each.key not in done]:
        for question in new:
            done.add(question.key)
            reply = await answers.ask(question.path, question.body, ANSWER_S)
            answer, words = read(question, reply)
            now_s = runtime.monotonic()
            if answer is None:
                world = world.fail(question, words, now_s, refused=True)
            else:
                world = world.hear(question, answer, now_s)
    return world


def read(question: Question, reply: Reply) -> tuple[object | None, str]:
    """The answer, or why it is none."""
    try:
        if question.shape is Readiness and reply.status in (200, 503):
            return msgspec.json.decode(reply.body, type=Readiness), ""
        if reply.status != 200:
            refusal = msgspec.json.decode(reply.body, type=Refusal)
            return None, f"{refusal.error.message} ({reply.status})"
        if question.shape is Samples:
            return read_samples(reply.body.decode("utf-8", "replace")), ""
        return msgspec.json.decode(reply.body, type=question.shape), ""
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None, f"this is no API of tidelog, or another version's: {question.path} is answered with {reply.status}"
