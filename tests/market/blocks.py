"""Blocks of a journal, as a writer is given them."""

from collections.abc import Iterable

from tidelog.market.journal.schema import Block
from tidelog.market.records import KINDS, PackedRecord


def block_of(run: int, first_seq: int, records: Iterable[PackedRecord], restart_seq: int | None = None) -> Block:
    block = Block(run, first_seq)
    for seq, (kind, at_us, payload) in enumerate(records, first_seq):
        block.add(KINDS[kind], at_us, payload, len(payload), restart=seq == restart_seq)
    return block
