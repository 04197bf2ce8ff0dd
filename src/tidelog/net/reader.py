"""Reads a WebSocket's connection in the place of picows, which gives frames out one by one.

That costs more than all that a feed does with them then. So usual messages are taken here, many at a time, and every
other frame, whatever it is, goes to picows as it came. That hands a frame out as soon as it is whole: the order stays.
"""

import asyncio
import sys
from typing import Any, Protocol

from tidelog.net.texts import frame_size, texts

READ_BYTES = 64 * 1024  # at once: hundreds of messages, which stay in the processor's cache

__all__ = ["Messages", "Reader"]


class Messages(Protocol):
    """Where messages go."""

    @property
    def between_messages(self) -> bool:
        """Whether a message may begin."""

    def put(self, messages: list[bytes], size: int) -> bool:
        """Take whole messages in, of so many bytes; False, and none is, unless all of them may wait there."""


class Reader(asyncio.BufferedProtocol):
    """The client's end of a connection, once picows has made it and holds no part of a frame."""

    def __init__(self, picows: Any, messages: Messages, size_max: int) -> None:
        """
        Args:
            picows: the protocol that has read the connection so far; it goes on to write it, and to end it.
            size_max: bytes of a message.
        """
        self._picows = picows
        self._messages = messages
        self._size_max = size_max
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._head = b""  # the beginning of a frame's head
        self._owed = 0  # bytes to picows, of a frame that it has begun to read

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        sent, at = self._head + self._buffer[:nbytes], 0
        self._head = b""
        while at < len(sent):
            if not self._owed:
                at = self._take(sent, at)
            part = sent[at : at + self._owed]
            at += len(part)
            self._owed -= len(part)
            self._give(part)

    def _take(self, sent: bytes, begin: int) -> int:
        """Take the messages that come next; where they end. What follows is owed to picows, as far as it is known."""
        if self._messages.between_messages:
            messages, size, end = texts(sent, begin, self._size_max)
            if messages and not self._messages.put(messages, size):
                self._owed = sys.maxsize  # that is the end, at the message which is too many
                return begin
            begin = end
        owed = frame_size(sent, begin)
        if owed is None:
            self._head = sent[begin:]
            return len(sent)
        self._owed = owed
        return begin

    def _give(self, part: bytes) -> None:
        while part:
            room = self._picows.get_buffer(len(part))
            size = min(len(room), len(part))
            room[:size] = part[:size]
            part = part[size:]
            self._picows.buffer_updated(size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._picows.connection_lost(exc)

    def eof_received(self) -> bool:
        return bool(self._picows.eof_received())

    def pause_writing(self) -> None:
        self._picows.pause_writing()

    def resume_writing(self) -> None:
        self._picows.resume_writing()
