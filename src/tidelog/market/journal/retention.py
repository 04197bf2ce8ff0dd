"""How much of a feed's journal is kept: when to drop what `pruning` can drop.

Age and size are checked after each snapshot; a size cap after each commit too, so that a busy market cannot outgrow it
in between. What a reader still needs is spared as long as the cap allows: at the cap the oldest records are dropped,
and the journal itself reports it to a reader that had not read them. The feed never waits for any of it.
"""

import asyncio
import re
from collections.abc import Callable

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, StoreError
from tidelog.market.events import EventId
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.writer import Journal
from tidelog.telemetry import logger

SNAPSHOTS_PER_CAP = 8  # at least so many snapshots in a full journal, so that no more than an eighth goes at once
SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024  # packed, between snapshots under any cap: deleting that takes no second
CAP_BYTES_MIN = 1024 * 1024  # below that a journal of a busy market holds seconds
_SIZE = re.compile(r"(\d{1,15})(?:\.(\d{1,3}))? ?(KiB|MiB|GiB|TiB|kB|MB|GB|TB|B|)", re.ASCII)
_UNITS = {
    "": 1, "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4,
}  # fmt: skip

_log = logger("market")


class Retention(Struct, frozen=True):
    """How much of the journal is kept.

    age_s: older records are dropped, in seconds, but for those that the slowest reader has not read. None: any age.
    bytes_max: of the file in use; above it the oldest records are dropped, first those that every reader has read and,
        if that is not enough, the others too: readers that miss them record a gap. None: any size.
    restart: gives the position of the slowest reader; None: there is none.
    """

    age_s: float | None = None
    bytes_max: int | None = None
    restart: Callable[[], EventId | None] = lambda: None


def size_of(text: str) -> int:
    """Bytes of `500MiB`, `10GiB`, `1.5GB` or a plain number. ConfigError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no size: write it as 500MiB or 10GiB")
    whole, part, unit = found[1], found[2] or "", found[3]
    size: int = int(whole + part) * _UNITS[unit] // 10 ** len(part)
    if size < CAP_BYTES_MIN:
        raise ConfigError(f"{text!r} is too small for a journal: give 1MiB or more, such as 10GiB")
    return size


class Pruner:
    """Keeps one run's journal within its bounds. Belongs to the feed's event loop.

    Args:
        write_snapshot: writes a snapshot into the journal unless the run has ended, and calls `snapshot_written`.
    """

    def __init__(
        self,
        retention: Retention,
        journal: Journal,
        now_us: Callable[[], int],
        write_snapshot: Callable[[], None],
    ) -> None:
        self._retention = retention
        self._journal = journal
        self._now_us = now_us
        self._write_snapshot = write_snapshot
        self._task: asyncio.Task[None] | None = None
        self._snapshot_at_bytes = 0  # how much was written with the last snapshot, about
        self._snapshot_bytes = 0  # of that
        self._failed = False  # the last time; it is tried again with the next snapshot, not with each commit
        self._closed = False

    def snapshot_written(self, size: int) -> None:
        """The feed has written a snapshot of so many bytes: a moment to check age and size."""
        self._snapshot_at_bytes, self._snapshot_bytes = self._journal.written_bytes + size, size
        self._failed = False
        self._begin()

    def committed(self) -> None:
        """Something was committed: look at the cap, if there is one."""
        cap_bytes = self._retention.bytes_max
        if cap_bytes is None or self._closed:
            return
        # a state that is large beside the cap must not be what fills it
        step_bytes = max(min(cap_bytes // SNAPSHOTS_PER_CAP, SNAPSHOT_BYTES_MAX), self._snapshot_bytes)
        if self._journal.written_bytes - self._snapshot_at_bytes >= step_bytes:
            self._write_snapshot()
        if self._journal.used_bytes > cap_bytes and not self._failed:
            self._begin()

    def _begin(self) -> None:
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._prune())

    async def _prune(self) -> None:
        retention, cap_bytes = self._retention, self._retention.bytes_max
        before_us = None if retention.age_s is None else self._now_us() - int(retention.age_s * 1_000_000)
        try:
            restart = retention.restart()
            while await self._journal.prune(PruneLimits(before_us, cap_bytes, restart)):
                pass
            while cap_bytes is not None and self._journal.used_bytes > cap_bytes:
                blocks = await self._journal.prune(PruneLimits(None, cap_bytes, restart, at_all_costs=True))
                if blocks == 0:
                    break  # no snapshot is late enough yet
                gone = self._journal.dropped
                if restart is not None and gone is not None and gone.id > restart:
                    _log.warning("journal_full", dropped=tuple(gone.id), read=tuple(restart), blocks=blocks)
        except (StoreError, Corruption) as error:  # old blocks may be damaged where new ones can be written
            self._failed = True
            _log.warning("journal_prune_failed", error=str(error))

    async def close(self) -> None:
        """Stop; what is under way on the journal's thread still ends there."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
