"""Rows as the commands that list what is stored print them."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tidelog.cli.out import say

__all__ = ["print_rows", "say_none", "time_text"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def print_rows(rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    """A row a line: as one JSON object, or as what it has, name=value. Bytes are printed as hex."""
    for row in rows:
        shown = {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in row.items()}
        if as_json:
            say(json.dumps(shown))
        else:
            say("  ".join(f"{name}={value}" for name, value in shown.items() if value is not None))


def say_none(sentence: str, as_json: bool) -> None:
    """Say that a list is empty to who reads it; what goes on to a program stays empty."""
    if not as_json and sys.stdout.isatty():
        say(sentence)


def time_text(time_us: int) -> str:
    """Unix time in microseconds as UTC."""
    try:
        time = EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us"
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
