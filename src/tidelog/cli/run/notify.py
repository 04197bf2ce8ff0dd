"""Notifications to systemd for a service of `Type=notify`: datagrams to the socket that NOTIFY_SOCKET names.

The protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html. Without systemd, nothing happens.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Tells the service manager, if there is one. A message that cannot be sent is lost: it never waits."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        every = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog_s: float | None = int(every) / 2_000_000 if meant and every.isdecimal() and int(every) else None

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self, monotonic_s: float) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic_s * 1_000_000)}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
