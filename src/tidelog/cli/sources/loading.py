"""The journal of a recording into its store, as it grows: of one process, or of a shard."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from functools import partial

from tidelog.backoff import delays
from tidelog.cli.sources.market import MarketSource, SourceShard
from tidelog.cli.sources.shards import journals_here, place_of
from tidelog.cli.stores import opened
from tidelog.errors import Busy, ConfigError, Full
from tidelog.market.events import EventId
from tidelog.market.journal.reader import identity_at
from tidelog.market.load.loader import Loader, Options, OwnedShard
from tidelog.market.load.recorded import claims_of, recorded
from tidelog.market.load.settling import Claiming
from tidelog.market.load.sharded import Abandoned, Live, OpenLoader, ShardLoading
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.replay.position import events_to_load
from tidelog.market.shards.claims import shard_source
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import MarketMetrics, logger

__all__ = ["Loading", "given_up"]

RETRY_MAX_S = 10.0  # between tries of a store that is away or full: as the loader's own

_log = logger("loader")


class Loading:
    """How far the store is, and the task that brings it there.

    Args:
        wanted: gives the symbols that are recorded now.
    """

    def __init__(
        self, source: MarketSource, runtime: Runtime, metrics: MarketMetrics, wanted: Callable[[], Collection[str]]
    ) -> None:
        self.committed = EventId(0, 0)  # in the store
        self.store: Store | None = None  # once it is open
        self.ended = False  # set it when the recording has ended: what the journal has then is still loaded
        self._source = source
        self._runtime = runtime
        self._metrics = metrics
        self._wanted = wanted
        self._shard: ShardLoading | None = None
        self._abandoned: Abandoned | None = None
        self._trouble: str | None = None  # why the store takes nothing

    @property
    def waits(self) -> str | None:
        """For the store, or for which other shard it waits, in a sentence."""
        if self._trouble is not None:
            return self._trouble
        return None if self._shard is None else self._shard.waits

    @property
    def _written(self) -> str:
        """The source in the store that it writes."""
        shard = self._source.shard
        return shard_source(str(self._source.name), 1 if shard is None else shard.number)

    @property
    def left(self) -> str | None:
        """Why the journal of a shard that is not run any more is not loaded, in a sentence."""
        return None if self._abandoned is None else self._abandoned.reason

    def follow(self) -> None:
        """Other symbols are wanted from here on."""
        if self._shard is not None:
            self._shard.follow()

    async def run(self, db: str, journal: bytes, run: int, since_us: int) -> None:
        """Load until the recording has ended, and all that it has left.

        A store that is away or full does not end the recording, whose frames nobody gives a second time: the journal
        takes them, and the store is tried again.

        Args:
            journal: the id of the journal.
            run: its run that is recorded.
            since_us: when that began.

        Raises:
            Busy, Full: so it was when the recording had ended. What else `Loader.run` raises propagates.
        """
        live = Live(run, since_us, self._wanted)
        random = self._runtime.random("loading")
        waits, before = delays(random, max_s=RETRY_MAX_S), self.committed
        while True:
            try:
                await self._load_now(db, journal, live)
                return
            except (Busy, Full) as error:
                if self.ended:
                    raise
                self._trouble = str(error)
                _log.warning("store_busy", source=self._written, error=str(error))
            if self.committed != before:  # it was there meanwhile
                waits, before = delays(random, max_s=RETRY_MAX_S), self.committed
            await self._runtime.sleep(next(waits))

    async def _load_now(self, db: str, journal: bytes, live: Live) -> None:
        async with opened(db, readonly=False, runtime=self._runtime) as store:
            self.store, self._shard = store, None
            try:
                await self._load(store, journal, live)
            finally:
                self.store = None

    async def _load(self, store: Store, journal: bytes, live: Live) -> None:
        source, shard = self._source, self._source.shard
        if shard is None:
            loader = await self._opened(store, journal, None)
            async with store.snapshot() as snapshot:  # after it was opened: see `settling`
                if await claims_of(snapshot, source.name) is None:
                    await loader.run(self._entries(source.journal, loader, None))
                    return
            shard = SourceShard(1, 1, (1,), source.journal)  # it has had shards
        me = _claiming(source, shard)
        self._shard = self._sharded(store, me, lambda owned: self._opened(store, journal, owned), shard.base)
        try:
            async with asyncio.TaskGroup() as group:
                aside = None
                if shard.number == min(shard.active):
                    aside = group.create_task(self._load_abandoned(store, me, shard))
                await self._shard.run(live)
                if aside is not None:
                    aside.cancel()
        except BaseExceptionGroup as errors:  # whichever failed, the other one was ended
            raise errors.exceptions[0] from None

    def _sharded(self, store: Store, me: Claiming, open_loader: OpenLoader, base: str) -> ShardLoading:
        return ShardLoading(
            store,
            self._runtime,
            me,
            open_loader,
            lambda loader, until: self._entries(me.journal, loader, until),
            lambda: journals_here(base),
        )

    async def _load_abandoned(self, store: Store, me: Claiming, shard: SourceShard) -> None:
        self._abandoned = Abandoned(self._runtime, me, lambda: journals_here(shard.base), shard.active)
        await self._abandoned.run(lambda one: self.load_whole(store, one, shard.base))

    async def load_whole(self, store: Store, one: Claiming, base: str) -> None:
        """Load the journal of a shard that is not recorded any more, and let others have its symbols."""
        identity = await self._runtime.compute(partial(identity_at, one.journal))
        journal = None if identity is None else identity.id

        async def open_loader(owned: OwnedShard) -> Loader:
            return await self._opened(store, journal, owned, MarketMetrics())

        await self._sharded(store, one, open_loader, base).run(None)

    async def _opened(
        self, store: Store, journal: bytes | None, owned: OwnedShard | None, metrics: MarketMetrics | None = None
    ) -> Loader:
        options = Options(keep=self._source.keep)
        loader = await Loader.open(
            store,
            self._runtime,
            self._source.name,
            options,
            journal=journal,
            metrics=metrics or self._metrics,
            shard=owned,
        )
        if metrics is None:
            self.committed, self._trouble = loader.committed, None
        return loader

    async def _entries(self, path: str, loader: Loader, until: EventId | None) -> AsyncIterator[ProjectionInput]:
        own = path == self._source.journal
        reading = events_to_load(
            path,
            self._runtime,
            after=loader.committed,
            until=until,
            ending=(lambda: self.ended) if until is None else (lambda: True),
            on_block=loader.traces.read,
            on_fault=loader.note_fault,
        )
        async with aclosing(reading) as found:
            async for entry in found:
                if own:
                    self.committed = loader.committed
                yield entry


async def given_up(journal: str, runtime: Runtime, db: str, name: str, number: int) -> None:
    """Load what the journal of a shard has left, and let others have its symbols."""
    shard = SourceShard(number, number, (number,), journal)
    source = MarketSource(
        symbols=[],
        channels=[],
        depth=0,
        interval=0,
        journal=journal,
        db=db,
        name=name,
        protocol="",
        url=None,
        shard=shard,
    )
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        async with store.snapshot() as snapshot:
            if await recorded(snapshot, name) is None:  # a name that is misspelled shall not get all of the journal
                raise ConfigError(f"the store holds no recording {name!r}: give the --name that it was recorded by")
        await Loading(source, runtime, MarketMetrics(), tuple).load_whole(store, _claiming(source, shard), journal)


def _claiming(source: MarketSource, shard: SourceShard) -> Claiming:
    return Claiming(str(source.name), shard.number, shard.of, place_of(shard.base), str(source.journal), os.getpid())
