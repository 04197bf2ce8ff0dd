"""A waiting branch gives the rows that it was given, as often as asked, from memory or from a file."""

from pathlib import Path

import pytest

from tests.chain.answers import proven, simulated
from tidelog.batch import LOGS
from tidelog.chain.rows import BlockRows, block_rows
from tidelog.chain.spool import Spool

BLOCKS = [proven(simulated("prague", number))[0] for number in (1, 2, 3)]
BARE = BlockRows(BLOCKS[0].block, [], [], [])


@pytest.mark.parametrize("memory", [0, 1, 5_000, 64 << 20], ids=["unbounded", "file", "both", "memory"])
def test_rows_come_back_as_they_went_in(memory: int) -> None:
    with Spool(memory) as spool:
        for block in BLOCKS:
            spool.add(block)
        assert len(spool) == 3
        for _ in range(2):  # a commit that is tried again walks them again
            held = [(rows.table, list(rows.rows)) for rows in spool.rows()]
            assert held == [(rows.table, list(rows.rows)) for rows in block_rows(BLOCKS)]
            assert all(type(row) is tuple for _, rows in held for row in rows)
        assert [len(rows.rows) for rows in spool.rows()] == [len(rows.rows) for rows in block_rows(BLOCKS)]


def test_past_the_limit_they_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool(100_000) as spool:
        spool.add(BLOCKS[0])
        assert not rolled(spool)
        for _ in range(50):
            spool.add(BLOCKS[1])
        assert rolled(spool)
        assert sum(1 for rows in spool.rows() for _ in rows.rows) == BLOCKS[0].row_count + 50 * BLOCKS[1].row_count
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def rolled(spool: Spool) -> bool:
    return bool(spool._file._rolled)  # type: ignore[attr-defined]


def test_two_walks_do_not_disturb_each_other() -> None:
    with Spool(1) as spool:
        for block in BLOCKS:
            spool.add(block)
        _, transactions, logs, _ = spool.rows()
        pairs = list(zip(transactions.rows, logs.rows, strict=False))
        assert [one for one, _ in pairs] == list(transactions.rows)[: len(pairs)]
        assert [other for _, other in pairs] == list(logs.rows)[: len(pairs)]
        assert next(iter(logs.rows)) in logs.rows
        assert ("no", "row") not in logs.rows


def test_tables_without_rows_are_left_out() -> None:
    with Spool() as spool:
        assert spool.rows() == ()
        spool.add(BARE)
        assert [rows.table for rows in spool.rows()] == [rows.table for rows in block_rows([BARE])]
        spool.add(BLOCKS[1])
        assert next(rows for rows in spool.rows() if rows.table == LOGS).rows
