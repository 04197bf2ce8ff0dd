"""Attempts to connect that processes share: never more than there are, whoever is killed."""

import asyncio
import fcntl
import os
import struct
from pathlib import Path

import pytest

from tidelog.errors import ConfigError
from tidelog.market.live.attempts import LATER_US, FileAttempts
from tidelog.runtime import SystemRuntime

SECOND = 1_000_000
WINDOW = 600 * SECOND


def shared(path: Path, attempts_max: int = 3) -> FileAttempts:
    return FileAttempts(str(path), attempts_max, WINDOW, SystemRuntime())


async def test_all_who_name_the_file_have_the_attempts_together(tmp_path: Path) -> None:
    one, other = shared(tmp_path / "a"), shared(tmp_path / "a")
    assert [await each.take(at * SECOND) for at, each in enumerate((one, other, one), 1_000)] == [0, 0, 0]
    assert await other.take(1_010 * SECOND) == 1_000 * SECOND + WINDOW
    assert await one.take(1_000 * SECOND + WINDOW - 1) == 1_000 * SECOND + WINDOW
    assert await other.take(1_000 * SECOND + WINDOW) == 0, "the first one counts no more"
    assert await one.take(1_000 * SECOND + WINDOW) == 1_001 * SECOND + WINDOW


async def test_a_time_that_was_cut_short_by_a_kill_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(struct.pack(">q", 1_000 * SECOND) + b"\0\0\1")
    attempts = shared(path, 2)
    assert await attempts.take(1_001 * SECOND) == 0
    assert await attempts.take(1_002 * SECOND) == 1_000 * SECOND + WINDOW
    assert path.stat().st_size == 16


async def test_old_ones_go(tmp_path: Path) -> None:
    attempts = shared(tmp_path / "a", 2)
    for at in range(40):
        assert await attempts.take(at * WINDOW) == 0
    assert (tmp_path / "a").stat().st_size <= 8 * 8
    assert await attempts.take(39 * WINDOW) == 0
    assert await attempts.take(39 * WINDOW) == 40 * WINDOW


async def test_a_clock_that_was_set_back_frees_no_attempt(tmp_path: Path) -> None:
    attempts = shared(tmp_path / "a", 1)
    assert await attempts.take(5_000 * SECOND) == 0
    assert await attempts.take(4_000 * SECOND) == 4_000 * SECOND + WINDOW


async def test_a_lock_that_another_holds_is_waited_for_and_then_it_is_tried_later(tmp_path: Path) -> None:
    attempts = shared(tmp_path / "a")
    file = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert await attempts.take(SECOND) == SECOND + LATER_US
        waiting = asyncio.create_task(attempts.take(SECOND))
    finally:
        os.close(file)  # as the system does for a process that is killed
    assert await waiting == 0


async def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened: No such file or directory"):
        await shared(tmp_path / "none" / "a").take(SECOND)
