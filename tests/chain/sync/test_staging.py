"""A waiting branch gives the rows that it was given, as often as asked, from memory or from a file."""

from pathlib import Path

import pytest

from tests.chain.answers import proven, simulated
from tidelog.chain.rows.layout import BlockRows, block_rows
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.sync.staging import StagingBuffer

BLOCKS = [proven(simulated("prague", number))[0] for number in (1, 2, 3)]
BARE = BlockRows(BLOCKS[0].block, [], [], [])


@pytest.mark.parametrize("memory", [0, 1, 5_000, 64 << 20], ids=["unbounded", "file", "both", "memory"])
def test_staged_rows_come_back_as_they_went_in(memory: int) -> None:
    with StagingBuffer(memory) as staged:
        for block in BLOCKS:
            staged.add(block)
        assert len(staged) == 3
        for _ in range(2):  # a commit that is tried again walks them again
            buffered = [(rows.table, list(rows.rows)) for rows in staged.rows()]
            assert buffered == [(rows.table, list(rows.rows)) for rows in block_rows(BLOCKS)]
            assert all(type(row) is tuple for _, rows in buffered for row in rows)
        assert [len(rows.rows) for rows in staged.rows()] == [len(rows.rows) for rows in block_rows(BLOCKS)]


def test_staged_rows_past_the_limit_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with StagingBuffer(100_000) as staged:
        staged.add(BLOCKS[0])
        assert not rolled(staged)
        for _ in range(50):
            staged.add(BLOCKS[1])
        assert rolled(staged)
        assert sum(1 for rows in staged.rows() for _ in rows.rows) == BLOCKS[0].row_count + 50 * BLOCKS[1].row_count
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def rolled(staged: StagingBuffer) -> bool:
    return bool(staged._file._rolled)  # type: ignore[attr-defined]


def test_two_walks_of_staged_rows_do_not_disturb_each_other() -> None:
    with StagingBuffer(1) as staged:
        for block in BLOCKS:
            staged.add(block)
        _, transactions, logs, _ = staged.rows()
        pairs = list(zip(transactions.rows, logs.rows, strict=False))
        assert [one for one, _ in pairs] == list(transactions.rows)[: len(pairs)]
        assert [other for _, other in pairs] == list(logs.rows)[: len(pairs)]
        assert next(iter(logs.rows)) in logs.rows
        assert ("no", "row") not in logs.rows


def test_tables_without_staged_rows_are_left_out() -> None:
    with StagingBuffer() as staged:
        assert staged.rows() == ()
        staged.add(BARE)
        assert [rows.table for rows in staged.rows()] == [rows.table for rows in block_rows([BARE])]
        staged.add(BLOCKS[1])
        assert next(rows for rows in staged.rows() if rows.table == LOGS).rows
