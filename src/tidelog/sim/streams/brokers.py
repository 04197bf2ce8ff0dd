"""Brokers of Kafka with one topic of one partition, which live on when those who use them die.

They know transactions: what is read is what was committed, up to the first that is open; one publisher at a time has
the transactional id, and whoever begins ends what another one has open, and shuts it out. An open one whose publisher
is silent is ended after a while. They do not know messages by their ids: what is sent twice they have twice.

What is lost of a topic is lost in whole transactions.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from tidelog.stream.envelope import ID
from tidelog.stream.port import Stored

__all__ = ["Record", "SimBrokers"]

NAME_OF_ID = "Tidelog-Id"  # as records have it; a stream's messages have it by the port's own name


class Record(NamedTuple):
    """A message, as it is sent and given."""

    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class _Entry(Struct):
    """At one offset: a record, or the end of a transaction."""

    record: Record | None
    open_by: str | None = None  # whose transaction it is of, which has not ended
    is_committed: bool = False


class SimBrokers:
    """The brokers. `log` is None where there is no topic."""

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self.log: list[_Entry] | None = None
        self.away = False
        self.silent = False  # to readers, while it lasts
        self.starts = 0  # what is under way when they start again is not answered
        self.doubts = 0  # requests of publishers that are not answered from now on, carried out or not
        self.repeats = 0  # reads that are given once more what was given before
        self._now = now
        self._rng = rng
        self._epochs: dict[str, int] = {}  # by transactional id: of the publisher that began last
        self._begun = 0  # publishers: two never have the same, whatever is lost: real ones are told apart by what they
        # have sent too
        self._open_until: dict[str, float] = {}  # then they end its open transaction themselves
        self._copy: tuple[list[_Entry] | None, dict[str, int]] = None, {}

    # -- what happens to them ---------------------------------------------------------------------------------

    def restart(self) -> None:
        """Killed, and started again."""
        self.starts += 1

    def lose_tail(self, count: int) -> None:
        """Killed; the last transactions, of so many messages or more, were not on the disk."""
        self.restart()
        self._end_all()
        log = self.log or []
        lost = sum(1 for entry in log if entry.record is not None)
        while log and (log[-1].record is not None or sum(1 for each in log if each.record is not None) > lost - count):
            log.pop()

    def forget(self) -> None:
        """Killed; their folder is gone."""
        self.restart()
        self.log, self._epochs, self._open_until = None, {}, {}

    def copy(self) -> None:
        """The operator takes a copy of their files."""
        self._copy = _copied(self.log), self._epochs.copy()

    def restore(self) -> None:
        """Killed; their files are those of the last copy."""
        self.restart()
        log, epochs = self._copy
        self.log, self._epochs, self._open_until = _copied(log), epochs.copy(), {}
        self._end_all()

    # -- what is asked of them ----------------------------------------------------------------------------------

    @property
    def stream(self) -> list[Stored]:
        """What was committed, as a stream has it."""
        found = []
        for record in self.committed(0, len(self.log or [])):
            headers = {ID if name == NAME_OF_ID else name: text.decode() for name, text in record.headers}
            found.append(Stored(record.offset + 1, headers, record.value))
        return found

    def make(self) -> None:
        """Make the topic, if it is not there."""
        if self.log is None:
            self.log = []

    def begin(self, who: str) -> int:
        """A publisher of that transactional id begins; what it shows from now on."""
        self._end(who, committed=False)
        self._begun += 1
        self._epochs[who] = self._begun
        return self._begun

    def admits(self, who: str, epoch: int) -> bool | None:
        """Whether it is the publisher that began last; None: they know of none."""
        self._expire()
        return None if who not in self._epochs else epoch == self._epochs[who]

    def append(
        self, who: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...], timeout_s: float
    ) -> Record:
        """A record of its open transaction, or of the one that begins with it."""
        assert self.log is not None
        self._open_until.setdefault(who, self._now() + timeout_s)
        record = Record(len(self.log), key, value, headers)
        self.log.append(_Entry(record, open_by=who))
        return record

    def commit(self, who: str) -> None:
        """Its open transaction is whole."""
        self._end(who, committed=True)

    def stable_end(self) -> int:
        """Up to where it is settled what was committed."""
        self._expire()
        log = self.log or []
        return next((at for at, entry in enumerate(log) if entry.open_by is not None), len(log))

    def committed(self, first: int, end: int) -> list[Record]:
        """Records from an offset up to another."""
        return [each.record for each in (self.log or [])[first:end] if each.record is not None and each.is_committed]

    def is_carried_out(self) -> bool:
        """Of a request in doubt."""
        return self._rng.random() < 0.5

    def _expire(self) -> None:
        for who, until in list(self._open_until.items()):
            if self._now() >= until:
                self._end(who, committed=False)
                self._begun += 1
                self._epochs[who] = self._begun  # whoever has slept is shut out

    def _end(self, who: str, *, committed: bool) -> None:
        """End its open transaction."""
        self._open_until.pop(who, None)
        log = self.log or []
        was_open = [entry for entry in log if entry.open_by == who]
        for entry in was_open:
            entry.open_by, entry.is_committed = None, committed
        if was_open:
            log.append(_Entry(None))

    def _end_all(self) -> None:
        for who in sorted({entry.open_by for entry in self.log or [] if entry.open_by is not None}):
            self._end(who, committed=False)


def _copied(log: list[_Entry] | None) -> list[_Entry] | None:
    return None if log is None else [_Entry(entry.record, entry.open_by, entry.is_committed) for entry in log]
