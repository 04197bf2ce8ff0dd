"""A disk that can lose power: a SQLite VFS over the unix one, which keeps durable and volatile apart.

Files lie in a real folder and are read and written there; beside it the disk remembers what each file contained when it
was last synced, and what was written since. A power cut puts the files back to that, or to that with a part
of the rest. Shared memory (`-shm`) is the unix VFS's own and does not survive.

Each simulated process mounts the disk under a name of its own, so that one that was killed can do nothing any more.
A file exists durably once it was synced; that deleting one is durable is taken for granted, as SQLite syncs the
folder.
"""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from types import TracebackType

import apsw
from msgspec import Struct

from tidelog.sim.world.loop import Killed

SECTOR_BYTES = 512  # what a disk writes whole or not at all
SYNC_S = 0.002  # of an ordinary sync

_names = count(1)


class Fault(Struct):
    """Something that goes wrong on a file operation. `left` counts how often it still does; `skip` come before."""

    kind: str  # one of FAULTS
    operation: str  # "write" | "sync" | "read"
    skip: int = 0
    left: int = 1


FAULTS = {
    "full": "write",
    "write_error": "write",
    "short_write": "write",
    "sync_error": "sync",
    "read_error": "read",
}


class _File:
    """One file: its durable content (None: it is not durably there), and the operations since, in order."""

    def __init__(self) -> None:
        self.durable: bytearray | None = None
        self.volatile: list[tuple[int, bytes | None]] = []  # (offset, data), or (size, None) for a truncation

    def sync(self) -> None:
        self.durable = _applied(self.durable or bytearray(), self.volatile)
        self.volatile.clear()


def _applied(content: bytearray, operations: list[tuple[int, bytes | None]]) -> bytearray:
    for offset, data in operations:
        if data is None:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
            continue
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data
    return content


class Disk:
    """The disk. `folder` is where its files really are."""

    def __init__(self, folder: str, rng: random.Random) -> None:
        self.folder = folder
        self.files: dict[str, _File] = {}
        self.faults: list[Fault] = []
        self.sync_s = SYNC_S
        self.owed_s = 0.0  # time that operations took and nobody has waited for yet
        self.happened: list[str] = []  # faults that were met, for the trace
        self._rng = rng

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def file(self, path: str) -> _File:
        return self.files.setdefault(path, _File())

    def has(self, path: str) -> bool:
        return os.path.exists(path)

    def rename(self, old: str, new: str) -> None:
        """Move a file, if it is there: by hand, while nobody has it open."""
        if self.has(old):
            os.rename(old, new)
            self.files[new] = self.files.pop(old, _File())

    def put(self, path: str, content: bytes) -> None:
        """Put a database in the place of another, and nothing in that of its log: by hand, while nobody has it open."""
        for name in [path + suffix for suffix in ("-wal", "-shm", "-journal")]:
            with suppress(FileNotFoundError):
                os.unlink(name)
            self.files.pop(name, None)
        with open(path, "wb") as handle:
            handle.write(content)
        self.file(path).durable, self.file(path).volatile = bytearray(content), []

    def take_owed(self) -> float:
        owed, self.owed_s = self.owed_s, 0.0
        return owed

    def meet(self, operation: str, path: str) -> Fault | None:
        """The fault that this operation meets, if any."""
        for fault in self.faults:
            if fault.operation != operation:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.left -= 1
            if fault.left <= 0:
                self.faults.remove(fault)
            self.happened.append(f"{fault.kind} {os.path.basename(path)}")
            return fault
        return None

    def cut_power(self, kept: float) -> None:
        """Lose what was not synced, but for the share `kept` of its sectors, chosen by chance.

        Each file is dealt with alone: order between writes is what a sync is for.
        """
        for path, file in sorted(self.files.items()):
            survivors: list[tuple[int, bytes | None]] = []
            for offset, data in file.volatile:
                survivors += self._survivors(offset, data, kept)
            gone = file.durable is None and not survivors
            content = _applied(bytearray(file.durable or b""), survivors)
            file.durable, file.volatile = (None if gone else content), []
            if gone:
                if os.path.exists(path):
                    os.unlink(path)
                del self.files[path]
            else:
                with open(path, "wb") as handle:
                    handle.write(content)
        for name in os.listdir(self.folder):
            if name.endswith("-shm"):
                os.unlink(self.path(name))

    def _survivors(self, offset: int, data: bytes | None, kept: float) -> list[tuple[int, bytes | None]]:
        if kept <= 0:
            return []
        if data is None:
            return [(offset, None)] if self._rng.random() < kept else []
        return [
            (at, data[at - offset : at - offset + SECTOR_BYTES])
            for at in range(offset, offset + len(data), SECTOR_BYTES)
            if self._rng.random() < kept
        ]


class Mount(apsw.VFS):
    """The disk as one process sees it. `name` is what SQLite calls it; unregister it when it is no longer used."""

    def __init__(self, disk: Disk, refuse: Callable[[], None] = lambda: None, *, faulty: bool = True) -> None:
        """
        Args:
            refuse: raises where the process is dead.
            faulty: meets the disk's faults; an observer does not.
        """
        self.faulty = faulty
        self.ended = False  # the process is gone: what is still closed meanwhile reaches nothing, silently
        self.touched: Callable[[str], None] = lambda point: None  # before each write and sync
        self.name = f"tidelog-disk-{next(_names)}"
        self.disk = disk
        self.refuse = refuse
        super().__init__(self.name, "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "MountedFile":  # noqa: N802
        self.refuse()
        return MountedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self.ended:
            return
        self.refuse()
        super().xDelete(filename, syncdir)
        self.disk.files.pop(filename, None)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        self.disk.owed_s += microseconds / 1e6
        return microseconds

    def close_connections(self) -> None:
        """Close what the process has left open; nothing more reaches the disk."""
        self.ended = True
        for connection in apsw.connections():
            try:
                mine = connection.open_vfs == self.name
            except apsw.ConnectionClosedError:
                continue
            if mine:
                with suppress(BaseException):  # what closing wanted to write is refused, and it is closed all the same
                    connection.close(True)


class MountedFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, mount: Mount, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._mount = mount
        self._disk = mount.disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = path
        self._file = _File() if path is None else mount.disk.file(path)
        super().__init__("unix", name, flags)
        self._read_only = bool(flags[1] & apsw.SQLITE_OPEN_READONLY)

    def excepthook(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool:
        """A dead process lets go of a connection: nobody is there to be told that its closing was refused."""
        return isinstance(evalue, Killed) or super().excepthook(etype, evalue, etraceback)

    def xLock(self, level: int) -> None:  # noqa: N802
        try:
            super().xLock(level)
        except apsw.IOError:
            if not self._read_only:
                raise
            # a reader that closes last tries for a lock that its file cannot have: SQLite passes over that, while
            # the exception would come out of `Connection.close`
            raise apsw.BusyError from None

    def _meet(self, operation: str) -> Fault | None:
        if not self._disk.faults or not self._mount.faulty:
            return None
        return self._disk.meet(operation, self._path or "")

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._meet("read") is not None:
            raise _io_error(apsw.SQLITE_IOERR_READ, "read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._mount.ended:
            return
        self._mount.refuse()
        self._mount.touched("disk.write")
        fault = self._meet("write")
        if fault is not None:
            if fault.kind == "short_write":
                self._write(data[: len(data) // 2], offset)
            elif fault.kind == "full":
                raise apsw.FullError("simulated: no room")
            raise _io_error(apsw.SQLITE_IOERR_WRITE, "write")
        self._write(data, offset)

    def _write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._file.volatile.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._mount.ended:
            return
        self._mount.refuse()
        super().xTruncate(newsize)
        self._file.volatile.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._mount.ended:
            return
        self._mount.refuse()
        self._mount.touched("disk.sync")
        self._disk.owed_s += self._disk.sync_s
        if self._meet("sync") is not None:
            raise _io_error(apsw.SQLITE_IOERR_FSYNC, "sync")
        self._file.sync()  # the file below lies in memory for all that matters here: it is not synced really


def _io_error(code: int, what: str) -> apsw.IOError:
    error = apsw.IOError(f"simulated: {what} failed")
    error.extendedresult = code  # type: ignore[attr-defined]
    error.result = apsw.SQLITE_IOERR  # type: ignore[attr-defined]
    return error
