"""What a chain's store has to be at every commit, said without the engine: SQL against the simulated node's truth.

Nothing of `tidelog.chain` or `tidelog.store` is used: a mistake there must not hide itself. `blocks` judges the
rows of blocks, `history` what the store says of its own past. Each function raises `Violation` with the promise
that is broken.
"""

from collections.abc import Collection
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import apsw
import msgspec

from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.world.world import Violation

POSITION = {  # of a checkpoint; each of these is compared in `standing`
    *("first", "first_parent_hash", "head", "head_hash", "finalized", "finalized_hash", "changes"),
    *("transactions", "logs", "withdrawals", "selection", "asked_from"),
}


class Standing(msgspec.Struct, frozen=True):
    """Where a whole store stands."""

    epoch: int
    commit_seq: int
    first: int
    head: int
    head_hash: bytes
    finalized: int | None
    changes: int
    links: tuple[tuple[int, str], ...] = ()  # number and hash of each block

    @property
    def hashes(self) -> dict[int, str]:
        """The hash of each block, by number."""
        return dict(self.links)


def require(condition: bool, promise: str) -> None:
    if not condition:
        raise Violation(promise)


def decoded(text: Any, what: str) -> Any:
    """The JSON of a column."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise Violation(f"{what} is JSON: {text!r}") from None


class StoredBlock(NamedTuple):
    """The columns of a block that are compared."""

    number: int
    hash: bytes
    parent_hash: bytes
    transaction_count: int
    log_count: int
    withdrawal_count: int | None


def standing(connection: apsw.Connection, tree: BlockTree, before: Standing | None) -> Standing | None:
    """Check one committed state: whole, linked, true, and not behind an earlier one. None: nothing is stored yet.

    Args:
        before: what an earlier look has given.
    """
    chain_id = tree.chain_id
    found: list[Any] = connection.execute(
        "SELECT epoch, commit_seq, position FROM checkpoints WHERE source = ?", (f"chain:{chain_id}",)
    ).fetchall()
    blocks = [
        StoredBlock(*row)
        for row in connection.execute(
            f"SELECT {', '.join(StoredBlock._fields)} FROM blocks WHERE chain_id = ? ORDER BY number",  # noqa: S608
            (chain_id,),
        )
    ]
    epoch, commit_seq, text = found[0] if found else (0, 0, None)
    if text is None:
        require(not blocks, "blocks are stored without a checkpoint")
        require(before is None, "the checkpoint is gone")
        return None
    position = decoded(text, "a checkpoint's position")
    require(position.keys() <= POSITION, f"each part of the checkpoint has a judge: {sorted(position)}")
    first, head, changes = position["first"], position["head"], position.get("changes", 0)
    asked_from, every = position.get("asked_from"), blocks
    blocks = [block for block in every if block.number >= first]
    below = [block.number for block in every if block.number < first]
    require(asked_from is None or 0 <= asked_from < first, "what is asked lies below what is held")
    require(
        not below or (asked_from is not None and asked_from <= min(below)), "below the first are blocks asked about"
    )
    require(bool(blocks), "blocks are stored where a checkpoint names some")
    require(
        position["first_parent_hash"] == "0x" + blocks[0].parent_hash.hex(),
        "the checkpoint names the first one's parent",
    )
    require(
        [block.number for block in blocks] == list(range(first, head + 1)), "heights are contiguous, as the checkpoint"
    )
    require(position["head_hash"] == "0x" + blocks[-1].hash.hex(), "the checkpoint names the head that is stored")
    require(
        all(below.hash == above.parent_hash for below, above in pairwise(blocks)),
        "each block links to the one below it",
    )
    for block in every:
        true = tree.by_hash(block.hash)
        require(true is not None and true.number == block.number, f"block {block.number} is one that the node had")
    for table in ("transactions", "logs", "withdrawals"):
        said = {block.number: count for block in every if (count := getattr(block, f"{table[:-1]}_count"))}
        counts: list[Any] = connection.execute(
            f"SELECT block_number, count(*) FROM {table} WHERE chain_id = ? GROUP BY block_number",  # noqa: S608
            (chain_id,),
        ).fetchall()
        require(dict(counts) == said, f"{table} belong to whole blocks")
        there = sum(count for _, count in counts)
        require(position.get(table) == there, f"the checkpoint counts {position.get(table)} {table}, of {there}")
    stored = [(block.number, block.hash, block.parent_hash) for block in blocks]
    require(_folded(connection, chain_id, changes) == stored, "changes fold to the blocks")
    finalized = position.get("finalized")
    links = tuple([(block.number, "0x" + block.hash.hex()) for block in blocks])
    now = Standing(epoch, commit_seq, first, head, blocks[-1].hash, finalized, changes, links)
    if finalized is not None:
        require(first <= finalized <= head, "what is final is among what is stored")
        require(position["finalized_hash"] == "0x" + blocks[finalized - first].hash.hex(), "what is final is stored")
    if before is not None:
        _follows(before, now)
    return now


class Counts(Protocol):
    """What is known of all that have written: see `tally`."""

    acquired: int
    tried: int
    latest: Collection[int]


def counted(connection: apsw.Connection, tally: Counts) -> None:
    """The one checkpoint was taken and moved as often as can be, and has the number of the writer that took it last."""
    rows: list[Any] = connection.execute("SELECT epoch, commit_seq, writer FROM checkpoints").fetchall()
    require(len(rows) == 1, "there is one checkpoint")
    epoch, commit_seq, writer = rows[0]
    require(0 < epoch <= tally.acquired, f"epoch {epoch}, and the store was taken {tally.acquired} times")
    require(0 < commit_seq <= tally.tried, f"commit {commit_seq}, and {tally.tried} were tried")
    require(writer in tally.latest, "the checkpoint has the number of the writer that took the store last")


def _follows(before: Standing, now: Standing) -> None:
    require(now.epoch >= before.epoch, "the epoch only rises")
    require(now.commit_seq >= before.commit_seq, "a commit that was reported is not lost")
    require(now.changes >= before.changes, "the outbox only grows")
    if now.commit_seq == before.commit_seq:
        same = (now.head, now.head_hash, now.first) == (before.head, before.head_hash, before.first)
        require(same, "rows move with their checkpoint")
    if before.finalized is not None:
        require(now.finalized is not None and now.finalized >= before.finalized, "finality only rises")


def _folded(connection: apsw.Connection, chain_id: int, changes: int) -> list[tuple[int, bytes, bytes]]:
    """What a follower of the outbox holds at its end."""
    rows: list[Any] = connection.execute(
        "SELECT seq, kind, number, hash, parent_hash FROM changes WHERE chain_id = ? ORDER BY seq", (chain_id,)
    ).fetchall()
    require(
        [seq for seq, *_ in rows] == list(range(1, changes + 1)), "the outbox has no gap, and ends at the checkpoint"
    )
    applied: dict[int, tuple[bytes, bytes]] = {}
    for _, kind, number, block_hash, parent_hash in rows:
        link = (block_hash, parent_hash)
        if kind == "apply":
            require(number not in applied, "a block is applied where none is")
            applied[number] = link
        else:
            require(applied.pop(number, None) == link, "what is reverted is what was applied")
            require(number + 1 not in applied, "blocks are reverted from the top")
    return [(number, *link) for number, link in sorted(applied.items())]
