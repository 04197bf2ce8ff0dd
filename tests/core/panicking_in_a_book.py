"""A core that panics while a message is half applied to a book: run with such a one in use, by `tests.core.mutants`.

The fault is told and counted; the book is as it was, and the message goes by the Python path.
"""

import asyncio
import sys
import tempfile
import traceback
from pathlib import Path

from structlog.testing import capture_logs

from tests.core.panicking import MESSAGE
from tests.market.stretches import SYMBOLS, MadeUp, made_up, records_of, write_journal
from tidelog.market.book.lending import FAULTS_MAX, Fault
from tidelog.market.load.loader import Loader, Options
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import MarketMetrics

FEEDS = 4
READERS = 2  # of a feed that meet the panic, each up to its limit: with the digest, and for rows


def replayed() -> None:
    """Events, digests and books are equal, and each fault says what the panic said."""
    for protocol in SYMBOLS:
        faults: list[Fault] = []
        for seed in range(FEEDS):
            counts = made_up(protocol, seed, on_fault=faults.append)
            assert counts["taken"] > 0
        assert 0 < len(faults) < FEEDS * READERS * FAULTS_MAX
        assert all(MESSAGE in fault.what for fault in faults), faults


async def loaded() -> None:
    """The loader tells and counts them."""
    feed, metrics, runtime = MadeUp("v2", 7), MarketMetrics(), SystemRuntime()
    with tempfile.TemporaryDirectory(prefix="panicking-") as folder:
        path = Path(folder) / "journal"
        write_journal(path, records_of("v2", feed.frames(300), feed.depths))
        store = await open_store(f"sqlite:///{folder}/a.db", runtime)
        loader = await Loader.open(store, runtime, "x", Options(), metrics=metrics)
        with capture_logs() as logs:
            await loader.run(events_to_load(str(path), runtime, ending=lambda: True, on_fault=loader.note_fault))
        await store.close()
    told = [log["error"] for log in logs if log["event"] == "core_fault"]
    assert told
    assert all(MESSAGE in error for error in told), told
    assert metrics.core_faults == len(told)


def main() -> int:
    """0 if all of that holds; else 1, and what did not is printed."""
    try:
        replayed()
        asyncio.run(loaded())
    except AssertionError:
        print(traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
