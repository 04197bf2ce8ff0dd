"""Partitions of the large tables: LIST by chain, then RANGE by block number, made ahead of need.

A partition is built detached and then attached in the same transaction: `CREATE TABLE ... PARTITION OF`
would wait behind every open reader, ATTACH of a finished table does not.
"""

from collections.abc import Iterable

from msgspec import Struct

from tidelog.batch import INT_MAX, Pieces, Rows, Table
from tidelog.store.postgres.connection import Link, is_there

__all__ = ["Partition", "ensure_partitions", "needed_partitions"]

PARTITION_BLOCKS = 500_000  # some 70 million transactions on mainnet. A released value never changes.
ADVISORY_LOCK = 0x7469646C_0001  # "tidl": who makes partitions or migrates


class Partition(Struct, frozen=True):
    """The rows of `table` with this `scope` and heights in [low, low + PARTITION_BLOCKS)."""

    table: Table
    scope: int
    low: int

    @property
    def parent(self) -> str:
        """The name of the partition of its chain, which is divided further."""
        return f"{self.table.name}_{self.scope}"

    @property
    def name(self) -> str:
        """Its own name."""
        return f"{self.parent}_{self.low}"

    @property
    def high(self) -> int | None:
        """The first height above it; None if there is none."""
        high = self.low + PARTITION_BLOCKS
        return high if high <= INT_MAX else None

    @property
    def following(self) -> "Partition | None":
        """The next one; None behind the last height that there can be."""
        return None if self.high is None else Partition(self.table, self.scope, self.high)


def needed_partitions(groups: Iterable[Rows]) -> set[Partition]:
    """The partitions that the rows go to, and each one's next: so a growing chain never waits for one."""
    found: set[Partition] = set()
    for rows in groups:
        table = rows.table
        if not table.partitioned:
            continue
        if isinstance(rows.rows, Pieces):
            places = {(piece.scope, piece.height) for piece in rows.rows.pieces}
        else:
            scope, height = _positions(table)
            places = {(row[scope], row[height]) for row in rows.rows}
        for chain_id, number in places:
            if not isinstance(chain_id, int) or not isinstance(number, int) or abs(number) > INT_MAX:
                raise ValueError(f"a row does not fit {table.name}: chain {chain_id!r}, block {number!r}")
            found.add(Partition(table, chain_id, number // PARTITION_BLOCKS * PARTITION_BLOCKS))
    return found | {next_one for each in found if (next_one := each.following) is not None}


def _positions(table: Table) -> tuple[int, int]:
    assert table.scope is not None
    assert table.height is not None
    return table.index(table.scope), table.index(table.height)


async def ensure_partitions(link: Link, partitions: Iterable[Partition]) -> None:
    """Make those that are missing, in one transaction. Two processes may do so at once."""
    await link.begin()
    await link.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
    for partition in sorted(partitions, key=lambda each: (each.table.name, each.scope, each.low)):
        table = partition.table
        if not await is_there(link, f'"{partition.parent}"'):
            await _attach(
                link,
                partition.parent,
                table.name,
                f'"{table.scope}" = {partition.scope}',
                f"IN ({partition.scope})",
                f' PARTITION BY RANGE ("{table.height}")',
            )
        if not await is_there(link, f'"{partition.name}"'):
            condition, high = f'"{table.height}" >= {partition.low}', "MAXVALUE"
            if partition.high is not None:
                condition, high = f'{condition} AND "{table.height}" < {partition.high}', str(partition.high)
            await _attach(link, partition.name, partition.parent, condition, f"FROM ({partition.low}) TO ({high})", "")
    await link.execute("COMMIT")


async def _attach(link: Link, name: str, parent: str, condition: str, bounds: str, divided: str) -> None:
    """Build a table like its parent and attach it; the CHECK spares the scan that ATTACH would make."""
    await link.execute(
        f'CREATE TABLE "{name}" (LIKE "{parent}", CONSTRAINT attaching CHECK ({condition})){divided};'
        f'ALTER TABLE "{parent}" ATTACH PARTITION "{name}" FOR VALUES {bounds};'
        f'ALTER TABLE "{name}" DROP CONSTRAINT attaching'
    )
