"""What a chain's store says of its own past, said without the engine: its outbox, its reorgs, what it calls final.

Each function raises `Violation` with the promise that is broken.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw

from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.witness import Witness
from tidelog.sim.oracle.chain import Standing, require

SURVEYED_S = 25.0  # before a commit: the survey that it rests on was within that


class Change(NamedTuple):
    """A row of `changes`, as far as it is looked at."""

    seq: int
    kind: str
    number: int
    hash: bytes
    parent_hash: bytes


class Reorg(NamedTuple):
    """A row of `reorgs` without its time."""

    seq: int
    fork_number: int
    depth: int
    old_head: int
    old_head_hash: bytes
    new_head: int
    new_head_hash: bytes
    reason: str


def past_is_told(connection: apsw.Connection, tree: BlockTree, clock_ms: tuple[int, int]) -> None:
    """Each row of `changes` is of a block that the node had, and each that reverts belongs to one row of `reorgs`.

    Args:
        clock_ms: the lowest and highest time that the wall clock has shown.
    """
    changes = [
        Change(*row)
        for row in connection.execute(
            f"SELECT {', '.join(Change._fields)} FROM changes WHERE chain_id = ? ORDER BY seq",  # noqa: S608
            (tree.chain_id,),
        )
    ]
    for seq, kind, number, block_hash, parent_hash in changes:
        require(kind in ("apply", "revert"), f"change {seq} applies or reverts a block")
        true = tree.by_hash(block_hash)
        real = true is not None and (true.number, true.parent_hash) == (number, parent_hash)
        require(real, f"change {seq} is about a block that the node had")
    told = [
        Reorg(*row)
        for row in connection.execute(
            f"SELECT {', '.join(Reorg._fields)} FROM reorgs WHERE chain_id = ? ORDER BY seq",  # noqa: S608
            (tree.chain_id,),
        )
    ]
    times: list[Any] = connection.execute("SELECT at FROM reorgs WHERE chain_id = ?", (tree.chain_id,)).fetchall()
    lived = _reorgs_of(changes, {reorg.seq: reorg.new_head for reorg in told})
    require(told == lived, f"the reorgs are those of the outbox: told {_shown(told)}, lived {_shown(lived)}")
    low, high = clock_ms
    require(all(low <= at_ms <= high for (at_ms,) in times), "a reorg was at a time that the clock has shown")


def writer_is_told(connection: apsw.Connection, tree: BlockTree, writer: int, before: Standing | None) -> None:
    """The checkpoint and each change since then have the number of the writer that has just committed."""
    numbers = {
        "the checkpoint": connection.execute("SELECT writer FROM checkpoints"),
        "each change": connection.execute(
            "SELECT DISTINCT writer FROM changes WHERE chain_id = ? AND seq > ?",
            (tree.chain_id, 0 if before is None else before.changes),
        ),
    }
    for what, found in numbers.items():
        require({number for (number,) in found} <= {writer}, f"{what} has the number of its writer")


def written_in_turn(connection: apsw.Connection, tree: BlockTree, given: Sequence[int]) -> None:
    """Each change has the number of a writer, and they wrote in the order in which they took the store."""
    require(len(set(given)) == len(given), "no two writers are given the same number")
    turns = {writer: turn for turn, writer in enumerate(given)}
    rows: list[Any] = connection.execute(
        "SELECT writer FROM changes WHERE chain_id = ? ORDER BY seq", (tree.chain_id,)
    ).fetchall()
    wrote = [turns.get(number, -1) for (number,) in rows]
    require(-1 not in wrote and wrote == sorted(wrote), "changes have the numbers of their writers, in turn")


def _reorgs_of(changes: Sequence[Change], told: Mapping[int, int]) -> list[Reorg]:
    """The reorgs that the changes were.

    Args:
        told: where one is said to begin, so that two that follow each other can be told apart: what reverts on and is
            not named belongs to the one before it; and how high it is said to lead: what is applied beyond is no part
            of it.
    """
    lived: list[Reorg] = []
    chain: list[tuple[int, bytes]] = []  # what is applied
    at = 0
    while at < len(changes):
        seq, kind, number, block_hash, _ = changes[at]
        if kind == "apply":
            insort(chain, (number, block_hash))  # below all others where history is taken in downwards
            at += 1
            continue
        old_head, old_hash = chain[-1]
        depth = 0
        while at < len(changes) and changes[at].kind == "revert" and (depth == 0 or changes[at].seq not in told):
            chain.pop()
            depth += 1
            at += 1
        most = told.get(seq, old_head)
        fork = old_head - depth
        while at < len(changes) and changes[at].kind == "apply" and changes[at].number <= most:
            if changes[at].number != (chain[-1][0] if chain else fork) + 1:
                break  # history, taken in downwards
            chain.append((changes[at].number, changes[at].hash))
            at += 1
        new_head, new_hash = chain[-1] if chain else (fork, changes[at - 1].parent_hash)
        reason = "shrink" if new_head < old_head else "reorg"
        lived.append(Reorg(seq, fork, depth, old_head, old_hash, new_head, new_hash, reason))
    return lived


def _shown(reorgs: Sequence[Reorg]) -> str:
    return str([tuple(each.hex()[:8] if isinstance(each, bytes) else each for each in reorg) for reorg in reorgs])


def finality_was_voted(
    before: Standing | None,
    now: Standing,
    stored: Mapping[int, str],
    witness: Witness,
    *,
    at_s: float,
    away_s: float,
    depth: int,
) -> None:
    """What has become final is final to more than half of those that have to be counted, and named by as many.

    Args:
        stored: the hash of each block in the store, by number.
        witness: what the program that has committed it was told.
        at_s: when it began to commit.
        away_s: after so long without an answer a replica need not be counted.
        depth: of finality, where a node has no tag for it.
    """
    number = now.finalized
    if number is None or (before is not None and before.finalized == number):
        return
    voters = witness.voters(stored, at_s - SURVEYED_S, at_s, away_s)
    said = (
        ("call it final", witness.who_called_final(number, stored[number], depth)),
        ("have named it", witness.who_named(number, stored[number])),
    )
    for what, those in said:
        enough = len(those) * 2 > len(voters)
        require(bool(those) and enough, f"block {number} is final by {len(those)} that {what}, of {len(voters)}")
