"""A server with one stream, which lives on when those who use it die; and what becomes of it.

It numbers messages, takes one only behind the message that its publisher names, and none twice, by their ids. Its
faults are those reported of NATS JetStream: lost acknowledgements, lost tails, forgotten streams whose numbers begin
again, older copies of its files, readers that fall silent.
"""

import random
from collections.abc import Sequence

from msgspec import structs

from tidelog.stream.durable import Kept
from tidelog.stream.envelope import ID
from tidelog.stream.port import Ends, Message, Moved, Stored

__all__ = ["SimStreams"]

LEADER_GONE = 0.5  # of lost tails: connections are lost with them
PAYLOAD_MAX = 8_000  # bytes: a header fits with what endpoints add to it, not always with all logs beside it


class SimStreams:
    """The server. `stream` is None where it has forgotten it."""

    payload_max = PAYLOAD_MAX

    def __init__(self, rng: random.Random) -> None:
        self.stream: list[Stored] | None = None
        self.away = False
        self.silent = False  # to readers, until they begin anew
        self.starts = 0  # of the server: who was connected before is not any more
        self.doubts = 0  # answers to publishers that are lost from now on, after their messages were taken
        self.places: dict[str, Kept] = {}  # of readers by name
        self._revisions = 0
        self._known: dict[str, int] = {}  # where a message of this id was stored
        self._copy: list[Stored] | None = None
        self._rng = rng

    # -- what happens to it -----------------------------------------------------------------------------------

    def restart(self) -> None:
        """Killed, and started again."""
        self.starts += 1

    def lose_tail(self, count: int) -> None:
        """Killed; the last messages were not on its disk.

        Or its cluster has another leader, which lacks them: who is connected to a third server stays connected.
        """
        if self._rng.random() < LEADER_GONE:
            self.restart()
        if self.stream is not None:
            del self.stream[max(0, len(self.stream) - count) :]

    def forget(self) -> None:
        """Killed; its folder is gone."""
        self.restart()
        self.stream = None
        self.places, self._revisions = {}, 0

    def copy(self) -> None:
        """The operator takes a copy of its files."""
        self._copy = None if self.stream is None else self.stream[:]

    def restore(self) -> None:
        """Killed; its files are those of the last copy."""
        self.restart()
        self.stream = None if self._copy is None else self._copy[:]

    # -- what is asked of it ------------------------------------------------------------------------------------

    def make(self) -> None:
        if self.stream is None:
            self.stream = []

    def ends(self) -> Ends | None:
        if self.stream is None:
            return None
        return Ends(1, len(self.stream))

    def get(self, sequence: int) -> Stored | None:
        stream = self.stream or []
        return stream[max(sequence, 1) - 1] if sequence <= len(stream) else None

    def keep(self, name: str, kept: Kept) -> int:
        """Keep a reader's place. Moved: another revision is there."""
        there = self.places.get(name)
        if kept.revision != (0 if there is None else there.revision):
            raise Moved
        self._revisions += 1
        self.places[name] = structs.replace(kept, revision=self._revisions)
        return self._revisions

    def given(self, first: int, count: int) -> list[Stored]:
        """Messages to a reader, from a number on."""
        return (self.stream or [])[first - 1 : first - 1 + count]

    def begin(self) -> int:
        """A publisher begins; its number."""
        return 0

    def take(self, messages: Sequence[Message], after: int, publisher: int = 0) -> int | None:
        """Store messages behind `after`; the last one's number, None where no answer comes. Moved: it is not last."""
        if self.stream is None:
            return None
        whole = self.doubts == 0
        self.doubts -= not whole
        kept = len(messages) if whole else self._rng.randint(0, len(messages))
        refused, previous = False, None
        for sequence, message in enumerate(messages[:kept], after):
            last = self.stream[-1].headers[ID] if self.stream else None
            if sequence != len(self.stream) or (previous is not None and previous != last):
                refused = True  # those behind it are on their way all the same
            elif self._has(message.headers[ID]):
                refused = True  # it is not stored again, and answered with the number that it has
            else:
                self.stream.append(Stored(sequence + 1, dict(message.headers), message.payload))
                self._known[message.headers[ID]] = sequence + 1
            previous = message.headers[ID]
        if refused and whole:
            raise Moved
        return after + len(messages) if whole else None

    def _has(self, identity: str) -> bool:
        at, stream = self._known.get(identity, 0), self.stream or []
        return 0 < at <= len(stream) and stream[at - 1].headers[ID] == identity
