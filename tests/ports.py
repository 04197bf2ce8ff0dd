"""Ports for servers that start later, or are stopped and started again: nobody else gets them meanwhile.

A port that the kernel gave away is free for every other process as soon as its server is down: the kernel takes the
ends of connections from the same range, even that of a client which tries to reach the server that is down. So these
are from below that range, and each is held until it is released, or this process ends, by a UDP socket of the same
number.
"""

import os
import random
import socket

__all__ = ["release_port", "reserved_port"]

PORTS = range(20_000, 30_000)  # below what Linux (32768) and others (49152) give away
HOST = "127.0.0.1"
_held: dict[int, socket.socket] = {}


def reserved_port() -> int:
    """A TCP port on 127.0.0.1 on which nobody listens, and which no other test process is given."""
    for port in random.Random(os.urandom(8)).sample(PORTS, len(PORTS)):
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            holder.bind((HOST, port))
            with socket.socket() as probe:
                probe.bind((HOST, port))
        except OSError:
            holder.close()
            continue
        _held[port] = holder
        return port
    raise AssertionError(f"no port of {PORTS} is free")


def release_port(port: int) -> None:
    """Its server is gone for good."""
    _held.pop(port).close()
