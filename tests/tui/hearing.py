"""What a screen is made of, asked without a loop: each question once, until none is new."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tidelog.tui.asking import Reply, read
from tidelog.tui.lines import UNICODE, Glyphs
from tidelog.tui.place import Place
from tidelog.tui.screen import asked, screen, texts
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import EMPTY, World

__all__ = ["NOW_S", "Ask", "drawn", "heard", "scripted"]

Ask = Callable[[str, bytes | None], Reply]
NOW_S = 1_000.0
ROUNDS_MAX = 10


def heard(ask: Ask, place: Place, now_us: int, world: World = EMPTY, now_s: float = NOW_S) -> World:
    """Each question of the place is asked; answers lead to more questions."""
    done: set[str] = set()
    for _ in range(ROUNDS_MAX):
        new = [each for each in asked(world, place, now_us) if each.path + each.key not in done]
        if not new:
            return world
        for question in new:
            done.add(question.path + question.key)
            reply = ask(question.path, question.body)
            answer, words = read(question, reply)
            if answer is None:
                world = world.fail(question, words, now_s, refused=True)
            else:
                world = world.hear(question, answer, now_s)
    raise AssertionError("every answer leads to another question")


def drawn(
    world: World,
    place: Place,
    now_us: int,
    *,
    columns: int = 80,
    rows: int = 24,
    glyphs: Glyphs = UNICODE,
    now_s: float = NOW_S,
    **settings: Any,
) -> list[str]:
    """The screen as it is read."""
    return texts(screen(Scene(world, place, now_s, now_us, columns, rows, glyphs, **settings), "here"))


def scripted(answers: Mapping[str, Any]) -> Ask:
    """Answers by the beginning of their path; what is not there is refused."""

    def ask(path: str, body: bytes | None) -> Reply:
        for begin, document in answers.items():
            if path.startswith(begin):
                text = document if isinstance(document, bytes) else json.dumps(document).encode()
                return Reply(200, text)
        return Reply(404, b'{"error": {"code": "not_found", "message": "there is none"}}')

    return ask
