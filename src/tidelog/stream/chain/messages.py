"""A chain's changes as messages of a stream, and back. Pure.

A change is one message, or several parts where its logs, or its events, do not fit into one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import Place, place_text
from tidelog.chain.written import WENT_BACK, Block, BlockEvents, ContractEvent, Log, MisfitLog, change_of
from tidelog.errors import ConfigError, Rejected
from tidelog.json_values import HexText
from tidelog.stream.bodies import BodyDecoder, Encoding, encoder_of
from tidelog.stream.envelope import HEADERS_BYTES, Part, envelopes, sole_envelope
from tidelog.stream.port import Limits, Message, StreamSettings

__all__ = [
    "ChainLanguage",
    "Change",
    "Content",
    "Detail",
    "Gap",
    "Reset",
    "StreamItem",
    "changes_subject",
    "final_stream",
    "final_subject",
    "messages_of",
    "reset_message",
    "stream_name",
    "stream_of_chain",
]

Detail: TypeAlias = Literal["header", "logs", "events"]
Encode: TypeAlias = Callable[[Any], bytes]
Content: TypeAlias = BlockEvents | Sequence[Log] | None  # of a block, beside its header

LIST_BYTES = 4  # that msgpack spends on the length of a long list more than on that of an empty one


class Change(Struct, frozen=True, kw_only=True):
    """A block that was applied or reverted. `seq` has no holes; `place` is where a follower is behind it.

    `block` is its header, null where the block is reverted, or was before it could be published. `logs` are there where
    the stream has them, or `events`, decoded, with the contracts of which the store does not hold those of this block.
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
    events: list[ContractEvent | MisfitLog] | UnsetType = UNSET
    uncovered: list[str] | UnsetType = UNSET


class Reset(Struct, frozen=True, kw_only=True):
    """The store went back: undo the changes after `seq`. What follows comes after it."""

    chain: int
    kind: Literal["reset"] = "reset"
    seq: int
    place: str
    reason: str = WENT_BACK


class Gap(Struct, frozen=True, kw_only=True):
    """The stream no longer has the changes `first` to `last`: what they did is not known here."""

    chain: int
    kind: str = "gap"
    first: int
    last: int
    place: str


StreamItem: TypeAlias = Change | Reset | Gap


def changes_subject(chain: int) -> str:
    """The subjects of a chain's messages begin with this; a dot and the kind follow."""
    return f"tidelog.chain.{chain}"


def stream_name(chain: int) -> str:
    """The usual name of a chain's stream."""
    return f"tidelog-chain-{chain}"


def final_subject(chain: int) -> str:
    """The same of its final blocks."""
    return f"tidelog.final.{chain}"


def final_stream(chain: int) -> str:
    """The usual name of the stream of its final blocks."""
    return f"tidelog-final-{chain}"


def stream_of_chain(
    chain: int, name: str | None = None, limits: Limits | None = None, *, final: bool = False
) -> StreamSettings:
    """The stream of a chain's changes, or of its final blocks; under a name, if not under its usual one."""
    usual, subjects = (final_stream, final_subject) if final else (stream_name, changes_subject)
    return StreamSettings(usual(chain) if name is None else name, subjects(chain), limits or Limits())


def reset_message(chain: int, after: Place, place: Place, encoding: Encoding = "json") -> Message:
    """What says that the store went back from one place to another."""
    said = Reset(chain=chain, seq=place.seq, place=place_text(place))
    found = f"reset-{place_text(after)}-{place.seq}"
    payload = encoder_of(encoding)(said)
    return sole_envelope(f"{changes_subject(chain)}.reset", found, after, place, payload, encoding)


def messages_of(
    chain: int,
    row: Row,
    after: Place,
    block: Block | None,
    content: Content,
    payload_max: int,
    *,
    subjects: str | None = None,
    encoding: Encoding = "json",
) -> list[Message]:
    """A row of `changes` as messages.

    Args:
        after: the place before it.
        content: the block's logs, or its events; None: the stream has neither.
        payload_max: bytes of a message, headers included.
        subjects: what their subjects begin with, if not `changes_subject`.

    Raises:
        ConfigError: a log, an event, or the header does not fit into one message.
    """
    place = after.advanced([row])
    plain = change_of(row)
    if block is not None and encoding != "json":
        block = _portable(block)
    change = Change(chain=chain, **structs.asdict(plain), place=place_text(place), block=block)
    room = payload_max - HEADERS_BYTES
    parts = _parts(change, content, room, encoder_of(encoding))
    if (size := max(map(len, parts))) > room:
        raise ConfigError(
            f"block {change.number} needs a message of {size} bytes, and the server takes {payload_max}: "
            "raise its max_payload, or the max_msg_size of the stream; or publish headers alone"
        )
    subject = f"{subjects or changes_subject(chain)}.{change.kind}"
    name = f"{change.writer}-{change.seq}"
    return envelopes(name, after, place, [(subject, payload) for payload in parts], encoding)


def _portable(block: Block) -> Block:
    """With the endpoint's own fields as the text that they are: JSON has numbers that msgpack has not."""
    return structs.replace(block, extra=bytes(block.extra).decode()) if block.extra is not None else block


def _parts(change: Change, content: Content, room: int, encode: Encode) -> list[bytes]:
    if content is None:
        return [encode(change)]
    items: Sequence[Any]
    if isinstance(content, BlockEvents):
        kind, items = "events", content.events
        change = structs.replace(change, uncovered=content.uncovered)
    else:
        kind, items = "logs", content
    bare = structs.replace(change, **{kind: []})
    others = structs.replace(bare, block=None)
    room_first, room_other = (room - len(encode(each)) - LIST_BYTES for each in (bare, others))
    return [
        encode(structs.replace(bare if first else others, **{kind: some}))
        for first, some in _shares(items, room_first, room_other, encode)
    ]


def _shares(items: Sequence[Any], room_first: int, room: int, encode: Encode) -> Iterator[tuple[bool, list[Any]]]:
    """Logs or events in shares that fit into a message each, the first one beside the header."""
    first, share, left = True, list[Any](), room_first
    for item in items:
        size = len(encode(item)) + 1
        if share and size > left:
            yield first, share
            first, share, left = False, [], room
        share.append(item)
        left -= size
    yield first, share


class ChainLanguage(Struct, frozen=True):
    """What the messages of a chain's stream say."""

    chain: int

    is_dense = True

    def joined(self, parts: Sequence[Part], have: int) -> StreamItem:
        """See `Language`."""
        try:
            first, *others = [_decode_one(part) for part in parts]
        except msgspec.MsgspecError as error:
            raise Rejected(f"message {parts[0].sequence} of the stream cannot be read: {error}") from None
        if not others or isinstance(first, Reset):
            return first
        parted = [first, *[other for other in others if isinstance(other, Change)]]
        logs = [log for part in parted if part.logs is not UNSET for log in part.logs]
        if first.events is UNSET:
            return structs.replace(first, logs=logs)
        events = [event for part in parted if part.events is not UNSET for event in part.events]
        return structs.replace(first, events=events)

    def reset(self, place: Place) -> StreamItem:
        return Reset(chain=self.chain, seq=place.seq, place=place_text(place))

    def gap(self, after: Place, place: Place) -> StreamItem:
        return Gap(chain=self.chain, first=after.seq + 1, last=place.seq, place=place_text(place))


_changes = BodyDecoder(Change)
_resets = BodyDecoder(Reset)


def _decode_one(part: Part) -> Change | Reset:
    try:
        change = _changes.read(part.encoding, part.payload)
    except msgspec.ValidationError as error:  # a reset is rare, and no change
        try:
            return _resets.read(part.encoding, part.payload)
        except msgspec.MsgspecError:
            raise error from None
    if change.block is not None and isinstance(change.block.extra, str):
        extra = msgspec.json.decode(change.block.extra)
        return structs.replace(change, block=structs.replace(change.block, extra=extra))
    return change
