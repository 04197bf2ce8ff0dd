"""Variables of the environment in the place of keys: `TIDELOG__CHAIN__MAINNET__POLL` is `chain.mainnet.poll`.

Names are in capitals with `_` for `-`, levels are separated by `__`, and one of a list is said by its name or its
index. A list is written with commas between, or as TOML writes it. Variables change what the file has; they add
nothing to a list of tables.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, StructType, Type, UnionType

from tidelog.config.shape import Key, items, nearest, plain
from tidelog.config.values import Verbatim
from tidelog.errors import ConfigError

PREFIX = "TIDELOG__"
NUMBER_CHARS_MAX = 20  # of 64 bits


def override(tree: dict[str, Any], shape: StructType, environ: Mapping[str, str]) -> dict[Key, str]:
    """Put the variables' values into the tree; which variable set which key.

    Raises:
        ConfigError: a variable names no key, or two name the same.
    """
    found: dict[Key, str] = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            key = _set(tree, shape, variable, environ[variable])
            if key in found:
                raise ConfigError(f"{variable} and {found[key]} set the same key: leave one of them out")
            found[key] = variable
    return found


def _set(tree: Any, shape: Type, variable: str, text: str) -> Key:
    key: Key = ()
    parts = variable[len(PREFIX) :].split("__")
    while True:
        if isinstance(shape, StructType):
            fields = {_spelled(field.encode_name): field for field in shape.fields}
            part = parts.pop(0)
            if part not in fields:
                raise ConfigError(f"{variable}: there is no such key; {nearest(part, fields)}")
            field = fields[part]
            name, shape = field.encode_name, plain(field.type)
            each = items(shape)
            key = (*key, name)
            if not isinstance(shape, StructType) and not isinstance(each, StructType):
                if parts:
                    raise ConfigError(f"{variable}: nothing is below {_spelled(name)}")
                tree[name] = _value(text, shape)
                return key
            if not parts:
                raise ConfigError(f"{variable} names a table: name one of its keys, as {variable}__KEY")
            tree = tree.setdefault(name, {} if each is None else [])
            if not isinstance(tree, dict if each is None else list):
                raise ConfigError(
                    f"{variable}: {name} is no {'table' if each is None else 'list of tables'} in the file"
                )
        else:
            index = _index(tree, parts.pop(0), variable)
            each = items(shape)
            assert each is not None
            tree, shape, key = tree[index], each, (*key, index)
            if not parts:
                raise ConfigError(f"{variable} names a table: name one of its keys, as {variable}__KEY")


def _index(tables: list[Any], part: str, variable: str) -> int:
    names = [_spelled(str(table.get("name", ""))) if isinstance(table, dict) else "" for table in tables]
    matching = [index for index, name in enumerate(names) if name == part]
    if len(matching) > 1:
        raise ConfigError(f"{variable} may mean several: write the index instead of {part}")
    if matching:
        return matching[0]
    index = int(part) if part.isascii() and part.isdecimal() and len(part) <= NUMBER_CHARS_MAX else len(tables)
    if index < len(tables) and isinstance(tables[index], dict):
        return index
    raise ConfigError(f"{variable}: none in the file is called {part}; {nearest(part, filter(None, names))}")


def _spelled(name: str) -> str:
    return name.upper().replace("-", "_")


def _value(text: str, shape: Type) -> Any:
    """A value of the key's kind; one that cannot be stays as it is, and is complained about as the file's are."""
    each = items(shape)
    if each is not None:
        if text.lstrip().startswith("["):
            try:
                listed = tomllib.loads(f"list = {text}")["list"]
            except tomllib.TOMLDecodeError:
                return text
            return [Verbatim(item) if isinstance(item, str) else item for item in listed]
        return [_value(part.strip(), each) for part in text.split(",") if part.strip()]
    kinds = [plain(kind) for kind in shape.types] if isinstance(shape, UnionType) else [shape]
    if any(isinstance(kind, BoolType) for kind in kinds) and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    numbers = any(
        isinstance(kind, IntType) or (isinstance(kind, LiteralType) and isinstance(kind.values[0], int))
        for kind in kinds
    )
    if numbers and text.isascii() and text.lstrip("-").isdecimal() and len(text) <= NUMBER_CHARS_MAX:
        return int(text)
    if any(isinstance(kind, FloatType) for kind in kinds):
        try:
            return float(text)
        except ValueError:
            return text
    return Verbatim(text)
