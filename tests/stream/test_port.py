"""One suite for whatever keeps streams: NATS JetStream, Kafka, and the simulated servers that stand for them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

from tests.conftest import running_kafka, running_nats
from tidelog.errors import Fenced, Unreachable
from tidelog.sim.streams.brokers import SimBrokers
from tidelog.sim.streams.kafka_clients import SimKafkaClients
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.streams.wire import SimStreamTransport
from tidelog.sim.world.loop import SimLoop
from tidelog.sim.world.world import Process, World
from tidelog.stream.durable import DurableTransport, Kept
from tidelog.stream.jetstream import JetStream, NatsLimits
from tidelog.stream.kafka.transport import Kafka, KafkaLimits
from tidelog.stream.port import Ends, Message, Moved, Stored, StreamSession, StreamSettings, StreamTransport

SETTINGS = StreamSettings("tidelog-chain-1", "tidelog.chain.1")
QUICK = NatsLimits(silence_s=0.3)
QUICK_KAFKA = KafkaLimits(silence_s=0.3)


T = TypeVar("T", bound=StreamTransport)
T_co = TypeVar("T_co", bound=StreamTransport, covariant=True)


class Peer(Generic[T_co]):
    """A server, and what can be done with it."""

    def __init__(self, transport: T_co, restart: Callable[[], None], forget: Callable[[], None]) -> None:
        self.transport = transport
        self.restart = restart
        self.forget = forget


class Server(Protocol):
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def lose(self) -> None: ...
    def restart(self) -> None: ...


Case = Callable[[Peer[T]], Coroutine[Any, Any, None]]
Runner = Callable[[Case[StreamTransport]], None]
DurableRunner = Callable[[Case[DurableTransport]], None]


@pytest.fixture(params=["simulated", "simulated kafka", "nats", "kafka"])
def run_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    """Runs a case on a server that has nothing yet."""
    if request.param == "simulated":
        yield lambda case: simulated(case, str(tmp_path), simulated_nats)
    elif request.param == "simulated kafka":
        yield lambda case: simulated(case, str(tmp_path), simulated_kafka)
    elif request.param == "nats":
        with running_nats() as nats:
            yield lambda case: real(case, JetStream([nats.url], SETTINGS, limits=QUICK), nats)
    else:
        with running_kafka() as kafka:
            yield lambda case: real(case, Kafka([kafka.address], SETTINGS, limits=QUICK_KAFKA), kafka)


@pytest.fixture(params=["simulated", "nats"])
def run_durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DurableRunner]:
    """The same on a server that keeps places of readers."""
    if request.param == "simulated":
        yield lambda case: simulated(case, str(tmp_path), simulated_nats)
    else:
        with running_nats() as nats:
            yield lambda case: real(case, JetStream([nats.url], SETTINGS, limits=QUICK), nats)


def real(case: Case[T], transport: T, server: Server) -> None:
    def forget() -> None:
        server.kill()
        server.lose()
        server.start()

    asyncio.run(case(Peer(transport, server.restart, forget)))


def simulated_nats(process: Process) -> Peer[SimStreamTransport]:
    server = SimStreams(process.world.random("streams"))
    return Peer(SimStreamTransport(server, process), server.restart, server.forget)


def simulated_kafka(process: Process) -> Peer[Kafka]:
    """The transport of production; what it speaks to is simulated."""
    brokers = SimBrokers(process.world.random("brokers"), process.world.loop.time)
    clients = SimKafkaClients(brokers, process)
    return Peer(Kafka(["brokers.example:9092"], SETTINGS, clients=clients), brokers.restart, brokers.forget)


def simulated(case: Case[T], folder: str, make: Callable[[Process], Peer[T]]) -> None:
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    process = Process(World(loop, 1, folder), "test")
    peer = make(process)

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


async def read(session: StreamSession, first: int) -> list[Stored]:
    """What a read gives until it has all and is silent, in order."""
    ends = await session.ends()
    assert ends is not None
    found = list[Stored]()
    async with aclosing(session.read(first)) as reading:
        async for stored in reading:
            found += stored
            if not stored and (found[-1].sequence if found else first - 1) >= ends.last:
                break
    sequences = [each.sequence for each in found]
    assert sequences == sorted(set(sequences))
    return found


async def told(session: StreamSession, first: int = 1) -> list[int]:
    """The numbers of the messages, as they were given to them."""
    return [int(each.headers["Tidelog-Place"]) for each in await read(session, first)]


def test_a_stream_is_made_once_and_is_empty(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            assert await session.ends() is None
            await session.ensure()
            await session.ensure()
            ends = await session.ends()
            assert ends is not None
            assert (ends.last, ends.last < ends.first) == (0, True)
            assert await session.get(1) is None
            assert session.payload_max > 4_096

    run_case(case)


def test_messages_are_kept_in_order_with_their_headers(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            last = await session.publish(messages(1, 200), 0)
            last = await session.publish(messages(201, 300), last)
            ends = await session.ends()
            assert ends == Ends(1, last)
            found = await read(session, 1)
            assert [each.headers["Nats-Msg-Id"] for each in found] == [f"m{number}" for number in range(1, 301)]
            assert {each.payload for each in found} == {b"x" * 10}
            assert (found[0].sequence, found[-1].sequence) == ends
            assert await told(session, found[298].sequence) == [299, 300]
            assert await told(session, last + 1) == []

    run_case(case)


def test_a_message_is_found_by_its_number_or_one_before_it(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            last = 0
            for number in range(1, 6):
                last = await session.publish([message(number)], last)
            found = await read(session, 1)
            for sequence in range(1, last + 1):
                behind = next(each for each in found if each.sequence >= sequence)
                assert await session.get(sequence) == behind
            assert await session.get(last + 1) is None

    run_case(case)


def test_a_message_is_taken_only_behind_the_one_that_was_last(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            await session.ensure()
            third = await session.publish(messages(1, 3), 0)
            with pytest.raises(Moved):
                await rival.publish([message(3)], third - 1)
            with pytest.raises(Moved):
                await rival.publish([message(9)], third + 5)
            await rival.publish([message(4)], third)
            with pytest.raises((Moved, Fenced)):
                await session.publish(messages(5, 9), third)
            assert await told(session) == [1, 2, 3, 4]

    run_case(case)


def test_a_message_whose_id_is_there_is_not_stored_again(run_durable: DurableRunner) -> None:
    """NATS knows messages by their ids; Kafka does not."""

    async def case(peer: Peer[DurableTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            assert await session.publish(messages(1, 3), 0) == 3
            with pytest.raises(Moved):
                await session.publish([message(2)], 3)
            assert await told(session) == [1, 2, 3]

    run_durable(case)


def test_nothing_is_taken_behind_another_publishers_message(run_case: Runner) -> None:
    """Of messages that are under way the first is refused; those behind it would have the right numbers."""

    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            await session.ensure()
            third = await session.publish(messages(1, 3), 0)
            other = await rival.publish([Message("tidelog.chain.1.reset", {"Nats-Msg-Id": "other"}, b"")], third)
            with pytest.raises((Moved, Fenced)):
                await session.publish(messages(4, 9), third)
            assert await rival.ends() == Ends(1, other)

    run_case(case)


def test_what_is_published_is_there_after_a_crash(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            last = await session.publish(messages(1, 20), 0)
            peer.restart()
            with suppress(Unreachable):  # some connections mend themselves
                await session.publish([message(21)], last)
        async with peer.transport.connect() as session:
            found = await told(session)
            assert found in (list(range(1, 21)), list(range(1, 22)))
            ends = await session.ends()
            assert ends is not None
            await session.publish([message(len(found) + 1)], ends.last)
            assert await told(session) == [*found, len(found) + 1]

    run_case(case)


def test_a_stream_whose_folder_is_gone_is_not_there_and_begins_again(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            await session.publish(messages(1, 5), 0)
        peer.forget()
        async with peer.transport.connect() as session:
            assert await session.ends() is None
            await session.ensure()
            await session.publish(messages(1, 2), 0)
            assert await told(session) == [1, 2]

    run_case(case)


def test_a_publisher_of_before_a_loss_is_not_taken_for_one_of_after_it(tmp_path: Path) -> None:
    """Simulated brokers counted their publishers anew, and let both write: real ones know what each has sent."""

    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session, peer.transport.connect() as rival:
            await session.ensure()
            peer.forget()
            await rival.ensure()
            with pytest.raises((Moved, Fenced, Unreachable)):
                await session.publish(messages(1, 3), 0)
            await rival.publish(messages(1, 3), 0)
            assert await told(rival) == [1, 2, 3]

    simulated(case, str(tmp_path), simulated_kafka)


def test_a_reader_is_given_what_comes_while_it_reads(run_case: Runner) -> None:
    async def case(peer: Peer[StreamTransport]) -> None:
        async with peer.transport.connect() as session:
            await session.ensure()
            found, silent, last, published = list[int](), 0, 0, 0
            async with aclosing(session.read(1)) as reading:
                async for stored in reading:
                    found += [int(each.headers["Tidelog-Place"]) for each in stored]
                    silent += not stored
                    if silent and len(found) == published < 9:
                        last = await session.publish(messages(published + 1, published + 3), last)
                        published += 3
                    if len(found) == 9:
                        break
            assert found == list(range(1, 10))
            assert silent

    run_case(case)


def test_a_readers_place_is_kept_by_its_name_and_fenced_by_its_revision(run_durable: DurableRunner) -> None:
    async def case(peer: Peer[DurableTransport]) -> None:
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

    run_durable(case)


@pytest.mark.parametrize(
    "transport",
    [
        JetStream(["nats://127.0.0.1:9"], SETTINGS, limits=QUICK),
        Kafka(["127.0.0.1:9"], SETTINGS, limits=QUICK_KAFKA),
    ],
    ids=["nats", "kafka"],
)
def test_a_server_that_is_not_there_is_unreachable(transport: StreamTransport) -> None:
    async def case() -> None:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            async with transport.connect():
                pass

    asyncio.run(case())


def test_a_server_that_cannot_be_had_is_told_by_its_reason() -> None:
    """nats-py tries on by itself, and said nothing of it: all that was told was that no answer came in time."""

    async def reason_of(*servers: str) -> str:
        with pytest.raises(Unreachable) as told:
            async with JetStream(servers, SETTINGS, limits=QUICK).connect():
                pass
        return str(told.value)

    assert "Connect call failed" in asyncio.run(reason_of("nats://127.0.0.1:9"))
    assert "Connect call failed" in asyncio.run(reason_of("nats://127.0.0.1:9", "nats://127.0.0.1:10"))
