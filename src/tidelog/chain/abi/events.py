"""Logs, decoded: what an event's topics and data say, or why they do not fit it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.reader import Refused, Value, data_reader, word_reader
from tidelog.chain.abi.slices import Log, Topic, sliced
from tidelog.chain.abi.types import WORD, Elementary

__all__ = ["Decoded", "EventDecoder", "LogDecoder", "Misfit"]


class Misfit(Struct, frozen=True):
    """Topics and data that are not what the signature says. Few reasons: they name types, and nothing of the data."""

    reason: str


class EventDecoder:
    """Decodes logs of one event. Made once: it is a function written for the signature, where its types allow that."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._slices = sliced(event)
        self._indexed = [
            word_reader(parameter.type)
            if isinstance(parameter.type, Elementary) and not parameter.is_hashed
            else _read_hash
            for parameter in event.indexed
        ]
        self._data = data_reader([parameter.type for parameter in event.parameters if not parameter.indexed])

    @property
    def is_sliced(self) -> bool:
        """Whether a function is written for the signature."""
        return self._slices is not None

    def decode(
        self, topic0: Topic, topic1: Topic, topic2: Topic, topic3: Topic, data: bytes
    ) -> tuple[Value, ...] | Misfit:
        """A value for each argument, in their order. Of an indexed argument that has no fixed size: its hash."""
        return self.decode_all([(topic0, topic1, topic2, topic3, data)])[0]

    def decode_all(self, logs: Sequence[Log]) -> list[tuple[Value, ...] | Misfit]:
        """The same for many, which is where it is fast."""
        if self._slices is None:
            return [self.read(*log) for log in logs]
        found = self._slices(logs)
        return [self.read(*log) if values is None else values for values, log in zip(found, logs, strict=True)]

    def read(
        self, topic0: Topic, topic1: Topic, topic2: Topic, topic3: Topic, data: bytes
    ) -> tuple[Value, ...] | Misfit:
        """The same for any types, with the reason where it does not fit: slower."""
        topics = [topic for topic in (topic0, topic1, topic2, topic3) if topic is not None]
        if self.event.topic0 is not None and (not topics or topics.pop(0) != self.event.topic0):
            return Misfit("the first topic is another event's")
        if len(topics) != len(self._indexed):
            return Misfit(f"indexed arguments: {len(topics)}, and {len(self._indexed)} in the signature")
        try:
            indexed = iter([read(topic) for read, topic in zip(self._indexed, topics, strict=True)])
            rest = iter(self._data(data))
        except Refused as error:
            return Misfit(str(error))
        return tuple([next(indexed if parameter.indexed else rest) for parameter in self.event.parameters])


_KEPT = 256  # decoders, of the latest events: to make one takes as long as to read a page of logs
_decoder = lru_cache(_KEPT)(EventDecoder)


def _read_hash(topic: bytes) -> Value:
    if len(topic) != WORD:
        raise Refused("a topic is not 32 bytes long")
    return topic


class Decoded(NamedTuple):
    event: Event
    values: tuple[Value, ...]


class LogDecoder:
    """Decodes logs of several events: by the first topic, and by how many arguments are indexed.

    Of events that differ only in which arguments are indexed, the first one whose types fit is taken. Anonymous events
    are tried last.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = tuple(events)
        self._named: dict[bytes, list[EventDecoder]] = {}
        self._anonymous: list[EventDecoder] = []
        for event in self.events:
            group = self._anonymous if event.topic0 is None else self._named.setdefault(event.topic0, [])
            group.append(_decoder(event))

    def decode(
        self, topic0: Topic, topic1: Topic, topic2: Topic, topic3: Topic, data: bytes
    ) -> Decoded | Misfit | None:
        """None: it is a log of none of these events."""
        misfit: Misfit | None = None
        named = self._named.get(topic0, []) if topic0 is not None else []
        for decoder in (*named, *self._anonymous):
            values = decoder.decode(topic0, topic1, topic2, topic3, data)
            if not isinstance(values, Misfit):
                return Decoded(decoder.event, values)
            misfit = misfit or values
        return misfit
