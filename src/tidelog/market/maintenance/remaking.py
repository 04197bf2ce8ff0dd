"""A recording with shards made again from their journals, into another store, as one process after the other.

What a run of a journal wanted of the exchange says whose each symbol was, and when. So the runs of all journals are
loaded one by one, each when all is loaded that others have of its symbols from before it. Where a shard is in no later
run of its journal, the store says which symbols it has.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing

from msgspec import Struct

from tidelog.batch import Batch, Checkpoint, Rows
from tidelog.errors import Corruption
from tidelog.market.core import JournalEvent
from tidelog.market.events import NOTHING, EventId, Missed
from tidelog.market.load.loader import Loader, Options, OwnedShard
from tidelog.market.load.recorded import Recorded, connection_of, source_of, state_of
from tidelog.market.load.settling import segments
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.projection.projection import Projection
from tidelog.market.projection.state import ProjectionState, SymbolState, encode_state
from tidelog.market.replay.position import events_to_load
from tidelog.market.shards.claims import shard_source
from tidelog.runtime import Runtime
from tidelog.store import Store

__all__ = ["Damaged", "Overtaken", "Remade", "Remaking", "unbroken"]


class _Stint(Struct, frozen=True):
    """What one run of a shard's journal gave to the store."""

    run: int
    since_us: int  # when the run began
    last: EventId  # that was loaded of it
    wanted: frozenset[str] | None  # symbols; None: it was recorded without shards, which have no part in it
    enters: bool  # it is loaded from its beginning


class Remade(Struct, frozen=True):
    """What the journals lead to."""

    shards: dict[int, ProjectionState]
    symbols: dict[str, SymbolState]


class Damaged(Exception):
    """A journal cannot be read to its end. It never leaves `market verify`."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class Overtaken(Exception):
    """Retention has dropped records of a journal between two that were read. It never leaves `market verify`."""


async def unbroken(entries: AsyncGenerator[ProjectionInput, None]) -> AsyncGenerator[ProjectionInput, None]:
    """The same, of a journal that is read from where it begins. Overtaken: some were dropped meanwhile."""
    async with aclosing(entries) as found:
        async for entry in found:
            if isinstance(entry, JournalEvent) and isinstance(entry.event, Missed):
                raise Overtaken
            yield entry


def _next_stint(left: Mapping[int, Sequence[_Stint]]) -> int | None:
    """The shard whose next stint is to be loaded: the one that began first. None: nothing is left."""
    heads = [(stints[0].since_us, number) for number, stints in left.items() if stints]
    return min(heads)[1] if heads else None


class Remaking:
    """Loads into an empty store what `found` has loaded, and no more.

    Args:
        again: that store.
        journals: of the shards, by their numbers: each goes as far as the store does.
    """

    def __init__(
        self,
        again: Store,
        runtime: Runtime,
        name: str,
        found: Recorded,
        journals: Mapping[int, str],
        sample_s: int,
        *,
        vfs: str | None = None,
    ) -> None:
        self._again = again
        self._runtime = runtime
        self._name = name
        self._found = found
        self._journals = journals
        self._options = Options(found.state.intervals_s, sample_s)
        self._vfs = vfs
        self._owners: dict[str, int] = {}
        self._idle: dict[str, SymbolState] = {}
        self._left: dict[int, list[_Stint]] = {}

    async def run(self) -> Remade:
        """Load all of it. Damaged: a journal cannot be read. Overtaken: some of one was dropped before it was read."""
        self._left = {number: await self._stints(number) for number in self._journals}
        while (following := _next_stint(self._left)) is not None:
            await self._load(following, self._left[following].pop(0))
        for number in self._journals:
            await self._leave(number, self._wanted_next(number))
        for number in self._journals:
            await self._take(number, self._found.shards[number].symbols)
        shards = {number: state_of(await self._checkpoint(number)) for number in self._journals}
        symbols = dict(self._idle)
        for state in shards.values():
            symbols |= state.symbols
        return Remade(shards, symbols)

    async def _stints(self, number: int) -> list[_Stint]:
        last, path = self._found.shards[number].id, self._journals[number]
        whole = min(last, self._found.undivided if number == 1 else NOTHING)
        worker = self._runtime.worker("journal-reader")
        try:
            runs = await worker.call(lambda: segments(path, whole, 0, (), self._vfs))
        except Corruption as error:
            raise Damaged(number, str(error)) from error
        finally:
            await worker.close()
        begun = [_Stint(whole.run, 0, whole, None, enters=True)] if whole > NOTHING else []
        return begun + [
            _Stint(each.run, each.since_us, min(each.last, last), each.wanted, each.enters)
            for each in runs
            if each.run <= last.run and (each.run, 0) < last and whole < last
        ]

    async def _load(self, number: int, stint: _Stint) -> None:
        owned: OwnedShard | None = None
        if stint.wanted is not None:
            if stint.enters:
                await self._leave(number, stint.wanted)
            for other in sorted({self._owners.get(symbol, number) for symbol in stint.wanted} - {number}):
                await self._leave(other, self._wanted_next(other) - stint.wanted)
            await self._take(number, stint.wanted)
            checkpoint = await self._checkpoint(number)
            mine = [symbol for symbol, its in self._owners.items() if its == number]
            owned = OwnedShard(number, checkpoint, frozenset(mine))
        loader = await Loader.open(self._again, self._runtime, self._name, self._options, shard=owned)
        async with aclosing(self._entries(number, loader.committed, stint.last)) as entries:
            await loader.run(entries)
        if stint.wanted is None:
            self._owners |= dict.fromkeys(state_of(await self._checkpoint(number)).symbols, number)

    async def _entries(self, number: int, after: EventId, until: EventId) -> AsyncGenerator[ProjectionInput, None]:
        path = self._journals[number]
        reading = events_to_load(path, self._runtime, after=after, until=until, ending=lambda: True, vfs=self._vfs)
        async with aclosing(unbroken(reading)) as found:
            try:
                async for entry in found:
                    yield entry
            except Corruption as error:
                raise Damaged(number, str(error)) from error

    def _wanted_next(self, number: int) -> frozenset[str]:
        """What a shard has in its next run: by its journal, or, where nothing more of that was loaded, by the store."""
        following = self._left[number][:1]
        if not following:
            return frozenset(self._found.shards[number].symbols)
        return following[0].wanted or frozenset()

    async def _leave(self, number: int, kept: Collection[str]) -> None:
        """Give up what a shard has but for these, before its next run: as `settle` does it, in the same place."""
        for symbol in [symbol for symbol, its in self._owners.items() if its == number and symbol not in kept]:
            del self._owners[symbol]
        checkpoint = await self._checkpoint(number)
        state = state_of(checkpoint)
        if left := [symbol for symbol in state.symbols if symbol not in kept]:
            connection = connection_of(number)
            projection = Projection(source_of(self._name), state, 0, lambda fault: None, connection=connection)
            projection.give_up(left)
            self._idle |= state.leaving
            state.leaving = {}
            await self._commit(checkpoint, state, projection.drain().replaced)

    async def _take(self, number: int, wanted: Collection[str]) -> None:
        """Have what nobody else has."""
        mine = [symbol for symbol in wanted if self._owners.setdefault(symbol, number) == number]
        taken = {symbol: self._idle.pop(symbol) for symbol in mine if symbol in self._idle}
        if taken:
            checkpoint = await self._checkpoint(number)
            state = state_of(checkpoint)
            state.symbols |= taken
            await self._commit(checkpoint, state)

    async def _checkpoint(self, number: int) -> Checkpoint:
        return await self._again.acquire(shard_source(self._name, number))

    async def _commit(self, checkpoint: Checkpoint, state: ProjectionState, rows: tuple[Rows, ...] = ()) -> None:
        await self._again.commit(Batch(checkpoint, checkpoint.advanced(encode_state(state)), (), rows))
