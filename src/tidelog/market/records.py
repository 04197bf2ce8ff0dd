"""What a journal is made of: records. No I/O."""

import enum
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from tidelog.errors import Corruption
from tidelog.market.events import EventId

BEGINNING = EventId(0, 0)  # before every record


class Kind(enum.Enum):
    """What a record is. The numbers are stored."""

    IN = 0  # a frame as it was received
    OUT = 1  # a frame that was sent, without its token
    CONTROL = 2  # something that the feed noticed or decided; the journal's tables call it a mark
    LOST = 3  # records that the reader had not read are gone, and this takes their place; never written


JOURNALED = (Kind.IN, Kind.OUT, Kind.CONTROL)


class Record(Struct, frozen=True, gc=False):
    """One entry of the journal, as it is stored."""

    id: EventId  # grows within a journal
    at_us: int  # Unix time, µs; never goes back within a run
    kind: Kind
    payload: bytes  # the frame, or a control record's JSON
    restart: bool = False  # a core can start at this one: a run's first, or a snapshot


PackedRecord = tuple[int, int, bytes]  # kind, at_us, payload

encode_records = msgspec.msgpack.Encoder().encode
encode_record = encode_records
decode_records = msgspec.msgpack.Decoder(list[PackedRecord]).decode
KINDS = {kind.value: kind for kind in JOURNALED}


def array_head(count: int) -> bytes:
    """What comes before so many packed records (msgpack's array): then it is as if they had been packed together."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


class PackedRecords(Struct, frozen=True, gc=False):
    """Consecutive records of one run, as a journal's block has them."""

    run: int
    first_seq: int
    count: int
    packed: bytes  # `encode_records` of them
    restart_seq: int | None = None  # of the last at which a core can start

    @property
    def first(self) -> EventId:
        return EventId(self.run, self.first_seq)

    @property
    def last(self) -> EventId:
        return EventId(self.run, self.first_seq + self.count - 1)

    def records(self) -> list[Record]:
        """All of them. Corruption: it has others."""
        run, restart_seq = self.run, self.restart_seq
        return [
            Record(EventId(run, seq), at_us, KINDS[kind], payload, seq == restart_seq)
            for seq, (kind, at_us, payload) in enumerate(self._unpacked(), self.first_seq)
        ]

    def _unpacked(self) -> list[PackedRecord]:
        try:
            found = decode_records(self.packed)
        except msgspec.DecodeError as error:
            raise Corruption(f"the block at {self.run}.{self.first_seq} cannot be read: {error}") from None
        if len(found) != self.count:
            raise Corruption(f"the block at {self.run}.{self.first_seq} has {len(found)} records, not {self.count}")
        return found

    def behind(self, after: EventId) -> "PackedRecords":
        """Those of them that come after an id, which is that of one of them, or of one before. Corruption as above."""
        skipped = after.seq - self.first_seq + 1 if after.run == self.run else 0
        if skipped <= 0:
            return self
        rest = encode_records(self._unpacked()[skipped:])
        return PackedRecords(self.run, self.first_seq + skipped, self.count - skipped, rest, self.restart_seq)


PACK_RECORDS_MAX = 4_096  # of records that come one by one: some hundred kilobytes


def pack(records: Iterable[Record]) -> Iterator[PackedRecords | Record]:
    """Records in groups, as a journal's blocks are; one that is in no file, `Kind.LOST`, stays as it is."""
    group: list[PackedRecord] = []
    first = last = BEGINNING
    for record in records:
        follows = record.id == (last.run, last.seq + 1) and len(group) < PACK_RECORDS_MAX
        if group and (not follows or record.kind is Kind.LOST):
            yield PackedRecords(first.run, first.seq, len(group), encode_records(group))
            group = []
        last = record.id
        if record.kind is Kind.LOST:
            yield record
            continue
        if not group:
            first = record.id
        group.append((record.kind.value, record.at_us, record.payload))
    if group:
        yield PackedRecords(first.run, first.seq, len(group), encode_records(group))
