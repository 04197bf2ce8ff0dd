"""What keys a configuration's struct has, and what is wrong in a tree that was read for it. No file, no environment."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.inspect import (
    CustomType,
    Field,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
)

from tidelog.config.values import ConfigValue, Secret, Verbatim, refers

INTEGER_MAX = 2**63  # TOML's have 64 bits: https://toml.io/en/v1.0.0#integer

Path = tuple[str, ...]  # of a key: fields' names, and for one of a list its name, else its index
Key = tuple[str | int, ...]  # the same as positions in the tree


def shape_of(kind: type) -> StructType:
    shape = msgspec.inspect.type_info(kind)
    assert isinstance(shape, StructType)
    return shape


def plain(shape: Type) -> Type:
    """The type without what describes it, and without None where that is the only alternative."""
    while isinstance(shape, Metadata):
        shape = shape.type
    if isinstance(shape, UnionType):
        others = [each for each in shape.types if not isinstance(each, NoneType)]
        if len(others) == 1:
            return plain(others[0])
    return shape


def described(field: Field) -> Mapping[str, Any]:
    """The description and the examples that a field's type was annotated with."""
    return (field.type.extra_json_schema or {}) if isinstance(field.type, Metadata) else {}


def items(shape: Type) -> Type | None:
    """The type of a list's items; None if it is no list."""
    shape = plain(shape)
    return plain(shape.item_type) if isinstance(shape, VarTupleType | ListType) else None


def value_class(shape: Type) -> type[ConfigValue] | None:
    shape = plain(shape)
    if isinstance(shape, CustomType) and issubclass(shape.cls, ConfigValue):
        return shape.cls
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """What to add to a sentence about a word that is not known."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(choices) or 'none'}"


def named(path: Sequence[str | int], tree: object) -> Path:
    """A path in the tree as people read it: one of a list by its name, if it has one."""
    words: list[str] = []
    for step in path:
        try:
            tree = tree[step]  # type: ignore[index]
        except (LookupError, TypeError):
            tree = None
        name = tree.get("name") if isinstance(step, int) and isinstance(tree, dict) else None
        words.append(name if isinstance(name, str) and name else str(step))
    return tuple(words)


class Wrong(Exception):
    """What is wrong in a tree, and where."""

    def __init__(self, key: Key, sentence: str) -> None:
        super().__init__(key, sentence)
        self.key = key
        self.sentence = sentence


def examine(tree: object, shape: Type, key: Key = ()) -> list[Key]:
    """Where secrets stand in the open.

    Raises:
        Wrong: a key is not known, a number has more than 64 bits, a choice is none of those there are, or a reference
            is where none may be.
    """
    shape = plain(shape)
    exposed: list[Key] = []
    if isinstance(shape, StructType) and isinstance(tree, dict):
        fields = {field.encode_name: field.type for field in shape.fields}
        for name, value in tree.items():
            if name not in fields:
                raise Wrong((*key, name), f"there is no such key; {nearest(name, fields)}")
            exposed += examine(value, fields[name], (*key, name))
    elif (each := items(shape)) is not None and isinstance(tree, list):
        for index, value in enumerate(tree):
            exposed += examine(value, each, (*key, index))
    elif isinstance(each, StructType) and isinstance(tree, dict):
        raise Wrong(key, f"write this table as [[{key[-1]}]]: there may be several")
    elif isinstance(tree, int) and not -INTEGER_MAX <= tree < INTEGER_MAX:
        raise Wrong(key, "this number is too large")
    elif isinstance(shape, LiteralType) and tree not in shape.values:
        raise Wrong(key, f"give one of {', '.join(map(str, shape.values))}")
    elif (cls := value_class(shape)) is not None and issubclass(cls, Secret):
        texts = [text for text in cls.texts(tree) if not isinstance(text, Verbatim)]
        exposed += [key] if any(map(cls.exposed, texts)) else []
    elif isinstance(tree, str) and not isinstance(tree, Verbatim) and refers(tree):
        raise Wrong(key, "only secrets and URLs may refer to the environment with ${NAME}")
    return exposed


def fill(tree: object, shape: Type) -> None:
    """Put the defaults into the tree that depend on where the file is, such as relative paths."""
    shape = plain(shape)
    if (each := items(shape)) is not None and isinstance(tree, list):
        for item in tree:
            fill(item, each)
    elif isinstance(shape, StructType) and isinstance(tree, dict):
        for field in shape.fields:
            if isinstance(plain(field.type), StructType) and not field.required:
                tree.setdefault(field.encode_name, {})
            elif isinstance(field.default, ConfigValue) and (text := field.default.by_default()) is not None:
                tree.setdefault(field.encode_name, text)
            if field.encode_name in tree:
                fill(tree[field.encode_name], field.type)
