"""A chain's changes as messages of a stream, and back. Pure.

A change is one message, or several parts where its logs do not fit into one. Each message says in its headers where a
follower is before it and behind it (places: see `chain.forks.bookmarks`), so that what continues what is decided by
the headers alone, whatever numbers the stream gives.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias
from zlib import crc32

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import Place, parse_place, place_text
from tidelog.chain.written import WENT_BACK, Block, Log, change_of
from tidelog.errors import ConfigError, Rejected
from tidelog.json_values import HexText
from tidelog.stream.port import Message, Stored

__all__ = [
    "Change",
    "Detail",
    "Part",
    "Reset",
    "changes_subject",
    "joined",
    "messages_of",
    "part_of",
    "reset_message",
    "stream_name",
]

VERSION = "1"  # of what is in headers and payloads: another number is another meaning
ID, PLACE, AFTER, PART, FORMAT = "Nats-Msg-Id", "Tidelog-Place", "Tidelog-After", "Tidelog-Part", "Tidelog-Version"
HEADERS_BYTES = 2_048  # above what two places, an id and the server's own headers take

Detail: TypeAlias = Literal["header", "logs"]


class Change(Struct, frozen=True, kw_only=True):
    """A block that was applied or reverted. `seq` has no holes; `place` is where a follower is behind it.

    `block` is its header, null where the block is reverted, or was before it could be published. `logs` are there where
    the stream has them.
    """

    chain: int
    kind: Literal["apply", "revert"]
    seq: int
    number: int
    hash: HexText
    parent_hash: HexText
    writer: str
    place: str
    block: Block | None = None
    logs: list[Log] | UnsetType = UNSET


class Reset(Struct, frozen=True, kw_only=True):
    """The store went back: undo the changes after `seq`. What follows comes after it."""

    chain: int
    kind: Literal["reset"] = "reset"
    seq: int
    place: str
    reason: str = WENT_BACK


class Part(Struct, frozen=True):
    """A message's headers, read, and its payload."""

    after: Place
    place: Place
    number: int  # from 1
    count: int
    payload: bytes
    sequence: int

    @property
    def is_last(self) -> bool:
        return self.number == self.count


_encode = msgspec.json.Encoder().encode


def changes_subject(chain: int) -> str:
    """The subjects of a chain's messages begin with this; a dot and the kind follow."""
    return f"tidelog.chain.{chain}"


def stream_name(chain: int) -> str:
    """The usual name of a chain's stream."""
    return f"tidelog-chain-{chain}"


def reset_message(chain: int, after: Place, place: Place) -> Message:
    """What says that the store went back from one place to another."""
    said = Reset(chain=chain, seq=place.seq, place=place_text(place))
    found = f"reset-{place_text(after)}-{place.seq}"
    return _message(chain, "reset", found, after, place, "1/1", _encode(said))


def messages_of(
    chain: int, row: Row, after: Place, block: Block | None, logs: Sequence[Log] | None, payload_max: int
) -> list[Message]:
    """A row of `changes` as messages.

    Args:
        after: the place before it.
        logs: of the block; None: the stream has none.
        payload_max: bytes of a message, headers included.

    Raises:
        ConfigError: a log, or the header, does not fit into one message.
    """
    place = after.advanced([row])
    plain = change_of(row)
    change = Change(chain=chain, **structs.asdict(plain), place=place_text(place), block=block)
    room = payload_max - HEADERS_BYTES
    parts = _parts(change, logs, room)
    found = []
    for number, payload in enumerate(parts, 1):
        if len(payload) > room:
            raise ConfigError(
                f"block {change.number} needs a message of {len(payload)} bytes, and the server takes {payload_max}: "
                "raise its max_payload, or publish headers without logs"
            )
        part = f"{number}/{len(parts)}"
        identity = f"{change.writer}-{change.seq}-{part}-{crc32(payload):08x}"  # of the content: within the server's
        # window one that is there is not stored again, and one that is begun anew in another cut is
        found.append(_message(chain, change.kind, identity, after, place, part, payload))
    return found


def _parts(change: Change, logs: Sequence[Log] | None, room: int) -> list[bytes]:
    if logs is None:
        return [_encode(change)]
    return [
        _encode(structs.replace(change, block=change.block if first else None, logs=some))
        for first, some in _shares(logs, room - len(_encode(structs.replace(change, logs=[]))), room)
    ]


def _shares(logs: Sequence[Log], room_first: int, room: int) -> Iterator[tuple[bool, list[Log]]]:
    """The logs in shares that fit into a message each, the first one beside the header."""
    first, share, left = True, list[Log](), room_first
    for log in logs:
        size = len(_encode(log)) + 1
        if share and size > left:
            yield first, share
            first, share, left = False, [], room - 1_024  # a change without its header takes less
        share.append(log)
        left -= size
    yield first, share


def _message(chain: int, kind: str, identity: str, after: Place, place: Place, part: str, payload: bytes) -> Message:
    headers = {
        ID: identity,
        FORMAT: VERSION,
        AFTER: place_text(after),
        PLACE: place_text(place),
        PART: part,
    }
    return Message(f"{changes_subject(chain)}.{kind}", headers, payload)


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
            parse_place(headers[AFTER]), parse_place(headers[PLACE]), number, count, stored.payload, stored.sequence
        )
    except (KeyError, ValueError) as error:
        raise Rejected(f"message {stored.sequence} of the stream has headers that cannot be read: {error}") from None
    if not 1 <= number <= count:
        raise Rejected(f"message {stored.sequence} of the stream is part {number} of {count}")
    return found


def joined(parts: Sequence[Part]) -> Change | Reset:
    """All parts of a message as what they say. Rejected: they cannot be read."""
    try:
        first, *others = [_decode_one(part.payload) for part in parts]
    except msgspec.MsgspecError as error:
        raise Rejected(f"message {parts[0].sequence} of the stream cannot be read: {error}") from None
    if not others or isinstance(first, Reset):
        return first
    logs = [
        log for part in (first, *others) if isinstance(part, Change) and part.logs is not UNSET for log in part.logs
    ]
    return structs.replace(first, logs=logs)


class _Kind(Struct):
    kind: str


_kind_of = msgspec.json.Decoder(_Kind).decode
_change_of = msgspec.json.Decoder(Change).decode
_reset_of = msgspec.json.Decoder(Reset).decode


def _decode_one(payload: bytes) -> Change | Reset:
    return _reset_of(payload) if _kind_of(payload).kind == "reset" else _change_of(payload)
