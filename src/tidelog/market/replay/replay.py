"""Replay: records through the core that the live feed uses, at a pace, for people. Sleeps; opens nothing itself."""

import os
from collections.abc import AsyncIterator, Iterable

from tidelog.errors import ConfigError
from tidelog.market.book.lending import Fault, Stretch
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, EventDigest, JournalEvent
from tidelog.market.events import ClockStepped, Connected, Disconnected, Malformed, Missed, Resync, Started, Unknown
from tidelog.market.records import PackedRecords, Record
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

__all__ = ["Summary", "replay_records", "summarize", "tell_fault"]

PAUSE_S_MIN = 0.001  # shorter ones are added up: a sleep is longer than that anyway

_log = logger("replay")


def tell_fault(fault: Fault) -> None:
    """Log that the compiled core has failed at a record, which goes by the Python path then."""
    _log.error("core_fault", run=fault.id.run, seq=fault.id.seq, error=fault.what)


class Summary:
    """What a replay counted, and the digests of its runs. Filled in by `replay_records`."""

    def __init__(self) -> None:
        self.events = 0
        self.checks: dict[Check, int] = dict.fromkeys([check for check in Check if check is not Check.GAP], 0)
        self.malformed = 0  # frames that could not be read
        self.unknown = 0  # frames about something that this version does not know
        self.readable = 0  # all other frames
        self.first_trouble: str | None = None  # what was wrong with the first frame that was not readable
        self.digests: dict[int, EventDigest] = {}  # by run, of runs that were read from their first record

    def add(self, item: JournalEvent) -> None:
        """Count one more event."""
        self.events += 1
        for check in item.checks or (item.check,):
            if check is not None:
                self.checks[check] = self.checks.get(check, 0) + 1
        match item.event:
            case Malformed(why):
                self.malformed += 1
                self.first_trouble = self.first_trouble or why
            case Unknown(name):
                self.unknown += 1
                what = f"its channel {name!r} is not known" if name else "it names no channel and no method"
                self.first_trouble = self.first_trouble or what
            case Started() | Connected() | Disconnected() | ClockStepped() | Resync() | Missed():
                pass
            case _:
                self.readable += 1


def summarize(blocks: Iterable[PackedRecords | Record]) -> Summary:
    """What a replay as fast as it goes would count, and its digests. The compiled core does most of it, if it is here.

    Args:
        blocks: of records as `replay_records` takes them; see `records.pack` and `Source.blocks`.

    Raises:
        Corruption: the records contradict each other. What `blocks` raises propagates.
    """
    core, summary = Core(digest=True, stretches=tell_fault), Summary()
    for block in blocks:
        if isinstance(block, Record):
            entry = core.apply(block)
            items: Iterable[JournalEvent | Stretch] = () if entry is None else (entry,)
        else:
            items = core.apply_block(block)
        for item in items:
            if isinstance(item, Stretch):
                _add_stretch(summary, item)
            else:
                summary.add(item)
            _note_digest(summary, item, core.digest)
    return summary


def _add_stretch(summary: Summary, stretch: Stretch) -> None:
    summary.events += stretch.events
    summary.readable += stretch.events
    summary.checks[Check.MATCHED] += stretch.updates + stretch.snapshots


def _note_digest(summary: Summary, item: JournalEvent | Stretch, digest: EventDigest | None) -> None:
    """Note the digest of a run as of its latest event."""
    if digest is not None:
        summary.digests[item.id.run] = digest
    elif isinstance(item, JournalEvent) and isinstance(item.event, Missed):  # of that run there is a part only
        summary.digests.pop(item.id.run, None)


async def replay_records(
    records: Iterable[Record], runtime: Runtime, *, speed: float | None = None, summary: Summary | None = None
) -> AsyncIterator[JournalEvent]:
    """The events of records, at a pace: the same that the live feed had, in the same order.

    Args:
        records: of a journal, an export or a recording, in order; see `read_source`.
        speed: 1 is as it happened, 10 ten times as fast, None as fast as it goes. Time between runs is not waited for.
        summary: is filled in on the way; its digests are those of the live runs.

    Raises:
        ConfigError: `speed` is no factor, or `records` is the name of a file.
        Corruption: the records contradict each other. What `records` raises propagates.
    """
    if isinstance(records, str | os.PathLike):
        raise ConfigError(f"records {str(records)!r} is a path: give what read_source reads there")
    if speed is not None and not speed > 0:
        raise ConfigError(f"speed {speed}: give a factor above 0, or None for as fast as it goes")
    core = Core(digest=summary is not None)
    run, begun_us, begun_s = 0, 0, 0.0
    for record in records:
        if speed is not None:
            if record.id.run != run:  # the time between runs is not waited for
                run, begun_us, begun_s = record.id.run, record.at_us, runtime.monotonic()
            pause_s = (record.at_us - begun_us) / 1_000_000 / speed - (runtime.monotonic() - begun_s)
            if pause_s >= PAUSE_S_MIN:
                await runtime.sleep(pause_s)
        item = core.apply(record)
        if item is None:
            continue
        if summary is not None:
            summary.add(item)
            _note_digest(summary, item, core.digest)
        yield item
