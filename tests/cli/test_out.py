"""Commands have one way to their user, on which nobody else's text commands the terminal."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

import tidelog.cli
from tests.cli.conftest import Cli

ROOT = Path(tidelog.cli.__file__).parent
APART = ("demo/", "sim/", "out.py", "__init__.py")  # what they print is their own, or printed by other commands


def test_every_command_says_what_it_says_by_one_piece() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(APART)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert found == []


def test_a_mistake_is_told_in_words_that_command_nothing(cli: Cli) -> None:
    done = cli("market", "trades", "\x1b[2JX/USD", "--db", "sqlite:////nowhere/\x1b]0;owned\x07.db")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\\u001b]0;owned" in done.err


COMMANDS = [["--help"], ["chain", "--help"], ["chain", "status", "--db", "DB"], ["db", "digest", "--db", "DB"]]


def printed_to(out: IO[str], command: list[str], db: str, unbuffered: str) -> tuple[int, str]:
    """The exit code and standard error of a command that prints there."""
    done = subprocess.run(
        [sys.executable, "-m", "tidelog", *(db if word == "DB" else word for word in command)],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_takes_nothing_is_a_sentence(command: list[str], unbuffered: str, db: str) -> None:
    with open("/dev/full", "w") as full:
        told = printed_to(full, command, db, unbuffered)
    assert told == (2, "tidelog: standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["--version"], *COMMANDS], ids=" ".join)
def test_an_output_that_nobody_reads_any_more_is_no_error(command: list[str], unbuffered: str, db: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        assert printed_to(nobody, command, db, unbuffered) == (0, "")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_closed_output_is_no_place_for_what_is_opened(command: list[str], db: str) -> None:
    words = [db if word == "DB" else word for word in command]
    shell = '"$0" -m tidelog "$@" >&- <&-'
    done = subprocess.run(["sh", "-c", shell, sys.executable, *words], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
