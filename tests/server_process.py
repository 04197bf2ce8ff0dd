"""A server of streams in a process of its own, that can be killed, lose its folder and come back."""

import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

__all__ = ["ServerProcess"]


class ServerProcess(ABC):
    """One server. `folder` is where it keeps what it is given; it is there while the server is not."""

    start_timeout_s: ClassVar[float]
    poll_s: ClassVar[float]

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """What runs it; called at each start."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it is up: it has read what it keeps."""

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert self.process is None
        command = self._command()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + self.start_timeout_s
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()[-2_000:]
            assert time.monotonic() < deadline, self.log.read_text()[-2_000:]
            time.sleep(self.poll_s)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def lose(self) -> None:
        """Remove all that it keeps. While it is down."""
        assert self.process is None
        shutil.rmtree(self.folder)
