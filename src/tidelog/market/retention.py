"""How much of a feed's journal is kept: the shell that asks for what `journal_retention` does.

Age and size are looked at after each full state; a size cap after each commit too, so that a busy market cannot
outgrow it in between. What a fold has not read is spared as long as the cap allows: at the cap the oldest goes, and
whoever had not read it is told by the journal itself. The feed never waits for any of it.
"""

import asyncio
import re
from collections.abc import Callable

from msgspec import Struct

from tidelog.errors import ConfigError, StoreError
from tidelog.market.events import EventId
from tidelog.market.journal import Journal
from tidelog.market.journal_retention import Bounds
from tidelog.telemetry import logger

STATES_PER_CAP = 8  # at least so many restart points in a full journal, so that no more than an eighth goes at once
STATE_BYTES_MAX = 64 * 1024 * 1024  # packed, between restart points under any cap: deleting that takes no second
CAP_BYTES_MIN = 1024 * 1024  # below that a journal of a busy market holds seconds
_SIZE = re.compile(r"(\d{1,15})(?:\.(\d{1,3}))? ?(KiB|MiB|GiB|TiB|kB|MB|GB|TB|B|)", re.ASCII)
_UNITS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}

_log = logger("market")


class Retention(Struct, frozen=True):
    """How much of the journal is kept.

    age_s: what is older goes, but for what the slowest fold has not read.
    bytes_max: the oldest goes when the file has more than so many bytes in use, first what every fold has read, and
        if that is not enough, all the same: the folds that miss it put a gap in its place.
    restart: how far the slowest fold is, None: there is none.
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


class Keeper:
    """Keeps one run's journal within its bounds. Belongs to the feed's event loop.

    Args:
        write_state: writes a full state into the journal, if the feed is still at it, and tells `state_written`.
    """

    def __init__(
        self,
        retention: Retention,
        journal: Journal,
        now_us: Callable[[], int],
        write_state: Callable[[], None],
    ) -> None:
        self._retention = retention
        self._journal = journal
        self._now_us = now_us
        self._write_state = write_state
        self._task: asyncio.Task[None] | None = None
        self._state_at_bytes = 0  # how much was written when the last full state was
        self._state_bytes = 0  # of that

    def state_written(self, size: int) -> None:
        """The feed has written a full state of so many bytes: a moment to look at age and size."""
        self._state_at_bytes, self._state_bytes = self._journal.written_bytes, size
        self._begin()

    def committed(self) -> None:
        """Something was committed: look at the cap, if there is one."""
        cap_bytes = self._retention.bytes_max
        if cap_bytes is None:
            return
        # a state that is large beside the cap must not be what fills it
        step_bytes = max(min(cap_bytes // STATES_PER_CAP, STATE_BYTES_MAX), self._state_bytes)
        if self._journal.written_bytes - self._state_at_bytes >= step_bytes:
            self._write_state()
        if self._journal.used_bytes > cap_bytes:
            self._begin()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._prune())

    async def _prune(self) -> None:
        retention, cap_bytes = self._retention, self._retention.bytes_max
        before_us = None if retention.age_s is None else self._now_us() - int(retention.age_s * 1_000_000)
        try:
            restart = retention.restart()
            while await self._journal.prune(Bounds(before_us, cap_bytes, restart)):
                pass
            while cap_bytes is not None and self._journal.used_bytes > cap_bytes:
                blocks = await self._journal.prune(Bounds(None, cap_bytes, restart, at_all_costs=True))
                if blocks == 0:
                    break  # there is no restart point late enough: there soon will be
                gone = self._journal.dropped
                if restart is not None and gone is not None and gone.id > restart:
                    _log.warning("journal_full", dropped=tuple(gone.id), read=tuple(restart), blocks=blocks)
        except StoreError as error:
            _log.warning("journal_prune_failed", error=str(error))

    async def close(self) -> None:
        """Stop; what is under way on the journal's thread still ends there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
