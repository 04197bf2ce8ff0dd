"""`tidelog top` and `market book`, once they run: who answers, what the terminal can draw, and Textual."""

import asyncio
import importlib.util
import os
import sys
import tempfile
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tidelog.cli.serve import the_journal
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry.logs import diverted_logs
from tidelog.tui.lines import ASCII, UNICODE

if TYPE_CHECKING:
    from tidelog.api.http.options import JournalSource
    from tidelog.cli.top.journal import JournalAnswers
    from tidelog.tui.app import Playback, Settings
    from tidelog.tui.asking import Answers

__all__ = ["watch", "watch_book"]

FEED_BYTES_MAX = 256 * 1024 * 1024  # of the journal of a connection made to look at one symbol: days of it
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
    token = os.environ.get("TIDELOG_TOKEN", "").strip() if alone is None and db is None else ""
    shown = _shown_api(api, token)
    if not 2 <= mean <= 200:
        raise ConfigError(f"--mean {mean}: give 2 to 200")
    factor = None if speed is None else _speed(speed)
    _require_terminal("tidelog top")
    from tidelog.tui.app import Settings

    glyphs = ASCII if ascii_only or not _has_unicode() else UNICODE
    source = alone or (shown if db is None else _shown(db))
    opening = search if alone is not None else what
    settings = Settings(source, glyphs, mean, large_qty, large_value, opening)
    if alone is not None:
        _draw(_watch_journal(settings, alone, factor, begin))
    elif db is not None:
        _draw(_watch_store(settings, db, tuple(the_journal(each) for each in journals)))
    else:
        _draw(_watch_api(settings, api, token))


def watch_book(symbol: str, *, depth: int, journal: str | None, protocol: str, url: str | None) -> None:
    """The view of a symbol alone: of a journal that is recorded, or of a connection made for it.

    Raises:
        ConfigError: it cannot be meant, or cannot be drawn here.
    """
    _require_terminal("tidelog market book")
    from tidelog.market.symbols import normal_symbol
    from tidelog.tui.app import Settings

    name, glyphs = normal_symbol(symbol), UNICODE if _has_unicode() else ASCII
    if journal is not None:
        _draw(_watch_journal(Settings(journal, glyphs, search=name), journal, None, None))
    else:
        _draw(_watch_feed(Settings(url or "the exchange", glyphs, search=name), name, depth, protocol, url))


def _require_terminal(command: str) -> None:
    if importlib.util.find_spec("textual") is None:
        raise ConfigError(f"`{command}` needs Textual: pip install 'tidelog[top]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise ConfigError(f"`{command}` draws on a terminal, and this is none: the API and the lists are for programs")


def _draw(watching: Coroutine[Any, Any, None]) -> None:
    """Until the user leaves."""
    for name in ("COLUMNS", "LINES"):  # of who started this: a terminal that is resized has other ones
        os.environ.pop(name, None)
    with diverted_logs(lambda level, event: None):  # a line of a log would go across the screen
        run(watching)


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


async def _watch_api(settings: "Settings", api: str, token: str) -> None:
    from tidelog.cli.top.answers import HttpAnswers

    answers = HttpAnswers(api, token)
    try:
        await _show(answers, SystemRuntime(), settings)
    finally:
        await answers.close()


async def _watch_store(settings: "Settings", db: str, journals: "tuple[JournalSource, ...]") -> None:
    from tidelog.cli.top.inside import store_answers

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
    await _show_journal(settings, JournalAnswers(path, span, speed, begin_us))


async def _watch_feed(settings: "Settings", symbol: str, depth: int, protocol: str, url: str | None) -> None:
    """A feed of its own, whose journal goes with it."""
    from tidelog.cli.top.journal import JournalAnswers, Span
    from tidelog.market.journal.retention import Retention
    from tidelog.market.live.feed import Feed

    with tempfile.TemporaryDirectory(prefix="tidelog-top-") as folder:
        path = os.path.join(folder, "exchange.journal")
        kept = Retention(bytes_max=FEED_BYTES_MAX)
        channels = ["book", "trade"]
        async with Feed([symbol], channels, journal=path, depth=depth, protocol=protocol, url=url, retention=kept):
            await _show_journal(settings, JournalAnswers(path, Span(0, 0), None, 0))


async def _show_journal(settings: "Settings", answers: "JournalAnswers") -> None:
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


def _shown_api(api: str, token: str) -> str:
    """The address without a password. ConfigError: it is none, or not one that can be asked with this token."""
    try:
        name, _, host = urlsplit(api).netloc.rpartition("@")
    except ValueError:
        host = ""
    if not (host and api.startswith(("http://", "https://"))):
        raise ConfigError(f"--api {api[:80]!r}: give an address such as http://127.0.0.1:8420")
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("TIDELOG_TOKEN is no token: no header can have it; `tidelog token create` prints one")
    if token and name:
        raise ConfigError("--api has a user's name, and TIDELOG_TOKEN is set: an API is shown one of them, not both")
    return api.replace(f"{name}@", "", 1) if name else api


def _shown(db: str) -> str:
    """Without a password."""
    parts = urlsplit(db)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme.startswith("postgres") else db
