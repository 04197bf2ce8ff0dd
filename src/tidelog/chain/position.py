"""Where a chain source stands, and the batches that move it: each is one commit with its checkpoint inside.

Pure. `Position` is what the store keeps as the checkpoint's text; every function here takes the checkpoint
that the store holds and gives the batch that leads to the next. Applied and reverted blocks are numbered in
`changes`, gapless, since the number comes out of the checkpoint that the commit is fenced by.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from tidelog.batch import (
    BLOCK_TABLES,
    BLOCKS,
    CHAINS,
    CHANGES,
    LOGS,
    REORGS,
    TRANSACTIONS,
    WITHDRAWALS,
    Batch,
    Checkpoint,
    Rollback,
    Row,
    Rows,
)
from tidelog.chain.lineage import Link
from tidelog.chain.profiles import Profile, encode_profile, encode_ranges
from tidelog.chain.rows import BlockRows, block_rows
from tidelog.errors import Corruption

APPLY, REVERT = "apply", "revert"
REORG, SHRINK, REWIND = "reorg", "shrink", "rewind"  # why blocks were dropped, as `reorgs` says
_HASH = re.compile("0x[0-9a-f]{64}")


class Position(Struct, frozen=True, omit_defaults=True):
    """The range held: blocks `first` to `head`, contiguous and linked. Hashes are 0x text, for people.

    `finalized` is the highest block that is final, None while none is; `changes` the last number given out.
    The last three say how many rows the blocks have; None in what a tidelog has left that did not count them.
    """

    first: int
    first_parent_hash: str
    head: int
    head_hash: str
    finalized: int | None = None
    finalized_hash: str | None = None
    changes: int = 0
    transactions: int | None = None
    logs: int | None = None
    withdrawals: int | None = None

    @property
    def head_link_hash(self) -> bytes:
        return bytes.fromhex(self.head_hash[2:])

    @property
    def base(self) -> Link:
        """A link that stands for the parent of the first block."""
        return Link(self.first - 1, bytes.fromhex(self.first_parent_hash[2:]), b"")


class Counts(NamedTuple):
    """How many rows of each kind there are."""

    blocks: int = 0
    transactions: int = 0
    logs: int = 0
    withdrawals: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(self, other, strict=True)))

    def minus(self, other: "Counts") -> "Counts":
        return Counts(*(mine - others for mine, others in zip(self, other, strict=True)))


def counts(position: Position) -> Counts | None:
    """How much the chain holds, exactly; None if that was not counted yet: opening the ledger does."""
    if position.transactions is None or position.logs is None or position.withdrawals is None:
        return None
    return Counts(position.head - position.first + 1, position.transactions, position.logs, position.withdrawals)


_COUNT_COLUMNS = tuple(BLOCKS.index(name) for name in ("transaction_count", "log_count", "withdrawal_count"))


def counts_of(blocks: Iterable[Row]) -> Counts:
    """How many rows these blocks have, as their rows of `blocks` say."""
    found = Counts()
    for row in blocks:
        found = found.plus(Counts(1, *(int(row[column] or 0) for column in _COUNT_COLUMNS)))
    return found


def source_of(chain_id: int) -> str:
    """The name of a chain's checkpoint."""
    return f"chain:{chain_id}"


def encode_position(position: Position) -> str:
    return msgspec.json.encode(position).decode()


def decode_position(checkpoint: Checkpoint) -> Position | None:
    """None where nothing was committed yet; Corruption if the text is no position."""
    if checkpoint.position is None:
        return None
    try:
        position = msgspec.json.decode(checkpoint.position, type=Position)
        _check(position)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Corruption(f"the checkpoint of {checkpoint.source} cannot be read: {error}") from None
    return position


def _check(position: Position) -> None:
    """Raises ValueError for what no commit can have left."""
    hashes = (position.first_parent_hash, position.head_hash, position.finalized_hash)
    if any(text is not None and _HASH.fullmatch(text) is None for text in hashes):
        raise ValueError("a hash is not 32 bytes of 0x-prefixed hex")
    if not 0 <= position.first <= position.head + 1 or position.changes < 0:
        raise ValueError("its numbers contradict each other")
    if (position.finalized is None) != (position.finalized_hash is None):
        raise ValueError("finality is a number and a hash")
    if min(position.transactions or 0, position.logs or 0, position.withdrawals or 0) < 0:
        raise ValueError("there cannot be less than nothing of something")


_NONE = Counts()


class Move(NamedTuple):
    """A batch, and the position that it leads to."""

    batch: Batch
    position: Position


def _move(
    before: Checkpoint,
    position: Position,
    *,
    add: tuple[Rows, ...] = (),
    put: tuple[Rows, ...] = (),
    rollback: Rollback | None = None,
    dropped: Counts | None = _NONE,
) -> Move:
    """The move to `position`, its counts brought up to date: what was held, what goes, what comes.

    Args:
        dropped: what the rollback deletes; None if that is not known.
    """
    held = counts(position)
    if held is not None:
        held = None if dropped is None else held.minus(dropped).plus(_added(add))
        position = _with_counts(position, held)
    return Move(Batch(before, before.advanced(encode_position(position)), add, put, rollback), position)


def _added(groups: Sequence[Rows]) -> Counts:
    found = dict.fromkeys((BLOCKS.name, TRANSACTIONS.name, LOGS.name, WITHDRAWALS.name), 0)
    for rows in groups:
        if rows.table.name in found:
            found[rows.table.name] += len(rows.rows)
    return Counts(*found.values())


def _with_counts(position: Position, held: Counts | None) -> Position:
    _, transactions, logs, withdrawals = (None, None, None, None) if held is None else held
    return msgspec.structs.replace(position, transactions=transactions, logs=logs, withdrawals=withdrawals)


def chain_row(chain_id: int, genesis_hash: bytes | None, profile: Profile, *, text: str | None = None) -> Rows:
    """The row of `chains`.

    Args:
        text: the profile as it is stored already: the digest is over it, so it stays letter by letter.
    """
    return Rows(
        CHAINS, [(chain_id, genesis_hash, encode_profile(profile) if text is None else text, encode_ranges(profile))]
    )


def append(chain_id: int, before: Checkpoint, blocks: Sequence[BlockRows], *, chain: Rows | None = None) -> Move:
    """Add blocks on top of the head; they link to it, or are the first of the range.

    Args:
        chain: the row of `chains`, written with the first blocks.
    """
    old = decode_position(before)
    links = [block.link for block in blocks]
    events, position = _changes(chain_id, _extended(old, links), [(APPLY, link) for link in links])
    return _move(before, position, add=(*block_rows(blocks), events), put=() if chain is None else (chain,))


def replace(
    chain_id: int,
    before: Checkpoint,
    *,
    keep: Link | None,
    dropped: Sequence[Link],
    links: Sequence[Link],
    rows: Sequence[Rows],
    reason: str,
    at_ms: int,
    gone: Counts | None = None,
) -> Move:
    """Drop the blocks above `keep` and add the new branch: rollback, rows, outbox and audit row at once.

    Args:
        keep: the last block that stays; None if none does, and the range begins on another parent.
        dropped: what goes, oldest first.
        links: the new branch, oldest first; it may be empty.
        rows: its rows, as `block_rows` makes them.
        gone: what the dropped blocks had; None if that is not known: then nothing is, until it is counted.
    """
    old = _required(before)
    kept = Link(old.first - 1, links[0].parent_hash, b"") if keep is None else keep
    base = msgspec.structs.replace(
        old,
        first_parent_hash=_hex(links[0].parent_hash) if keep is None else old.first_parent_hash,
        head=kept.number,
        head_hash=_hex(kept.hash),
    )
    if old.finalized is not None and kept.number < old.finalized:
        below = reason == REWIND and kept.number >= old.first
        base = msgspec.structs.replace(
            base, finalized=kept.number if below else None, finalized_hash=_hex(kept.hash) if below else None
        )
    events, position = _changes(
        chain_id,
        _extended(base, links),
        [*((REVERT, link) for link in reversed(dropped)), *((APPLY, link) for link in links)],
    )
    audit = (
        chain_id,
        old.changes + 1,
        kept.number,
        len(dropped),
        old.head,
        old.head_link_hash,
        position.head,
        position.head_link_hash,
        reason,
        at_ms,
    )
    return _move(
        before,
        position,
        rollback=Rollback(BLOCK_TABLES, chain_id, kept.number),
        add=(*rows, events, Rows(REORGS, [audit])),
        dropped=gone,
    )


def prepend(chain_id: int, before: Checkpoint, blocks: Sequence[BlockRows], old_first: Row) -> Move:
    """Add blocks below the first one, whose row comes again with its parent link proven."""
    old = _required(before)
    links = [block.link for block in blocks]
    lower = msgspec.structs.replace(old, first=links[0].number, first_parent_hash=_hex(links[0].parent_hash))
    events, position = _changes(chain_id, lower, [(APPLY, link) for link in links])
    return _move(before, position, add=(*block_rows(blocks), events), put=(Rows(BLOCKS, [old_first]),))


def finalize(before: Checkpoint, number: int, block_hash: bytes) -> Move:
    """Raise finality to a block that is held."""
    old = _required(before)
    return _move(before, msgspec.structs.replace(old, finalized=number, finalized_hash=_hex(block_hash)))


def recount(before: Checkpoint, held: Counts) -> Move:
    """Put down what was counted; nothing else changes."""
    return _move(before, _with_counts(_required(before), held))


def describe(before: Checkpoint, chain: Rows) -> Move:
    """Put the chain's row in place of the stored one: its rules for later blocks have changed, and nothing else."""
    return _move(before, _required(before), put=(chain,))


def repair(chain_id: int, before: Checkpoint, block: BlockRows, gone: Counts | None = None) -> Move:
    """Put one block's rows in the place of what stands there now; the chain stays as it was.

    Args:
        gone: what the rows there counted as; None if they cannot tell any more: the block is the same one,
            so that it counts as before.
    """
    number = block.number
    rows = block_rows([block])
    return _move(
        before,
        _required(before),
        rollback=Rollback(BLOCK_TABLES, chain_id, number - 1, number),
        add=rows,
        dropped=_added(rows) if gone is None else gone,
    )


def _required(before: Checkpoint) -> Position:
    position = decode_position(before)
    if position is None:
        raise Corruption(f"the checkpoint of {before.source} is empty where blocks were committed")
    return position


def _extended(old: Position | None, links: Sequence[Link]) -> Position:
    if old is None:
        first = links[0]
        parent_hash = _hex(first.parent_hash)
        old = Position(first.number, parent_hash, first.number - 1, parent_hash, transactions=0, logs=0, withdrawals=0)
    if not links:
        return old
    return msgspec.structs.replace(old, head=links[-1].number, head_hash=_hex(links[-1].hash))


def _changes(chain_id: int, position: Position, events: Sequence[tuple[str, Link]]) -> tuple[Rows, Position]:
    """The outbox rows of `events`, and the position that has counted them."""
    first = position.changes + 1
    rows: list[Row] = [
        (chain_id, seq, kind, link.number, link.hash, link.parent_hash)
        for seq, (kind, link) in enumerate(events, first)
    ]
    return Rows(CHANGES, rows), msgspec.structs.replace(position, changes=position.changes + len(rows))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
