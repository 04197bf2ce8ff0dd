"""One suite for whatever keeps streams: NATS JetStream, and the simulated server that stands for it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running_nats
from tidelog.errors import Unreachable
from tidelog.sim.runs.streaming import SimStreamTransport
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.world.loop import SimLoop
from tidelog.sim.world.world import Process, World
from tidelog.stream.durable import DurableTransport, Kept
from tidelog.stream.jetstream import JetStream, NatsLimits
from tidelog.stream.port import Ends, Message, Moved, StreamSession, StreamSettings

SETTINGS = StreamSettings("tidelog-chain-1", "tidelog.chain.1")
QUICK = NatsLimits(silence_s=0.3)


class Peer:
    """A server, and what can be done with it."""

    def __init__(self, transport: DurableTransport, restart: Callable[[], None], forget: Callable[[], None]) -> None:
        self.transport = transport
        self.restart = restart
        self.forget = forget


Case = Callable[[Peer], Coroutine[Any, Any, None]]
Runner = Callable[[Case], None]


@pytest.fixture(params=["simulated", "nats"])
def run_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    """Runs a case on a server that has nothing yet."""
    if request.param == "simulated":
        yield lambda case: simulated(case, str(tmp_path))
    else:
        with running_nats() as server:

            def forget() -> None:
                server.kill()
                server.lose()
                server.start()

            peer = Peer(JetStream([server.url], SETTINGS, limits=QUICK), server.restart, forget)
            yield lambda case: asyncio.run(case(peer))


def simulated(case: Case, folder: str) -> None:
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    world = World(loop, 1, folder)
    server = SimStreams(world.random("streams"))
    process = Process(world, "test")
    peer = Peer(SimStreamTransport(server, process), server.restart, server.forget)

    async def main() -> None:
        failure = await process.run(lambda _: case(peer))
        if failure is not None:
            raise failure

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def message(number: int, *, size: int = 10) -> Message:
    return Message("tidelog.chain.1.apply", {"Nats-Msg-Id": f"m{number}", "Tidelog-Place": str(number)}, b"x" * size)


def messages(first: int, last: int) -> list[Message]:
    return [message(number) for number in range(first, last + 1)]


async def numbers(session: StreamSession, first: int) -> list[int]:
    """What a read gives until it is silent: the numbers of the stream, held against those of the messages."""
    found = []
    async with aclosing(session.read(first)) as reading:
        async for stored in reading:
            if not stored:
                break
            found += [each.sequence for each in stored]
            assert [each.headers["Tidelog-Place"] for each in stored] == [str(each.sequence) for each in stored]
    return found


def test_a_stream_is_made_once_and_is_empty(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session:
            assert await session.ends() is None
            await session.ensure()
            await session.ensure()
            ends = await session.ends()
            assert ends is not None
            assert (ends.last, ends.last < ends.first) == (0, True)
            assert await session.get(1) is None

    run_case(case)


def test_messages_are_kept_in_order_with_their_headers(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            assert await session.publish(messages(1, 300), 0) == 300
            assert await session.ends() == Ends(1, 300)
            found = await session.get(7)
            assert found is not None
            assert (found.sequence, found.payload, found.headers["Nats-Msg-Id"]) == (7, b"x" * 10, "m7")
            assert await session.get(301) is None
            assert await numbers(session, 1) == list(range(1, 301))
            assert await numbers(session, 299) == [299, 300]
            assert await numbers(session, 301) == []

    run_case(case)


def test_a_message_is_taken_only_behind_the_one_that_was_last(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            await session.ensure()
            assert await session.publish(messages(1, 3), 0) == 3
            with pytest.raises(Moved):
                await rival.publish([message(3)], 2)
            with pytest.raises(Moved):
                await rival.publish([message(9)], 8)
            assert await rival.publish([message(4)], 3) == 4
            with pytest.raises(Moved):
                await session.publish(messages(5, 9), 3)
            assert await numbers(session, 1) == [1, 2, 3, 4]

    run_case(case)


def test_nothing_is_taken_behind_another_publishers_message(run_case: Runner) -> None:
    """Of messages that are under way the first is refused; those behind it would have the right numbers."""

    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            await session.ensure()
            assert await session.publish(messages(1, 3), 0) == 3
            assert await rival.publish([Message("tidelog.chain.1.reset", {"Nats-Msg-Id": "other"}, b"")], 3) == 4
            with pytest.raises(Moved):
                await session.publish(messages(4, 9), 3)
            assert await session.ends() == Ends(1, 4)

    run_case(case)


def test_what_is_published_is_there_after_a_crash(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            await session.publish(messages(1, 20), 0)
            peer.restart()
            with pytest.raises(Unreachable):
                await session.publish([message(21)], 20)
        async with peer.transport.connect() as session:
            assert await session.ends() == Ends(1, 20)
            assert await session.publish([message(21)], 20) == 21

    run_case(case)


def test_a_stream_whose_folder_is_gone_is_not_there_and_begins_again(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            await session.publish(messages(1, 5), 0)
        peer.forget()
        async with peer.transport.connect() as session:
            assert await session.ends() is None
            await session.ensure()
            assert await session.publish(messages(1, 2), 0) == 2
            assert await numbers(session, 1) == [1, 2]

    run_case(case)


def test_a_reader_is_given_what_comes_while_it_reads(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            found, silent = list[int](), 0
            async with aclosing(session.read(1)) as reading:
                async for stored in reading:
                    found += [each.sequence for each in stored]
                    silent += not stored
                    if silent and len(found) < 9:
                        await session.publish(messages(len(found) + 1, len(found) + 3), len(found))
                    if len(found) == 9:
                        break
            assert found == list(range(1, 10))
            assert silent

    run_case(case)


def test_a_readers_place_is_kept_by_its_name_and_fenced_by_its_revision(run_case: Runner) -> None:
    async def case(peer: Peer) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            assert await session.kept("a") is None
            with pytest.raises(Moved):
                await session.keep("a", Kept("4-x", "me", 3))
            first = await session.keep("a", Kept("4-x", "me", 0))
            await session.keep("b", Kept("7-x", "me", 0))
            assert await rival.kept("a") == Kept("4-x", "me", first)
            second = await rival.keep("a", Kept("5-x", "you", first))
            assert second > first
            with pytest.raises(Moved):
                await session.keep("a", Kept("6-x", "me", first))
            assert await session.kept("a") == Kept("5-x", "you", second)
        peer.restart()
        async with peer.transport.connect() as session:
            assert await session.kept("a") == Kept("5-x", "you", second)
        peer.forget()
        async with peer.transport.connect() as session:
            assert await session.kept("a") is None
            await session.keep("a", Kept("6-x", "me", 0))

    run_case(case)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    async def case() -> None:
        transport = JetStream(["nats://127.0.0.1:9"], SETTINGS, limits=QUICK)
        with pytest.raises(Unreachable, match=r"nats://127\.0\.0\.1:9"):
            async with transport.connect():
                pass

    asyncio.run(case())
