"""A branch that waits to be swapped in: its rows, encoded, in memory up to a limit and in a file beyond it.

A reorg is one commit however deep it is, so all of its blocks are held at once. Encoded they take a tenth
of the memory that rows do, and a deep one takes none.
"""

import tempfile
from collections.abc import Collection, Iterator
from typing import IO, Any

import msgspec

from tidelog.batch import BLOCKS, LOGS, TRANSACTIONS, UNCLES, WITHDRAWALS, Row, Rows
from tidelog.chain.rows import BlockRows

MEMORY_BYTES_MAX = 64 * 1024 * 1024  # a few hundred full blocks: deeper than nearly every reorg
_TABLES = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[tuple[Any, ...]], ...])


class Spool:
    """Rows of blocks, in the order they were added. Use as a context manager; walk as often as needed."""

    def __init__(self, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=memory_bytes_max)  # noqa: SIM115
        self._sizes: list[int] = []
        self._counts = [0] * len(_TABLES)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, block: BlockRows) -> None:
        children = (block.transactions, block.logs, block.withdrawals, block.uncles)
        groups: tuple[list[Row], ...] = ([block.block], *children)
        record = _encoder.encode(groups)
        self._file.seek(0, 2)
        self._file.write(record)
        self._sizes.append(len(record))
        for i, group in enumerate(groups):
            self._counts[i] += len(group)

    def rows(self) -> tuple[Rows, ...]:
        """The rows by table, as `block_rows` gives them for blocks in memory."""
        return tuple(
            Rows(table, _Column(self, i, count))
            for i, (table, count) in enumerate(zip(_TABLES, self._counts, strict=True))
            if count
        )

    def _walk(self, group: int) -> Iterator[Row]:
        at = 0
        for size in self._sizes:
            self._file.seek(at)
            at += size
            yield from _decoder.decode(self._file.read(size))[group]


class _Column(Collection[Row]):
    """One table's rows of a spool."""

    def __init__(self, spool: Spool, group: int, count: int) -> None:
        self._spool, self._group, self._count = spool, group, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return self._spool._walk(self._group)

    def __contains__(self, row: object) -> bool:
        return any(row == held for held in self)
