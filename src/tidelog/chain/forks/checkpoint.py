"""The batches that move a chain source: each is one commit with its checkpoint inside.

Pure. Every function here takes the checkpoint that the store holds and gives the batch that leads to the next; its
`Position` (`position`) is what the store keeps as the checkpoint's text. Applied and reverted blocks are numbered in
`changes`, gapless, since the number comes out of the checkpoint that the commit is fenced by. What is
derived from the blocks of a commit is the part of `projections`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tidelog.batch import Batch, Checkpoint, Drop, Rollback, Row, Rows, Table
from tidelog.chain.blocks import BlockRef
from tidelog.chain.forks.position import Counts, Position, counts, decode_position, encode_position
from tidelog.chain.projections import OWN, REWIND, Projection, Reorg, Step
from tidelog.chain.proof.spec import ChainSpec, encode_ranges, encode_spec
from tidelog.chain.rows.layout import BlockRows, block_rows
from tidelog.chain.rows.tables import BLOCK_TABLES, BLOCKS, CHAINS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.errors import Corruption

_NONE = Counts()


class Transition(NamedTuple):
    """A batch, and the position that it leads to."""

    batch: Batch
    position: Position


def _transition(
    before: Checkpoint,
    position: Position,
    *,
    add: tuple[Rows, ...] = (),
    put: tuple[Rows, ...] = (),
    rollback: Rollback | None = None,
    dropped: Counts | None = _NONE,
) -> Transition:
    """The move to `position`, its counts brought up to date: what was stored, what is deleted, what is added.

    Args:
        dropped: what the rollback deletes; None if that is not known.
    """
    counted = counts(position)
    if counted is not None:
        counted = None if dropped is None else counted.minus(dropped).plus(_added(add))
        position = _with_counts(position, counted)
    return Transition(Batch(before, before.advanced(encode_position(position)), add, put, rollback), position)


def _added(groups: Sequence[Rows]) -> Counts:
    found = dict.fromkeys((BLOCKS.name, TRANSACTIONS.name, LOGS.name, WITHDRAWALS.name), 0)
    for rows in groups:
        if rows.table.name in found:
            found[rows.table.name] += len(rows.rows)
    return Counts(*found.values())


def _with_counts(position: Position, counted: Counts | None) -> Position:
    _, transactions, logs, withdrawals = (None, None, None, None) if counted is None else counted
    return msgspec.structs.replace(position, transactions=transactions, logs=logs, withdrawals=withdrawals)


def chain_row(chain_id: int, genesis_hash: bytes | None, spec: ChainSpec, *, text: str | None = None) -> Rows:
    """The row of `chains`.

    Args:
        text: the spec as it is stored already: the digest is over it, so it stays letter by letter.
    """
    return Rows(CHAINS, [(chain_id, genesis_hash, encode_spec(spec) if text is None else text, encode_ranges(spec))])


def append(
    chain_id: int,
    before: Checkpoint,
    blocks: Sequence[BlockRows],
    *,
    chain: Rows | None = None,
    selection: bool = False,
    asked_from: int | None = None,
    projections: Sequence[Projection] = (),
) -> Transition:
    """Add blocks on top of the head; they link to it, or are the first of the range.

    Args:
        chain: the row of `chains`, written with the first blocks.
        selection: of first blocks, whether a selection of each is all that is held, of these and of all that follow.
        asked_from: of first blocks, from which one on what is below them is asked for.
        projections: those beside the chain's own that derive rows of the blocks; so of the others below.
    """
    refs = [block.ref for block in blocks]
    position = _extended(decode_position(before), refs, selection=selection, asked_from=asked_from)
    derived = _derived(projections, _step(chain_id, before, position, blocks, applied=refs))
    return _transition(
        before,
        _counted(position, len(refs)),
        add=(*block_rows(blocks), *derived),
        put=() if chain is None else (chain,),
    )


def replace(
    chain_id: int,
    before: Checkpoint,
    *,
    keep: BlockRef | None,
    dropped: Sequence[BlockRef],
    refs: Sequence[BlockRef],
    rows: Sequence[Rows],
    reason: str,
    at_ms: int,
    gone: Counts | None = None,
    blocks: Iterable[BlockRows] = (),
    projections: Sequence[Projection] = (),
) -> Transition:
    """Drop the blocks above `keep` and add the new branch: rollback, rows, outbox and audit row at once.

    Args:
        keep: the last block that stays; None if none does, and the range begins on another parent.
        dropped: what goes, oldest first.
        links: the new branch, oldest first; it may be empty.
        rows: its rows, as `block_rows` makes them.
        blocks: the same, block by block; it can be walked again.
        gone: what the dropped blocks had; None if that is not known: then nothing is, until it is counted.
    """
    old = _required(before)
    kept = BlockRef(old.first - 1, refs[0].parent_hash, b"") if keep is None else keep
    base = msgspec.structs.replace(
        old,
        first_parent_hash=_hex(refs[0].parent_hash) if keep is None else old.first_parent_hash,
        head=kept.number,
        head_hash=_hex(kept.hash),
    )
    if old.finalized is not None and kept.number < old.finalized:
        below = reason == REWIND and kept.number >= old.first
        base = msgspec.structs.replace(
            base, finalized=kept.number if below else None, finalized_hash=_hex(kept.hash) if below else None
        )
    position = _extended(base, refs)
    reorg = Reorg(
        kept.number,
        old.head,
        old.head_ref_hash,
        position.head,
        position.head_ref_hash,
        reason,
        at_ms,
    )
    step = _step(chain_id, before, position, blocks, reverted=tuple(reversed(dropped)), applied=refs, reorg=reorg)
    return _transition(
        before,
        _counted(position, len(dropped) + len(refs)),
        rollback=Rollback(_undone(projections), chain_id, kept.number),
        add=(*rows, *_derived(projections, step)),
        dropped=gone,
    )


def prepend(
    chain_id: int,
    before: Checkpoint,
    blocks: Sequence[BlockRows],
    old_first: Row,
    *,
    gone: Counts = _NONE,
    put: tuple[Rows, ...] = (),
    projections: Sequence[Projection] = (),
) -> Transition:
    """Add blocks below the first one, whose row comes again with its parent link proven.

    Args:
        gone: what was asked of these blocks had so many rows, which go.
        put: what turned out about what was asked.
    """
    old = _required(before)
    refs = [block.ref for block in blocks]
    lower = msgspec.structs.replace(old, first=refs[0].number, first_parent_hash=_hex(refs[0].parent_hash))
    rollback = None
    if old.asked_from is not None:
        rollback = Rollback(_undone(projections), chain_id, lower.first - 1, old.first - 1)
        if lower.first <= old.asked_from:
            lower = msgspec.structs.replace(lower, asked_from=None)
    derived = _derived(projections, _step(chain_id, before, lower, blocks, applied=refs))
    return _transition(
        before,
        _counted(lower, len(refs)),
        add=(*block_rows(blocks), *derived),
        put=(Rows(BLOCKS, [old_first]), *put),
        rollback=rollback,
        dropped=gone,
    )


def finalize(before: Checkpoint, number: int, block_hash: bytes) -> Transition:
    """Raise finality to a stored block."""
    old = _required(before)
    return _transition(before, msgspec.structs.replace(old, finalized=number, finalized_hash=_hex(block_hash)))


def recount(before: Checkpoint, counted: Counts) -> Transition:
    """Put down what was counted; nothing else changes."""
    return _transition(before, _with_counts(_required(before), counted))


def describe(before: Checkpoint, chain: Rows) -> Transition:
    """Put the chain's row in place of the stored one: its rules for later blocks have changed, and nothing else."""
    return _transition(before, _required(before), put=(chain,))


def aside(
    before: Checkpoint,
    *,
    add: tuple[Rows, ...] = (),
    put: tuple[Rows, ...] = (),
    rollback: Rollback | None = None,
    drop: tuple[Drop, ...] = (),
    create: tuple[Table, ...] = (),
    discard: tuple[Table, ...] = (),
) -> Transition:
    """Change rows and tables that are derived from the blocks; the chain stays as it was."""
    position = _required(before)
    after = before.advanced(encode_position(position))
    return Transition(Batch(before, after, add, put, rollback, drop, create, discard), position)


def reselect(
    before: Checkpoint,
    *,
    add: tuple[Rows, ...] = (),
    put: tuple[Rows, ...] = (),
    rollback: Rollback | None = None,
    dropped: Counts = _NONE,
    drop: tuple[Drop, ...] = (),
) -> Transition:
    """Change what is held of blocks that stay: rows that a contract adds, or that go with one.

    Args:
        dropped: how many transactions and logs the rollback deletes.
        drop: blocks of which nothing is held any more.
    """
    move = _transition(before, _required(before), add=add, put=put, rollback=rollback, dropped=dropped)
    return covering(move, put=(), drop=drop)


def ask_from(before: Checkpoint, number: int) -> Transition:
    """Ask from this block on for what is below the blocks."""
    return _transition(before, msgspec.structs.replace(_required(before), asked_from=number))


def covering(move: Transition, *, put: tuple[Rows, ...], drop: tuple[Drop, ...]) -> Transition:
    """The move, and what it does to contracts and their coverage, in one commit."""
    batch = move.batch
    return Transition(msgspec.structs.replace(batch, put=(*batch.put, *put), drop=(*batch.drop, *drop)), move.position)


def with_first_blocks(move: Transition, *, put: tuple[Rows, ...], create: tuple[Table, ...]) -> Transition:
    """The move that adds a chain's first blocks, and in the same commit tables that are derived from them."""
    batch = msgspec.structs.replace(move.batch, put=(*move.batch.put, *put), create=create)
    return Transition(batch, move.position)


def repair(
    chain_id: int,
    before: Checkpoint,
    block: BlockRows,
    gone: Counts | None = None,
    *,
    projections: Sequence[Projection] = (),
) -> Transition:
    """Put one block's rows in the place of the present ones; the chain stays as it was.

    Args:
        gone: what the rows there counted as; None if they cannot tell any more: the block is the same one,
            so that it counts as before.
    """
    number, position = block.number, _required(before)
    rows = block_rows([block])
    dropped = _added(rows) if gone is None else gone
    counted = dropped.transactions + dropped.logs
    return _transition(
        before,
        position,
        rollback=Rollback(_undone(projections), chain_id, number - 1, number, counted),
        add=(*rows, *_derived(projections, _step(chain_id, before, position, [block]))),
        dropped=dropped,
    )


def _required(before: Checkpoint) -> Position:
    position = decode_position(before)
    if position is None:
        raise Corruption(f"the checkpoint of {before.source} is empty where blocks were committed")
    return position


def _extended(
    old: Position | None, refs: Sequence[BlockRef], *, selection: bool = False, asked_from: int | None = None
) -> Position:
    if old is None:
        first = refs[0]
        parent_hash = _hex(first.parent_hash)
        old = Position(
            *(first.number, parent_hash, first.number - 1, parent_hash),
            transactions=0,
            logs=0,
            withdrawals=0,
            selection=selection,
            asked_from=asked_from if asked_from is not None and asked_from < first.number else None,
        )
    if not refs:
        return old
    return msgspec.structs.replace(old, head=refs[-1].number, head_hash=_hex(refs[-1].hash))


def _step(
    chain_id: int,
    before: Checkpoint,
    position: Position,
    blocks: Iterable[BlockRows],
    *,
    reverted: Sequence[BlockRef] = (),
    applied: Sequence[BlockRef] = (),
    reorg: Reorg | None = None,
) -> Step:
    """The step to a position that has not counted its changes yet."""
    return Step(chain_id, before.writer, position.changes + 1, blocks, reverted, applied, reorg)


def _counted(position: Position, changes: int) -> Position:
    return msgspec.structs.replace(position, changes=position.changes + changes)


def _derived(projections: Sequence[Projection], step: Step) -> list[Rows]:
    return [rows for projection in (*OWN, *projections) for rows in projection.rows(step)]


def _undone(projections: Sequence[Projection]) -> tuple[Table, ...]:
    """What a rollback deletes, derived rows first."""
    return (*(table for projection in (*OWN, *projections) for table in projection.undone), *BLOCK_TABLES)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
