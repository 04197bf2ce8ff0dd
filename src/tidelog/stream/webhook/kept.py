"""What a publisher of webhooks keeps in a file of its own: its place, and the messages that were put aside.

Each step is one transaction that is on the disk when it returns. Commands read and mark messages beside the publisher.
"""

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from tidelog.chain.forks.bookmarks import BEGIN, Place, parse_place, place_text
from tidelog.errors import ConfigError, Corruption
from tidelog.filelock import FileLock
from tidelog.store.sqlite.connection import connect, transaction, translated
from tidelog.stream.port import Message

__all__ = ["Aside", "Kept"]

APPLICATION_ID = 0x74696477  # "tidw"
VERSION = 1
WAIT_S = 30.0  # for another process that writes: it does for milliseconds
_READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_SCHEMA = """
CREATE TABLE publisher (one INTEGER PRIMARY KEY CHECK (one = 1), source TEXT NOT NULL, place TEXT NOT NULL) STRICT;
CREATE TABLE aside (
    nth INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, subject TEXT NOT NULL, headers TEXT NOT NULL,
    payload BLOB NOT NULL, at_us INTEGER NOT NULL, failures INTEGER NOT NULL, reason TEXT NOT NULL,
    due INTEGER NOT NULL
) STRICT;
"""
# a publisher looks at each page: without it a look reads past each payload. Files of this version may lack it
_INDEX = "CREATE INDEX IF NOT EXISTS aside_due ON aside (nth) WHERE due"
_ASIDES = "SELECT id, subject, headers, payload, at_us, failures, reason, due FROM aside"


class Aside(Struct, frozen=True):
    """A message that was put aside."""

    id: str
    message: Message
    at_us: int
    failures: int
    reason: str
    due: bool  # somebody wants it to be sent again


class Kept:
    """The file, open.

    Args:
        path: made if it is not there and `source` is given.
        source: what is published; None: whatever it is, to look at it.
        vfs: SQLite's name of another file system.

    Raises:
        ConfigError: it cannot be made or opened, is of another source, or another publisher has it.
    """

    def __init__(self, path: str, source: str | None = None, vfs: str | None = None) -> None:
        self._path = path
        self._lock: FileLock | None = None
        if source is not None and vfs is None:
            lock = FileLock(f"{path}.lock", temporary=True)
            if not lock.take():
                raise ConfigError(f"{path} is another publisher's, which is running: give each a --state of its own")
            self._lock = lock
        elif source is None and not os.path.exists(path):
            raise ConfigError(f"--state {path}: there is no such file")
        try:
            with translated(path):
                self._file = connect(path, _READ_WRITE, vfs)
                self._file.set_busy_timeout(int(WAIT_S * 1_000))
                self._open(source)
        except BaseException:
            self.close()
            raise

    def _open(self, source: str | None) -> None:
        file = self._file
        try:
            found = file.pragma("application_id")
            file.pragma("synchronous", "full")
        except apsw.NotADBError:
            raise ConfigError(f"{self._path} is no state of webhooks: give --state another path") from None
        with transaction(file):
            if found == 0 and source is not None and not file.execute("SELECT count(*) FROM sqlite_schema").get:
                file.execute(_SCHEMA)
                file.execute("INSERT INTO publisher VALUES (1, ?, ?)", (source, place_text(BEGIN)))
                file.pragma("application_id", APPLICATION_ID)
                file.pragma("user_version", VERSION)
            elif found != APPLICATION_ID or file.pragma("user_version") != VERSION:
                raise ConfigError(f"{self._path} is no state of webhooks of this version: give --state another path")
            self.source = str(file.execute("SELECT source FROM publisher").get)
            if source == self.source:
                file.execute(_INDEX)
        if source is not None and self.source != source:
            raise ConfigError(f"{self._path} is the state of {self.source}, not of {source}: give --state another path")

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def place(self) -> Place:
        """Behind what was sent, or put aside. Corruption: it cannot be read."""
        with translated(self._path):
            text = str(self._file.execute("SELECT place FROM publisher").get)
        try:
            return parse_place(text)
        except ValueError as error:
            raise Corruption(f"{self._path} has a place that is none: {error}") from None

    def advance(self, place: Place) -> None:
        with translated(self._path), transaction(self._file):
            self._advance(place)

    def _advance(self, place: Place) -> None:
        self._file.execute("UPDATE publisher SET place = ?", (place_text(place),))

    def put_aside(self, aside: Aside, place: Place | None) -> None:
        """Keep a message, or what has become of it, and go on behind it."""
        message = aside.message
        with translated(self._path), transaction(self._file):
            self._file.execute(
                "INSERT INTO aside (id, subject, headers, payload, at_us, failures, reason, due)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET failures = failures + excluded.failures, reason = excluded.reason,"
                " due = 0",
                (
                    aside.id,
                    message.subject,
                    msgspec.json.encode(message.headers).decode(),
                    message.payload,
                    aside.at_us,
                    aside.failures,
                    aside.reason,
                ),
            )
            if place is not None:
                self._advance(place)

    def forget(self, identity: str) -> None:
        """A message that was put aside has been taken."""
        with translated(self._path), transaction(self._file):
            self._file.execute("DELETE FROM aside WHERE id = ?", (identity,))

    def asides(self) -> list[Aside]:
        """What was put aside, in its order."""
        with translated(self._path):
            rows = self._file.execute(f"{_ASIDES} ORDER BY nth").fetchall()
        return [_aside_of(*row) for row in rows]

    def due(self) -> Iterator[Aside]:
        """Those of them that are to be sent again by now, each read when its turn comes."""
        with translated(self._path):
            nths = [nth for (nth,) in self._file.execute("SELECT nth FROM aside WHERE due ORDER BY nth")]
        for nth in nths:
            with translated(self._path):
                rows = self._file.execute(f"{_ASIDES} WHERE nth = ?", (nth,)).fetchall()
            for row in rows:
                yield _aside_of(*row)

    def count(self) -> int:
        """Of messages that were put aside."""
        with translated(self._path):
            return int(self._file.execute("SELECT count(*) FROM aside").get)

    def send_again(self, identities: Sequence[str] | None) -> int:
        """Mark messages to be sent again; None: all of them. How many there are.

        Raises:
            ConfigError: one was not put aside; then nothing is marked.
        """
        with translated(self._path), transaction(self._file):
            if identities is None:
                self._file.execute("UPDATE aside SET due = 1")
                return int(self._file.changes())
            for identity in identities:
                self._file.execute("UPDATE aside SET due = 1 WHERE id = ?", (identity,))
                if self._file.changes() == 0:
                    raise ConfigError(f"{identity[:120]!r} was not put aside: `stream aside` lists what was")
            return len(identities)


def _aside_of(*row: Any) -> Aside:
    identity, subject, headers, payload, at_us, failures, reason, due = row
    message = Message(subject, msgspec.json.decode(headers, type=dict[str, str]), payload)
    return Aside(identity, message, at_us, failures, reason, bool(due))
