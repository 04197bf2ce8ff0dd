"""The command line: `tidelog`, one module or folder per group of commands."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from tidelog.cli.front import ABOUT, COMMANDS, DRAWN, WIDTH_LEAST, page, width
from tidelog.errors import ConfigError, TidelogError
from tidelog.interrupt import INTERRUPTED

if TYPE_CHECKING:
    import cyclopts

__all__ = ["application", "main"]

HELP = {"--help", "-h"}
FRONT_PAGE: tuple[list[str], ...] = ([], *([word] for word in sorted(HELP)))


def application(asked: str | None = None) -> "cyclopts.App":
    """The commands, by name, so that one loads what it needs and nothing else.

    Args:
        asked: the command that is to run. Its help is its own; of the others it is the sentence on the front page.
    """
    import cyclopts

    app = cyclopts.App(name="tidelog", help=ABOUT, version=_version, default_parameter=cyclopts.Parameter(negative=""))
    for command in COMMANDS:
        app.command(command.target, name=command.name, help=None if command.name == asked else command.help)
    app.command("tidelog.cli.run.source:run_source", name="run-source", show=False)
    return app


def _version() -> str:
    import tidelog
    from tidelog.compiled import core

    return f"{tidelog.__version__}, core: {core().said}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a mistake of the user's is one sentence on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_standard_streams()
    if os.environ.get("COLUMNS") == "0":  # what a terminal without a size says, and in which no help can be drawn
        del os.environ["COLUMNS"]
    try:
        try:
            if words in FRONT_PAGE:
                _show(page(width()))
            else:
                _require_text(words)
                _run(words)
        except SystemExit as ended:
            if isinstance(ended.__context__, BrokenPipeError):  # of which rich makes an end with code 1
                raise ended.__context__ from None
            sys.stdout.flush()  # here, where it is said what went wrong
            raise
        sys.stdout.flush()
    except TidelogError as error:
        _complain(str(error), code=error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `tidelog chain logs | head` is no error
        sys.stdout = None
        sys.exit(0)
    except OSError as error:
        if _can_print():
            raise
        with suppress(OSError):
            sys.stdout.close()  # else it tries again at the end, and Python says so
        sys.stdout = None
        _complain(f"standard output cannot be written: {error.strerror}", code=ConfigError.exit_code)


def _open_standard_streams() -> None:
    """Let nothing else take the places of those that are closed (`>&-`): what is printed would go there."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None and not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _can_print() -> bool:
    """Whether standard output takes a byte, so that it was something else that could not be written."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except OSError:
        return False
    return True


def _require_text(words: Sequence[str]) -> None:
    """ConfigError: a word, or a setting of the environment, is not UTF-8. It may have a secret, so it is not shown."""
    said = {f"word {place} of the command": word for place, word in enumerate(words, 1)}
    said |= {name: value for name, value in os.environ.items() if name.startswith("TIDELOG_")}
    for what, text in said.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{what} is not UTF-8") from None


def _show(text: str) -> None:
    try:
        print(text)
    except UnicodeEncodeError:  # a terminal of ASCII alone
        print(text.translate(DRAWN))


def _run(words: list[str]) -> None:
    import cyclopts

    if not HELP.isdisjoint(words) and width() < WIDTH_LEAST:
        os.environ["COLUMNS"] = str(WIDTH_LEAST)  # in a column or two cyclopts never ends
    try:
        application(words[0])(words, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _complain(str(error), code=2)


def _complain(sentence: str, *, code: int) -> None:
    from tidelog.cli.out import complain

    complain(f"tidelog: {' '.join(sentence.split())}")
    sys.exit(code)
