"""Which shard records which symbol. Pure.

A shard is one process with a socket and a journal of its own; they are numbered from 1. A symbol that no list names
goes to the shard with the highest weight for it (rendezvous hashing, Thaler and Ravishankar 1998): the weight of shard
K is the SHA-256 of the symbol, a zero byte and K in decimal, compared as bytes. So a shard more takes its symbols from
the others, and a shard less gives its own to them; no symbol moves between two that stay.
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import sha256

from msgspec import Struct

from tidelog.errors import ConfigError
from tidelog.market.symbols import normal_symbols

__all__ = [
    "SHARDS_MAX",
    "WHOLE",
    "Layout",
    "Shard",
    "first_run",
    "journal_of",
    "layout_of",
    "shard_of",
    "shard_of_run",
]

SHARDS_MAX = 64  # a process each: as many sources as `run` takes
RUNS_EACH = 1_000_000_000  # numbers of runs: those of two shards' journals differ, so that a place tells its journal


class Shard(Struct, frozen=True):
    """One shard of several, as `2/4`."""

    number: int  # from 1
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> "Shard":
        """ConfigError: it is none."""
        number, _, of = text.partition("/")
        good = all(part.isascii() and part.isdecimal() and len(part) < 4 for part in (number, of))
        if not (good and 1 <= int(number) <= int(of) <= SHARDS_MAX):
            raise ConfigError(f"shard {text[:20]!r}: give one such as 2/4, of {SHARDS_MAX} at most")
        return cls(int(number), int(of))


WHOLE = Shard(1, 1)  # a recording without shards


class Layout(Struct, frozen=True):
    """How the symbols of a recording are divided."""

    of: int
    pinned: dict[str, int] = {}  # symbols whose shard a list says

    def shard(self, symbol: str) -> int:
        """The number of the shard that records it."""
        return self.pinned.get(symbol) or shard_of(symbol, self.of)

    def symbols_of(self, number: int, symbols: Sequence[str]) -> tuple[str, ...]:
        """Those of a shard, in their order."""
        return tuple([symbol for symbol in symbols if self.shard(symbol) == number])

    def numbers(self, symbols: Collection[str], *, alone: bool) -> tuple[int, ...]:
        """The shards that have something to record. The first one has what comes without symbols, if `alone`."""
        used = {self.shard(symbol) for symbol in symbols} | ({1} if alone else set())
        return tuple(sorted(used))


def shard_of(symbol: str, of: int) -> int:
    """The shard of a symbol that no list names, of so many."""
    return max(range(1, of + 1), key=lambda number: sha256(f"{symbol}\0{number}".encode()).digest())


def layout_of(
    symbols: Sequence[str], shards: int | None, shard: Shard | None, lists: Sequence[Sequence[str]]
) -> Layout | None:
    """The layout that a user means; None: the recording is not divided.

    Args:
        symbols: all that are recorded.
        shards: how many; None: as `shard` says, or as many as there are lists.
        shard: the one that is run here; None: all are.
        lists: the symbols of the first shard, of the second, and so on; those in no list go by their hash.

    Raises:
        ConfigError: there are more shards than symbols, or more lists than shards; a list names a symbol that is not
            recorded, or that another list has too.
    """
    if shard is not None and shards not in (None, shard.of):
        raise ConfigError(f"shard {shard} is one of {shard.of}, and there are to be {shards}: say it once")
    symbols, lists = normal_symbols(symbols), [normal_symbols(each) for each in lists]
    of = shards
    if of is None:
        of = shard.of if shard is not None else len(lists) or 1
    if of == 1 and shard is None and len(lists) <= 1:
        return None
    if not 1 <= of <= SHARDS_MAX:
        raise ConfigError(f"{of} shards: give 1 to {SHARDS_MAX}")
    if symbols and of > len(symbols):
        raise ConfigError(f"{of} shards of {_count(len(symbols), 'symbol')}: give at most as many shards as symbols")
    if len(lists) > of:
        raise ConfigError(f"{_count(len(lists), 'list')} of symbols for {_count(of, 'shard')}: give one for a shard")
    counted = Counter([symbol for each in lists for symbol in each])
    for symbol, count in counted.items():
        if symbol not in symbols:
            raise ConfigError(f"a shard's list has {symbol}, which is none of the symbols to record")
        if count > 1:
            raise ConfigError(f"{symbol} is in the lists of shards twice: one shard records it")
    return Layout(of, {symbol: number for number, each in enumerate(lists, 1) for symbol in each})


def journal_of(path: str, number: int) -> str:
    """The journal of a shard: that of the first is the recording's own, the others have their number in the name."""
    root, extension = os.path.splitext(str(path))
    return path if number == 1 else f"{root}.{number}{extension}"


def first_run(number: int) -> int:
    """The number of the first run of a shard's journal."""
    return (number - 1) * RUNS_EACH + 1


def shard_of_run(run: int) -> int:
    """Whose journal has a run of that number."""
    return max(0, run - 1) // RUNS_EACH + 1


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
