"""Events on their way to consumers: as they are published, and as a consumer gets them. Pure."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, compress, repeat
from typing import get_args, overload

from msgspec import Struct

from tidelog.market.events import Event, EventId

__all__ = ["EventBatch", "Item", "Published", "items_of"]


_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


class Item(Struct, frozen=True, gc=False):
    """An event as a consumer gets it. What is not durable is lost with the process, and its id with it."""

    id: EventId
    event: Event
    durable: bool


class Published(Struct, frozen=True, gc=False):
    """Events of one run in order, all that were published at once or those of them that somebody wants."""

    run: int
    seqs: Sequence[int]  # of their ids, ascending
    events: Sequence[Event]
    ahead: int  # by how much an event's number in the stream, which begins at 1, exceeds its `seq`

    def __len__(self) -> int:
        return len(self.seqs)

    def part(self, begin: int, end: int) -> "Published":
        """Those from one place to before another."""
        return Published(self.run, self.seqs[begin:end], self.events[begin:end], self.ahead)

    def of_kinds(self, kinds: frozenset[type[Event]]) -> "Published":
        """Those of these types."""
        if not isinstance(self.events, (list, tuple)):  # the compiled core's: it makes none of them for that
            found: tuple[bytes, Sequence[Event]] | None
            found = self.events.of_kinds([kind.__name__ for kind in kinds])  # type: ignore[attr-defined]
            if found is None:
                return self
            which, events = found
            return Published(self.run, [*compress(self.seqs, which)], events, self.ahead)
        made = {*map(type, self.events)}
        wanted = {each for each in made if _KINDS.get(each.__name__) in kinds}  # the core's have types of their own
        if wanted == made:
            return self
        places = [place for place, each in enumerate(map(type, self.events)) if each in wanted]
        return Published(
            self.run, [self.seqs[place] for place in places], [self.events[place] for place in places], self.ahead
        )

    def through(self, id_: EventId) -> int:
        """How many of them have ids up to this one."""
        if self.run != id_.run:
            return len(self.seqs) if self.run < id_.run else 0
        return bisect_right(self.seqs, id_.seq)


def items_of(published: Published, durable_through: EventId) -> tuple[Iterator[Item], Iterator[int]]:
    """Items of what was published, each made when it is its turn; and the numbers of those that are left."""
    left, durable = iter(published.seqs), published.through(durable_through)
    # as `EventId(run, seq)`, in half the time
    ids: Iterator[EventId] = map(tuple.__new__, repeat(EventId), zip(repeat(published.run), left, strict=False))
    return map(Item, ids, published.events, chain(repeat(True, durable), repeat(False))), left


class EventBatch(Sequence[Item]):
    """Items that a consumer gets at once, in order: at least one. Immutable; an `Item` is made when it is looked at.

    `events` are the events alone, which is faster where nothing else is wanted. What has an id up to
    `durable_through` was on the disk when the batch was handed out.
    """

    __slots__ = ("_events", "_parts", "durable_through")

    def __init__(self, parts: Sequence[Published], durable_through: EventId) -> None:
        self._parts = parts
        self._events: tuple[Event, ...] | None = None  # None: nobody has looked at them
        self.durable_through = durable_through

    @property
    def events(self) -> tuple[Event, ...]:
        """The events alone."""
        if self._events is None:
            self._events = tuple(chain.from_iterable([part.events for part in self._parts]))
        return self._events

    @property
    def ids(self) -> tuple[EventId, ...]:
        """The id of each event."""
        return tuple([EventId(part.run, seq) for part in self._parts for seq in part.seqs])

    def __len__(self) -> int:
        return sum([len(part) for part in self._parts])

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable([items_of(part, self.durable_through)[0] for part in self._parts])

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        at = index if index >= 0 else index + len(self)
        for part in self._parts:
            if 0 <= at < len(part):
                id_ = EventId(part.run, part.seqs[at])
                return Item(id_, part.events[at], id_ <= self.durable_through)
            at -= len(part)
        raise IndexError("no item of the batch has that index")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventBatch) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self.ids)

    def __reduce__(self) -> tuple[object, ...]:
        """The compiled core's events, many in one object, are pickled one by one."""
        parts = [Published(part.run, [*part.seqs], (*part.events,), part.ahead) for part in self._parts]
        return EventBatch, (parts, self.durable_through)

    def __repr__(self) -> str:
        return f"EventBatch({list(self)!r})"
