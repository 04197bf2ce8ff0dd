"""The batches that move a chain's checkpoint: outbox numbers without gaps, whose fold is the chain that is held."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.chain.answers import proven, simulated
from tidelog.batch import (
    BLOCK_TABLES,
    BLOCKS,
    CHAINS,
    CHANGES,
    REORGS,
    TRANSACTIONS,
    Batch,
    Checkpoint,
    Rollback,
    Row,
    Table,
    Value,
)
from tidelog.chain.known import PROFILES
from tidelog.chain.lineage import Link
from tidelog.chain.position import (
    APPLY,
    REORG,
    REVERT,
    REWIND,
    SHRINK,
    Counts,
    Move,
    Position,
    append,
    chain_row,
    counts,
    counts_of,
    decode_position,
    encode_position,
    finalize,
    prepend,
    recount,
    repair,
    replace,
    source_of,
)
from tidelog.chain.rows import BlockRows, block_rows
from tidelog.errors import Corruption

CHAIN = 1
EMPTY = Checkpoint(source_of(CHAIN), 3, 0, None)
_TEMPLATE = proven(simulated("london"))[0].block


def block_of(link: Link) -> BlockRows:
    """A block's rows with nothing in it but its place in the chain."""
    names: dict[str, Value] = {
        "chain_id": CHAIN,
        "number": link.number,
        "hash": link.hash,
        "parent_hash": link.parent_hash,
    }
    row = tuple(names.get(name, value) for name, value in zip(BLOCKS.names, _TEMPLATE, strict=True))
    return BlockRows(row, [], [], [])


def full_block_of(link: Link) -> BlockRows:
    """The same with some rows, of which only the keys are right; how many, its name says."""
    sizes = (link.hash[-1] % 3, link.hash[-1] % 5, link.hash[15] % 2 if link.number % 4 else None)
    row = list(block_of(link).block)
    for name, size in zip(("transaction_count", "log_count", "withdrawal_count"), sizes, strict=True):
        row[BLOCKS.index(name)] = size
    groups: list[list[Row]] = [[(CHAIN, link.number, i) for i in range(size or 0)] for size in sizes]
    return BlockRows(tuple(row), *groups)


def name_of(number: int, branch: int) -> bytes:
    return number.to_bytes(16, "big") + branch.to_bytes(16, "big")


def links_on(parent: Link, count: int, branch: int) -> list[Link]:
    made: list[Link] = []
    for number in range(parent.number + 1, parent.number + 1 + count):
        made.append(Link(number, name_of(number, branch), made[-1].hash if made else parent.hash))
    return made


def base(number: int) -> Link:
    return Link(number, name_of(number, 0), b"")


def rows_of(batch: Batch, table: Table) -> list[Row]:
    return [row for rows in (*batch.add, *batch.put) if rows.table == table for row in rows.rows]


def started(first: int = 5, count: int = 4) -> tuple[Move, list[Link]]:
    links = links_on(base(first - 1), count, 0)
    return append(CHAIN, EMPTY, [block_of(link) for link in links]), links


# -- one batch at a time --------------------------------------------------------------------------------------------


def test_the_first_blocks_begin_the_range_and_come_with_the_chain_s_row() -> None:
    links = links_on(base(4), 3, 0)
    row = chain_row(CHAIN, b"\x01" * 32, PROFILES[1])
    batch, position = append(CHAIN, EMPTY, [block_of(link) for link in links], chain=row)
    assert position == Position(
        5, "0x" + links[0].parent_hash.hex(), 7, "0x" + links[-1].hash.hex(), None, None, 3, 0, 0, 0
    )
    assert batch.before == EMPTY
    assert batch.after == Checkpoint(EMPTY.source, 3, 1, encode_position(position))
    assert batch.rollback is None
    assert rows_of(batch, CHAINS) == list(row.rows)
    assert rows_of(batch, CHANGES) == [
        (CHAIN, seq, APPLY, link.number, link.hash, link.parent_hash) for seq, link in enumerate(links, 1)
    ]
    assert position.head_link_hash == links[-1].hash
    assert position.base == Link(4, links[0].parent_hash, b"")


def test_the_range_of_a_genesis_has_its_base_below_zero() -> None:
    move = append(CHAIN, EMPTY, [block_of(Link(0, name_of(0, 0), bytes(32)))])
    assert (move.position.first, move.position.head, move.position.base.number) == (0, 0, -1)


def test_more_blocks_move_the_head_alone() -> None:
    (first, _), links = started()
    more = links_on(links[-1], 2, 0)
    batch, position = append(CHAIN, first.after, [block_of(link) for link in more])
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
    (first, before), links = started()
    keep, dropped = links[keep_at], links[keep_at + 1 :]
    added = links_on(keep, new, 1)
    batch, position = replace(
        CHAIN,
        first.after,
        keep=keep,
        dropped=dropped,
        links=added,
        rows=block_rows([block_of(link) for link in added]),
        reason=reason,
        at_ms=99,
    )
    tip = added[-1] if added else keep
    assert batch.rollback == Rollback(BLOCK_TABLES, CHAIN, keep.number)
    assert [row[2:5] for row in rows_of(batch, CHANGES)] == [
        *((REVERT, link.number, link.hash) for link in reversed(dropped)),  # from the head down
        *((APPLY, link.number, link.hash) for link in added),
    ]
    assert [row[1] for row in rows_of(batch, CHANGES)] == list(
        range(before.changes + 1, before.changes + 1 + len(dropped) + len(added))
    )
    assert rows_of(batch, REORGS) == [
        (CHAIN, before.changes + 1, keep.number, len(dropped), 8, links[-1].hash, tip.number, tip.hash, reason, 99)
    ]
    assert (position.first, position.head, position.head_link_hash) == (5, tip.number, tip.hash)
    assert len(rows_of(batch, BLOCKS)) == new


def test_a_range_that_begins_on_another_parent() -> None:
    (first, _), links = started()
    added = links_on(Link(4, name_of(4, 9), b""), 4, 9)
    batch, position = replace(CHAIN, first.after, keep=None, dropped=links, links=added, rows=(), reason=REORG, at_ms=1)
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
    (first, _), links = started()
    final = finalize(first.after, 6, links[1].hash)
    _, position = replace(
        CHAIN,
        final.batch.after,
        keep=links[keep_at],
        dropped=links[keep_at + 1 :],
        links=(),
        rows=(),
        reason=reason,
        at_ms=1,
    )
    at = next(link for link in links if link.number == finalized)
    assert (position.finalized, position.finalized_hash) == (finalized, "0x" + at.hash.hex())


def test_blocks_below_come_with_the_row_whose_link_is_proven_now() -> None:
    (first, _), links = started()
    lower = links_on(base(1), 3, 0)
    old_first = block_of(links[0]).block
    batch, position = prepend(CHAIN, first.after, [block_of(link) for link in lower], old_first)
    assert (position.first, position.head, position.changes) == (2, 8, 7)
    assert position.base == base(1)
    assert rows_of(batch, BLOCKS) == [*(block_of(link).block for link in lower), old_first]
    assert [rows.table for rows in batch.put] == [BLOCKS]
    assert [row[3] for row in rows_of(batch, CHANGES)] == [2, 3, 4]
    assert batch.rollback is None


def test_finality_is_a_commit_without_rows() -> None:
    (first, before), links = started()
    batch, position = finalize(first.after, 6, links[1].hash)
    assert batch.row_count == 0
    assert (position.finalized, position.finalized_hash) == (6, "0x" + links[1].hash.hex())
    assert position.changes == before.changes


def test_a_repair_replaces_one_block_s_rows_and_nothing_else() -> None:
    (first, before), links = started()
    batch, position = repair(CHAIN, first.after, block_of(links[1]))
    assert batch.rollback == Rollback(BLOCK_TABLES, CHAIN, 5, 6)
    assert position == before
    assert batch.after.commit_seq == first.after.commit_seq + 1
    assert rows_of(batch, BLOCKS) == [block_of(links[1]).block]
    assert not rows_of(batch, CHANGES)
    assert not rows_of(batch, TRANSACTIONS)


def test_what_is_not_counted_stays_so_until_it_is() -> None:
    """A position of an older tidelog, and a replacement that does not know what it drops."""
    (first, position), links = started()
    assert counts(position) == (4, 0, 0, 0)
    more = links_on(links[1], 1, 1)
    _, unknown = replace(
        CHAIN, first.after, keep=links[1], dropped=links[2:], links=more, rows=(), reason=REORG, at_ms=0
    )
    assert counts(unknown) is None
    older = msgspec.structs.replace(position, transactions=None, logs=None, withdrawals=None)
    before = Checkpoint(EMPTY.source, 3, 1, encode_position(older))
    assert "logs" not in encode_position(older)
    after = append(CHAIN, before, [full_block_of(link) for link in links_on(links[-1], 2, 2)])
    assert counts(after.position) is None
    batch, counted = recount(after.batch.after, Counts(6, 7, 8, 9))
    assert counts(counted) == (6, 7, 8, 9)
    assert (batch.row_count, batch.rollback) == (0, None)
    assert (counted.head, counted.changes) == (after.position.head, after.position.changes)


def test_a_repair_counts_what_it_finds_if_that_can_be_told() -> None:
    links = links_on(base(4), 3, 2)
    first = append(CHAIN, EMPTY, [full_block_of(link) for link in links])
    assert counts(first.position) == (3, 6, 6, 2)
    for gone, logs in ((Counts(1, 2, 1, 0), 7), (None, 6)):
        assert repair(CHAIN, first.batch.after, full_block_of(links[0]), gone).position.logs == logs


def test_nothing_but_blocks_can_be_the_first_commit() -> None:
    moves: tuple[Callable[[], Move], ...] = (
        lambda: finalize(EMPTY, 1, bytes(32)),
        lambda: repair(CHAIN, EMPTY, block_of(base(1))),
        lambda: prepend(CHAIN, EMPTY, [block_of(base(1))], ()),
        lambda: replace(CHAIN, EMPTY, keep=base(1), dropped=(), links=(), rows=(), reason=REORG, at_ms=0),
    )
    for move in moves:
        with pytest.raises(Corruption, match="empty where blocks were committed"):
            move()


# -- many batches: a model of the store and of the chain -------------------------------------------------------------


class Chain(RuleBasedStateMachine):
    """Any sequence of moves. The model is the list of links; the store holds rows by key, as a real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.checkpoint = EMPTY
        self.model: list[Link] = []
        self.blocks: dict[int, Row] = {}
        self.others: list[tuple[str, Row]] = []  # their other rows, each with its table's name
        self.changes: list[Row] = []
        self.reorgs: list[Row] = []
        self.branch = 0

    def commit(self, move: Move) -> None:
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

    def fresh(self, parent: Link, count: int) -> list[Link]:
        self.branch += 1
        return links_on(parent, count, self.branch)

    @rule(count=st.integers(1, 4))
    def extend(self, count: int) -> None:
        links = self.fresh(self.model[-1] if self.model else base(49), count)
        self.commit(append(CHAIN, self.checkpoint, [full_block_of(link) for link in links]))
        self.model += links

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(0, 5))
    def reorg(self, data: st.DataObject, count: int) -> None:
        kept = data.draw(st.integers(0 if count else 1, len(self.model)))
        keep, dropped = (self.model[kept - 1] if kept else None), self.model[kept:]
        links = self.fresh(keep or Link(self.model[0].number - 1, name_of(0, 77), b""), count)
        if not dropped and not links:
            return
        rows = block_rows([full_block_of(link) for link in links])
        gone = counts_of([self.blocks[link.number] for link in dropped])
        move = replace(
            CHAIN,
            self.checkpoint,
            keep=keep,
            dropped=dropped,
            links=links,
            rows=rows,
            reason=REORG,
            at_ms=5,
            gone=gone,
        )
        self.commit(move)
        self.model = [*self.model[:kept], *links]

    @precondition(lambda self: self.model and self.model[0].number > 3)
    @rule(count=st.integers(1, 3))
    def backfill(self, count: int) -> None:
        first = self.model[0]
        number, links = first.number - count, list[Link]()
        for at in range(count):
            below = links[-1].hash if links else name_of(number - 1, 0)
            name = first.parent_hash if at == count - 1 else name_of(number + at, 0)
            links.append(Link(number + at, name, below))
        self.commit(
            prepend(CHAIN, self.checkpoint, [full_block_of(link) for link in links], full_block_of(first).block)
        )
        self.model = [*links, *self.model]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def make_final(self, data: st.DataObject) -> None:
        position = decode_position(self.checkpoint)
        floor = -1 if position is None or position.finalized is None else position.finalized
        higher = [link for link in self.model if link.number >= floor]
        if higher:
            link = data.draw(st.sampled_from(higher))
            self.commit(finalize(self.checkpoint, link.number, link.hash))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        self.commit(repair(CHAIN, self.checkpoint, full_block_of(data.draw(st.sampled_from(self.model)))))

    @invariant()
    def the_changes_fold_to_the_chain(self) -> None:
        assert [row[1] for row in self.changes] == list(range(1, len(self.changes) + 1)), "gapless from 1"
        folded: dict[object, tuple[object, object]] = {}
        for _, _, kind, number, block_hash, parent_hash in self.changes:
            if kind == APPLY:
                assert number not in folded
                folded[number] = (block_hash, parent_hash)
            else:
                assert folded.pop(number) == (block_hash, parent_hash)
        assert folded == {link.number: (link.hash, link.parent_hash) for link in self.model}

    @invariant()
    def the_position_is_where_the_blocks_are(self) -> None:
        position = decode_position(self.checkpoint)
        if position is None:
            assert not self.model
            return
        assert sorted(self.blocks) == list(range(position.first, position.head + 1))
        assert [BlockRows(self.blocks[number], [], [], []).link for number in sorted(self.blocks)] == self.model
        assert position.changes == len(self.changes)
        assert (position.head, position.head_link_hash) == (self.model[-1].number, self.model[-1].hash)
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


# -- the checkpoint's text ------------------------------------------------------------------------------------------

HASH = "0x" + "ab" * 32
GOOD = {"first": 5, "first_parent_hash": HASH, "head": 9, "head_hash": HASH, "changes": 5}


def test_a_position_reads_as_it_was_written() -> None:
    for position in (Position(5, HASH, 9, HASH), Position(0, HASH, 0, HASH, 0, HASH, 1)):
        assert decode_position(Checkpoint("chain:1", 1, 1, encode_position(position))) == position
    assert decode_position(EMPTY) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "5",
        "{",
        "\ud800",
        '{"first":' + "[" * 9999,
        json.dumps(GOOD | {"first": None}),
        json.dumps(GOOD | {"first": "5"}),
        json.dumps(GOOD | {"first": -1}),
        json.dumps(GOOD | {"first": 11}),  # above the head
        json.dumps(GOOD | {"head": 5.5}),
        json.dumps(GOOD | {"head_hash": "ab" * 32}),
        json.dumps(GOOD | {"head_hash": HASH[:-1]}),
        json.dumps(GOOD | {"head_hash": HASH[:-2] + "zz"}),
        json.dumps(GOOD | {"head_hash": HASH + "\n"}),
        json.dumps(GOOD | {"first_parent_hash": "0x"}),
        json.dumps(GOOD | {"finalized": 6}),
        json.dumps(GOOD | {"finalized_hash": HASH}),
        json.dumps(GOOD | {"finalized": 6, "finalized_hash": "0x"}),
        json.dumps(GOOD | {"changes": -1}),
        json.dumps({name: value for name, value in GOOD.items() if name != "head_hash"}),
    ],
)
def test_no_other_text_is_a_position(text: str) -> None:
    with pytest.raises(Corruption, match="the checkpoint of chain:1 cannot be read"):
        decode_position(Checkpoint("chain:1", 1, 1, text))


@given(st.text(max_size=60))
def test_any_text_is_corruption(text: str) -> None:
    with pytest.raises(Corruption):
        decode_position(Checkpoint("chain:1", 1, 1, text))
