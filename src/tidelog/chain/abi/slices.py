"""A decoder of one event, written out for its signature: slices of topics and data, in one loop over logs.

It takes what a compiler writes, exactly, and declines all else; `reader` then reads it, or says what is wrong. It knows
elementary types, tuples and arrays of fixed size, and strings and bytes in the order in which they stand; an event with
anything else has none. Of names and texts of a signature nothing gets into the function: only numbers do.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, TypeAlias

from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.reader import Value
from tidelog.chain.abi.types import WORD, Array, Elementary, Kind, Tuple, Type, head_words

__all__ = ["Log", "Slices", "Topic", "sliced"]

TOPICS = 4
WORDS_MAX = 64  # of a head: beyond, a function would be longer than it is worth

Topic: TypeAlias = bytes | None
Log: TypeAlias = tuple[Topic, Topic, Topic, Topic, bytes]  # the topics, and the data
Slices: TypeAlias = Callable[[Iterable[Log]], list[tuple[Value, ...] | None]]  # None: this log is declined

DECLINE = "add(None); continue"
_FUNCTION = """
def decode(logs):
    found = []
    add = found.append
    for topic0, topic1, topic2, topic3, data in logs:
        {body}
    return found
"""


class _TooMuch(Exception):
    """A function would not be worth it."""


class _Lines:
    """The function's conditions, in the order in which they are looked at, and the names of its constants."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, object] = {"number": int.from_bytes}
        self._fresh = count()

    def name(self) -> str:
        return f"v{next(self._fresh)}"

    def constant(self, value: bytes) -> str:
        name = f"c{value.hex()}"
        self.constants[name] = value
        return name

    def require(self, *conditions: str) -> None:
        self.lines += [f"if not ({condition}): {DECLINE}" for condition in conditions]


def sliced(event: Event) -> Slices | None:
    """The event's decoder; None: the event has a type that it does not know."""
    try:
        return _made(event)
    except _TooMuch:
        return None


def _made(event: Event) -> Slices:
    lines = _Lines()
    values: dict[int, str] = {}
    topics = [f"topic{place}" for place in range(TOPICS)]
    if event.topic0 is not None:
        lines.require(f"{topics.pop(0)} == {lines.constant(event.topic0)}")
    for place, parameter in enumerate(event.parameters):
        if parameter.indexed:
            topic = topics.pop(0)
            lines.require(f"{topic} is not None and len({topic}) == {WORD}")
            hashed = parameter.is_hashed
            assert hashed or isinstance(parameter.type, Elementary)
            values[place] = topic if hashed else _word(lines, parameter.type, topic, 0)  # type: ignore[arg-type]
    lines.require(*(f"{topic} is None" for topic in topics))
    rest = [place for place, parameter in enumerate(event.parameters) if not parameter.indexed]
    found = _data(lines, [event.parameters[place].type for place in rest])
    values |= dict(zip(rest, found, strict=True))
    result = "".join(f"{values[place]}, " for place in range(len(event.parameters)))
    body = "\n        ".join([*lines.lines, f"add(({result}))"])
    scope: dict[str, Any] = dict(lines.constants)
    exec(_FUNCTION.format(body=body), scope)  # noqa: S102 nothing but numbers gets into it
    decode: Slices = scope["decode"]
    return decode


def _data(lines: _Lines, types: Sequence[Type]) -> list[str]:
    """What stands for each value."""
    words = head_words(tuple(types))
    if words > WORDS_MAX:
        raise _TooMuch
    if all(each.words is not None for each in types):
        lines.require(f"len(data) == {WORD * words}")
    else:
        lines.require(f"len(data) > {WORD * words}")
    found, at, tail = [], 0, str(WORD * words)
    for each in types:
        if isinstance(each, Elementary) and each.words is None:
            value, tail = _text(lines, each, at, tail)
            found.append(value)
            at += WORD
        else:
            value, at = _static(lines, each, at)
            found.append(value)
    if tail != str(WORD * words):
        lines.require(f"len(data) == {tail}")
    return found


def _static(lines: _Lines, given: Type, at: int) -> tuple[str, int]:
    """What stands for the value, and where the next one begins."""
    if given.words is None:
        raise _TooMuch
    if isinstance(given, Elementary):
        return _word(lines, given, "data", at), at + WORD
    members: list[Type] = []
    if isinstance(given, Tuple):
        members += [parameter.type for parameter in given.parameters]
    elif isinstance(given, Array):
        assert given.length is not None
        members += [given.item] * given.length
    values = []
    for member in members:
        value, at = _static(lines, member, at)
        values.append(value)
    return f"({', '.join(values)},)", at


def _text(lines: _Lines, given: Elementary, at: int, begin: str) -> tuple[str, str]:
    """What stands for the value, and for the place behind it."""
    length, first, end, value = (lines.name() for _ in range(4))
    lines.require(f"number(data[{at}:{at + WORD}]) == {begin}")
    lines.lines += [
        f"{length} = number(data[{begin}:{begin} + {WORD}])",
        f"{first} = {begin} + {WORD}",
        f"{end} = {first} + ({length} + {WORD - 1} & -{WORD})",
    ]
    lines.require(f"{end} <= len(data)")
    lines.lines.append(f"{value} = data[{first}:{first} + {length}]")
    lines.require(f"not data[{first} + {length}:{end}].strip({lines.constant(bytes(1))})")
    if given.kind is Kind.STRING:
        lines.lines += [f"try: {value} = str({value}, 'utf-8')", f"except ValueError: {DECLINE}"]
    return value, end


def _word(lines: _Lines, given: Elementary, source: str, at: int) -> str:
    """What stands for the value of a word that is there."""
    whole = source if source != "data" else f"data[{at}:{at + WORD}]"
    size = given.size
    if given.kind is Kind.FIXED_BYTES:
        if size < WORD:
            lines.require(f"{source}[{at + size}:{at + WORD}] == {lines.constant(bytes(WORD - size))}")
        return f"{source}[{at}:{at + size}]"
    if given.kind is Kind.BOOL:
        name = lines.name()
        one, zero = lines.constant(bytes(31) + b"\1"), lines.constant(bytes(WORD))
        lines.require(f"({name} := {whole}) == {one} or {name} == {zero}")
        return f"{name} == {one}"
    if given.kind is Kind.INT:
        if size == 256:
            return f"number({whole}, 'big', signed=True)"
        name, most = lines.name(), 1 << size - 1
        lines.require(f"-{most} <= ({name} := number({whole}, 'big', signed=True)) < {most}")
        return name
    if given.kind not in (Kind.UINT, Kind.ADDRESS):
        raise _TooMuch
    begin = at + WORD - size // 8
    if begin > at:
        lines.require(f"{source}[{at}:{begin}] == {lines.constant(bytes(begin - at))}")
    value = f"{source}[{begin}:{at + WORD}]"
    return value if given.kind is Kind.ADDRESS else f"number({value})"
