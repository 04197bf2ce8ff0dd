"""The journals of a simulated recording, read again at its end by the engine itself: into a store, and as a replay."""

from collections.abc import Mapping

from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import Loader
from tidelog.market.replay.position import events_to_load
from tidelog.market.replay.replay import summarize
from tidelog.sim.scenario.journal_loss import JournalLoss
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process
from tidelog.store.sqlite import open_sqlite

__all__ = ["NAME", "read_again"]

NAME = "sim"  # of the recording


async def read_again(process: Process, losses: JournalLoss, path: str, digests: Mapping[int, str | None]) -> None:
    """All journals into an empty store, and the last one replayed: its digests are those of the live runs.

    Args:
        path: the last journal's.
        digests: of the runs that ended in order, by their numbers.
    """
    world, runtime, vfs = process.world, SimRuntime(process), process.mount.name
    store = await open_sqlite(f"sqlite:///{world.disk.path('again.db')}", runtime, vfs=vfs)
    try:
        await losses.fold_again(store, runtime, vfs)
        loader = await Loader.open(store, runtime, NAME)
        await loader.run(events_to_load(path, runtime, after=loader.committed, ending=lambda: True, vfs=vfs))
    finally:
        await store.close()
    reader = JournalReader(path, vfs)
    try:
        summary = summarize(reader.blocks())
    finally:
        reader.close()
    for run, digest in sorted(digests.items()):
        if run in summary.digests and summary.digests[run].hexdigest() != digest:
            world.violated(f"a replay of run {run} gives the digest of the live run")
