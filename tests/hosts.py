"""Several hosts on one machine: network namespaces on a bridge, each with an address and a cable that can be pulled.

Nobody is told that a cable is pulled: what is sent is lost, and connections stay open. A server that is killed or
stopped does not show that. It takes root, and a system that lets root make namespaces.
"""

import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache

from msgspec import Struct

__all__ = ["Host", "Hosts", "refusal", "running"]

NETWORK = "198.18.{}.{}"  # of RFC 2544: for tests between hosts of one owner
OURS = 254  # this machine's place in it


class Host(Struct, frozen=True):
    """One of them. A command behind `prefix` runs there."""

    name: str
    cable: str  # the end that is on the bridge
    address: str

    @property
    def prefix(self) -> Sequence[str]:
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        """Put it back."""
        _ip("link", "set", self.cable, "up")


class Hosts(Struct, frozen=True):
    """Hosts that reach each other, and this machine at `gateway`."""

    gateway: str
    all: Sequence[Host]


def _ip(*words: str) -> None:
    done = subprocess.run(("ip", *words), capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@cache
def refusal() -> str | None:
    """Why such hosts cannot be made here, in the system's words; None: they can."""
    try:
        with running(1):
            return None
    except OSError as error:
        return str(error)


def _bridge() -> int:
    """A network that no other test has, by its number."""
    while True:
        number = random.SystemRandom().randint(0, 255)
        try:
            _ip("link", "add", f"tidelog{number}", "type", "bridge")
        except OSError as error:
            if "File exists" not in str(error):
                raise
        else:
            return number


@contextmanager
def running(count: int) -> Iterator[Hosts]:
    """So many hosts, gone afterwards. OSError: they cannot be made here."""
    number = _bridge()
    bridge = f"tidelog{number}"
    with ExitStack() as stack:
        stack.callback(_ip, "link", "del", bridge)
        _ip("address", "add", NETWORK.format(number, OURS) + "/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        hosts = list[Host]()
        for index in range(1, count + 1):
            host = Host(f"{bridge}-{index}", f"tide{number}.{index}", NETWORK.format(number, index))
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "del", host.name)  # its end of the cable goes with it, and so does the other
            _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            _ip("link", "set", host.cable, "master", bridge, "up")
            for words in (
                ("address", "add", host.address + "/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.name, *words)
            hosts.append(host)
        yield Hosts(NETWORK.format(number, OURS), hosts)
