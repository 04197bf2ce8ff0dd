"""A branch that waits to be swapped in: its rows, encoded, in memory up to a limit and in a file beyond it.

A reorg is one commit however deep it is, so all of its blocks are buffered at once. Encoded they take a tenth
of the memory that rows do, and a deep one takes none.
"""

import tempfile
from collections.abc import Collection, Iterator
from typing import IO, Any

import msgspec

from tidelog.batch import Row, Rows
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, LOGS, MERKLE_PROOFS, TRANSACTIONS, UNCLES, WITHDRAWALS

MEMORY_BYTES_MAX = 64 * 1024 * 1024  # a few hundred full blocks: deeper than nearly every reorg
_TABLES = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES, MERKLE_PROOFS)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[tuple[Any, ...]], ...])


class StagingBuffer:
    """Rows of blocks, in the order they were added. Use as a context manager; walk as often as needed."""

    def __init__(self, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=memory_bytes_max)  # noqa: SIM115
        self._sizes: list[int] = []
        self._counts = [0] * len(_TABLES)

    def __enter__(self) -> "StagingBuffer":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, block: BlockRows) -> None:
        """Put a block behind those that are there."""
        children = (block.transactions, block.logs, block.withdrawals, block.uncles, block.proofs)
        groups: tuple[list[Row], ...] = ([block.block], *map(list, children))
        record = _encoder.encode(groups)
        self._file.seek(0, 2)
        self._file.write(record)
        self._sizes.append(len(record))
        for i, group in enumerate(groups):
            self._counts[i] += len(group)

    def __iter__(self) -> Iterator[BlockRows]:
        """The blocks, each decoded again."""
        for (block,), *children in self._records():
            yield BlockRows(block, *children)

    def rows(self) -> tuple[Rows, ...]:
        """The rows by table, as `block_rows` gives them for blocks in memory."""
        return tuple(
            Rows(table, _Column(self, i, count))
            for i, (table, count) in enumerate(zip(_TABLES, self._counts, strict=True))
            if count
        )

    def _walk(self, group: int) -> Iterator[Row]:
        for groups in self._records():
            yield from groups[group]

    def _records(self) -> Iterator[tuple[list[Row], ...]]:
        """What was added, a record a block: the rows of each of _TABLES."""
        at = 0
        for size in self._sizes:
            self._file.seek(at)
            at += size
            yield _decoder.decode(self._file.read(size))


class _Column(Collection[Row]):
    """One table's rows of a staging buffer."""

    def __init__(self, staged: StagingBuffer, group: int, count: int) -> None:
        self._staged_rows, self._group, self._count = staged, group, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return self._staged_rows._walk(self._group)

    def __contains__(self, row: object) -> bool:
        return any(row == buffered for buffered in self)
