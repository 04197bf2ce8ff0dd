"""What a commit has to refuse, judged and said in the same words on both backends. Touches no database."""

from tidelog.batch import INT_MAX, Batch, Checkpoint, Row, Table
from tidelog.errors import Corruption, Fenced
from tidelog.runtime import Runtime
from tidelog.store.query import key_of

__all__ = ["check_batch", "is_settled", "key_taken", "writer_number"]


def writer_number(runtime: Runtime) -> int:
    """The number of a writer that opens: one that no other has, on this copy of the store or any."""
    return runtime.random("writer").randint(1, INT_MAX)


def check_batch(batch: Batch) -> None:
    """ValueError if the batch is not one that any store could commit: a mistake of whoever made it."""
    before, after = batch.before, batch.after
    if after != before.advanced(after.position or ""):
        raise ValueError(f"{after} is not one commit after {before}")
    if batch.rollback is not None:
        for table in batch.rollback.tables:
            if table.scope is None or table.height is None:
                raise ValueError(f"{table.name} cannot be rolled back: it has no scope and height")


def is_settled(batch: Batch, stored: Checkpoint | None) -> bool:
    """Whether an earlier try of the batch had reached the store; False if it is to be committed now.

    `stored` is the stored checkpoint, read under its lock. Fenced if it is neither `before` nor `after`.
    """
    if stored == batch.after:
        return True
    if stored == batch.before:
        return False
    before = batch.before
    cause = "was taken over by another writer"
    if stored is not None and (stored.epoch < before.epoch or stored.writer == before.writer):
        cause = "went back (an older copy was restored, or a standby that lacks the last commits took over)"
    raise Fenced(f"{before.source} {cause}: it is at {_place(stored)}, expected {_place(before)}")


def _place(checkpoint: Checkpoint | None) -> str:
    return f"epoch {checkpoint.epoch}, commit {checkpoint.commit_seq}" if checkpoint else "no checkpoint"


def key_taken(table: Table, row: Row | None, detail: str) -> Corruption:
    """The error for a row whose key, or unique hash, is stored already. `detail`: the database's words."""
    subject = ""
    if row is not None:
        values = ", ".join(f"0x{v.hex()}" if isinstance(v, bytes) else str(v) for v in key_of(table, row))
        subject = f", with key ({values})"
    return Corruption(f"a new row of {table.name}{subject} is there already: {detail}")
