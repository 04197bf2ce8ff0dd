"""What happened in a simulated run, as a digest: the same seed has to give the same one."""

import hashlib
from collections import deque
from collections.abc import Callable

LINES_KEPT = 400  # the last ones, to be looked at when a run fails


class Trace:
    """Lines with their moment. Nothing that differs from process to process may get in: no id(), no hash()."""

    def __init__(self, now: Callable[[], float], folder: str) -> None:
        """`folder` is named by chance, and left out of the lines."""
        self._now = now
        self._folder = folder
        self._hash = hashlib.sha256()
        self.count = 0
        self.last: deque[str] = deque(maxlen=LINES_KEPT)

    def add(self, text: str) -> None:
        line = f"{self._now():.6f} {text}".replace(self._folder, "DISK")
        self._hash.update(line.encode() + b"\n")
        self.last.append(line)
        self.count += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
