"""Records in groups: packed, cut, and unpacked again."""

from collections.abc import Sequence

import pytest

from tests.chain.native import needs_core
from tests.market.stretches import raise_fault
from tidelog.errors import Corruption
from tidelog.market.book.lending import OnFault
from tidelog.market.core import Core
from tidelog.market.events import EventId, Started
from tidelog.market.records import (
    PACK_RECORDS_MAX,
    Kind,
    PackedRecords,
    Record,
    array_head,
    encode_record,
    encode_records,
    pack,
)
from tidelog.market.session.controls import encode_control


def record(run: int, seq: int, kind: Kind = Kind.IN) -> Record:
    return Record(EventId(run, seq), 1_700_000_000_000_000 + seq, kind, b"%d" % seq)


def unpacked(groups: Sequence[PackedRecords | Record]) -> list[Record]:
    return [one for group in groups for one in ([group] if isinstance(group, Record) else group.records())]


def test_groups_are_of_one_run_without_holes_and_bounded() -> None:
    records = [record(1, seq) for seq in range(3, PACK_RECORDS_MAX + 5)]
    records += [record(1, 9_000), record(2, 1), record(2, 2), record(2, 5, Kind.LOST), record(2, 6)]
    groups = list(pack(records))
    sizes = [None if isinstance(group, Record) else group.count for group in groups]
    assert sizes == [PACK_RECORDS_MAX, 2, 1, 2, None, 1]
    assert unpacked(groups) == records
    assert list(pack([])) == []


def test_what_comes_behind_a_record() -> None:
    (group,) = pack([record(1, seq) for seq in range(5, 10)])
    assert isinstance(group, PackedRecords)
    assert (group.first, group.last) == (EventId(1, 5), EventId(1, 9))
    assert group.behind(EventId(1, 4)) is group
    assert group.behind(EventId(0, 7)) is group
    rest = group.behind(EventId(1, 7))
    assert (rest.first, rest.last, rest.records()) == (EventId(1, 8), EventId(1, 9), [record(1, 8), record(1, 9)])


@pytest.mark.parametrize("stretches", [None, pytest.param(raise_fault, marks=needs_core)])
@pytest.mark.parametrize("packed", [b"\x92", b"\xc0", b"", encode_records([])])
def test_a_block_without_the_records_that_it_should_have_is_corrupt(packed: bytes, stretches: OnFault | None) -> None:
    core = Core(stretches=stretches)
    begun = encode_records([(Kind.CONTROL.value, 1, encode_control(Started("v2")))])
    assert list(core.apply_block(PackedRecords(1, 1, 1, begun)))
    assert core.stretches == (stretches is not None)
    with pytest.raises(Corruption, match=r"the block at 1\.2 (cannot be read|has 0 records, not 1)"):
        list(core.apply_block(PackedRecords(1, 2, 1, packed)))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_records_packed_one_by_one_are_as_those_packed_together(count: int) -> None:
    records = [(Kind.IN.value, at_us, b"x") for at_us in range(count)]
    assert array_head(count) + b"".join(map(encode_record, records)) == encode_records(records)
