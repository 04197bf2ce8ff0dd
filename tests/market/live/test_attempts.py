"""Attempts to connect that processes share: never more than there are, whoever is killed."""

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

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


@pytest.mark.parametrize("name", ["pwrite", "ftruncate"])
async def test_a_disk_that_takes_no_time_is_told_once_and_tried_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    attempts, begun_us = shared(tmp_path / "a"), 12 * WINDOW
    for at in range(12):
        assert await attempts.take(at * WINDOW) == 0  # the next one lets old ones go

    async def told(name: str, at_us: int) -> list[object]:
        with monkeypatch.context() as full, capture_logs() as logs:
            full.setattr(os, name, fails(errno.ENOSPC))
            assert [await attempts.take(at_us) for _ in range(2)] == [at_us + LATER_US] * 2
        return [(each["event"], each["error"]) for each in logs]

    once = [("attempts_not_written", os.strerror(errno.ENOSPC))]
    assert await told(name, begun_us) == once
    assert await attempts.take(begun_us + SECOND) == 0
    assert await told("pwrite", begun_us + WINDOW) == once, "it had worked meanwhile"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
async def test_a_file_that_cannot_be_locked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(number))
    with pytest.raises(ConfigError, match=f"{tmp_path / 'a'} cannot be locked: {os.strerror(number)}"):
        await shared(tmp_path / "a").take(SECOND)


def fails(number: int) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return call
