"""What a commit has to refuse, judged and said in the same words on both backends. Touches no database."""

from tidelog.batch import Batch, Checkpoint, Row, Table
from tidelog.errors import Corruption, Fenced
from tidelog.store.query import key_of

__all__ = ["check_batch", "is_settled", "key_taken"]


def check_batch(batch: Batch) -> None:
    """ValueError if the batch is not one that any store could commit: a mistake of whoever made it."""
    before, after = batch.before, batch.after
    if (after.source, after.epoch, after.commit_seq) != (before.source, before.epoch, before.commit_seq + 1):
        raise ValueError(f"{after} is not one commit after {before}")
    if batch.rollback is not None:
        for table in batch.rollback.tables:
            if table.scope is None or table.height is None:
                raise ValueError(f"{table.name} cannot be rolled back: it has no scope and height")


def is_settled(batch: Batch, held: Checkpoint | None) -> bool:
    """Whether an earlier try of the batch had reached the store; False if it is to be committed now.

    `held` is the stored checkpoint, read under its lock. Fenced if it is neither `before` nor `after`.
    """
    if held == batch.after:
        return True
    if held == batch.before:
        return False
    source, expected = batch.before.source, _place(batch.before)
    raise Fenced(f"{source} was taken over by another writer: it is at {_place(held)}, expected {expected}")


def _place(checkpoint: Checkpoint | None) -> str:
    return f"epoch {checkpoint.epoch}, commit {checkpoint.commit_seq}" if checkpoint else "no checkpoint"


def key_taken(table: Table, row: Row | None, detail: str) -> Corruption:
    """The error for a row whose key, or unique hash, is stored already. `detail`: the database's words."""
    subject = ""
    if row is not None:
        values = ", ".join(f"0x{v.hex()}" if isinstance(v, bytes) else str(v) for v in key_of(table, row))
        subject = f", with key ({values})"
    return Corruption(f"a new row of {table.name}{subject} is there already: {detail}")
