"""Which journals of a recording with shards can be read here: those that are named, and those that its record names.

A journal is known by its id, not by its name. What is not here is said, with the reason; what should be here and is
not, or is another one, is a finding.
"""

import os
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, TidelogError
from tidelog.market.events import NOTHING, EventId
from tidelog.market.journal.reader import Ends, JournalReader
from tidelog.market.load.recorded import Recorded
from tidelog.market.projection.state import ProjectionState
from tidelog.market.shards.claims import Claimant
from tidelog.market.shards.layout import first_run, journal_of, shard_of_run

__all__ = ["Located", "located"]


class Located(Struct):
    """The journals of a recording's shards, by their numbers. One that has given nothing to the store is left out."""

    paths: dict[int, str] = {}
    begins: dict[int, EventId] = {}  # the first record that each has
    whole: set[int] = set()  # of those, who have all that they ever had
    absent: dict[int, str] = {}  # why the others cannot be read, for people
    wrong: list[str] = []  # findings

    def lose(self, number: int, why: str) -> None:
        """A journal cannot be read after all."""
        self.absent[number] = f"{self.paths.pop(number)}: {why}"
        del self.begins[number]
        self.whole.discard(number)

    def look_again(self) -> None:
        """Retention may have dropped some of them since. Opens files. Corruption: one is damaged."""
        for number, path in self.paths.items():
            opened = _opened(path, None)
            if opened.ends is not None and opened.ends.first > self.begins[number]:
                self.begins[number] = opened.ends.first
                self.whole.discard(number)


class _Opened(Struct, frozen=True):
    id: str  # hex; "": an older tidelog has made it
    ends: Ends | None
    pruned: bool


def located(
    found: Recorded, given: Sequence[str], host: str, usual: str | None = None, vfs: str | None = None
) -> Located:
    """Look for the journals of all shards. Opens files.

    Args:
        given: paths that a user names.
        host: this machine, as the record of shards names it.
        usual: where the first one lies, if nothing else says it.

    Raises:
        ConfigError: one that is named is none, or none of this recording's.
    """
    result, bases = Located(), [*given, *([] if usual is None else [usual])]
    loaded = {number: state for number, state in found.shards.items() if state.id > NOTHING}
    for path in given:
        try:
            opened = _opened(path, vfs)
        except Corruption as error:
            result.wrong.append(str(error))
            continue
        number = _whose(opened, loaded)
        if number is None:
            raise ConfigError(f"--journal {path}: no shard of this recording was loaded from it")
        if number in result.paths:
            raise ConfigError(f"--journal {path}: {result.paths[number]} is the journal of shard {number} too")
        _admit(result, number, path, opened, loaded[number])
    claims = found.claims
    for number, state in loaded.items():
        if number not in result.paths and number not in result.absent:
            claimant = None if claims is None else claims.shards.get(number)
            _look_for(result, number, state, claimant, bases, host, vfs)
    return result


def _look_for(
    result: Located,
    number: int,
    state: ProjectionState,
    claimant: Claimant | None,
    bases: Collection[str],
    host: str,
    vfs: str | None,
) -> None:
    """Find the journal of a shard that nobody has named."""
    machine, _, folder = ("", "", "") if claimant is None else claimant.place.partition(":")
    own = os.path.join(folder, os.path.basename(claimant.journal)) if claimant and machine in ("", host) else None
    own = own if machine else None
    beside = [path for base in bases for path in _beside(base, number)]
    for path in (*([] if own is None else [own]), *beside):
        if vfs is None and not os.path.isfile(path):
            continue
        try:
            opened = _opened(path, vfs)
        except TidelogError as error:
            if path == own:
                result.wrong.append(f"the journal of shard {number}: {error}")
                result.absent[number] = f"{path} cannot be read"
                return
            continue
        if _is_of(opened, number, state):
            _admit(result, number, path, opened, state)
            return
        if path == own:
            result.wrong.append(f"{path} is another journal than the one that shard {number} was loaded from")
            result.absent[number] = f"{path} is another one"
            return
    if own is None:
        result.absent[number] = f"it is on {claimant.place}" if claimant and machine else "nothing says where it is"
        return
    result.absent[number] = f"{own} is not there"
    if state.symbols:  # one that has given up all it had may be deleted
        result.wrong.append(f"the journal of shard {number}, {own}, is not there, and the shard has symbols still")


def _beside(base: str, number: int) -> Iterator[str]:
    """Where the journal of a shard lies if `base` is that of the first one, or of another."""
    yield journal_of(base, number)
    root, extension = os.path.splitext(base)
    stem, _, digits = root.rpartition(".")
    if stem and digits.isdecimal():
        yield journal_of(stem + extension, number)


def _opened(path: str, vfs: str | None) -> _Opened:
    reader = JournalReader(path, vfs)
    try:
        identity = reader.identity
        return _Opened("" if identity is None else identity.id.hex(), reader.ends(), reader.dropped() is not None)
    finally:
        reader.close()


def _whose(opened: _Opened, loaded: dict[int, ProjectionState]) -> int | None:
    return next((number for number, state in loaded.items() if _is_of(opened, number, state)), None)


def _is_of(opened: _Opened, number: int, state: ProjectionState) -> bool:
    """Whether a shard was loaded from that journal."""
    if opened.id and state.journal:
        return opened.id == state.journal
    return opened.ends is not None and shard_of_run(opened.ends.first.run) == number


def _admit(result: Located, number: int, path: str, opened: _Opened, state: ProjectionState) -> None:
    """Take the journal of a shard, if it has all that was loaded from it."""
    ends = opened.ends
    if ends is None and opened.id and opened.id == state.journal:  # it was begun behind a lost one, and has nothing yet
        result.paths[number], result.begins[number] = path, EventId(state.id.run + 1, 1)
        return
    if ends is None or ends.last < state.id:
        place = f"{state.id.run}.{state.id.seq}"
        result.wrong.append(f"{path} ends before record {place}, up to which shard {number} was loaded")
        result.absent[number] = f"{path} is not all of it"
        return
    result.paths[number], result.begins[number] = path, ends.first
    if not opened.pruned and ends.first == (first_run(number), 1):
        result.whole.add(number)
