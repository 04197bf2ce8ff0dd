"""Events and functions from their signatures: `Transfer(address indexed from, address indexed to, uint256 value)`.

As Solidity declares them, with or without the keyword, names and data locations; what follows a function's
arguments (visibility, `returns (..)`) is read over.
"""

import re
from functools import lru_cache

from tidelog.chain.abi.entries import Event, Function
from tidelog.chain.abi.types import DEPTH_MAX, Parameter, Tuple, Type, array_of, elementary
from tidelog.errors import ConfigError

__all__ = ["SIGNATURE_CHARACTERS_MAX", "arrays_of", "parse_event", "parse_function", "require_distinct"]

SIGNATURE_CHARACTERS_MAX = 4096  # the longest of known contracts are some hundred
_KEPT = 256  # signatures of events, of the latest that were asked for

_TOKEN = re.compile(r"\s*([A-Za-z_$][A-Za-z0-9_$]*|\d+|[()\[\],;])")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_LENGTH = re.compile(r"0|[1-9]\d{0,18}")
_ARRAYS = re.compile(r"(?:\[\d*\])*")
_LOCATIONS = frozenset({"calldata", "memory", "storage"})


@lru_cache(_KEPT)
def parse_event(text: str) -> Event:
    """ConfigError: it is no event's signature, and why."""
    try:
        reader = _Reader(text)
        name = reader.declared("event")
        parameters = reader.parameters(depth=0, indexed=True)
        anonymous = reader.taken("anonymous")
        reader.end()
        return Event(name, parameters, anonymous)
    except ConfigError as error:
        raise ConfigError(f"{_short(text)!r} is no signature of an event: {error}") from None


def parse_function(text: str) -> Function:
    """ConfigError: it is no function's signature, and why."""
    try:
        reader = _Reader(text)
        name = reader.declared("function")
        return Function(name, reader.parameters(depth=0, indexed=False))
    except ConfigError as error:
        raise ConfigError(f"{_short(text)!r} is no signature of a function: {error}") from None


def arrays_of(item: Type, text: str) -> Type:
    """The type that `item` and a row of brackets make: `[2][]`. ConfigError: it is no such row."""
    if not _ARRAYS.fullmatch(text):
        raise ConfigError(f"{text[:80]!r} are no brackets of an array")
    for length in re.findall(r"\[(\d*)\]", text):
        if length and not _LENGTH.fullmatch(length):
            raise ConfigError("the length of an array is written in other digits than a number has")
        item = array_of(item, int(length) if length else None)
    return item


def require_distinct(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The same. ConfigError: two have one name."""
    names = [parameter.name for parameter in parameters if parameter.name]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"two arguments are named {twice}")
    return parameters


class _Reader:
    """The words and signs of a signature, one after the other."""

    def __init__(self, text: str) -> None:
        if len(text) > SIGNATURE_CHARACTERS_MAX:
            raise ConfigError(f"it is longer than {SIGNATURE_CHARACTERS_MAX} characters")
        self._tokens: list[str] = []
        self._next = 0
        text, at = text.rstrip(), 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ConfigError(f"{text[at:].lstrip()[:1]!r} has no place in it")
            self._tokens.append(found.group(1))
            at = found.end()

    def declared(self, keyword: str) -> str:
        """The name, behind the keyword if it is there."""
        name = self._word("a name")
        return self._word("a name") if name == keyword and self._peek() != "(" else name

    def parameters(self, *, depth: int, indexed: bool) -> tuple[Parameter, ...]:
        if depth > DEPTH_MAX:
            raise ConfigError(f"arrays and tuples are more than {DEPTH_MAX} deep")
        self._sign("(")
        found: list[Parameter] = []
        if self.taken(")"):
            return ()
        while True:
            found.append(self._parameter(depth, indexed))
            if not self.taken(","):
                break
        self._sign(")")
        return require_distinct(tuple(found))

    def taken(self, token: str) -> bool:
        """Whether it comes next; it is passed then."""
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def end(self) -> None:
        self.taken(";")
        if self._peek() is not None:
            raise ConfigError(f"{self._peek()!r} follows it")

    def _parameter(self, depth: int, may_index: bool) -> Parameter:
        typed = self._type(depth)
        indexed = False
        while (word := self._peek()) is not None and _WORD.fullmatch(word):
            self._next += 1
            if word == "indexed" and may_index:
                indexed = True
            elif word not in _LOCATIONS:
                return Parameter(word, typed, indexed)
        return Parameter("", typed, indexed)

    def _type(self, depth: int) -> Type:
        found: Type
        if self._peek() == "tuple":
            self._next += 1
        if self._peek() == "(":
            found = Tuple.of(self.parameters(depth=depth + 1, indexed=False))
        else:
            name = self._word("a type")
            found = elementary(name)
            if name == "address":
                self.taken("payable")
        brackets = ""
        while self.taken("["):
            length = self._tokens[self._next] if (self._peek() or "").isdecimal() else ""
            self._next += bool(length)
            self._sign("]")
            brackets += f"[{length}]"
        return arrays_of(found, brackets)

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _word(self, what: str) -> str:
        word = self._peek()
        if word is None or not _WORD.fullmatch(word):
            raise ConfigError(f"{what} is missing {self._place()}")
        self._next += 1
        return word

    def _sign(self, sign: str) -> None:
        if not self.taken(sign):
            raise ConfigError(f"{sign!r} is missing {self._place()}")

    def _place(self) -> str:
        word = self._peek()
        return "at its end" if word is None else f"before {word!r}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
