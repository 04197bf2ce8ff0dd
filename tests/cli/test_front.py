"""The front page is what cyclopts would print, and every command has a help of its own."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from tests.cli.conftest import Cli
from tidelog.cli import application
from tidelog.cli.front import COMMANDS, page


@pytest.mark.parametrize("columns", [60, 79, 80, 100, 132, 250])
def test_the_front_page_is_what_cyclopts_makes_of_the_commands(columns: int) -> None:
    made = io.StringIO()
    application().help_print([], console=Console(file=made, width=columns))
    assert page(columns).splitlines() == [line.rstrip() for line in made.getvalue().strip().splitlines()]


def test_the_front_page_fits_its_width() -> None:
    assert {len(line) for line in page(80).splitlines() if line.startswith(("│", "╭", "╰"))} == {80}


@pytest.mark.parametrize("words", [[], ["chain", "--help"], ["run", "--help"]], ids=" ".join)
@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_help_is_printed_however_narrow_the_terminal_says_it_is(
    words: list[str], columns: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = cli(*words)
    assert done.code == 0
    assert "tidelog" in "".join(done.out.split())


def test_the_front_page_is_printed_where_only_ascii_can_be() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidelog"],
        capture_output=True,
        check=True,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert b"+- Commands ---" in done.stdout


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_the_help_of_a_command_is_its_own_and_not_the_front_page_s(name: str, cli: Cli) -> None:
    done = cli(name, "--help")
    assert done.code == 0
    assert f"Usage: tidelog {name}" in done.out


def test_a_command_s_help_has_its_whole_docstring(cli: Cli) -> None:
    assert "Only this machine reaches it, unless --host says otherwise" in " ".join(cli("serve", "--help").out.split())
