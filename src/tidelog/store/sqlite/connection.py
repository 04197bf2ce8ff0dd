"""SQLite connections: where the file is, how it is opened, and what its errors mean to tidelog.

Every connection of the store is made by `connect`, so that a simulation can put a VFS under it.
Knows nothing of rows.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import apsw

from tidelog.errors import Busy, ConfigError, Corruption, Full, StoreError, TimedOut

__all__ = [
    "APPLICATION_ID",
    "connect",
    "extended_code",
    "identify",
    "is_there",
    "leave_memory_uncounted",
    "path_of",
    "pragma",
    "reading",
    "refuse_stub",
    "transaction",
    "translated",
]

APPLICATION_ID = 0x7469646C  # "tidl", in the file's header: SQLite's own way to tell whose file it is

HEADER_BYTES = 100  # https://sqlite.org/fileformat2.html#the_database_header

READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
READ_ONLY = apsw.SQLITE_OPEN_READONLY

NEW_FILE_MODE = 0o600  # a store holds hashes of tokens, a journal an account's private messages

WRITABLE = "the file and its folder have to be writable, also to read it (SQLite keeps its log beside it)"

# A disk without room shows as SQLITE_FULL, or, with a quota or file size limit, as one of these.
_NO_ROOM = {
    apsw.SQLITE_IOERR_WRITE,
    apsw.SQLITE_IOERR_FSYNC,
    apsw.SQLITE_IOERR_DIR_FSYNC,
    apsw.SQLITE_IOERR_SHMSIZE,
    apsw.SQLITE_IOERR_COMMIT_ATOMIC,
}


def path_of(url: str) -> str:
    """The file of `sqlite:///relative.db` or `sqlite:////absolute/path.db`; ConfigError if it is neither."""
    prefix = "sqlite:///"
    path = url[len(prefix) :] if url.startswith(prefix) else ""
    if not path or path.endswith("/") or "?" in path or "\0" in path or path.startswith((":memory:", "file:")):
        raise ConfigError(
            f"--db {url!r} names no SQLite file: write sqlite:///tidelog.db or sqlite:////var/lib/tidelog.db"
        )
    return path


def refuse_stub(path: str) -> None:
    """ConfigError if the file is too short for SQLite's header and not empty: SQLite would overwrite it."""
    if os.path.isfile(path) and 0 < os.path.getsize(path) < HEADER_BYTES:
        raise ConfigError(f"{path} is not a SQLite file: give --db another path")


def leave_memory_uncounted() -> None:
    """Tell SQLite not to count the bytes that it holds: threads wait for each other at each allocation that is counted.

    For a program, before it opens a store: it is for all of the process, whose `apsw.memory_used()` says 0 then. Where
    a connection is open already, nothing changes.
    """
    with suppress(apsw.MisuseError):
        apsw.shutdown()
        apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)
        apsw.initialize()


def connect(path: str, flags: int, vfs: str | None = None) -> apsw.Connection:
    """Open a connection: the only place that does. A new file is its owner's alone; so is the log beside it.

    ConfigError: the path is a folder's, or of something that SQLite keeps in no file.
    """
    if vfs is None:
        _refuse_no_file(path)
    if vfs is None and flags & apsw.SQLITE_OPEN_CREATE:
        with suppress(OSError):  # it exists, or cannot be made, which SQLite says
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE_MODE))
    return apsw.Connection(path, flags=flags, vfs=vfs)


def _refuse_no_file(path: str) -> None:
    """ConfigError for what SQLite takes, and is no file: read only, it opens a folder, and fails at its first read."""
    if path in ("", ":memory:"):
        raise ConfigError(f"{path!r} names no file: give a path")
    if os.path.isdir(path):
        raise ConfigError(f"{path} cannot be opened: it is a folder")


def pragma(connection: apsw.Connection, name: str, value: int | str) -> None:
    """Set a pragma, and read it back: SQLite ignores silently what it does not know or cannot do."""
    connection.pragma(name, value)
    found = connection.pragma(name)
    if str(found).lower() != str(value).lower():
        raise StoreError(f"SQLite keeps {name} at {found!r} instead of {value!r}")


def identify(connection: apsw.Connection, path: str) -> bool:
    """True if the file is a tidelog store, False if it is empty; ConfigError if it is anything else."""
    try:
        with reading(connection):  # between two reads another process may make a store of it
            application_id = connection.pragma("application_id")
            objects = connection.execute("SELECT count(*) FROM sqlite_schema").get
    except apsw.NotADBError:
        raise ConfigError(f"{path} is not a SQLite file: give --db another path") from None
    if application_id == APPLICATION_ID:
        return True
    if application_id == 0 and objects == 0:
        return False
    raise ConfigError(f"{path} is a SQLite file of another program: give --db another path")


def extended_code(error: apsw.Error) -> int:
    """SQLite's extended result code, which apsw sets but its type stubs do not know."""
    code: int = getattr(error, "extendedresult", 0)
    return code


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """A transaction that has the write lock from its start, so that it cannot fail for a lock later."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(apsw.Error):  # the first error is the one to tell
                connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: apsw.Connection) -> Iterator[None]:
    """One state of the file. The error that ended it, such as a failed read, is the one that propagates."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(apsw.Error):  # SQLite may have ended it meanwhile
            connection.execute("ROLLBACK")


def is_there(connection: apsw.Connection, table: str) -> bool:
    """Whether a table is there still: what a batch has made, another one may discard, but for within a transaction."""
    return bool(
        connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).get
    )


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into tidelog's."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Busy(f"{path} is locked by another writer") from error
    except apsw.InterruptError as error:
        raise TimedOut(f"{path}: a read was ended before it had its answer") from error
    except apsw.FullError as error:
        raise Full(f"{path}: no room is left on the disk") from error
    except apsw.IOError as error:
        if extended_code(error) in _NO_ROOM:
            raise Full(f"{path} could not be written, is the disk full? ({error})") from error
        _check_writable(path, error)
        raise StoreError(f"{path}: {error}") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Corruption(f"{path} is damaged: {error}") from error
    except UnicodeDecodeError as error:  # SQLite keeps texts as they are, and does not look at them
        raise Corruption(f"{path} is damaged: a text in it is not UTF-8 ({error})") from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        _check_writable(path, error)
        raise ConfigError(f"{path} cannot be opened: {_reason(path)}") from error
    except apsw.Error as error:
        raise StoreError(f"{path}: {error}") from error


def _check_writable(path: str, error: apsw.Error) -> None:
    """Full if the file system takes no writes: a kernel makes it read only after an error of the disk.

    As on a full disk, what was committed is whole, and somebody has to do something before another try can succeed.
    """
    try:
        is_read_only = bool(os.statvfs(os.path.dirname(path) or ".").f_flag & os.ST_RDONLY)
    except OSError:
        return
    if is_read_only:
        absent = "" if os.path.exists(path) else "there is no such file, and "
        raise Full(
            f"{path} cannot be opened or written: {absent}its file system is read only ({error}); {WRITABLE}"
        ) from error


def _reason(path: str) -> str:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    if os.path.isdir(path):
        return "it is a folder"
    if not os.path.exists(path) and os.access(folder, os.W_OK):
        return "there is no such file"
    return WRITABLE
