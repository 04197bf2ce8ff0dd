"""A journal that is moved away between two starts of the program, and the operator who continues with a new one.

The program has to refuse the new file, since the store was loaded from another; only then the operator begins a journal
on purpose, as `tidelog market new-journal` does. What the store has to be in the end is a fold of all journals in turn.
"""

from tidelog.errors import ConfigError
from tidelog.market.events import NOTHING, EventId
from tidelog.market.journal.reader import identity_at
from tidelog.market.load.loader import Loader, OwnedShard, begin_journal, go_on_with
from tidelog.market.load.recorded import source_of, state_of
from tidelog.market.replay.position import events_to_load
from tidelog.market.shards.claims import shard_source
from tidelog.sim.world.disk import Disk
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Violation
from tidelog.store import Store

FILES = ("", "-wal", "-journal")  # of a SQLite database


class JournalLoss:
    """The journals of one recording, or of a shard of it, the lost ones first."""

    def __init__(self, disk: Disk, path: str, name: str, shard: int = 1) -> None:
        self._disk = disk
        self._path = path
        self._name = name
        self._shard = shard
        self._moved = 0
        self.files: list[str] = []  # all that were moved away
        self._lost: str | None = None  # where the last journal lies that nobody has come to terms with
        self._refused = False
        self._taken_up: list[tuple[str, EventId, bytes]] = []  # journal, its last entry in the store, the next one's id

    @property
    def pending(self) -> bool:
        """Whether store and journal do not belong together now."""
        return self._lost is not None

    def lose(self) -> None:
        """Move the journal away, once its program is dead."""
        self._moved += 1
        to = f"{self._path}.lost-{self._moved}"
        if self._disk.has(self._path):
            self.files.append(to)
        for suffix in FILES:
            self._disk.rename(self._path + suffix, to + suffix)
        if self._lost is None:  # one that was refused holds nothing of the recording
            self._lost = to

    @property
    def lost(self) -> list[tuple[str, tuple[int, int]]]:
        """The journals that were lost, in turn, each with its last entry that the store has."""
        return [(path, (last.run, last.seq)) for path, last, _ in self._taken_up]

    async def open_loader(
        self, store: Store, runtime: SimRuntime, journal: bytes | None, owned: OwnedShard | None = None
    ) -> Loader:
        """As `Loader.open`. Raises Violation if another journal is taken that has to be refused."""
        async with store.snapshot() as snapshot:
            checkpoint = await snapshot.checkpoint(shard_source(self._name, self._shard))
        known = "" if checkpoint is None else state_of(checkpoint).journal
        try:
            loader = await Loader.open(store, runtime, self._name, journal=journal, shard=owned)
        except ConfigError:
            self._refused = self._lost is not None
            raise
        if known and journal is not None and known != journal.hex():
            raise Violation("another journal under the same name is refused")
        self._lost = None  # the store had nothing of it
        return loader

    async def mend(self, store: Store, runtime: SimRuntime, vfs: str, *, unasked: bool = False) -> None:
        """Continue with a new journal, after the program has refused the one that it had made itself.

        Args:
            unasked: or before it makes one: as the command does, which looks for its journal first.
        """
        if self._lost is None or not (self._refused or unasked):
            return
        async with store.snapshot() as snapshot:
            checkpoint = await snapshot.checkpoint(shard_source(self._name, self._shard))
        if checkpoint is None or state_of(checkpoint).id == NOTHING:
            self._lost, self._refused = None, False  # the store had nothing of it
            return
        self._moved += 1
        for suffix in FILES:
            self._disk.rename(self._path + suffix, f"{self._path}.refused-{self._moved}{suffix}")
        last = await begin_journal(store, runtime, self._name, self._path, shard=self._shard, vfs=vfs)
        identity = identity_at(self._path, vfs)
        assert identity is not None
        if not (self._taken_up and self._taken_up[-1][0] == self._lost):
            self._taken_up.append((self._lost, last, identity.id))
        self._lost, self._refused = None, False

    async def fold_again(self, store: Store, runtime: SimRuntime, vfs: str) -> None:
        """Load what each lost journal gave to the store, and come to the last one."""
        for path, last, journal in self._taken_up:
            loader = await Loader.open(store, runtime, self._name)
            entries = events_to_load(path, runtime, after=loader.committed, until=last, ending=lambda: True, vfs=vfs)
            await loader.run(entries)
            await go_on_with(store, await store.acquire(source_of(self._name)), journal, self._name)
