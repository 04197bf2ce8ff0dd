"""A client that never reads: nothing else is slower for it, and what waits for it is bounded, in bytes."""

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.api.live.feeds.test_trades import PATH, numbers, ready, repeated, served
from tests.api.live.recorder import A, recording
from tests.api.live.serving import USUAL, Event, Served, listening
from tests.market.exchange import until
from tidelog.api.http.limits import LiveLimits

PENDING_MAX = 50  # for these tests
FRAMES = 200
FULL_AT = 80  # its bound and all buffers are full by then
TRADES = 20  # of a frame: some 3 kB as an event
LIMITS = replace(USUAL, trades_pending_max=PENDING_MAX, trades_batch_events=10)
HELD_MAX = 2_000_000  # bytes: the bound's events, decoded, and one batch; all frames would be five times that


def deaf(server: Served, path: str) -> socket.socket:
    """A client that has asked for a stream, and reads nothing of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", server.server.port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return sock


def small_buffers(server: Served) -> None:
    """Or the kernel takes megabytes for a client."""
    for connection in server.server._server.server_state.connections:
        ours: Any = connection.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)


def frames(begin: int, count: int) -> list[bytes]:
    numbers = [range(n * TRADES + 1, (n + 1) * TRADES + 1) for n in range(begin, begin + count)]
    return [repeated(*each).replace(b"snapshot", b"update") for each in numbers]


def all_told(server: Served) -> bool:
    """Whether the one that listens has got everything so far."""
    fanout = server.live.tails["journal"]._trades[A]
    return min(each.statistics.pending for each in fanout._subscriptions) == 0


async def counted(stream: AsyncIterator[Event]) -> int:
    """How many trades came, in order and without a hole; nothing of them is kept."""
    count = 0
    while count < FRAMES * TRADES:
        for number in numbers([await anext(stream)]):
            count += 1
            assert number == count
    return count


async def test_a_client_that_never_reads_costs_its_bound_and_slows_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path, limits=LIMITS) as server:
        await ready(server)
        with closing(deaf(server, PATH)):
            await until(lambda: server.live.connections == 1)
            small_buffers(server)
            async with listening(server.url + PATH) as stream:
                hearing = asyncio.create_task(counted(stream))
                await until(lambda: server.live.connections == 2)
                tracemalloc.start()
                try:
                    for at in range(0, FRAMES, 20):
                        await recorder.push(*frames(at, 20))
                        await until(lambda: all_told(server))
                        if at == FULL_AT:
                            before, _ = tracemalloc.get_traced_memory()
                    assert await hearing == FRAMES * TRADES  # the other one lost nothing
                    connection, _ = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
            fanout = server.live.tails["journal"]._trades[A]
            assert max(each.statistics.pending for each in fanout._subscriptions) == PENDING_MAX
            assert connection - before < HELD_MAX, f"{(connection - before) / 1e6:.1f} MB"


async def test_a_client_is_cut_off_once_it_has_read_nothing_for_too_long(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with (
        recording(path) as recorder,
        served(tmp_path, path, limits=LiveLimits(send_s=0.2)) as server,
    ):
        await ready(server)
        with closing(deaf(server, PATH)):
            await until(lambda: server.live.connections == 1)
            small_buffers(server)
            await recorder.push(*frames(0, 100))
            await until(lambda: server.live.connections == 0)
            await until(lambda: not server.server._server.server_state.connections)
