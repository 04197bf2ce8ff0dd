"""Rows that are decoded as they are read: the first that fit, past those that do not. Knows no SQL."""

from collections import Counter
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from tidelog.batch import Row, Table
from tidelog.chain.abi.events import Misfit
from tidelog.store.portions import Read, take_rows

__all__ = ["PASSED_MAX", "DecodedPage", "decoded_rows"]

PASSED_MAX = 100_000  # rows that one search passes over because they do not fit: seconds

T = TypeVar("T")


class DecodedPage(NamedTuple, Generic[T]):
    """What a search came to."""

    found: list[T]
    misfits: Counter[str]  # rows that should fit and do not, by the reason
    last: Row | None  # the key of the last row that was looked at; None: there are no more


async def decoded_rows(
    table: Table,
    read: Read,
    decode: Callable[[Row], T | Misfit | None],
    *,
    limit: int,
    after: Row | None,
    passed_max: int,
    bytes_max: int | None = None,
) -> DecodedPage[tuple[Row, T]]:
    """The first `limit` rows that fit; fewer where so many do not, or are so large, that it is enough.

    Args:
        decode: what a row says; None: it is something else's, and no misfit.
        passed_max: rows that do not fit after which the search ends.
        bytes_max: bytes of the rows after which it ends.
    """
    found: list[tuple[Row, T]] = []
    misfits: Counter[str] = Counter()

    def take(row: Row) -> bool:
        decoded = decode(row)
        if decoded is None:
            return False
        if isinstance(decoded, Misfit):
            misfits[decoded.reason] += 1
            return False
        found.append((row, decoded))
        return True

    last = await take_rows(table, read, take, limit=limit, after=after, passed_max=passed_max, bytes_max=bytes_max)
    return DecodedPage(found, misfits, last)
