"""A lock has one holder, and none once that is gone."""

import errno
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.patience import HANGS_S
from tidelog.errors import ConfigError, Full
from tidelog.filelock import FileLock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with FileLock(path) as first, FileLock(path) as second:
        assert first.take()
        assert not second.take()
        assert second.holder().isdecimal()
        first.release()
        assert second.take()


def test_a_lock_is_free_once_its_holder_was_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    holding = multiprocessing.get_context("spawn").Process(target=hold_and_die, args=(path,))
    holding.start()
    holding.join(HANGS_S)
    assert holding.exitcode == -signal.SIGKILL
    with FileLock(path) as lock:
        assert lock.holder() == str(holding.pid)
        assert lock.take()


def hold_and_die(path: str) -> None:
    assert FileLock(path).take()
    os.kill(os.getpid(), signal.SIGKILL)


def test_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        FileLock(str(tmp_path / "none" / "lock")).take()


def fails(code: int) -> Callable[..., NoReturn]:
    def call(*arguments: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return call


def test_a_disk_that_is_full_is_said_and_the_lock_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails(errno.ENOSPC))  # the file itself can be made where its content has no room
        with pytest.raises(Full, match="No space left on device"):
            FileLock(str(path), temporary=True).take()
    assert not path.exists()
    with FileLock(str(path)) as lock:
        assert lock.take()


def test_a_file_system_without_locks_is_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(errno.ENOLCK))
    with pytest.raises(ConfigError, match="cannot be locked: No locks available"):
        FileLock(str(tmp_path / "lock")).take()


def test_a_temporary_one_is_gone_when_released_and_never_takes_another_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = FileLock(str(path), temporary=True), FileLock(str(path), temporary=True)
    assert first.take()
    path.unlink()  # by somebody who tidies up
    assert second.take()
    first.release()
    assert path.exists(), "it is the second one's"
    second.release()
    assert not path.exists()
