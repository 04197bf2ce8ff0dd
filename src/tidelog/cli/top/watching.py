"""`tidelog top`, once it runs: who answers, what the terminal can draw, and Textual."""

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
    from tidelog.tui.app import Settings
    from tidelog.tui.asking import Answers

__all__ = ["watch"]


def watch(
    search: str | None,
    *,
    api: str,
    db: str | None,
    journals: tuple[str, ...],
    mean: int,
    large_qty: float | None,
    large_value: float | None,
    ascii_only: bool,
) -> None:
    """Until the user leaves. ConfigError: it cannot be meant, or cannot be drawn here."""
    if journals and db is None:
        raise ConfigError("--journal goes with --db: an API follows the journals that it was started with")
    if not api.startswith(("http://", "https://")):
        raise ConfigError(f"--api {api[:80]!r}: give an address such as http://127.0.0.1:8420")
    if not 2 <= mean <= 200:
        raise ConfigError(f"--mean {mean}: give 2 to 200")
    if importlib.util.find_spec("textual") is None:
        raise ConfigError("`tidelog top` needs Textual: pip install 'tidelog[top]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise ConfigError("`tidelog top` draws on a terminal, and this is none: the API and the lists are for programs")
    from tidelog.tui.app import Settings

    glyphs = ASCII if ascii_only or not _has_unicode() else UNICODE
    settings = Settings(api if db is None else _shown(db), glyphs, mean, large_qty, large_value, search)
    sources = tuple(the_journal(each) for each in journals)
    for name in ("COLUMNS", "LINES"):  # of who started this: a terminal that is resized has other ones
        os.environ.pop(name, None)
    with diverted_logs(lambda level, event: None):  # a line of a log would go across the screen
        run(_watch(settings, api, db, sources))


def _has_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


async def _watch(settings: "Settings", api: str, db: str | None, journals: "tuple[JournalSource, ...]") -> None:
    runtime = SystemRuntime()
    if db is None:
        from tidelog.cli.top.answers import HttpAnswers

        answers = HttpAnswers(api, os.environ.get("TIDELOG_TOKEN"))
        try:
            await _show(answers, runtime, settings)
        finally:
            await answers.close()
        return
    from tidelog.cli.top.answers import store_answers

    async with store_answers(db, journals, runtime) as inside:
        await _show(inside, runtime, settings)


async def _show(answers: "Answers", runtime: SystemRuntime, settings: "Settings") -> None:
    from tidelog.tui.app import TopApp

    await TopApp(answers, runtime, settings).run_async(mouse=False)


def _shown(db: str) -> str:
    """Without a password."""
    from urllib.parse import urlsplit

    parts = urlsplit(db)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme.startswith("postgres") else db
