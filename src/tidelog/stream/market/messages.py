"""What is said of a recording in a stream: events as values, their messages, and back. Pure.

A record of the journal is one message for each event that comes of it. A consumer gets them together, as `Recorded`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from tidelog.chain.forks.bookmarks import Place, place_text
from tidelog.errors import ConfigError, Rejected
from tidelog.market.events import EventId
from tidelog.market.records import KINDS, Kind, decode_records
from tidelog.market.shards.layout import shard_of_run
from tidelog.stream.bodies import BodyDecoder, Encoding, encoder_of
from tidelog.stream.envelope import HEADERS_BYTES, Part, envelopes, sole_envelope
from tidelog.stream.market.places import id_of, number_of
from tidelog.stream.port import Limits, Message, StreamSettings

__all__ = [
    "KINDS_OF_EVENTS",
    "BookChange",
    "BookTop",
    "EventKind",
    "ExchangeCandle",
    "Frame",
    "Frames",
    "Level",
    "MarketEvent",
    "MarketItem",
    "MarketLanguage",
    "MarketReset",
    "Missing",
    "ProofState",
    "Recorded",
    "RecordedTrade",
    "TradesMade",
    "events_subject",
    "frames_messages",
    "frames_stream",
    "frames_subject",
    "market_stream",
    "messages_of",
    "reset_message",
    "stream_of_recording",
]

WENT_BACK = "the journal went back"
NOT_KEPT = "the stream does not reach back so far"

EventKind: TypeAlias = Literal["trade", "book", "top", "candle", "proof", "gap"]
KINDS_OF_EVENTS: tuple[EventKind, ...] = ("trade", "book", "top", "candle", "proof", "gap")


class Level(NamedTuple):
    """A price, and how much of it there is; in changes of a book, "0" and its like remove it."""

    price: str
    qty: str


class RecordedTrade(Struct, frozen=True):
    """A trade. `ordinal` is its id, or, where it has none, its place among those of its frame and time."""

    time_us: int  # Unix time, microseconds, by the exchange
    trade_id: int | None
    ordinal: int
    side: str  # of the taker: buy | sell
    ord_type: str
    price: str
    qty: str


class TradesMade(Struct, frozen=True, kw_only=True, tag_field="kind", tag="trade"):
    """Trades of a symbol that came in one frame. A snapshot may repeat some that came before."""

    symbol: str
    snapshot: bool = False
    trades: list[RecordedTrade]


class BookChange(Struct, frozen=True, kw_only=True, tag_field="kind", tag="book"):
    """A book as a whole (`snapshot`), or what has changed in it, level by level, in this order.

    `proven`: with it, the best levels equal the exchange's. `check` is what its own checksum showed; null: it has none,
    as what is repeated once a minute for those who begin (`again`).
    """

    symbol: str
    snapshot: bool
    again: bool = False
    depth: int  # as subscribed: levels beyond it go
    bids: list[Level]
    asks: list[Level]
    time_us: int | None = None  # by the exchange
    check: str | None = None
    proven: bool


class BookTop(Struct, frozen=True, kw_only=True, tag_field="kind", tag="top"):
    """The best levels of a book have changed; null: that side is empty."""

    symbol: str
    bid: Level | None
    ask: Level | None
    proven: bool


class ProofState(Struct, frozen=True, kw_only=True, tag_field="kind", tag="proof"):
    """A book is proven from here on, or is not any more. `levels` of each side are."""

    symbol: str
    proven: bool
    levels: int


class ExchangeCandle(Struct, frozen=True, kw_only=True, tag_field="kind", tag="candle"):
    """A candle as the exchange computes it; the running one comes again and again."""

    symbol: str
    interval_s: int
    time_us: int  # when it begins
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    trades: int
    snapshot: bool = False


class Missing(Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """Something is missing from here on: `reason` says why; of all symbols, or of one.

    `since_us` is the time of the last record before it, where that is known; `first` and `last` are ids of trades.
    """

    symbol: str | None = None
    reason: str
    since_us: int | None = None
    first: int | None = None
    last: int | None = None


MarketEvent: TypeAlias = TradesMade | BookChange | BookTop | ProofState | ExchangeCandle | Missing


class Recorded(Struct, frozen=True, kw_only=True):
    """All that comes of one record of the journal. Keep `place` in one transaction with what it did."""

    kind: Literal["recorded"] = "recorded"
    recording: str
    run: int
    seq: int
    received_us: int  # Unix time, microseconds
    place: str
    events: list[MarketEvent]


class Frame(Struct, frozen=True):
    """A record of the journal as it is there: a frame, or a control record's JSON."""

    run: int
    seq: int
    at_us: int
    kind: Literal["in", "out", "control"]
    payload: bytes


class Frames(Struct, frozen=True, kw_only=True):
    """Consecutive records of a journal."""

    kind: Literal["frames"] = "frames"
    recording: str
    place: str
    frames: list[Frame]


class MarketReset(Struct, frozen=True, kw_only=True):
    """The journal went back: undo what came of records after this one. What follows comes after it."""

    kind: Literal["reset"] = "reset"
    recording: str
    run: int
    seq: int
    place: str
    reason: str = WENT_BACK


MarketItem: TypeAlias = Recorded | Frames | MarketReset


class _Payload(Struct, frozen=True, kw_only=True):
    """A message: where its event is from, and the event.

    `more`: the event goes on in the next message, and means what it says as a whole alone: levels that leave a book's
    depth with the first of two pieces may be in it again with the second.
    """

    recording: str
    run: int
    seq: int
    received_us: int
    place: str
    more: Literal[True] | UnsetType = UNSET
    event: MarketEvent


_payloads_of = BodyDecoder(_Payload)
_resets_of = BodyDecoder(MarketReset)
_KIND_NAMES: dict[Kind, Literal["in", "out", "control"]] = {Kind.IN: "in", Kind.OUT: "out", Kind.CONTROL: "control"}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, int, int, bytes]).decode
_RECORDS = b"\x94"  # what raw records begin with: a list of four, and no object


def market_stream(recording: str, shard: int = 1) -> str:
    """The usual name of the stream of a recording's events, of one of its shards."""
    return f"tidelog-market{_nth(shard)}-{_word(recording)}"


def frames_stream(recording: str, shard: int = 1) -> str:
    """The usual name of the stream of a recording's raw records, of one of its shards."""
    return f"tidelog-frames{_nth(shard)}-{_word(recording)}"


def events_subject(recording: str, shard: int = 1) -> str:
    """Subjects of a recording's events begin with this; the symbol and the kind follow, after dots."""
    return f"tidelog.market{_nth(shard)}.{_word(recording)}"


def frames_subject(recording: str, shard: int = 1) -> str:
    """Subjects of a recording's raw records begin with this."""
    return f"tidelog.frames{_nth(shard)}.{_word(recording)}"


def stream_of_recording(
    recording: str, shard: int = 1, name: str | None = None, limits: Limits | None = None, *, frames: bool = False
) -> StreamSettings:
    """The stream of a recording's events, or of its raw records, of one of its shards.

    Args:
        name: of the first shard's stream, if it is not the usual one.
    """
    usual, subjects = (frames_stream, frames_subject) if frames else (market_stream, events_subject)
    if name is None:
        name = usual(recording, shard)
    elif shard > 1:
        name = f"{name}-{shard}"
    return StreamSettings(name, subjects(recording, shard), limits or Limits())


def _nth(shard: int) -> str:
    """What tells the streams of shards apart; of the first, as of a recording without shards, nothing."""
    return "" if shard == 1 else str(shard)


def _word(name: str) -> str:
    """A name as a part of a subject: BTC/USD is BTC-USD."""
    return "".join([each if each.isalnum() or each in "-_" else "-" for each in name]) or "-"


def reset_message(
    recording: str, subjects: str, after: Place, place: Place, encoding: Encoding = "json", shard: int = 1
) -> Message:
    """What says that the journal went back from one place to another."""
    identity = f"reset-{place_text(after)}-{place.seq}"
    payload = encoder_of(encoding)(_reset(recording, place, shard))
    return sole_envelope(f"{subjects}.all.reset", identity, after, place, payload, encoding)


def _reset(recording: str, place: Place, shard: int) -> MarketReset:
    run, seq = id_of(place.seq, shard)
    return MarketReset(recording=recording, run=run, seq=seq, place=place_text(place))


def messages_of(
    recording: str,
    after: Place,
    place: Place,
    received_us: int,
    events: Sequence[MarketEvent],
    payload_max: int,
    encoding: Encoding = "json",
    shard: int = 1,
) -> list[Message]:
    """The events of a record as messages.

    Args:
        place: behind the record.
        payload_max: bytes of a message, headers included. What is larger is divided, so that its pieces, taken
            together, mean the same.

    Raises:
        ConfigError: not even a piece fits.
    """
    subjects, room = events_subject(recording, shard), payload_max - HEADERS_BYTES
    id_, text = id_of(place.seq, shard), place_text(place)
    contents = [
        (f"{subjects}.{_symbol_of(event)}.{event.__struct_config__.tag}", payload)
        for event in events
        for payload in _payloads(recording, id_, received_us, text, event, room, encoder_of(encoding))
    ]
    return envelopes(f"{place.seq}-{place.marks[0].writer}", after, place, contents, encoding)


def _symbol_of(event: MarketEvent) -> str:
    return "all" if event.symbol is None else _word(event.symbol)


def _payloads(
    recording: str,
    id_: EventId,
    received_us: int,
    place: str,
    event: MarketEvent,
    room: int,
    encode: Callable[[Any], bytes],
    more: Literal[True] | UnsetType = UNSET,
) -> Iterator[bytes]:
    run, seq = id_
    said = encode(
        _Payload(recording=recording, run=run, seq=seq, received_us=received_us, place=place, more=more, event=event)
    )
    if len(said) <= room:
        yield said
        return
    pieces = _halves(event)
    if pieces is None:
        raise ConfigError(
            f"an event of record {id_.run}.{id_.seq} needs a message of {len(said)} bytes, and the server takes "
            f"{room + HEADERS_BYTES}: raise its max_payload, or the max_msg_size of the stream"
        )
    first, last = pieces
    yield from _payloads(recording, id_, received_us, place, first, room, encode, True)
    yield from _payloads(recording, id_, received_us, place, last, room, encode, more)


def _halves(event: MarketEvent) -> tuple[MarketEvent, MarketEvent] | None:
    """Two events that `_whole` makes one again; None: there are none."""
    if isinstance(event, TradesMade) and len(event.trades) > 1:
        middle = len(event.trades) // 2
        return (
            structs.replace(event, trades=event.trades[:middle]),
            structs.replace(event, trades=event.trades[middle:]),
        )
    if isinstance(event, BookChange) and len(event.bids) + len(event.asks) > 1:
        bids, asks = len(event.bids) // 2, (len(event.asks) + 1) // 2
        return (
            structs.replace(event, bids=event.bids[:bids], asks=event.asks[:asks], check=None, proven=False),
            structs.replace(event, snapshot=False, bids=event.bids[bids:], asks=event.asks[asks:]),
        )
    return None


def _whole(said: Sequence[_Payload]) -> Iterator[MarketEvent]:
    """The events of a record, from all of its messages."""
    pieces: list[MarketEvent] = []
    for each in said:
        pieces.append(each.event)
        if each.more is UNSET:
            yield pieces[0] if len(pieces) == 1 else _joined(pieces)
            pieces = []
    yield from pieces


def _joined(pieces: Sequence[MarketEvent]) -> MarketEvent:
    first, last = pieces[0], pieces[-1]
    if isinstance(first, TradesMade) and isinstance(last, TradesMade):
        trades = [trade for piece in pieces if isinstance(piece, TradesMade) for trade in piece.trades]
        return structs.replace(last, trades=trades)
    if isinstance(first, BookChange) and isinstance(last, BookChange):
        changes = [piece for piece in pieces if isinstance(piece, BookChange)]
        bids = [level for each in changes for level in each.bids]
        asks = [level for each in changes for level in each.asks]
        return structs.replace(last, snapshot=first.snapshot, bids=bids, asks=asks)
    return last


def frames_messages(
    recording: str, after: Place, place: Place, first: EventId, packed: Sequence[tuple[int, int, bytes]], room: int
) -> Message:
    """Consecutive records of a run as a message: msgpack of the recording, the first one's id, and the records.

    The records are packed once more by themselves, as a journal's block has them: [kind, time, payload] of each.
    """
    payload = _pack((recording, first.run, first.seq, _pack(packed)))
    if len(payload) > room:
        raise ConfigError(
            f"record {first.run}.{first.seq} needs a message of {len(payload)} bytes, and the server takes "
            f"{room + HEADERS_BYTES}: raise its max_payload, or the max_msg_size of the stream"
        )
    contents = [(f"{frames_subject(recording, shard_of_run(first.run))}.journal", payload)]
    (found,) = envelopes(f"{place.seq}-{place.marks[0].writer}", after, place, contents, "msgpack")
    return found


class MarketLanguage(Struct, frozen=True):
    """What the messages of a recording's stream say."""

    recording: str
    shard: int = 1

    is_dense = False

    def joined(self, parts: Sequence[Part], have: int) -> MarketItem:
        """See `Language`."""
        first = parts[0]
        try:
            if first.payload[:1] == _RECORDS:
                return self._frames(first, have)
            try:
                said = [_payloads_of.read(part.encoding, part.payload) for part in parts]
            except msgspec.ValidationError as error:  # a reset is rare, and no event
                try:
                    return _resets_of.read(first.encoding, first.payload)
                except msgspec.MsgspecError:
                    raise error from None
        except (msgspec.MsgspecError, KeyError) as error:
            raise Rejected(f"message {first.sequence} of the stream cannot be read: {error}") from None
        head = said[0]
        return Recorded(
            recording=head.recording,
            run=head.run,
            seq=head.seq,
            received_us=head.received_us,
            place=head.place,
            events=list(_whole(said)),
        )

    def _frames(self, part: Part, have: int) -> Frames:
        recording, run, first, packed = _unpack(part.payload)
        return Frames(
            recording=recording,
            place=place_text(part.place),
            frames=[
                Frame(run, seq, at_us, _KIND_NAMES[KINDS[kind]], payload)
                for seq, (kind, at_us, payload) in enumerate(decode_records(packed), first)
                if number_of(EventId(run, seq)) > have
            ],
        )

    def reset(self, place: Place) -> MarketItem:
        return _reset(self.recording, place, self.shard)

    def gap(self, after: Place, place: Place) -> MarketItem:
        run, seq = id_of(place.seq, self.shard)
        missing = Missing(reason=NOT_KEPT)
        return Recorded(
            recording=self.recording, run=run, seq=seq, received_us=0, place=place_text(place), events=[missing]
        )
