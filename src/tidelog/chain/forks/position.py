"""How far a chain source is: the text in its checkpoint, read and written. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from tidelog.batch import INT_MAX, Checkpoint, Row
from tidelog.chain.blocks import BlockRef
from tidelog.chain.rows.tables import BLOCKS
from tidelog.errors import Corruption

SOURCE_PREFIX = "chain:"  # how the names of chains' checkpoints begin
_HASH = re.compile("0x[0-9a-f]{64}")


class Position(Struct, frozen=True, omit_defaults=True):
    """The stored range: blocks `first` to `head`, contiguous and linked. Hashes are 0x text, for people.

    `finalized` is the highest block that is final, None while none is; `changes` the last number given out.
    The next three say how many rows the blocks have; None in what a tidelog has left that did not count them.
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
    selection: bool = (
        False  # of the blocks only what contracts log is held, and how much that covers another table says
    )
    # of the blocks from here up to `first` no more is held than what endpoints say that contracts logged in them, and
    # the headers of these: they lead to no other block
    asked_from: int | None = None

    @property
    def lowest(self) -> int:
        """The lowest block of which anything is held, or is to be."""
        return self.first if self.asked_from is None else self.asked_from

    @property
    def head_ref_hash(self) -> bytes:
        """The hash of the head, as bytes."""
        return bytes.fromhex(self.head_hash[2:])

    @property
    def base(self) -> BlockRef:
        """A link that stands for the parent of the first block."""
        return BlockRef(self.first - 1, bytes.fromhex(self.first_parent_hash[2:]), b"")


class Counts(NamedTuple):
    """How many rows of each kind there are."""

    blocks: int = 0
    transactions: int = 0
    logs: int = 0
    withdrawals: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sum, kind by kind."""
        return Counts(*map(sum, zip(self, other, strict=True)))

    def minus(self, other: "Counts") -> "Counts":
        """The difference, kind by kind."""
        return Counts(*(mine - others for mine, others in zip(self, other, strict=True)))


def counts(position: Position) -> Counts | None:
    """How much the chain holds, exactly; None if that was not counted yet: opening a `ChainWriter` does."""
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
    return f"{SOURCE_PREFIX}{chain_id}"


def encode_position(position: Position) -> str:
    """The text that a checkpoint keeps: `decode_position` reads it."""
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
    if max(position.head, position.finalized or 0, position.changes) >= INT_MAX:  # also the next one has to fit
        raise ValueError("a number of it is beyond 64 bits")
    if position.asked_from is not None and not 0 <= position.asked_from < position.first:
        raise ValueError("what was asked does not lie below its blocks")
    if (position.finalized is None) != (position.finalized_hash is None):
        raise ValueError("finality is a number and a hash")
    if min(position.transactions or 0, position.logs or 0, position.withdrawals or 0) < 0:
        raise ValueError("there cannot be less than nothing of something")
