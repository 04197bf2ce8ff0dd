"""What all messages of streams have in common: headers that say where a follower is before and behind them. Pure.

What continues what is decided by the headers alone, whatever numbers the stream gives. Places are those of
`chain.forks.bookmarks`: a number that grows, and whose it is.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar
from zlib import crc32

from msgspec import Struct

from tidelog.chain.forks.bookmarks import Place, parse_place, place_text
from tidelog.errors import Rejected
from tidelog.stream.bodies import MEDIA_TYPES, Encoding
from tidelog.stream.port import Message, Stored

__all__ = ["HEADERS_BYTES", "ID", "Language", "Part", "envelopes", "lasting_id", "part_of", "sole_envelope"]

VERSION = "1"  # of what is in headers and payloads: another number is another meaning
ID, PLACE, AFTER, PART, FORMAT = "Nats-Msg-Id", "Tidelog-Place", "Tidelog-After", "Tidelog-Part", "Tidelog-Version"
BODY = "Content-Type"  # one without it is JSON, or raw records: as tidelog wrote them at first
HEADERS_BYTES = 2_048  # above what two places, an id and the server's own headers take

_ENCODINGS = {media_type: encoding for encoding, media_type in MEDIA_TYPES.items()}

T = TypeVar("T", covariant=True)


class Part(Struct, frozen=True):
    """A message's headers, read, and its payload."""

    after: Place
    place: Place
    number: int  # from 1
    count: int
    payload: bytes
    sequence: int
    encoding: Encoding = "json"  # of the payload

    @property
    def is_last(self) -> bool:
        return self.number == self.count


class Language(Protocol[T]):
    """What the messages of one kind of source say."""

    @property
    def is_dense(self) -> bool:
        """Whether each number of a place has its message: one that is missing is a loss."""
        ...

    def joined(self, parts: Sequence[Part], have: int) -> T:
        """All parts of a message as what they say. Rejected: they cannot be read.

        Args:
            have: the number of the place up to which the follower has everything.
        """
        ...

    def reset(self, place: Place) -> T:
        """What tells a follower to go back to a place."""
        ...

    def gap(self, after: Place, place: Place) -> T:
        """What tells a follower that nothing is known between two places."""
        ...


def envelopes(
    name: str, after: Place, place: Place, contents: Sequence[tuple[str, bytes]], encoding: Encoding
) -> list[Message]:
    """The messages from one place to another.

    Args:
        name: what is between the places; part of the messages' ids.
        contents: subject and payload of each.
    """
    found = []
    for number, (subject, payload) in enumerate(contents, 1):
        part = f"{number}/{len(contents)}"
        identity = f"{name}-{part}{_of_content(payload)}"  # within the server's window one that is there is not
        # stored again, and one that is begun anew in another cut is
        found.append(_message(subject, identity, after, place, part, payload, encoding))
    return found


def sole_envelope(
    subject: str, identity: str, after: Place, place: Place, payload: bytes, encoding: Encoding
) -> Message:
    """A message by itself."""
    return _message(subject, identity, after, place, "1/1", payload, encoding)


def _message(
    subject: str, identity: str, after: Place, place: Place, part: str, payload: bytes, encoding: Encoding
) -> Message:
    headers = {
        ID: identity,
        FORMAT: VERSION,
        BODY: MEDIA_TYPES[encoding],
        AFTER: place_text(after),
        PLACE: place_text(place),
        PART: part,
    }
    return Message(subject, headers, payload)


def lasting_id(message: Message) -> str:
    """An id that does not go by the content: of a change whose block is reverted before it is sent again, the same."""
    return message.headers[ID].removesuffix(_of_content(message.payload))


def _of_content(payload: bytes) -> str:
    return f"-{crc32(payload):08x}"


def part_of(stored: Stored) -> Part:
    """What a stream has, read as far as its headers. Rejected: tidelog has not written it, or a later version did."""
    headers = stored.headers
    if (version := headers.get(FORMAT)) != VERSION:
        raise Rejected(
            f"message {stored.sequence} of the stream is not tidelog's: it has no {FORMAT}"
            if version is None
            else f"message {stored.sequence} of the stream is of version {version[:20]}: this tidelog reads {VERSION}"
        )
    try:
        number, count = map(int, headers[PART].split("/"))
        found = Part(
            parse_place(headers[AFTER]),
            parse_place(headers[PLACE]),
            number,
            count,
            stored.payload,
            stored.sequence,
            _ENCODINGS.get(headers.get(BODY, ""), "json"),
        )
    except (KeyError, ValueError) as error:
        raise Rejected(f"message {stored.sequence} of the stream has headers that cannot be read: {error}") from None
    if (body := headers.get(BODY)) is not None and body not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise Rejected(f"message {stored.sequence} of the stream has a body of type {body[:40]!r}: there are {known}")
    if not 1 <= number <= count:
        raise Rejected(f"message {stored.sequence} of the stream is part {number} of {count}")
    return found
