"""`tidelog market follow` without --from-start: it begins at the journal's end, and reads nothing older for that."""

import asyncio
from pathlib import Path

import pytest

from tests.patience import HANGS_S
from tidelog.cli.market.journals import _follow
from tidelog.market.events import ClockStepped, Started
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.schema import Block
from tidelog.market.records import Kind
from tidelog.market.session.controls import Control, encode_control

STARTED = Started("v2", False, (), None, True)


def block_of(run: int, first_seq: int, *controls: Control) -> Block:
    block = Block(run, first_seq)
    for control in controls:
        block.add(Kind.CONTROL, 1_000 + first_seq, encode_control(control), 100, restart=isinstance(control, Started))
    return block


async def followed(writer: JournalWriter, path: Path, next_seq: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed first, of records that are written once it is followed."""
    task = asyncio.create_task(_follow(str(path), from_start=False))
    out = ""
    try:
        async with asyncio.timeout(HANGS_S):
            while not out:
                await asyncio.sleep(0.1)  # nothing says that it follows by now: records come until one is shown
                writer.commit([block_of(writer.run, next_seq, STARTED if next_seq == 1 else ClockStepped(1))])
                next_seq += 1
                out = capsys.readouterr().out
                if task.done():
                    task.result()
    finally:
        task.cancel()
        await asyncio.wait((task,))
    return out


async def test_nothing_older_than_the_last_snapshot_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    writer = JournalWriter(str(path))
    writer.commit([block_of(1, seq, STARTED if seq % 50 == 1 else ClockStepped(1)) for seq in range(1, 171)])
    read: list[int] = []
    whole = JournalReader._read

    def noted(self: JournalReader, run: int, seq: int) -> object:
        read.append(seq)
        return whole(self, run, seq)

    monkeypatch.setattr(JournalReader, "_read", noted)
    out = await followed(writer, path, 171, capsys)
    writer.close()
    assert '"seq":17' in out.splitlines()[0]
    assert min(read) == 151


async def test_an_empty_journal_is_followed_from_its_first_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = JournalWriter(str(tmp_path / "j"))
    out = await followed(writer, tmp_path / "j", 1, capsys)
    writer.close()
    assert out.startswith('{"run":1,"seq":1,')


async def test_a_run_without_records_is_followed_from_its_first_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    earlier = JournalWriter(str(path))
    earlier.commit([block_of(1, 1, STARTED, ClockStepped(1))])
    earlier.close()
    writer = JournalWriter(str(path))
    out = await followed(writer, path, 1, capsys)
    writer.close()
    assert out.startswith('{"run":2,"seq":1,')
