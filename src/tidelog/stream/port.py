"""The port to an engine that keeps streams of messages: what is asked of it, in values.

A stream numbers its messages from 1, in the order in which it took them; the numbers may begin again where a stream
was deleted or restored. One that is told which number came last takes a message only if that is so.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from msgspec import Struct

__all__ = ["Ends", "Message", "Moved", "Stored", "StreamSession", "StreamTransport"]


class Moved(Exception):
    """The stream's last message is not the one that was expected: somebody published, or the stream went back."""


class Message(Struct, frozen=True):
    """What is published."""

    subject: str
    headers: dict[str, str]
    payload: bytes


class Stored(Struct, frozen=True):
    """What a stream has at `sequence`."""

    sequence: int
    headers: dict[str, str]
    payload: bytes


class Ends(NamedTuple):
    """The numbers of the first and the last message of a stream; `last` is `first` - 1 in one that has none."""

    first: int
    last: int


class StreamSession(Protocol):
    """A connection to the engine, about one stream.

    Each method raises `Unreachable` where no answer comes within the limits, or one that says nothing of the question.
    """

    @property
    def payload_max(self) -> int:
        """Bytes of the largest message, headers included."""
        ...

    async def ensure(self) -> None:
        """Make the stream as it was configured, if it is not there. ConfigError: it is there, and different."""
        ...

    async def ends(self) -> Ends | None:
        """None: there is no such stream."""
        ...

    async def get(self, sequence: int) -> Stored | None:
        """One message; None where the stream does not have it."""
        ...

    async def since(self, at_us: int) -> int:
        """The number of the first message that was taken at that time (Unix, microseconds) or later; the next one's."""
        ...

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        """Publish messages behind the one with the number `after`; the number of the last of them.

        Some of them, from the first on, may be in the stream though it raises.

        Raises:
            Moved: the stream's last message is another one.
        """
        ...

    def read(self, first: int) -> AsyncGenerator[list[Stored], None]:
        """The messages from a number on, in order, for ever; an empty list after each while without any."""
        ...


class StreamTransport(Protocol):
    """Connects to the engine."""

    @property
    def name(self) -> str:
        """What people call the stream and where it is, without secrets."""
        ...

    def connect(self) -> AbstractAsyncContextManager[StreamSession]:
        """A session while the context lasts.

        Raises:
            Unreachable: the engine cannot be reached.
            ConfigError: it refuses our credentials.
        """
        ...
