"""Completion in a real bash: the script is installed, found, and knows commands and flags."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = shutil.which("bash")
COMPLETED = """
source {script}
complete -p tidelog >/dev/null || exit 9
COMP_WORDS=(tidelog {words}) COMP_CWORD={position}
_tidelog
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, after the installation."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run(
        [sys.executable, "-m", "tidelog", "--install-completion", "--shell", "bash"],
        check=True,
        capture_output=True,
        env={**os.environ, "HOME": str(home)},
    )
    return home


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ch", {"chain"}),
        ("chain re", {"repair", "rewind"}),
        ("chain sync --reorg", {"--reorg-patience"}),
        ("chain sync --finality ''", {"latest", "safe", "finalized"}),
        ("market record --keep-c", {"--keep-candles-days", "--keep-coverage-days"}),
    ],
)
def test_bash_completes_commands_flags_and_choices(words: str, expected: set[str], home: Path) -> None:
    assert BASH is not None
    script = home / ".local/share/bash-completion/completions/tidelog"
    program = COMPLETED.format(script=script, words=words, position=len(words.split()))
    done = subprocess.run([BASH, "--norc", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_new_bash_has_the_completion(home: Path) -> None:
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--rcfile", str(home / ".bashrc"), "-i", "-c", "complete -p tidelog"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    assert done.stdout == "complete -F _tidelog tidelog\n"


def test_the_script_goes_to_a_file_and_leaves_the_shell_s_start_file_alone(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    subprocess.run(
        [sys.executable, "-m", "tidelog", "--install-completion", "--shell", "bash", "--output", str(script)],
        check=True,
        capture_output=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert [path.name for path in tmp_path.iterdir()] == ["completion.bash"]


def test_a_shell_that_cannot_be_told_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidelog", "--install-completion"],
        capture_output=True,
        text=True,
        env={"PATH": "", "HOME": str(tmp_path), "SHELL": "/bin/none"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tidelog: ")
