"""`tidelog top`: what it refuses, in a sentence, before anything is drawn."""

import pytest

from tests.cli.conftest import Cli
from tests.command import tidelog
from tests.terminal import on_terminal
from tidelog.cli.top.watching import _shown_api


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "draws on a terminal, and this is none"),
        (("--journal", "x"), "--journal goes with --db"),
        (("--api", "localhost:8420"), "give an address such as http://127.0.0.1:8420"),
        (("--api", "http://"), "give an address such as http://127.0.0.1:8420"),
        (("--api", "http://[::1"), "give an address such as http://127.0.0.1:8420"),
        (("--mean", "1"), "--mean 1: give 2 to 200"),
        (("--speed", "10"), "--speed, --from and a second word go with a journal: give a journal's file"),
        (("gone.journal", "--from", "12:00"), "there is no file 'gone.journal'"),
        ((__file__, "--db", "sqlite:///x.db"), "is watched alone: leave --db and --journal out"),
        ((__file__, "--speed", "0"), "--speed '0': give a factor such as 1 or 10, at most 1000"),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[str, ...], words: str, cli: Cli) -> None:
    done = cli("top", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


@pytest.mark.parametrize(
    ("token", "api", "words"),
    [
        ("tl_a\nb", "http://127.0.0.1:1", "TIDELOG_TOKEN is no token: no header can have it"),
        ("tl_a", "http://me:tl_b@127.0.0.1:1", "an API is shown one of them, not both"),
        ("tl_a\n", "http://127.0.0.1:1", "draws on a terminal"),  # as a file ends
        ("", "http://me:tl_b@127.0.0.1:1", "draws on a terminal"),
    ],
)
def test_a_token_that_cannot_be_shown(
    token: str, api: str, words: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDELOG_TOKEN", token)
    done = cli("top", "--api", api)
    assert (done.code, words in done.err) == (2, True)


def test_a_password_is_not_drawn() -> None:
    assert _shown_api("http://me:tl_b@host:8420/x", "") == "http://host:8420/x"


def test_a_store_that_is_not_there_is_told_on_the_terminal() -> None:
    drawn = on_terminal("top", "--db", "sqlite:////nowhere/at/all.db", columns=200)
    assert drawn.code == 2
    assert drawn.lines[-1].startswith("tidelog: ")
    assert "Traceback" not in drawn.text


def test_a_file_that_is_no_journal_is_told_on_the_terminal() -> None:
    drawn = on_terminal("top", __file__, columns=200)
    assert drawn.code == 2
    assert "is not a journal" in drawn.lines[-1]


def test_in_a_pipe_nothing_is_drawn() -> None:
    for command in (("top", "--api", "http://127.0.0.1:1"), ("market", "book", "BTC/USD")):
        done = tidelog(*command)
        assert (done.code, done.out) == (2, "")
        assert "draws on a terminal, and this is none" in done.err
