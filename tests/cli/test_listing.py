"""Lists: tables in the width of a terminal, and for a program the lines that they always were."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.market.test_queries import fill
from tests.command import tidelog
from tests.on_terminal import on_terminal
from tidelog.cli.listing import GAP, LEAST, narrowed

TRADES = ("market", "trades", "BTC/USD", "--db")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("listing")
    url = f"sqlite:///{folder}/market.db"
    asyncio.run(fill(url, "kraken"))
    return url


@pytest.mark.parametrize(
    ("widths", "columns", "kept"),
    [
        ([5, 5], 80, [5, 5]),
        ([40, 40], 80, [39, 39]),
        ([10, 200, 20], 80, [10, 46, 20]),
        ([4, 4, 4, 4], 16, [4, 4, 4, 0]),  # no room for all: the first ones
        ([100], 20, [20]),
        ([], 20, []),
    ],
)
def test_the_widest_columns_give_first(widths: list[int], columns: int, kept: list[int]) -> None:
    assert narrowed(widths, columns) == kept


def test_a_line_fits_whatever_its_columns() -> None:
    for count in range(1, 12):
        for columns in (1, 7, 40, 80):
            kept = [width for width in narrowed([3 * (at + 1) for at in range(count)], columns) if width]
            assert sum(kept) + GAP * max(0, len(kept) - 1) <= max(columns, LEAST)


def test_a_terminal_gets_a_table_in_its_width(db: str) -> None:
    for columns in (40, 80, 200):
        drawn = on_terminal(*TRADES, db, columns=columns)
        assert drawn.code == 0, drawn.text
        head, *rows = drawn.lines
        assert head.split()[0] == "time"
        assert len(rows) == 4
        assert all(len(line) <= columns for line in drawn.lines)
    cut, whole = (on_terminal(*TRADES, db, *wide, columns=40).text for wide in ((), ("--wide",)))
    assert ".." in cut
    assert ".." not in whole
    assert "2023-11-14T22:13:21.000000Z" in whole


def test_a_program_gets_the_lines_that_it_always_got(db: str) -> None:
    lines = tidelog(*TRADES, db, "--wide", "--full").out.splitlines()
    assert lines == tidelog(*TRADES, db).out.splitlines()
    assert lines[0] == "time=2023-11-14T22:13:21.000000Z  side=buy  price=100.0  qty=1.00  type=limit  trade_id=1"


def test_hashes_are_shortened_in_their_middle_unless_they_are_wanted_whole() -> None:
    code = """
import sys
from tidelog.cli.listing import print_rows
from tidelog.cli.options import Look
rows = [{"hash": bytes(range(32)), "timestamp": 1700000000, "none": None, "count": 7}, {"hash": b"\\1" * 32}]
for look in (Look(), Look(full=True, wide=True)):
    print_rows(rows, look)
"""
    short_head, short, other, head, whole, _ = on_terminal("-c", code, python=True).lines
    assert short_head.split() == head.split() == ["hash", "timestamp", "count"]
    assert short.split() == ["0x000102..1e1f", "2023-11-14T22:13:20Z", "7"]
    assert other.split() == ["0x010101..0101"]
    assert whole.split()[0] == "0x" + bytes(range(32)).hex()
