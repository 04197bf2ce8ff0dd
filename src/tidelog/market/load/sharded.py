"""A shard's journal into the store, run by run, with what each run needs settled before it; and the journals of shards
that are no more.

How records become what a loader takes is handed in: this folder knows nothing of replays.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Mapping

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, StoreError
from tidelog.filelock import FileLock
from tidelog.market.events import EventId
from tidelog.market.load.loader import Loader, OwnedShard
from tidelog.market.load.recorded import claims_of, state_of
from tidelog.market.load.settling import LIMITS, Claiming, Segment, SettleLimits, segments, settle
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.shards.claims import shard_source
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import logger

__all__ = ["Abandoned", "Live", "OpenLoader", "ShardLoading"]

OpenLoader = Callable[[OwnedShard], Awaitable[Loader]]
Read = Callable[[Loader, EventId | None], AsyncIterable[ProjectionInput]]  # what comes after it, up to a record

_log = logger("shards")


class Live(Struct, frozen=True):
    """The run that is being recorded."""

    run: int
    since_us: int
    wanted: Callable[[], Collection[str]]  # symbols, now


class ShardLoading:
    """The loading of one shard. `waits` says for whom it waits, if it does."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        me: Claiming,
        open_loader: OpenLoader,
        read: Read,
        siblings: Callable[[], Mapping[int, str]],
        *,
        vfs: str | None = None,
        limits: SettleLimits = LIMITS,
    ) -> None:
        """
        Args:
            siblings: gives the journals of this recording that are here, by the numbers of their shards.
        """
        self._siblings = siblings
        self.waits: str | None = None
        self._store = store
        self._runtime = runtime
        self._me = me
        self._open_loader = open_loader
        self._read = read
        self._vfs = vfs
        self._limits = limits
        self._task: asyncio.Task[None] | None = None  # of the run that is recorded
        self._again = False

    def follow(self) -> None:
        """Other symbols are wanted from here on: claim them before what comes of them is loaded."""
        self._again = True
        if self._task is not None:
            self._task.cancel()

    async def run(self, live: Live | None) -> None:
        """Load the journal: to its end and all of it given up, or, of one that is recorded, until that has ended.

        Raises what `Loader.run` and `settle` raise.
        """
        at, found = await self._segments(self._me.number, self._me.journal)
        for segment in found:
            if live is not None and segment.run == live.run:
                break
            entering = segment.run if segment.enters else None
            await self._load(segment.wanted, segment.since_us, entering, until=segment.last)
            at = segment.last
        if live is None:
            await self._settle(frozenset(), 0, at.run + 1)
            return
        enters, known = at.run != live.run, frozenset[str]()
        if not enters:
            known = next((each.wanted for each in found if each.run == live.run), known)
        while True:
            self._again = False
            wanted = frozenset(live.wanted()) | known
            entering = live.run if enters else None
            self._task = asyncio.create_task(self._load(wanted, live.since_us, entering, until=None))
            try:
                await asyncio.wait((self._task,))
            except asyncio.CancelledError:
                self._task.cancel()
                await asyncio.wait((self._task,))
                raise
            if not (self._again and self._task.cancelled()):
                self._task.result()
                return
            known, enters = wanted, False

    async def _segments(self, number: int, path: str) -> tuple[EventId, list[Segment]]:
        """How far the store is with a shard, and what comes after it in its journal."""
        name = self._me.name
        async with self._store.snapshot() as snapshot:
            checkpoint = await snapshot.checkpoint(shard_source(name, number))
            claims = await claims_of(snapshot, name)
        at, entered, owned = EventId(0, 0), 0, set[str]()
        if checkpoint is not None:
            state = state_of(checkpoint)
            at, entered, owned = state.id, state.entered, set(state.symbols)
        if claims is not None:
            owned.update(symbol for symbol, owner in claims.owners.items() if owner == number)
        worker = self._runtime.worker("journal-reader")
        try:
            return at, await worker.call(lambda: segments(path, at, entered, owned, self._vfs))
        finally:
            await worker.close()

    async def _earlier(self, since_us: int) -> dict[str, int]:
        """The symbols that another journal of this place has in an earlier run, which was not come to yet."""
        found: dict[str, int] = {}
        for number, path in self._siblings().items():
            if number == self._me.number:
                continue
            try:
                _, left = await self._segments(number, path)
            except (ConfigError, Corruption) as error:  # whose journal it is, says so louder
                _log.debug("sibling_unread", journal=path, error=str(error))
                continue
            for segment in left:
                if segment.enters and (segment.since_us, number) < (since_us, self._me.number):
                    found |= dict.fromkeys(segment.wanted, number)
        return found

    async def _load(
        self, wanted: frozenset[str], since_us: int, entering: int | None, *, until: EventId | None
    ) -> None:
        loader = await self._open_loader(await self._settle(wanted, since_us, entering))
        await loader.run(self._read(loader, until))

    async def _settle(self, wanted: frozenset[str], since_us: int, entering: int | None) -> OwnedShard:
        def waiting(what: str | None) -> None:
            self.waits = what

        try:
            return await settle(
                self._store,
                self._runtime,
                self._me,
                wanted,
                entering=entering,
                earlier=lambda: self._earlier(since_us),
                on_wait=waiting,
                limits=self._limits,
            )
        finally:
            self.waits = None


class Abandoned:
    """The shards of this place that are not run any more: what their journals have is loaded, and they give all up."""

    def __init__(
        self,
        runtime: Runtime,
        me: Claiming,
        siblings: Callable[[], Mapping[int, str]],
        active: Collection[int],
        limits: SettleLimits = LIMITS,
    ) -> None:
        """
        Args:
            me: the shard whose process does it.
            siblings: as for `ShardLoading`.
            active: the shards that are run.
        """
        self._runtime = runtime
        self._me = me
        self._siblings = siblings
        self._active = active
        self._limits = limits
        self._reasons: dict[int, str] = {}  # by the number of the shard, as the log was told

    @property
    def reason(self) -> str | None:
        """Why journals of them are not loaded yet, in a sentence; None: none has failed to."""
        return "; ".join(self._reasons.values()) or None

    async def run(self, load: Callable[[Claiming], Awaitable[None]]) -> None:
        """Until nothing is left of them.

        Args:
            load: loads the journal of a shard to its end, and gives all up.
        """
        left = {number: path for number, path in self._siblings().items() if number not in self._active}
        while left:
            for number, path in tuple(left.items()):
                one = Claiming(self._me.name, number, self._me.of, self._me.place, path, self._me.process)
                try:
                    with FileLock(f"{path}.lock", temporary=True) as lock:
                        if not lock.take():
                            raise ConfigError(f"process {lock.holder()} writes {path} still")
                        await load(one)
                except (ConfigError, StoreError, Corruption) as error:
                    self._tell(number, f"{one.source} is not run any more, and its journal is not loaded yet: {error}")
                else:
                    del left[number]
                    self._reasons.pop(number, None)
                    _log.info("shard_given_up", source=one.source, journal=path)
            if left:
                await self._runtime.sleep(self._limits.poll_s)

    def _tell(self, number: int, what: str) -> None:
        if what != self._reasons.get(number):
            self._reasons[number] = what
            _log.warning("shard_left_behind", reason=what)
