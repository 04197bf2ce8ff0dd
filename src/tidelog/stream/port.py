"""The port to an engine that keeps streams of messages: what is asked of it, in values.

A stream numbers its messages from 1, in the order in which it took them. There may be numbers that no message has, and
they may begin again where a stream was deleted or restored. One that is told which number came last takes a message
only if that is so.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from msgspec import Struct

__all__ = ["Ends", "Limits", "Message", "Moved", "Stored", "StreamSession", "StreamSettings", "StreamTransport"]


class Moved(Exception):
    """The stream's last message is not the one that was expected: somebody published, or the stream went back."""


class Limits(Struct, frozen=True):
    """How much a stream keeps, and on how many servers."""

    replicas: int = 1
    bytes_max: int | None = None  # then its oldest messages go
    age_max_s: int | None = None


class StreamSettings(Struct, frozen=True):
    """How a stream is made. One that is there has to be no smaller, and on as many servers."""

    name: str
    subjects: str  # all that begin with it, and a dot
    limits: Limits = Limits()


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
    """From where on a stream has messages, and the number of the last one; it is `first` - 1 where there is none."""

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
        """The message with that number, or else the first one behind it; None where there is none."""
        ...

    async def since(self, at_us: int) -> int:
        """The number of the first message that was taken at that time (Unix, microseconds) or later; the next one's."""
        ...

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        """Publish messages behind the one with the number `after`; the number of the last of them.

        Some of them, from the first on, may be in the stream though it raises.

        Raises:
            Moved: the stream's last message is another one.
            Fenced: another publisher has begun since, and the engine takes nothing from this one any more.
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
