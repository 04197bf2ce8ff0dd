"""A journal with a byte changed, or cut short: refused, or read as it was. Never read as good and different.

`test_journal.py` damages what a row says; here it is the file's bytes: all its pages, by a fixed seed.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import tidelog
from tests.market.journal.test_writer import damage, read, write
from tidelog.errors import ConfigError, Corruption
from tidelog.market.records import Record

PAGE = 4096
FLIPS_PER_PAGE = 40
REFUSED = (Corruption, ConfigError)  # the latter where the header goes, by which a journal is known


@pytest.fixture
async def sound(tmp_path: Path) -> Path:
    """Two runs, 14 blocks."""
    path = tmp_path / "sound"
    await write(path, 300, restart_every=50, flush_every=25)
    await write(path, 40, at_us=5_000)
    return path


class Damaged:
    """The same journal again and again, each time with other damage."""

    def __init__(self, sound: Path) -> None:
        self.whole = sound.read_bytes()
        self.records = read(sound)
        self.path = sound.with_name("damaged")

    def put(self, content: bytes) -> None:
        for beside in self.path.parent.glob("damaged*"):
            beside.unlink()
        self.path.write_bytes(content)

    def verdict(self, content: bytes) -> str:
        """ "same", or by which error it was refused; fails for anything else."""
        self.put(content)
        try:
            found: list[Record] = read(self.path)
        except REFUSED as error:
            return type(error).__name__
        assert found == self.records, "read as good, and different"
        return "same"


def flips(whole: bytes, per_page: int) -> Iterator[tuple[int, bytes]]:
    """One bit changed, at so many places of each page and at each byte of its header and its first and last cells."""
    random_ = random.Random(1)
    for page in range(0, len(whole), PAGE):
        ends = [*range(page, page + 16), *range(page + PAGE - 24, page + PAGE)]
        for at in sorted({*ends, *(page + random_.randrange(PAGE) for _ in range(per_page))}):
            changed = bytearray(whole)
            changed[at] ^= 1 << random_.randrange(8)
            yield at, bytes(changed)


def survey(damaged: Damaged, per_page: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for at, content in flips(damaged.whole, per_page):
        try:
            counts[damaged.verdict(content)] += 1
        except Exception as error:
            raise AssertionError(f"byte {at}: {error!r}") from error
    return counts


async def test_a_byte_changed_anywhere_is_refused_or_changes_nothing(sound: Path) -> None:
    counts = survey(Damaged(sound), FLIPS_PER_PAGE)
    assert counts["Corruption"] > 100
    assert counts["ConfigError"] > 5
    assert counts["same"], "what is in no row"


@pytest.mark.torture
@pytest.mark.timeout(3600)
async def test_a_byte_changed_at_every_place_of_a_journal(sound: Path) -> None:
    assert survey(Damaged(sound), 40 * PAGE)["Corruption"] > 1_000


async def test_a_journal_cut_short_anywhere_is_refused(sound: Path) -> None:
    damaged = Damaged(sound)
    lengths = [*range(0, 110, 10), *range(PAGE - 1, len(damaged.whole), 509)]
    assert {damaged.verdict(damaged.whole[:length]) for length in lengths} == {"Corruption", "ConfigError"}


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE runs SET last_seq = 50 WHERE run = 1", "run 1 has records 1 to 300"),
        ("UPDATE runs SET last_seq = 0 WHERE run = 1", "run 1 has records 1 to 300"),
        ("UPDATE runs SET first_seq = 51 WHERE run = 1", "run 1 has records 1 to 300"),
        ("UPDATE runs SET run = 7 WHERE run = 1", "records of run 1, and no such run"),
        ("DELETE FROM runs WHERE run = 2", "records of run 2, and no such run"),
        ("ALTER TABLE blocks RENAME COLUMN count TO cpunt", "no such column"),
    ],
)
async def test_rows_without_a_checksum_are_compared_with_those_that_have_one(sound: Path, sql: str, told: str) -> None:
    damage(sound, sql)
    with pytest.raises(Corruption, match=told):
        read(sound)


async def test_commands_report_a_damaged_journal_in_one_sentence(sound: Path) -> None:
    damage(sound, "UPDATE blocks SET frames = zeroblob(50) WHERE run = 1 AND first_seq = 1")
    ended = tidelog("market", "replay", str(sound))
    assert ended.code == Corruption.exit_code == 6
    assert ended.err == f"tidelog: {sound}: the block at 1.1 is damaged: its SHA-256 differs\n"
