"""A lock on a file: the system releases it when its holder is gone, however that ends."""

import fcntl
import os
from types import TracebackType

from tidelog.errors import ConfigError


class FileLock:
    """Held from `take` to `release`. The file says which process has it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Whether it is ours now. ConfigError: the file cannot be made."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        os.ftruncate(file, 0)
        os.write(file, b"%d\n" % os.getpid())
        self._file = file
        return True

    def holder(self) -> str:
        """The process that the file names, for people."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                return file.read(32).strip() or "unknown"
        except OSError:
            return "unknown"

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)  # the file stays: who removes it may remove another's
            self._file = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
