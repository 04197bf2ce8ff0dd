"""Damaged rows: the answer names the damaged block, and nothing else.

A row may lack its block or transaction, hold a value of another type, or a list that is none. What the layout of an
answer raises then (`FAULTS`) is no fault of the caller, nor of the program.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tidelog.batch import Row
from tidelog.chain.rows.tables import BLOCK_TABLES
from tidelog.errors import Corruption

__all__ = ["DamagedBlock", "each", "expected", "of_block", "sentence"]

T = TypeVar("T")

FAULTS = (Corruption, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, AssertionError)
(_NUMBER,) = {table.names.index(table.height or "") for table in BLOCK_TABLES}  # in each of them the same column


class DamagedBlock(Corruption):
    """The stored rows of a block cannot be read."""

    def __init__(self, chain_id: int, number: object, reason: str) -> None:
        super().__init__(f"block {number} of chain {chain_id} is damaged in the store: {reason}")
        self.chain_id = chain_id
        self.number = number


def sentence(error: DamagedBlock) -> str:
    """What the caller gets; the reason is for the operator."""
    return (
        f"block {error.number} of chain {error.chain_id} is damaged in this store: its operator finds the reason in "
        "the log, and can fetch the block again by `tidelog chain repair`"
    )


@contextmanager
def of_block(chain_id: int, number: object) -> Iterator[None]:
    """Every failure inside means that this block is damaged."""
    try:
        yield
    except DamagedBlock:
        raise
    except FAULTS as error:
        raise DamagedBlock(chain_id, number, _reason(error)) from error


def each(chain_id: int, rows: Sequence[Row], make: Callable[[Row], T]) -> list[T]:
    """What `make` makes of each row. Raises DamagedBlock for the first row that it fails at."""
    try:
        return [make(row) for row in rows]
    except FAULTS:
        for row in rows:
            with of_block(chain_id, row[_NUMBER]):
                make(row)
        raise


def expected(count: int, rows: Sequence[Row], what: str) -> None:
    """Raises Corruption if a block or transaction has not as many rows as it says."""
    if len(rows) != count:
        raise Corruption(f"{len(rows)} {what} where {count} were stored")


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, Corruption) else f"{type(error).__name__}: {error}"
    return text[:200]
