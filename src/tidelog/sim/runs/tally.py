"""How often a store was taken and committed to, and which numbers its writers were given: a door that counts."""

from collections.abc import Collection

from tidelog.batch import Batch, Checkpoint, Outcome
from tidelog.sim.world.world import Process
from tidelog.store import Store


class Tally:
    """Of all programs of a run together."""

    def __init__(self) -> None:
        self.acquired = self.tried = 0  # how often a store was taken, and a commit begun
        self.by_process: dict[int, int] = {}  # the number that each was given when it took the store last
        self.given: list[int] = []  # all of these, in the order in which they were heard of
        self.latest: Collection[int] = ()  # of these the last, and those that were on their way beside it


class TalliedStore:
    """A store of one process, as it is but for the counting."""

    def __init__(self, store: Store, tally: Tally, process: Process) -> None:
        self._store = store
        self._tally = tally
        self._process = process

    async def acquire(self, source: str) -> Checkpoint:
        self._tally.acquired += 1
        heard_of = len(self._tally.given)
        checkpoint = await self._store.acquire(source)
        self._tally.by_process[self._process.domain] = checkpoint.writer
        self._tally.given.append(checkpoint.writer)
        self._tally.latest = self._tally.given[heard_of:]
        return checkpoint

    async def commit(self, batch: Batch) -> Outcome:
        self._tally.tried += 1
        return await self._store.commit(batch)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)
