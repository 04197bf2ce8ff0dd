"""`tidelog top`: what it refuses, in a sentence, before anything is drawn."""

import pytest

from tests.cli.conftest import Cli
from tests.command import tidelog
from tests.on_terminal import on_terminal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "draws on a terminal, and this is none"),
        (("--journal", "x"), "--journal goes with --db"),
        (("--api", "localhost:8420"), "give an address such as http://127.0.0.1:8420"),
        (("--mean", "1"), "--mean 1: give 2 to 200"),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[str, ...], words: str, cli: Cli) -> None:
    done = cli("top", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_a_store_that_is_not_there_is_told_on_the_terminal() -> None:
    drawn = on_terminal("top", "--db", "sqlite:////nowhere/at/all.db", columns=200)
    assert drawn.code == 2
    assert drawn.lines[-1].startswith("tidelog: ")
    assert "Traceback" not in drawn.text


def test_in_a_pipe_nothing_is_drawn() -> None:
    done = tidelog("top", "--api", "http://127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
