"""Whether the files of a connection are still those that it has opened.

A file that is deleted or moved away lives on for who has it open. Whoever deletes a store's log while it is written,
or puts another file in the store's place, therefore makes two of it: the writer goes on with files that nobody will
ever open again, and the next one with others, so that neither fences the other. SQLite does not look; here the names
are compared with what they were, before anything is written. A reader of a file that another one has replaced goes over
to that one, see `reader`.
"""

import os

import apsw

from tidelog.errors import Displaced

__all__ = ["FileIdentity", "OpenedFiles", "file_at"]

FileIdentity = tuple[int, int]


class OpenedFiles:
    """Of a writing connection whose log is there: after its first transaction has begun."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        # the log's index carries the locks: without it, two writers have the same log and none of each other's locks
        self._paths = (connection.filename, connection.filename_wal, f"{connection.filename}-shm")
        self._held = [file_at(path) for path in self._paths]

    def check(self) -> None:
        """Displaced if one of them is another file now, or gone.

        Closing the connection changes nothing any more then: SQLite would copy its log into a file that may have got
        further, and delete a log that is another one's.
        """
        for path, known in zip(self._paths, self._held, strict=True):
            found = file_at(path)
            if found != known or known is None:
                self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                raise Displaced(
                    f"{path} was {'deleted' if found is None else 'replaced'} while tidelog wrote to it: this process "
                    "writes nothing more, and what it wrote last may be lost; start it again, and touch neither "
                    f"{self._paths[0]} nor the files beside it while something writes"
                )


def file_at(path: str) -> FileIdentity | None:
    """Which file a path leads to, whatever its name becomes; None: to none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
