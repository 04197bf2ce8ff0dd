"""What systemd hears, on a real datagram socket."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import HANGS_S
from tidelog.cli.run.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(HANGS_S)
        made.bind(str(tmp_path / "notify"))
        yield made


def test_each_message(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, pid=7)
    says: list[tuple[Callable[[], None], str]] = [
        (lambda: notifier.ready("up"), "READY=1\nSTATUS=up"),
        (lambda: notifier.reloading(12.5), "RELOADING=1\nMONOTONIC_USEC=12500000"),
        (notifier.alive, "WATCHDOG=1"),
        (notifier.stopping, "STOPPING=1\nSTATUS=stopping"),
    ]
    for say, expected in says:
        say()
        assert manager.recv(4096).decode() == expected
    notifier.close()


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(HANGS_S)
        name = f"tidelog-test-notify-{os.getpid()}"  # one name space for all of a machine's processes
        manager.bind(f"\0{name}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"}, pid=7)
        notifier.alive()
        assert manager.recv(4096) == b"WATCHDOG=1"
        notifier.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier(environ, pid=7)
    notifier.ready("up")
    notifier.close()
    notifier.alive()
    assert notifier.watchdog_s is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),  # twice as often as asked for
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),  # meant for another
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_the_watchdog_is_fed(environ: dict[str, str], expected: float | None) -> None:
    assert Notifier(environ, pid=7).watchdog_s == expected
