"""A lock on a file: the system releases it when its process ends, however it ends."""

import errno
import fcntl
import os
from contextlib import suppress
from types import TracebackType

from tidelog.errors import ConfigError, Full


class FileLock:
    """Locked from `take` to `release`. The file says which process has it.

    Args:
        temporary: remove the file on release. Whoever takes the lock makes sure that the file it has locked is still
            the one at that path.
    """

    def __init__(self, path: str, *, temporary: bool = False) -> None:
        self._path = path
        self._temporary = temporary
        self._file: int | None = None

    def take(self) -> bool:
        """Whether it is ours now.

        Raises:
            Full: the file cannot be made now: no room, or the file system has turned read-only.
            ConfigError: it cannot be made there, or its file system has no locks.
        """
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise self._unmade(error) from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            except OSError as error:  # a network's file system without a lock manager
                os.close(file)
                raise ConfigError(f"{self._path} cannot be locked: {error.strerror}") from None
            if self._is_at_path(file):
                break
            os.close(file)  # its holder has removed it between our two calls
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.write(file, b"%d\n" % os.getpid())
        except OSError as error:  # a file without content has room where content has none
            self.release()
            raise self._unmade(error) from None
        return True

    def _unmade(self, error: OSError) -> Full | ConfigError:
        if error.errno == errno.EROFS:
            return Full(f"{self._path} could not be made: its file system is read only")
        kind = Full if error.errno in (errno.ENOSPC, errno.EDQUOT) else ConfigError
        return kind(f"{self._path} cannot be made: {error.strerror}")

    def _is_at_path(self, file: int) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        ours = os.fstat(file)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def holder(self) -> str:
        """The process that the file names, for people."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                return file.read(32).strip() or "unknown"
        except OSError:
            return "unknown"

    def release(self) -> None:
        if self._file is None:
            return
        if self._temporary and self._is_at_path(self._file):  # else somebody has removed it, and it may be another's
            with suppress(OSError):  # on a file system that has turned read-only the file stays, without a lock
                os.unlink(self._path)  # while it is locked: no other process can have it
        os.close(self._file)
        self._file = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
