"""The rows that some events change: of each key, as it is after the last of them. Pure."""

from tidelog.batch import Row, Rows, Table, table_map
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, GAPS, INSTRUMENTS, TRADES

__all__ = ["Changes"]


class Changes:
    """The rows that some entries change: of each key, as it is after the last of them."""

    def __init__(self) -> None:
        self.numbered: list[Row] = []  # trades with ids, each once for ever
        self.repeated: list[Row] = []  # that came with an id which has a row already: dropped, and mostly the same
        self._rows: dict[str, dict[Row, Row]] = {}  # by table

    def put(self, table: Table, row: Row | None) -> bool:
        """False if there is no row to put."""
        if row is None:
            return False
        key = tuple([row[i] for i in _KEYS[table.name]])
        self._rows.setdefault(table.name, {})[key] = row
        return True

    @property
    def trades(self) -> list[Row]:
        """All rows of trades; those without ids may be stored already."""
        return [*self.numbered, *self._rows.get(TRADES.name, {}).values()]

    @property
    def add(self) -> tuple[Rows, ...]:
        return (Rows(TRADES, self.numbered),) if self.numbered else ()

    @property
    def replaced(self) -> tuple[Rows, ...]:
        return tuple([Rows(_PUT[name], list(rows.values())) for name, rows in self._rows.items()])


_PUT = table_map((TRADES, INSTRUMENTS, BOOK_SNAPSHOTS, COVERAGE, GAPS))
_KEYS = {table.name: [table.index(name) for name in table.key] for table in _PUT.values()}
