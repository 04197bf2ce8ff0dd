"""Keyset pagination: the size of a page, the key after which it begins, and the cursor of the next one.

A route reads one row more than it shows: that row says whether there is a next page. Where rows can be large, it has
`Page.read` read them, which ends a page sooner.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidelog.api.http.cursors import open_cursor, seal
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.problems import Refused
from tidelog.batch import Row, Table
from tidelog.store.portions import Read, take_rows
from tidelog.store.query import key_of

__all__ = ["PAGE_BYTES_MAX", "Page", "page_of"]

PAGE_BYTES_MAX = 16 * 1024 * 1024  # of an answer's rows, as stored: each byte is two digits in the answer


class Page(Struct, frozen=True):
    """What a client asks of a list."""

    table: Table
    identity: Sequence[object]  # of the list, as `cursors.seal` has it
    size: int  # rows that are shown at most
    after: Row | None  # the key after which it begins; None: at the list's beginning

    @property
    def limit(self) -> int:
        """How many rows to read."""
        return self.size + 1

    def cut(self, rows: list[Row]) -> tuple[list[Row], str | None]:
        """The rows that are shown of those that were read, and `next`: the cursor after them, if there are more."""
        if len(rows) <= self.size:
            return rows, None
        shown = rows[: self.size]
        return shown, seal(self.table, self.identity, key_of(self.table, shown[-1]))

    async def read(self, read: Read) -> tuple[list[Row], str | None]:
        """The rows that are shown, and `next`; fewer than its size where they are large (PAGE_BYTES_MAX)."""
        shown: list[Row] = []

        def take(row: Row) -> bool:
            shown.append(row)
            return True

        last = await take_rows(self.table, read, take, limit=self.size, after=self.after, bytes_max=PAGE_BYTES_MAX)
        return shown, None if last is None else self.sealed(last)

    def sealed(self, key: Row) -> str:
        """The cursor after this key, where a list continues behind what is shown."""
        return seal(self.table, self.identity, key)


def page_of(
    options: ApiOptions, table: Table, identity: Sequence[object], limit: int | None, cursor: str | None
) -> Page:
    """Raises Refused where `limit` is above the most of one answer, or `cursor` is none of this list."""
    if limit is not None and limit > options.page_max:
        raise Refused(
            400, f"limit: {limit} is above the most of one answer, {options.page_max}; follow `next` for more"
        )
    size = options.page_default if limit is None else limit
    return Page(table, identity, size, open_cursor(cursor, table, identity))
