"""A configuration as people may see it: every key, its value with secrets hidden, and where that is from."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.config.document import Loaded
from tidelog.config.shape import Path
from tidelog.config.values import ConfigValue


class Shown(Struct, frozen=True):
    """One key. `origin` is the variable that set it, else "file" or "default"."""

    path: Path
    value: Any  # as JSON has it
    origin: str

    @property
    def key(self) -> str:
        return ".".join(self.path)


def shown(loaded: Loaded[Any]) -> list[Shown]:
    """Every key, in the order of the schema."""
    variables = {each.path: each.variable for each in loaded.overrides}
    return [
        Shown(path, value, variables.get(path) or ("file" if path in loaded.given else "default"))
        for path, value in _walk(loaded.value, ())
    ]


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    for field in msgspec.structs.fields(type(value)):
        item, below = getattr(value, field.name), (*path, field.encode_name)
        if isinstance(item, Struct):
            yield from _walk(item, below)
        elif isinstance(item, tuple) and item and all(isinstance(each, Struct) for each in item):
            for index, each in enumerate(item):
                yield from _walk(each, (*below, str(getattr(each, "name", index))))
        else:
            yield below, _plain(item)


def _plain(item: Any) -> Any:
    if isinstance(item, ConfigValue):
        return item.shown()
    if isinstance(item, tuple):
        return [_plain(each) for each in item]
    return item
