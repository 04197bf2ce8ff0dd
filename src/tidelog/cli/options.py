"""Options that several commands take, as types of their parameters, and checks of their values.

Imports nothing that a help text does not need.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from tidelog.errors import ConfigError

__all__ = [
    "ADDRESS",
    "DEFAULT_DB",
    "FORM",
    "HASH",
    "LIST_MAX",
    "TABLE_FORM",
    "ChainId",
    "Db",
    "Form",
    "LogLevel",
    "Mode",
    "Out",
    "ProgressMode",
    "Several",
    "StatusAddress",
    "TableForm",
    "at_least",
    "flag",
    "hexadecimal",
    "limited",
]

DEFAULT_DB = "sqlite:///tidelog.db"
LIST_MAX = 10_000  # rows that a command prints at most: more is a job for SQL
HASH = re.compile(r"0x[0-9a-fA-F]{64}")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

Db = Annotated[str, Parameter(name="--db", help="sqlite:///PATH or postgresql://USER@HOST/NAME.", env_var="TIDELOG_DB")]
ChainId = Annotated[int | None, Parameter(help="Which chain; not needed when the store holds one.")]
Several = Annotated[tuple[str, ...], Parameter(negative="")]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
Out = Annotated[
    str | None,
    Parameter(help="Draw into this file, .png or .svg, and not as text; needs pip install 'tidelog[plot]'."),
]
Mode: TypeAlias = Literal["auto", "log", "json", "none"]
ProgressMode = Annotated[
    Mode,
    Parameter(
        name="--progress",
        help="auto: a line on a terminal, a log line a minute elsewhere; log: log lines also on a terminal; json: one "
        "object a line to standard output, at most one a second; none.",
    ),
]
StatusAddress = Annotated[
    str | None,
    Parameter(
        help="Serve /metrics, /livez and /readyz: 127.0.0.1:PORT or unix:PATH, on this machine only.",
        env_var="TIDELOG_STATUS",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Form:
    """How a list is printed: as a table on a terminal, a line a row elsewhere, or as JSON."""

    as_json: Annotated[bool, Parameter(name="--json", help="One JSON object per line.")] = False
    wide: Annotated[bool, Parameter(help="On a terminal: every column and every value, not cut to the width.")] = False
    full: Annotated[bool, Parameter(help="On a terminal: hashes and addresses in full, not shortened.")] = False

    @property
    def for_a_program(self) -> bool:
        """Whether it is exact, whoever reads it."""
        return self.as_json


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TableForm(Form):
    """That of a list that can be CSV as well."""

    as_csv: Annotated[bool, Parameter(name="--csv", help="Comma-separated values, with a head.")] = False

    def __post_init__(self) -> None:
        if self.as_json and self.as_csv:
            raise ConfigError("--json and --csv exclude each other")

    @property
    def for_a_program(self) -> bool:
        return self.as_json or self.as_csv


FORM = Form()
TABLE_FORM = TableForm()


def flag(name: str) -> str:
    """A setting's name as the command line has it."""
    return "--" + name.replace("_", "-")


def limited(value: int) -> int:
    """What `--limit` says; ConfigError if it is too much, or nothing."""
    if not 1 <= value <= LIST_MAX:
        raise ConfigError(f"--limit {value}: give 1 to {LIST_MAX}")
    return value


def at_least(flag: str, value: int, least: int) -> int:
    """The value. ConfigError: it is below `least`."""
    if value < least:
        raise ConfigError(f"{flag} {value}: give {least} or more")
    return value


def hexadecimal(flag: str, text: str, pattern: re.Pattern[str], what: str) -> bytes:
    """The bytes that 0x and hex digits say. ConfigError: it does not match `pattern`; `what` says what to give."""
    if not pattern.fullmatch(text):
        raise ConfigError(f"{flag} {text[:80]!r}: give {what}, as 0x and hex digits")
    return bytes.fromhex(text[2:])
