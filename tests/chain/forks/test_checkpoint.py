"""The batches that move a chain's checkpoint: outbox numbers without gaps, whose fold is the stored chain."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.chain.answers import proven, simulated
from tidelog.batch import Batch, Checkpoint, Rollback, Row, Table, Value
from tidelog.chain.blocks import BlockRef
from tidelog.chain.forks.checkpoint import Transition, append, chain_row, finalize, prepend, recount, repair, replace
from tidelog.chain.forks.position import (
    Counts,
    Position,
    counts,
    counts_of,
    decode_position,
    encode_position,
    source_of,
)
from tidelog.chain.projections import APPLY, REORG, REVERT, REWIND, SHRINK
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.rows.layout import BlockRows, block_rows
from tidelog.chain.rows.tables import BLOCK_TABLES, BLOCKS, CHAINS, CHANGES, REORGS, TRANSACTIONS
from tidelog.errors import Corruption

CHAIN = 1
EMPTY = Checkpoint(source_of(CHAIN), 3, 0, None, 77)
_TEMPLATE = proven(simulated("london"))[0].block


def block_of(ref: BlockRef) -> BlockRows:
    """A block's rows with nothing in it but its place in the chain."""
    names: dict[str, Value] = {
        "chain_id": CHAIN,
        "number": ref.number,
        "hash": ref.hash,
        "parent_hash": ref.parent_hash,
    }
    row = tuple(names.get(name, value) for name, value in zip(BLOCKS.names, _TEMPLATE, strict=True))
    return BlockRows(row, [], [], [])


def full_block_of(ref: BlockRef) -> BlockRows:
    """The same with some rows, of which only the keys are right; how many, its name says."""
    sizes = (ref.hash[-1] % 3, ref.hash[-1] % 5, ref.hash[15] % 2 if ref.number % 4 else None)
    row = list(block_of(ref).block)
    for name, size in zip(("transaction_count", "log_count", "withdrawal_count"), sizes, strict=True):
        row[BLOCKS.index(name)] = size
    groups: list[list[Row]] = [[(CHAIN, ref.number, i) for i in range(size or 0)] for size in sizes]
    return BlockRows(tuple(row), *groups)


def name_of(number: int, branch: int) -> bytes:
    return number.to_bytes(16, "big") + branch.to_bytes(16, "big")


def links_on(parent: BlockRef, count: int, branch: int) -> list[BlockRef]:
    made: list[BlockRef] = []
    for number in range(parent.number + 1, parent.number + 1 + count):
        made.append(BlockRef(number, name_of(number, branch), made[-1].hash if made else parent.hash))
    return made


def base(number: int) -> BlockRef:
    return BlockRef(number, name_of(number, 0), b"")


def rows_of(batch: Batch, table: Table) -> list[Row]:
    return [row for rows in (*batch.add, *batch.put) if rows.table == table for row in rows.rows]


def started(first: int = 5, count: int = 4) -> tuple[Transition, list[BlockRef]]:
    refs = links_on(base(first - 1), count, 0)
    return append(CHAIN, EMPTY, [block_of(ref) for ref in refs]), refs


# -- one batch at a time --------------------------------------------------------------------------------------------


def test_the_first_blocks_begin_the_range_and_come_with_the_chain_s_row() -> None:
    refs = links_on(base(4), 3, 0)
    row = chain_row(CHAIN, b"\x01" * 32, PROFILES[1])
    batch, position = append(CHAIN, EMPTY, [block_of(ref) for ref in refs], chain=row)
    assert position == Position(
        5, "0x" + refs[0].parent_hash.hex(), 7, "0x" + refs[-1].hash.hex(), None, None, 3, 0, 0, 0
    )
    assert batch.before == EMPTY
    assert batch.after == Checkpoint(EMPTY.source, 3, 1, encode_position(position), 77)
    assert batch.rollback is None
    assert rows_of(batch, CHAINS) == list(row.rows)
    assert rows_of(batch, CHANGES) == [
        (CHAIN, seq, APPLY, ref.number, ref.hash, ref.parent_hash, 77) for seq, ref in enumerate(refs, 1)
    ]
    assert position.head_ref_hash == refs[-1].hash
    assert position.base == BlockRef(4, refs[0].parent_hash, b"")


def test_the_range_of_a_genesis_has_its_base_below_zero() -> None:
    move = append(CHAIN, EMPTY, [block_of(BlockRef(0, name_of(0, 0), bytes(32)))])
    assert (move.position.first, move.position.head, move.position.base.number) == (0, 0, -1)


def test_more_blocks_move_the_head_alone() -> None:
    (first, _), refs = started()
    more = links_on(refs[-1], 2, 0)
    batch, position = append(CHAIN, first.after, [block_of(ref) for ref in more])
    assert (position.first, position.head, position.changes) == (5, 10, 6)
    assert [row[1] for row in rows_of(batch, CHANGES)] == [5, 6]
    assert not rows_of(batch, CHAINS)


@pytest.mark.parametrize(
    ("keep_at", "new", "reason"),
    [
        (1, 4, REORG),
        (1, 2, REORG),
        (2, 1, REORG),
        (1, 0, SHRINK),
        (0, 0, REWIND),
    ],
)
def test_a_branch_that_replaces_another_is_one_batch(keep_at: int, new: int, reason: str) -> None:
    (first, before), refs = started()
    keep, dropped = refs[keep_at], refs[keep_at + 1 :]
    added = links_on(keep, new, 1)
    batch, position = replace(
        CHAIN,
        first.after,
        keep=keep,
        dropped=dropped,
        refs=added,
        rows=block_rows([block_of(ref) for ref in added]),
        reason=reason,
        at_ms=99,
    )
    tip = added[-1] if added else keep
    assert batch.rollback == Rollback(BLOCK_TABLES, CHAIN, keep.number)
    assert [row[2:5] for row in rows_of(batch, CHANGES)] == [
        *((REVERT, ref.number, ref.hash) for ref in reversed(dropped)),  # from the head down
        *((APPLY, ref.number, ref.hash) for ref in added),
    ]
    assert [row[1] for row in rows_of(batch, CHANGES)] == list(
        range(before.changes + 1, before.changes + 1 + len(dropped) + len(added))
    )
    assert rows_of(batch, REORGS) == [
        (CHAIN, before.changes + 1, keep.number, len(dropped), 8, refs[-1].hash, tip.number, tip.hash, reason, 99)
    ]
    assert (position.first, position.head, position.head_ref_hash) == (5, tip.number, tip.hash)
    assert len(rows_of(batch, BLOCKS)) == new


def test_a_range_that_begins_on_another_parent() -> None:
    (first, _), refs = started()
    added = links_on(BlockRef(4, name_of(4, 9), b""), 4, 9)
    batch, position = replace(CHAIN, first.after, keep=None, dropped=refs, refs=added, rows=(), reason=REORG, at_ms=1)
    assert batch.rollback == Rollback(BLOCK_TABLES, CHAIN, 4)
    assert position.first_parent_hash == "0x" + name_of(4, 9).hex()
    assert rows_of(batch, REORGS)[0][2:4] == (4, 4)


@pytest.mark.parametrize(
    ("keep_at", "reason", "finalized"),
    [
        (2, REORG, 6),  # above what is final: it stays
        (1, REORG, 6),
        (0, REWIND, 5),  # the user goes below it on purpose: finality comes down to what is kept
    ],
)
def test_finality_after_blocks_are_dropped(keep_at: int, reason: str, finalized: int) -> None:
    (first, _), refs = started()
    final = finalize(first.after, 6, refs[1].hash)
    _, position = replace(
        CHAIN,
        final.batch.after,
        keep=refs[keep_at],
        dropped=refs[keep_at + 1 :],
        refs=(),
        rows=(),
        reason=reason,
        at_ms=1,
    )
    at = next(ref for ref in refs if ref.number == finalized)
    assert (position.finalized, position.finalized_hash) == (finalized, "0x" + at.hash.hex())


def test_blocks_below_come_with_the_row_whose_link_is_proven_now() -> None:
    (first, _), refs = started()
    lower = links_on(base(1), 3, 0)
    old_first = block_of(refs[0]).block
    batch, position = prepend(CHAIN, first.after, [block_of(ref) for ref in lower], old_first)
    assert (position.first, position.head, position.changes) == (2, 8, 7)
    assert position.base == base(1)
    assert rows_of(batch, BLOCKS) == [*(block_of(ref).block for ref in lower), old_first]
    assert [rows.table for rows in batch.put] == [BLOCKS]
    assert [row[3] for row in rows_of(batch, CHANGES)] == [2, 3, 4]
    assert batch.rollback is None


def test_finality_is_a_commit_without_rows() -> None:
    (first, before), refs = started()
    batch, position = finalize(first.after, 6, refs[1].hash)
    assert batch.row_count == 0
    assert (position.finalized, position.finalized_hash) == (6, "0x" + refs[1].hash.hex())
    assert position.changes == before.changes


def test_a_repair_replaces_one_block_s_rows_and_nothing_else() -> None:
    (first, before), refs = started()
    batch, position = repair(CHAIN, first.after, block_of(refs[1]))
    assert batch.rollback == Rollback(BLOCK_TABLES, CHAIN, 5, 6, counted=0)
    assert position == before
    assert batch.after.commit_seq == first.after.commit_seq + 1
    assert rows_of(batch, BLOCKS) == [block_of(refs[1]).block]
    assert not rows_of(batch, CHANGES)
    assert not rows_of(batch, TRANSACTIONS)


def test_what_is_not_counted_stays_so_until_it_is() -> None:
    """A position of an older tidelog, and a replacement that does not know what it drops."""
    (first, position), refs = started()
    assert counts(position) == (4, 0, 0, 0)
    more = links_on(refs[1], 1, 1)
    _, unknown = replace(CHAIN, first.after, keep=refs[1], dropped=refs[2:], refs=more, rows=(), reason=REORG, at_ms=0)
    assert counts(unknown) is None
    older = msgspec.structs.replace(position, transactions=None, logs=None, withdrawals=None)
    before = Checkpoint(EMPTY.source, 3, 1, encode_position(older))
    assert "logs" not in encode_position(older)
    after = append(CHAIN, before, [full_block_of(ref) for ref in links_on(refs[-1], 2, 2)])
    assert counts(after.position) is None
    batch, counted = recount(after.batch.after, Counts(6, 7, 8, 9))
    assert counts(counted) == (6, 7, 8, 9)
    assert (batch.row_count, batch.rollback) == (0, None)
    assert (counted.head, counted.changes) == (after.position.head, after.position.changes)


def test_a_repair_counts_what_it_finds_if_that_can_be_told() -> None:
    refs = links_on(base(4), 3, 2)
    first = append(CHAIN, EMPTY, [full_block_of(ref) for ref in refs])
    assert counts(first.position) == (3, 6, 6, 2)
    for gone, logs in ((Counts(1, 2, 1, 0), 7), (None, 6)):
        assert repair(CHAIN, first.batch.after, full_block_of(refs[0]), gone).position.logs == logs


def test_nothing_but_blocks_can_be_the_first_commit() -> None:
    transitions: tuple[Callable[[], Transition], ...] = (
        lambda: finalize(EMPTY, 1, bytes(32)),
        lambda: repair(CHAIN, EMPTY, block_of(base(1))),
        lambda: prepend(CHAIN, EMPTY, [block_of(base(1))], ()),
        lambda: replace(CHAIN, EMPTY, keep=base(1), dropped=(), refs=(), rows=(), reason=REORG, at_ms=0),
    )
    for move in transitions:
        with pytest.raises(Corruption, match="empty where blocks were committed"):
            move()


# -- many batches: a model of the store and of the chain -------------------------------------------------------------


class Chain(RuleBasedStateMachine):
    """Any sequence of moves. The model is the list of links; the store holds rows by key, as a real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.checkpoint = EMPTY
        self.model: list[BlockRef] = []
        self.blocks: dict[int, Row] = {}
        self.others: list[tuple[str, Row]] = []  # their other rows, each with its table's name
        self.changes: list[Row] = []
        self.reorgs: list[Row] = []
        self.branch = 0

    def commit(self, move: Transition) -> None:
        """As `Store.commit` promises it."""
        batch = move.batch
        assert batch.before == self.checkpoint
        assert decode_position(batch.after) == move.position
        if batch.rollback is not None:
            gone = range(batch.rollback.keep + 1, min(batch.rollback.last, 10_000) + 1)
            self.blocks = {number: row for number, row in self.blocks.items() if number not in gone}
            self.others = [(name, row) for name, row in self.others if row[1] not in gone]
        for rows in batch.add:
            for row in rows.rows:
                if rows.table == BLOCKS:
                    assert row[1] not in self.blocks, "a row of `add` is new"
                    self.blocks[int(row[1] or 0)] = row
                elif rows.table in BLOCK_TABLES:
                    self.others.append((rows.table.name, row))
        self.changes += rows_of(batch, CHANGES)
        self.reorgs += rows_of(batch, REORGS)
        self.checkpoint = batch.after

    def fresh(self, parent: BlockRef, count: int) -> list[BlockRef]:
        self.branch += 1
        return links_on(parent, count, self.branch)

    @rule(count=st.integers(1, 4))
    def extend(self, count: int) -> None:
        refs = self.fresh(self.model[-1] if self.model else base(49), count)
        self.commit(append(CHAIN, self.checkpoint, [full_block_of(ref) for ref in refs]))
        self.model += refs

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(0, 5))
    def reorg(self, data: st.DataObject, count: int) -> None:
        kept = data.draw(st.integers(0 if count else 1, len(self.model)))
        keep, dropped = (self.model[kept - 1] if kept else None), self.model[kept:]
        refs = self.fresh(keep or BlockRef(self.model[0].number - 1, name_of(0, 77), b""), count)
        if not dropped and not refs:
            return
        rows = block_rows([full_block_of(ref) for ref in refs])
        gone = counts_of([self.blocks[ref.number] for ref in dropped])
        move = replace(
            CHAIN,
            self.checkpoint,
            keep=keep,
            dropped=dropped,
            refs=refs,
            rows=rows,
            reason=REORG,
            at_ms=5,
            gone=gone,
        )
        self.commit(move)
        self.model = [*self.model[:kept], *refs]

    @precondition(lambda self: self.model and self.model[0].number > 3)
    @rule(count=st.integers(1, 3))
    def backfill(self, count: int) -> None:
        first = self.model[0]
        number, refs = first.number - count, list[BlockRef]()
        for at in range(count):
            below = refs[-1].hash if refs else name_of(number - 1, 0)
            name = first.parent_hash if at == count - 1 else name_of(number + at, 0)
            refs.append(BlockRef(number + at, name, below))
        self.commit(prepend(CHAIN, self.checkpoint, [full_block_of(ref) for ref in refs], full_block_of(first).block))
        self.model = [*refs, *self.model]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def make_final(self, data: st.DataObject) -> None:
        position = decode_position(self.checkpoint)
        floor = -1 if position is None or position.finalized is None else position.finalized
        higher = [ref for ref in self.model if ref.number >= floor]
        if higher:
            ref = data.draw(st.sampled_from(higher))
            self.commit(finalize(self.checkpoint, ref.number, ref.hash))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        self.commit(repair(CHAIN, self.checkpoint, full_block_of(data.draw(st.sampled_from(self.model)))))

    @invariant()
    def the_changes_fold_to_the_chain(self) -> None:
        assert [row[1] for row in self.changes] == list(range(1, len(self.changes) + 1)), "gapless from 1"
        folded: dict[object, tuple[object, object]] = {}
        for _, _, kind, number, block_hash, parent_hash, _ in self.changes:
            if kind == APPLY:
                assert number not in folded
                folded[number] = (block_hash, parent_hash)
            else:
                assert folded.pop(number) == (block_hash, parent_hash)
        assert folded == {ref.number: (ref.hash, ref.parent_hash) for ref in self.model}

    @invariant()
    def the_position_is_where_the_blocks_are(self) -> None:
        position = decode_position(self.checkpoint)
        if position is None:
            assert not self.model
            return
        assert sorted(self.blocks) == list(range(position.first, position.head + 1))
        assert [BlockRows(self.blocks[number], [], [], []).ref for number in sorted(self.blocks)] == self.model
        assert position.changes == len(self.changes)
        assert (position.head, position.head_ref_hash) == (self.model[-1].number, self.model[-1].hash)
        assert position.base.hash == self.model[0].parent_hash
        if position.finalized is not None:
            assert position.finalized <= position.head
        names = [name for name, _ in self.others]
        assert counts(position) == (len(self.blocks), *map(names.count, ("transactions", "logs", "withdrawals")))

    @invariant()
    def every_reorg_is_a_row(self) -> None:
        assert len({row[1] for row in self.reorgs}) == len(self.reorgs)
        for _, seq, _, depth, *_ in self.reorgs:
            at = int(seq or 0) - 1
            reverted = self.changes[at : at + int(depth or 0)]
            assert len(reverted) == depth
            assert all(row[2] == REVERT for row in reverted)


TestChain = Chain.TestCase
