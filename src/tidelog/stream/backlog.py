"""What is to be published, behind what a stream has: the publisher's other side."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tidelog.chain.forks.bookmarks import Place, Verdict
from tidelog.stream.port import Message

__all__ = ["Backlog", "Page"]


class Page(Struct, frozen=True):
    """What comes next for a stream."""

    verdict: Verdict  # on the stream's place
    place: Place  # of the stream, once it has the messages
    messages: Sequence[Message]
    more: bool  # whether there may be more at once
    until_us: int = 0  # the time of the last record that it comes of; 0: changes have none


class Backlog(Protocol):
    """A source's messages, in order, from any place on."""

    @property
    def source(self) -> str:
        """What people call it: chain 1, recording kraken."""
        ...

    @property
    def origin(self) -> str:
        """What it is read from: a store, a journal."""
        ...

    @property
    def last(self) -> int:
        """How far it is, by the last look, in the numbers of its places."""
        ...

    async def next(self, place: Place, payload_max: int) -> Page:
        """What comes behind a place.

        Args:
            payload_max: bytes of a message, headers included.

        Raises:
            ConfigError: something does not fit into a message.
            StoreError: it cannot be read, or not for longer than the limit.
            Corruption: it has a hole.
        """
        ...

    async def close(self) -> None: ...
