"""What commands say to their user: every line goes through here, so that nobody else's text commands the terminal."""

import sys

from tidelog.printable import printable

__all__ = ["complain", "say"]


def say(text: str, *, flush: bool = False) -> None:
    """One line to standard output."""
    print(printable(text, sys.stdout.encoding or "utf-8"), flush=flush)


def complain(text: str) -> None:
    """One line to standard error."""
    print(printable(text, sys.stderr.encoding or "utf-8"), file=sys.stderr)
