"""`tidelog top`, once it runs: who answers, what the terminal can draw, and Textual."""

import asyncio
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from tidelog.cli.serve import the_journal
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry.logs import diverted_logs
from tidelog.tui.lines import ASCII, UNICODE

if TYPE_CHECKING:
    from tidelog.api.http.options import JournalSource
    from tidelog.tui.app import Playback, Settings
    from tidelog.tui.asking import Answers

__all__ = ["watch"]

SPEED_MAX = 1_000.0  # faster than a screen can tell anything of


def watch(
    what: str | None,
    search: str | None,
    *,
    speed: str | None,
    begin: str | None,
    api: str,
    db: str | None,
    journals: tuple[str, ...],
    mean: int,
    large_qty: float | None,
    large_value: float | None,
    ascii_only: bool,
) -> None:
    """Until the user leaves. ConfigError: it cannot be meant, or cannot be drawn here."""
    alone = what if what is not None and os.path.isfile(what) else None
    if alone is None and (search is not None or speed is not None or begin is not None):
        missing = "give a journal's file" if what is None else f"there is no file {what[:200]!r}"
        raise ConfigError(f"--speed, --from and a second word go with a journal: {missing}")
    if alone is not None and (db is not None or journals):
        raise ConfigError(f"{alone} is watched alone: leave --db and --journal out")
    if journals and db is None:
        raise ConfigError(
            "--journal goes with --db: an API follows the journals that it was started with; to watch a journal alone, "
            "give its file without a flag"
        )
    if not api.startswith(("http://", "https://")):
        raise ConfigError(f"--api {api[:80]!r}: give an address such as http://127.0.0.1:8420")
    if not 2 <= mean <= 200:
        raise ConfigError(f"--mean {mean}: give 2 to 200")
    factor = None if speed is None else _speed(speed)
    if importlib.util.find_spec("textual") is None:
        raise ConfigError("`tidelog top` needs Textual: pip install 'tidelog[top]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise ConfigError("`tidelog top` draws on a terminal, and this is none: the API and the lists are for programs")
    from tidelog.tui.app import Settings

    glyphs = ASCII if ascii_only or not _has_unicode() else UNICODE
    source = alone or (api if db is None else _shown(db))
    opening = search if alone is not None else what
    settings = Settings(source, glyphs, mean, large_qty, large_value, opening)
    for name in ("COLUMNS", "LINES"):  # of who started this: a terminal that is resized has other ones
        os.environ.pop(name, None)
    with diverted_logs(lambda level, event: None):  # a line of a log would go across the screen
        if alone is not None:
            run(_watch_journal(settings, alone, factor, begin))
        elif db is not None:
            run(_watch_store(settings, db, tuple(the_journal(each) for each in journals)))
        else:
            run(_watch_api(settings, api))


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ConfigError(f"--speed {text[:80]!r}: give a factor such as 1 or 10, at most {SPEED_MAX:g}")
    return speed


def _has_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


async def _watch_api(settings: "Settings", api: str) -> None:
    from tidelog.cli.top.answers import HttpAnswers

    answers = HttpAnswers(api, os.environ.get("TIDELOG_TOKEN"))
    try:
        await _show(answers, SystemRuntime(), settings)
    finally:
        await answers.close()


async def _watch_store(settings: "Settings", db: str, journals: "tuple[JournalSource, ...]") -> None:
    from tidelog.cli.top.answers import store_answers

    runtime = SystemRuntime()
    async with store_answers(db, journals, runtime) as inside:
        await _show(inside, runtime, settings)


async def _watch_journal(settings: "Settings", path: str, speed: float | None, begin: str | None) -> None:
    from tidelog.cli.top.journal import LIVE_S, JournalAnswers, moment_us, span_of

    span = span_of(path)
    if begin is not None:
        begin_us = moment_us(begin, span)
    else:
        begin_us = span.begin_us if speed is not None else span.end_us - int(LIVE_S * 1_000_000)
    answers = JournalAnswers(path, span, speed, begin_us)
    filling = asyncio.create_task(answers.run())
    try:
        await _show(answers, answers.runtime, settings, answers)
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


async def _show(
    answers: "Answers", runtime: SystemRuntime, settings: "Settings", playback: "Playback | None" = None
) -> None:
    from tidelog.tui.app import TopApp

    await TopApp(answers, runtime, settings, playback).run_async(mouse=False)


def _shown(db: str) -> str:
    """Without a password."""
    from urllib.parse import urlsplit

    parts = urlsplit(db)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme.startswith("postgres") else db
