"""A server with one topic, which is written in transactions by one publisher at a time; and what becomes of it.

It stands for Kafka: the end of a transaction has a number, messages of one that was not committed are never given, and
a publisher that begins ends what another one has begun, and shuts it out.
"""

import random
from collections.abc import Sequence

from tidelog.errors import Fenced
from tidelog.sim.streams.server import SimStreams
from tidelog.stream.port import Ends, Message, Moved, Stored

__all__ = ["SimTopic"]


class SimTopic(SimStreams):
    """The server. `stream` has what was committed."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._publisher = 0  # the last that began
        self._end = 0  # the last number that is taken, by a message or an end
        self._open = 0  # messages of the transaction that has not ended: it never will be committed

    def lose_tail(self, count: int) -> None:
        super().lose_tail(count)
        self._end, self._open = self._newest, 0

    def forget(self) -> None:
        super().forget()
        self._end = self._open = 0

    def restore(self) -> None:
        super().restore()
        self._end, self._open = self._newest, 0

    @property
    def _newest(self) -> int:
        return self.stream[-1].sequence if self.stream else 0

    def begin(self) -> int:
        self._abort()
        self._publisher += 1
        return self._publisher

    def ends(self) -> Ends | None:
        return None if self.stream is None else Ends(1, self._newest)

    def get(self, sequence: int) -> Stored | None:
        return next((each for each in self.stream or [] if each.sequence >= sequence), None)

    def given(self, first: int, count: int) -> list[Stored]:
        return [each for each in self.stream or [] if each.sequence >= first][:count]

    def take(self, messages: Sequence[Message], after: int, publisher: int = 0) -> int | None:
        if self.stream is None:
            return None
        if publisher != self._publisher:
            raise Fenced("simulated: another publisher has begun since")
        if self._newest != after:
            raise Moved
        arrives = self.doubts == 0
        self.doubts -= not arrives
        if not arrives and self._rng.random() < 0.5:  # its publisher, or its connection, is gone before the commit
            self._end += self._rng.randint(0, len(messages))
            self._open = self._end - self._newest
            return None
        for message in messages:
            self._end += 1
            self.stream.append(Stored(self._end, dict(message.headers), message.payload))
        self._end += 1
        return self._newest if arrives else None

    def _abort(self) -> None:
        self._end += self._open > 0  # the number of its end
        self._open = 0
