"""A configuration as text from one process to another: whole and resolved, so that the other needs no environment.

Secrets stand in it as they are: it is for a pipe, never for a file, a log or a command line.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tidelog.config.values import ConfigValue, Reading, Verbatim

__all__ = ["handed", "taken"]

T = TypeVar("T", bound=Struct)

_RESOLVED = Reading("/", {})  # paths are absolute by now, and nothing is a reference


def handed(value: Struct) -> str:
    """The text of which `taken` makes an equal value."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def taken(text: str | bytes, kind: type[T]) -> T:
    """The value of such a text. msgspec.DecodeError: it is none."""
    return msgspec.json.decode(text, type=kind, dec_hook=_read)


def _plain(value: Any) -> Any:
    assert isinstance(value, ConfigValue), type(value)
    return value.plain()


def _read(kind: type, given: Any) -> Any:
    assert issubclass(kind, ConfigValue)
    return kind.read(_verbatim(given), _RESOLVED)


def _verbatim(given: Any) -> Any:
    if isinstance(given, dict):
        return {name: _verbatim(item) for name, item in given.items()}
    return Verbatim(given) if isinstance(given, str) else given
