"""The loading of one recording by several shards: each writes what it owns, and symbols move between them whole.

A shard's journal says run by run what was wanted of it. Before the loader comes to a run, the shard gives up what it
has and that run has not, and claims what the run has: from a shard that had it, once that one has loaded all of it.
Meanwhile its journal keeps what comes. Each step is one fenced commit, and a process that is killed between two does
the next one when it is started again. What a claim means is decided in `market.shards.claims`.

A symbol that went from one shard to another and back is loaded in that order, however far the loaders are behind: a
shard claims what it wants in a run, and keeps what it has, only when no other journal of its place has an earlier run
that wants it, and that was not come to yet.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from tidelog.batch import Batch, Checkpoint, Rows
from tidelog.errors import ConfigError, Fenced
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import OwnedShard
from tidelog.market.load.recorded import claims_in, connection_of, source_of, state_of
from tidelog.market.projection.projection import Projection
from tidelog.market.projection.state import ProjectionState, encode_state
from tidelog.market.records import Kind, Record
from tidelog.market.session.controls import CoreSnapshot, Wanted, decode_control
from tidelog.market.shards.claims import (
    Claimant,
    Claimed,
    Claims,
    claim,
    claims_source,
    encode_claims,
    give_up,
    register,
    release,
    shard_source,
    taken_over,
)
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.store.patience import patiently
from tidelog.telemetry import logger

__all__ = [
    "Claiming",
    "Segment",
    "SettleLimits",
    "changed_claims",
    "segments",
    "settle",
]

T = TypeVar("T")

_log = logger("shards")


class SettleLimits(Struct, frozen=True):
    """How a shard waits for others."""

    poll_s: float = 1.0  # between looks whether a symbol was given up: one row is read
    told_every: int = 30  # looks, between two lines of the log about it
    tries_max: int = 1_000  # at a change of the claims, which others change at the same moment
    contended_s: float = 0.05  # the longest pause between two tries: a change takes milliseconds
    store_patience_s: float = 86_400.0  # as the loader's


LIMITS = SettleLimits()


class Claiming(Struct, frozen=True):
    """Who claims: a shard, by its number, and what it says of itself."""

    name: str  # of the recording
    number: int
    of: int
    place: str
    journal: str  # its path
    process: int

    @property
    def source(self) -> str:
        return shard_source(self.name, self.number)

    def claimant(self, epoch: int, symbols: Collection[str]) -> Claimant:
        return Claimant(epoch, self.of, tuple(sorted(symbols)), self.place, self.journal, self.process)


class Segment(Struct, frozen=True):
    """A run of a shard's journal, or what is left of it to be loaded."""

    run: int
    since_us: int  # when it began
    last: EventId  # that it has
    wanted: frozenset[str]  # of the shard, in what is left
    enters: bool  # it is loaded from its beginning


async def changed_claims(
    store: Store, runtime: Runtime, name: str, change: Callable[[Claims], T], limits: SettleLimits = LIMITS
) -> T:
    """Change the claims of a recording, as one commit; what `change` gives.

    Args:
        change: may be called again, with claims that another shard has changed meanwhile.
    """
    rng = runtime.random("claims")
    for _ in range(limits.tries_max):
        try:
            checkpoint = await store.acquire(claims_source(name))
            claims = claims_in(checkpoint) or Claims()
            if not claims.begun:
                checkpoint, claims = await _begin(store, checkpoint, claims, name)
            before = encode_claims(claims)
            found = change(claims)
            if encode_claims(claims) != before:
                await _written(store, checkpoint, claims)
        except _Contended:
            await runtime.sleep(rng.random() * limits.contended_s)
        else:
            return found
    raise Fenced(f"{claims_source(name)} is changed by others all the time")


class _Contended(Exception):
    """Another shard has changed the claims at the same moment."""


async def _written(store: Store, checkpoint: Checkpoint, claims: Claims) -> Checkpoint:
    after = checkpoint.advanced(encode_claims(claims))
    try:
        await store.commit(Batch(checkpoint, after))
    except Fenced:
        raise _Contended from None
    return after


async def _begin(store: Store, checkpoint: Checkpoint, claims: Claims, name: str) -> tuple[Checkpoint, Claims]:
    """Let what was recorded without shards be the first shard's; its loader is fenced, so that it comes to know of it.

    The record of claims is there before: who opens the recording after this finds it.
    """
    if checkpoint.position is None:
        checkpoint = await _written(store, checkpoint, claims)
    first = await store.acquire(source_of(name))
    state = state_of(first)
    symbols = state.symbols
    owners = dict.fromkeys(symbols, 1)
    claimant = Claimant(first.epoch, 1, tuple(sorted(symbols)), "", "", 0)
    shards = {1: claimant} if symbols else {}
    had: dict[str, tuple[int, ...]] = dict.fromkeys(symbols, (1,))
    claims = Claims(begun=True, undivided=state.id, shards=shards, owners=owners, had=had)
    return await _written(store, checkpoint, claims), claims


async def settle(
    store: Store,
    runtime: Runtime,
    me: Claiming,
    wanted: Collection[str],
    *,
    entering: int | None,
    earlier: Callable[[], Awaitable[Mapping[str, int]]] | None = None,
    on_wait: Callable[[str | None], None] = lambda what: None,
    limits: SettleLimits = LIMITS,
) -> OwnedShard:
    """Become the writer of a shard, give up what it has and does not want, and claim what it wants.

    Returns when all of that is so: another shard that gives a symbol up is waited for.

    Args:
        entering: the run that comes next, before which everything was loaded: what is not wanted is given up. None:
            nothing is.
        earlier: gives the symbols that another shard has in an earlier run, which was not come to yet, and its number.
        on_wait: told for whom is waited, in a sentence, and of None when it is over.

    Raises:
        ConfigError: another shard, in another place, records the same symbol.
        Fenced: another process has become the writer of this shard.
    """

    async def patient(attempt: Callable[[], Awaitable[T]]) -> T:
        return await patiently(runtime, attempt, patience_s=limits.store_patience_s)

    async def change(how: Callable[[Claims], T]) -> T:
        return await patient(lambda: changed_claims(store, runtime, me.name, how, limits))

    await change(lambda claims: None)  # they are there before the shard is opened, which may be the first one
    checkpoint = await patient(lambda: store.acquire(me.source))
    state = state_of(checkpoint)

    async def commit(changes: tuple[Rows, ...] = ()) -> None:
        nonlocal checkpoint
        batch = Batch(checkpoint, checkpoint.advanced(encode_state(state)), (), changes)
        await patient(lambda: store.commit(batch))
        checkpoint = batch.after

    kept = frozenset(wanted)
    if earlier is not None and entering is not None:
        kept -= (await earlier()).keys()  # who had it in between has to have it now, though it comes back
    left = [] if entering is None else [symbol for symbol in state.symbols if symbol not in kept]
    if left:
        state.entered = entering or 0
        connection = connection_of(me.number)
        projection = Projection(source_of(me.name), state, 0, lambda fault: None, connection=connection)
        projection.give_up(left)
        await commit(projection.drain().replaced)
    wants = frozenset(wanted) if entering is not None else frozenset(wanted) | state.symbols.keys()
    claimant = me.claimant(checkpoint.epoch, wants)
    runtime.reached("shards.left")

    def enter(claims: Claims) -> None:
        register(claims, me.number, claimant)
        give_up(claims, me.number, state.leaving)
        if entering is not None:
            release(claims, me.number, kept)

    await change(enter)
    runtime.reached("shards.given_up")
    if state.leaving:
        _log.info("symbols_left", source=me.source, symbols=sorted(state.leaving))
        state.leaving = {}
        await commit()
    await _take(me, claimant, state, change, commit, runtime, earlier, on_wait, limits)
    return OwnedShard(me.number, checkpoint, wants)


async def _take(
    me: Claiming,
    claimant: Claimant,
    state: ProjectionState,
    change: Callable[[Callable[[Claims], Any]], Awaitable[Any]],
    commit: Callable[[], Awaitable[None]],
    runtime: Runtime,
    earlier: Callable[[], Awaitable[Mapping[str, int]]] | None,
    on_wait: Callable[[str | None], None],
    limits: SettleLimits,
) -> None:
    """Claim what is wanted, until all of it is had; what is known of it becomes the shard's."""
    looks, before = 0, dict[str, int]()

    def lacks(claims: Claims) -> bool:
        return any(claims.owners.get(symbol) != me.number for symbol in claimant.symbols)

    def look(claims: Claims) -> Claimed:
        register(claims, me.number, claimant)
        return claim(claims, me.number, claimant.symbols, state.symbols.keys(), before)

    def took(claims: Claims) -> None:
        register(claims, me.number, claimant)
        taken_over(claims, me.number, state.symbols.keys())

    while True:
        if earlier is not None and await change(lacks):
            before = dict(await earlier())
        claimed: Claimed = await change(look)
        runtime.reached("shards.claimed")
        if claimed.taken:
            state.symbols |= claimed.taken
            await commit()
            _log.info("symbols_taken", source=me.source, symbols=sorted(claimed.taken))
            runtime.reached("shards.taken")
        if claimed.refused is not None:
            raise ConfigError(claimed.refused)
        on_wait(claimed.waits)
        if claimed.waits is None:
            break
        if looks % limits.told_every == 0:
            _log.warning("symbols_awaited", source=me.source, reason=claimed.waits)
        looks += 1
        await runtime.sleep(limits.poll_s)
    await change(took)


def segments(path: str, after: EventId, entered: int, owned: Collection[str], vfs: str | None = None) -> list[Segment]:
    """What is to be loaded of a shard's journal after a position, run by run. Reads the file.

    Args:
        entered: the run before which nothing is left.
        owned: what the shard owns where it is: what a run that is loaded in part may still have.
    """
    reader = JournalReader(path, vfs)
    try:
        ends = [end for end in reader.ends_of_runs(after) if end.run >= entered]
        wanted: dict[int, set[str]] = {end.run: set() for end in ends}
        if after.run in wanted:  # what it began with stands before the position
            wanted[after.run].update(owned, *map(_wanted_in, reader.block(EventId(after.run, 0))))
        begins_us = {end.run: reader.block(EventId(end.run, 0))[0].at_us for end in ends}
        for record in reader.controls(after):
            if record.id.run in wanted:
                wanted[record.id.run].update(_wanted_in(record))
        left = {end.run for end in reader.ends_of_runs(after)}  # retention may have dropped a run meanwhile
    finally:
        reader.close()
    return [
        Segment(end.run, begins_us[end.run], end, frozenset(wanted[end.run]), end.run != after.run)
        for end in ends
        if end.run in left
    ]


def _wanted_in(record: Record) -> list[str]:
    """The symbols that a control record says are wanted; none of another record."""
    if record.kind is not Kind.CONTROL:
        return []
    match decode_control(record.payload):
        case Wanted(_, symbols):
            return list(symbols)
        case CoreSnapshot(session=session):
            return [one.symbol for one in session.subscriptions if one.symbol is not None]
        case _:
            return []
