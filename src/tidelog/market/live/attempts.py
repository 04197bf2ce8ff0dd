"""Attempts to connect that several processes share: an exchange counts those of an address, whoever makes them.

A file has the times of the latest ones, eight bytes each. Who is about to connect takes the file's lock, and writes his
own time before he goes. The system releases the lock of a process that is killed; one that was killed before it had
connected has used up an attempt, and none is ever made that is not in the file.
"""

import fcntl
import os
import struct
from typing import Protocol

from tidelog.errors import ConfigError
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

__all__ = ["Attempts", "FileAttempts"]

LOCK_S = 1.0  # that the lock may be another's before it is tried later: it is held for microseconds
LOCK_POLL_S = 0.01
LATER_US = 1_000_000
KEPT_FACTOR = 4  # times as many as count are in the file before old ones go
_TIME = struct.Struct(">q")

_log = logger("market")


class Attempts(Protocol):
    """What a feed asks before it connects."""

    async def take(self, now_us: int) -> int:
        """0: go, it is counted; else the time before which there is no attempt left, in microseconds."""
        ...


class FileAttempts:
    """In a file, of all processes that name it.

    Args:
        path: it is made if it does not exist.
        attempts_max: in any window.
        window_us: its length.
    """

    def __init__(self, path: str, attempts_max: int, window_us: int, runtime: Runtime) -> None:
        self._path = path
        self._attempts_max = attempts_max
        self._window_us = window_us
        self._runtime = runtime
        self._writable = True  # as far as the last attempt showed

    async def take(self, now_us: int) -> int:
        """As `Attempts.take`. ConfigError: the file cannot be made, opened or locked."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be opened: {error.strerror}") from None
        try:
            limit_s = self._runtime.monotonic() + LOCK_S
            while not self._locked(file):
                if self._runtime.monotonic() > limit_s:
                    return now_us + LATER_US
                await self._runtime.sleep(LOCK_POLL_S)
            return self._taken(file, now_us)
        finally:
            os.close(file)

    def _taken(self, file: int, now_us: int) -> int:
        size = os.fstat(file).st_size // _TIME.size * _TIME.size  # a time that was cut short is written over
        times = sorted([min(time, now_us) for (time,) in _TIME.iter_unpack(os.pread(file, size, 0))])
        recent = [time for time in times if time > now_us - self._window_us]
        if len(recent) >= self._attempts_max:
            oldest: int = recent[-self._attempts_max]
            return oldest + self._window_us
        if len(times) >= KEPT_FACTOR * self._attempts_max:
            kept, offset = b"".join([_TIME.pack(time) for time in (*recent, now_us)]), 0
        else:
            kept, offset = _TIME.pack(now_us), size
        return 0 if self._written(file, kept, offset) else now_us + LATER_US

    def _written(self, file: int, times: bytes, offset: int) -> bool:
        """Write times that end the file; False: the disk is full, or does not take them."""
        try:
            os.pwrite(file, times, offset)
            # ended between the two, it has some twice: that counts too many, and never too few
            os.ftruncate(file, offset + len(times))
        except OSError as error:
            if self._writable:
                _log.warning("attempts_not_written", path=self._path, error=error.strerror)
            self._writable = False
            return False
        self._writable = True
        return True

    def _locked(self, file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be locked: {error.strerror}") from None
        return True
