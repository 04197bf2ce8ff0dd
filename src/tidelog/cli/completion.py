"""`tidelog --install-completion`: commands and flags completed by the shell, out of a script that starts nothing."""

from pathlib import Path
from typing import Literal

from tidelog.cli import application
from tidelog.cli.out import say
from tidelog.errors import ConfigError


def install(*, shell: Literal["bash", "zsh", "fish"] | None = None, output: Path | None = None) -> None:
    """Write the script that completes commands and flags, where the shell finds it. Again after an upgrade.

    Args:
        shell: which one it is for; the one that this command is started from, if it is not given.
        output: write it to this file instead, and leave the shell's own start file alone.
    """
    from cyclopts.completion.detect import ShellDetectionError

    try:
        written = application().install_completion(shell=shell, output=output, add_to_startup=output is None)
    except ShellDetectionError:
        raise ConfigError("--shell: say which shell it is, bash, zsh or fish: it cannot be detected") from None
    except OSError as error:
        raise ConfigError(f"the script cannot be written to {error.filename}: {error.strerror}") from None
    say(f"{written} is written: start a new shell to use it")
