"""What keeps a simulated stream: each engine, its publisher of production, and what goes wrong with it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import NoReturn

import apsw

from tidelog.config import EndpointUrl
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.streams.brokers import SimBrokers
from tidelog.sim.streams.kafka_clients import SimKafkaClients
from tidelog.sim.streams.receiver import ReceiverHttp, SimReceiver
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.streams.wire import SimStreamTransport
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import Process, World
from tidelog.stream.backlog import Backlog
from tidelog.stream.kafka.transport import Kafka
from tidelog.stream.port import Stored, StreamSettings, StreamTransport
from tidelog.stream.publisher import Publisher
from tidelog.stream.webhook.kept import Kept
from tidelog.stream.webhook.publisher import WebhookLimits, WebhookPublisher
from tidelog.telemetry import StreamFigures

__all__ = ["Brokers", "Engine", "Receiver", "Servers", "engine_of"]

ADDRESS = "brokers.example:9092"
KEY = b"a key that both sides know"
HOOKS = WebhookLimits(answer_s=2.0, failures=3, payload_bytes=SimStreams.payload_max)  # so that a small run meets them


class Engine(ABC):
    """Something that takes what is published, and lives on when its publisher dies."""

    is_read: bool  # whether somebody follows what it keeps; else it is told by itself

    @property
    @abstractmethod
    def stream(self) -> Sequence[Stored]:
        """What it has, in order."""

    @abstractmethod
    async def publish(
        self, backlog: Backlog, process: Process, runtime: SimRuntime, figures: StreamFigures
    ) -> NoReturn:
        """Publish a backlog to it, until the process dies."""

    def transport(self, process: Process) -> StreamTransport:
        """How a process reads it."""
        raise NotImplementedError

    @abstractmethod
    def act(self, action: plan.Action) -> object:
        """Carry out what is this engine's; what undoes it, if that is due later."""

    @abstractmethod
    def mend(self) -> None:
        """Nothing goes wrong with it any more."""


class _Keeping(Engine):
    """An engine that keeps what is published, and is reached by a transport."""

    is_read = True

    def __init__(self, server: SimStreams | SimBrokers) -> None:
        self._server = server

    @property
    def stream(self) -> Sequence[Stored]:
        return self._server.stream or []

    async def publish(
        self, backlog: Backlog, process: Process, runtime: SimRuntime, figures: StreamFigures
    ) -> NoReturn:
        await Publisher(backlog, self.transport(process), runtime, metrics=figures).run()

    def act(self, action: plan.Action) -> object:
        server = self._server
        match action:
            case plan.StreamLoss("tail", count):
                server.lose_tail(count)
            case plan.StreamLoss("forgotten"):
                server.forget()
            case plan.StreamLoss("copied"):
                server.copy()
            case plan.StreamLoss("restored"):
                server.restore()
            case plan.StreamLoss():
                server.restart()
            case plan.StreamDown():
                server.away = True
                return lambda: setattr(server, "away", False)
            case plan.StreamSilence():
                server.silent = True
                return lambda: setattr(server, "silent", False)
            case plan.StreamDoubt(times):
                server.doubts += times
        return None

    def mend(self) -> None:
        self._server.away = self._server.silent = False
        self._server.doubts = 0


class Servers(_Keeping):
    """NATS JetStream."""

    def __init__(self, world: World, name: str) -> None:
        self.server = SimStreams(world.random(f"{name}streams"))
        super().__init__(self.server)

    def transport(self, process: Process) -> StreamTransport:
        return SimStreamTransport(self.server, process)


class Brokers(_Keeping):
    """Kafka: a topic, through the transport of production."""

    def __init__(self, world: World, name: str, publisher: Supervisor) -> None:
        self._brokers = SimBrokers(world.random(f"{name}brokers"), world.loop.time)
        super().__init__(self._brokers)
        self._publisher = publisher
        self._settings = StreamSettings(f"{name}topic".replace(" ", "-"), "tidelog")

    def transport(self, process: Process) -> StreamTransport:
        return Kafka([ADDRESS], self._settings, clients=SimKafkaClients(self._brokers, process))

    def act(self, action: plan.Action) -> object:
        undo = super().act(action)
        match action:
            case plan.StreamLoss("restored"):
                self._publisher.may_be_fenced()  # they know of an earlier one
            case plan.StreamRepeats(times):
                self._brokers.repeats += times
        return undo

    def mend(self) -> None:
        super().mend()
        self._brokers.repeats = 0


class Receiver(Engine):
    """A receiver of webhooks, and the file that their publisher keeps."""

    is_read = False

    def __init__(self, world: World, name: str, publisher: Supervisor) -> None:
        self._world = world
        self._publisher = publisher
        self._path = world.disk.path(f"{name.strip()}hook.state")
        self._receiver = SimReceiver(KEY, world.random(f"{name}receiver"), world.violated)
        self._copy: bytes | None = None
        self._mended = False

    @property
    def stream(self) -> Sequence[Stored]:
        return self._receiver.stream

    async def publish(
        self, backlog: Backlog, process: Process, runtime: SimRuntime, figures: StreamFigures
    ) -> NoReturn:
        url = EndpointUrl("https://receiver.example/hook")
        with Kept(self._path, backlog.source, process.mount.name) as kept:
            if self._mended:
                kept.send_again(None)
            http = ReceiverHttp(self._receiver, process)
            await WebhookPublisher(backlog, url, KEY, kept, http, runtime, metrics=figures, limits=HOOKS).run()

    def act(self, action: plan.Action) -> object:
        match action:
            case plan.StreamDown():
                self._receiver.away = True
                return lambda: setattr(self._receiver, "away", False)
            case plan.Answers(how, times):
                self._receiver.answers.extend([how] * times)
            case plan.StreamLoss("copied"):
                self._copy = self._content() or self._copy
            case plan.StreamLoss("restored"):
                if self._copy is not None:
                    self._put(self._copy)
            case plan.StreamLoss("forgotten"):
                self._put(b"")
        return None

    def _content(self) -> bytes | None:
        mount = Mount(self._world.disk, faulty=False)
        try:
            with (
                suppress(apsw.Error),
                closing(apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=mount.name)) as file,
            ):
                return file.serialize("main")
            return None
        finally:
            mount.unregister()

    def _put(self, content: bytes) -> None:
        self._publisher.kill("its state is replaced")
        self._world.disk.put(self._path, content)

    def mend(self) -> None:
        """Whatever was put aside is sent again: the operator says so, and starts the publisher anew."""
        self._receiver.honest()
        self._mended = True
        self._publisher.kill("to send again what was put aside")


def engine_of(engine: str, world: World, name: str, publisher: Supervisor) -> Engine:
    """What is published to, of `schedule.ENGINES`."""
    if engine == plan.KAFKA:
        return Brokers(world, name, publisher)
    if engine == plan.WEBHOOKS:
        return Receiver(world, name, publisher)
    return Servers(world, name)
