"""Rows that are decoded as they are read: the first that fit, past those that do not. Knows no SQL."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from tidelog.batch import Row, Table
from tidelog.chain.abi.events import Misfit
from tidelog.store.query import key_of

__all__ = ["PASSED_MAX", "DecodedPage", "decoded_rows"]

PASSED_MAX = 100_000  # rows that one search passes over because they do not fit: seconds
PORTION_MIN = 100  # rows that are read at once behind some that do not fit: fewer only make more queries

T = TypeVar("T")


class DecodedPage(NamedTuple, Generic[T]):
    """What a search came to."""

    found: list[T]
    misfits: Counter[str]  # rows that should fit and do not, by the reason
    last: Row | None  # the key of the last row that was looked at; None: there are no more


async def decoded_rows(
    table: Table,
    read: Callable[[int, Row | None], Awaitable[list[Row]]],
    decode: Callable[[Row], T | Misfit | None],
    *,
    limit: int,
    after: Row | None,
    passed_max: int,
) -> DecodedPage[tuple[Row, T]]:
    """The first `limit` rows that fit; fewer where so many do not that it is enough.

    Args:
        read: so many rows of `table` behind a key, in key order.
        decode: what a row says; None: it is something else's, and no misfit.
        passed_max: rows that do not fit after which the search ends.
    """
    found: list[tuple[Row, T]] = []
    misfits: Counter[str] = Counter()
    passed = 0
    while len(found) < limit and passed < passed_max:
        wanted = limit - len(found) + 1  # one more tells whether there are more
        if passed:
            wanted = max(wanted, PORTION_MIN)
        rows = await read(wanted, after)
        for row in rows:
            if len(found) == limit:
                break
            after = key_of(table, row)
            decoded = decode(row)
            if decoded is not None and not isinstance(decoded, Misfit):
                found.append((row, decoded))
                continue
            passed += 1
            if decoded is not None:
                misfits[decoded.reason] += 1
        else:
            if len(rows) < wanted:
                after = None
                break
    return DecodedPage(found, misfits, after)
