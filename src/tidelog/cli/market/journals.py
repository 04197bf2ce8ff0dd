"""What is done with a journal: replay it, follow it, export it, begin one behind a lost one."""

import os
import sys
from typing import Literal

import msgspec

from tidelog.cli.out import complain, say
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError
from tidelog.market.core import JournalEvent
from tidelog.market.events import EventId
from tidelog.market.journal.export import export_journal
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import BEGINNING
from tidelog.market.replay.position import follow_events
from tidelog.market.replay.replay import Summary, replay_records, summarize
from tidelog.market.replay.sources import Source
from tidelog.market.written import written
from tidelog.printable import printable_lines
from tidelog.runtime import SystemRuntime, run


def print_replay(path: str, *, speed: str, protocol: Literal["v1", "v2"] | None, depth: int | None) -> None:
    factor = _speed(speed)
    found = Source(path, protocol=protocol, depth=depth)
    summary = summarize(found.blocks()) if factor is None else run(_replay(found, factor))
    found.require_readable(summary)
    for note in [] if found.recording is None else found.recording.notes:
        complain(f"{path}: {note}")
    counts = {check.value: count for check, count in summary.checks.items()}
    counts |= {"malformed": summary.malformed, "unknown": summary.unknown}
    say(f"{summary.events} events, " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for number, digest in summary.digests.items():
        say(f"run {number}: {digest.events} events, digest {digest.hexdigest()}")


async def _replay(source: Source, speed: float) -> Summary:
    summary = Summary()
    async for _ in replay_records(source.records(), SystemRuntime(), speed=speed, summary=summary):
        pass
    return summary


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise ConfigError(f"--speed {text!r}: give a factor, such as 1 or 10, or max")
    return speed


def print_followed(journal: str, *, from_start: bool) -> None:
    """The events of a journal as another process writes them, a JSON object a line, until interrupted."""
    run(_follow(journal, from_start))


async def _follow(journal: str, from_start: bool) -> None:
    shown = sys.stdout.isatty()
    after = BEGINNING if from_start else _end_of(journal)
    async for entries in follow_events(journal, SystemRuntime(), after=after):
        for entry in entries:
            line = _line(entry)
            sys.stdout.buffer.write(printable_lines(line.decode()).encode() if shown else line)
        sys.stdout.buffer.flush()


def _end_of(journal: str) -> EventId:
    reader = JournalReader(journal)
    try:
        return reader.end()
    finally:
        reader.close()


_encode = msgspec.json.Encoder().encode


def _line(entry: JournalEvent) -> bytes:
    shown = {
        "run": entry.id.run,
        "seq": entry.id.seq,
        "at_us": entry.at_us,
        "kind": type(entry.event).__name__,
        "check": None if entry.check is None else entry.check.value,
        **({"checks": [check and check.value for check in entry.checks]} if entry.checks else {}),
        "event": written(entry.event),
    }
    return _encode(shown) + b"\n"


def write_export(journal: str, to: str) -> int:
    """How many records there are."""
    if os.path.exists(to):
        raise ConfigError(f"{to} exists: an export makes a new file")
    reader = JournalReader(journal)
    try:
        count = export_journal(reader, to)
    finally:
        reader.close()
    return count


def print_begun(journal: str, db: str, name: str, shard: int) -> None:
    last = run(_new_journal(journal, db, name, shard))
    say(f"{journal} continues behind run {last.run}, record {last.seq} of the lost one")


async def _new_journal(journal: str, db: str, name: str, shard: int) -> EventId:
    from tidelog.market.load.loader import begin_journal

    runtime = SystemRuntime()
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        return await begin_journal(store, runtime, name, journal, shard=shard)
