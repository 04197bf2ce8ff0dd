"""A TOML file, and the environment over it, as one frozen struct of the caller's type.

What is wrong is one sentence with the file, the key and what is wanted; no sentence has a value of the file in it, as
that may be a secret.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from tidelog.config.overrides import override
from tidelog.config.shape import Key, Path, Wrong, examine, fill, named, shape_of
from tidelog.config.values import ConfigValue, Reading, Verbatim
from tidelog.errors import ConfigError

DATA_DIR = "TIDELOG_DATA_DIR"
FILE_BYTES_MAX = 1024 * 1024  # a thousand sources have a tenth of it

T = TypeVar("T")

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table",
}
_NOT_TEXT = ", not text in quotes"  # which all is that a variable of the environment holds
_BOUNDS = {">=": "{} or more", "<=": "{} or less", ">": "more than {}", "<": "less than {}"}


class Override(Struct, frozen=True):
    """A key that a variable of the environment has set."""

    path: Path
    variable: str


class Loaded(Struct, Generic[T], frozen=True):
    """A configuration, and where it is from."""

    value: T
    text: str  # of the file
    given: frozenset[Path]  # keys that the file has
    overrides: tuple[Override, ...]
    exposed: tuple[Path, ...]  # secrets that stand in the file itself


def load(file: str, kind: type[T], environ: Mapping[str, str]) -> Loaded[T]:
    """Read the file. ConfigError: what is wrong with it, in one sentence."""
    return parse(read_text(file), kind, file=file, environ=environ)


def read_text(file: str) -> str:
    """The file's text, without a byte order mark."""
    try:
        with open(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise ConfigError(f"{file} is no file")
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{file} is longer than {FILE_BYTES_MAX} bytes: it is no configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}, line {line}: this is not UTF-8") from None


def parse(text: str, kind: type[T], *, file: str, environ: Mapping[str, str]) -> Loaded[T]:
    """The configuration in a text. `file` is where the text is from; relative paths lie in `data_folder`."""
    shape = shape_of(kind)
    tree = _tree(text, file)
    reading = Reading(data_folder(file, environ), environ)
    overrides: dict[Key, str] = {}
    try:
        exposed = examine(tree, shape)
        given = frozenset(named(key, tree) for key in _leaves(tree))
        overrides = override(tree, shape, environ)
        examine(tree, shape)
        fill(tree, shape)
        value = _converted(tree, kind, reading)
    except Wrong as wrong:
        for length in range(len(wrong.key), 0, -1):
            if variable := overrides.get(wrong.key[:length]):
                raise ConfigError(f"{variable}: {wrong.sentence.removesuffix(_NOT_TEXT)}") from None
        raise ConfigError(f"{file}: {'.'.join(named(wrong.key, tree))}: {wrong.sentence}") from None
    return Loaded(
        value,
        text,
        given,
        tuple(Override(named(key, tree), variable) for key, variable in overrides.items()),
        tuple(named(key, tree) for key in exposed if key not in overrides),
    )


def data_folder(file: str, environ: Mapping[str, str]) -> str:
    """The folder that relative paths of a file are relative to.

    TIDELOG_DATA_DIR; else the first of STATE_DIRECTORY, by which systemd tells a service where it may write
    (systemd.exec(5)); else the file's own folder.
    """
    given = environ.get(DATA_DIR) or environ.get("STATE_DIRECTORY", "").split(":")[0]
    return os.path.abspath(given or os.path.dirname(os.path.abspath(file)))


def _tree(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|(end of document))\)", str(error), re.DOTALL)
        if found is None:
            raise ConfigError(f"{file} is no TOML: {error}") from None
        where = f"line {found[2]}, column {found[3]}" if found[2] else "at its end"
        raise ConfigError(f"{file}, {where}: this is no TOML: {found[1]}") from None
    except RecursionError:
        raise ConfigError(f"{file} is nested too deep: it is no configuration") from None
    except ValueError:  # of Python: it has more digits than can be read in bounded time
        raise ConfigError(f"{file} is no TOML: a number in it has thousands of digits") from None


def _leaves(tree: object, key: Key = ()) -> list[Key]:
    if isinstance(tree, dict):
        return [leaf for name, value in tree.items() for leaf in _leaves(value, (*key, name))]
    if isinstance(tree, list) and tree and all(isinstance(item, dict) for item in tree):
        return [leaf for index, value in enumerate(tree) for leaf in _leaves(value, (*key, index))]
    return [key]


def _converted(tree: object, kind: type[T], reading: Reading) -> T:
    def hook(cls: type, given: object) -> object:
        assert issubclass(cls, ConfigValue)
        return cls.read(given, reading)

    try:
        converted: T = _without_marks(msgspec.convert(tree, kind, dec_hook=hook))
        return converted
    except msgspec.ValidationError as error:
        words, _, where = str(error).rstrip("`").partition(" - at `$")
        key: Key = tuple(int(index) if index else name for name, index in _STEP.findall(where))
        missing = re.fullmatch(r"Object missing required field `(.*)`", words)
        if missing is not None:
            raise Wrong((*key, missing[1]), "this key is missing") from None
        raise Wrong(key, _sentence(words)) from None


def _without_marks(value: Any) -> Any:
    """The same with plain texts: msgspec takes a `Verbatim` over as it is, and cannot encode it."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, tuple):
        return tuple([_without_marks(item) for item in value])
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        plain = {name: _without_marks(item) for name, item in fields.items()}
        changed = {name: item for name, item in plain.items() if item is not fields[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _sentence(words: str) -> str:
    """What msgspec says, as people say it."""
    found = re.fullmatch(r"Expected `([^`]+)`(?:, got `([^`]+)`| (>=|<=|>|<) (.+)| of length (>=|<=) (\d+))", words)
    if found is None:
        return words
    wanted = " or ".join(_WORDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null")
    if found[2]:
        return f"give {wanted}, not {_WORDS.get(found[2], f'a {found[2]}')}"
    if found[3]:
        return f"give {wanted}, {_BOUNDS[found[3]].format(found[4])}"
    return f"give {wanted} of {'at least' if found[5] == '>=' else 'at most'} {found[6]}"
