"""Parts of Kafka's client over the simulated network: as far as `tidelog.stream.kafka` uses them, as aiokafka's.

What they raise are aiokafka's errors, so a run needs it; nothing of it opens a connection.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from msgspec import Struct

from tidelog.sim.streams.brokers import Record, SimBrokers
from tidelog.sim.world.world import Process

__all__ = ["SimKafkaClients"]

LATENCY_S = 0.02  # each way, at most
POLL_S = 0.1
OF_TOPIC = 1  # the protocol's number of where a setting comes from
MESSAGE_BYTES = 9_024  # less what is about a record: a header fits, not always with all logs beside it


class SimKafkaClients:
    """`KafkaClients` of one process."""

    def __init__(self, brokers: SimBrokers, process: Process) -> None:
        self._way = _Way(brokers, process)

    def consumer(self, **options: Any) -> "_Consumer":
        return _Consumer(self._way)

    def producer(self, **options: Any) -> "_Producer":
        return _Producer(self._way, options["transactional_id"], options["transaction_timeout_ms"] / 1_000)

    def admin(self, **options: Any) -> "_Admin":
        return _Admin(self._way)

    async def greet(self, address: str, options: Mapping[str, Any]) -> None:
        await self._way.back(await self._way.there())

    async def close(self, consumer: "_Consumer", within_s: float) -> None:
        self._way.process.check()

    async def close_admin(self, admin: "_Admin", within_s: float) -> None:
        self._way.process.check()

    async def give_up(self, producer: "_Producer", within_s: float) -> None:
        self._way.process.check()
        producer.give_up()


class _Way:
    """Between a process and the brokers."""

    def __init__(self, brokers: SimBrokers, process: Process) -> None:
        self.brokers = brokers
        self.process = process
        self._rng = process.world.random(f"{process.name} kafka")

    async def there(self) -> int:
        """One way through the network, from whoever asks; by what it is known whether they start again meanwhile."""
        from aiokafka.errors import KafkaConnectionError

        await self._pass()
        if self.brokers.away:
            raise KafkaConnectionError("simulated: no answer")
        return self.brokers.starts

    async def back(self, starts: int) -> None:
        """The way back."""
        from aiokafka.errors import KafkaConnectionError

        await self._pass()
        if self.brokers.away or self.brokers.starts != starts:
            raise KafkaConnectionError("simulated: the connection broke")

    async def _pass(self) -> None:
        self.process.check()
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        self.process.check()

    async def arrives(self) -> None:
        """A publisher's request may be lost: then nobody answers. For a lost answer see `answered`."""
        if self.brokers.doubts and not self.brokers.is_carried_out():
            self.brokers.doubts -= 1
            await self.silence()

    async def answered(self, starts: int) -> None:
        """The way back of an answer to a publisher, which may be lost."""
        if self.brokers.doubts:
            self.brokers.doubts -= 1
            await self.silence()
        await self.back(starts)

    async def silence(self) -> NoReturn:
        while True:
            await asyncio.sleep(3_600.0)
            self.process.check()


class _Described(Struct, frozen=True):
    """An answer, by the fields that are looked at."""

    resources: Sequence[Any] = ()
    topic_errors: Sequence[Any] = ()


class _Admin:
    def __init__(self, way: _Way) -> None:
        self._way = way
        self._name = ""

    async def start(self) -> None:
        await self._way.back(await self._way.there())

    async def list_topics(self) -> list[str]:
        starts = await self._way.there()
        is_there = self._way.brokers.log is not None
        await self._way.back(starts)
        return _Everything() if is_there else []

    async def create_topics(self, topics: Sequence[Any]) -> _Described:
        starts = await self._way.there()
        self._way.brokers.make()
        await self._way.back(starts)
        return _Described(topic_errors=[(topic.name, 0) for topic in topics])

    async def describe_topics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        await self._way.back(await self._way.there())
        return [{"error_code": 0, "partitions": [{"replicas": [1]}]} for _ in names]

    async def describe_configs(self, resources: Sequence[Any]) -> list[_Described]:
        await self._way.back(await self._way.there())
        configs = {"cleanup.policy": "delete", "max.message.bytes": str(MESSAGE_BYTES)}
        configs |= {"retention.ms": "-1", "retention.bytes": "-1"}
        entries = [(*config, False, OF_TOPIC) for config in configs.items()]
        return [_Described(resources=[(0, None, 2, each.name, entries)]) for each in resources]


class _Everything(list[str]):
    """The one topic there is, whatever it is called."""

    def __contains__(self, name: object) -> bool:
        return True


class _Producer:
    """Of one transaction at a time."""

    def __init__(self, way: _Way, who: str, timeout_s: float) -> None:
        self._way = way
        self._who = who
        self._timeout_s = timeout_s
        self._epoch = 0
        self._waiting: list[tuple[asyncio.Future[Record], Any]] = []
        self._sending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        starts = await self._way.there()
        self._epoch = self._way.brokers.begin(self._who)
        await self._way.back(starts)

    async def begin_transaction(self) -> None:
        self._way.process.check()

    async def send(self, topic: str, **message: Any) -> "asyncio.Future[Record]":
        self._way.process.check()
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, message))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return future

    async def _send(self) -> None:
        """All that waits, a few at a time."""
        from aiokafka.errors import KafkaError

        brokers, rng = self._way.brokers, self._way._rng
        try:
            while self._waiting:
                starts = await self._way.there()
                await self._way.arrives()
                self._require(is_there=True)
                some = self._waiting[: rng.randint(1, len(self._waiting))]
                taken = []
                for future, message in some:
                    record = brokers.append(
                        self._who, message["key"], message["value"], tuple(message["headers"]), self._timeout_s
                    )
                    taken.append((future, record))
                await self._way.answered(starts)
                del self._waiting[: len(some)]
                for future, record in taken:
                    if not future.done():
                        future.set_result(record)
        except KafkaError as error:
            for future, _ in self._waiting:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever waits is told; nobody may
        finally:
            self._sending = None

    def _require(self, *, is_there: bool = False) -> None:
        from aiokafka.errors import InvalidProducerIdMapping, ProducerFenced, UnknownTopicOrPartitionError

        is_admitted = self._way.brokers.admits(self._who, self._epoch)
        if is_admitted is None:
            raise InvalidProducerIdMapping("simulated")
        if not is_admitted:
            raise ProducerFenced
        if is_there and self._way.brokers.log is None:
            raise UnknownTopicOrPartitionError("simulated")

    async def commit_transaction(self) -> None:
        starts = await self._way.there()
        await self._way.arrives()
        self._require()
        self._way.brokers.commit(self._who)
        self._way.process.world.trace.add("committed")
        await self._way.answered(starts)

    def give_up(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        for future, _ in self._waiting:
            future.cancel()


class _Consumer:
    """Of what was committed."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self._assigned: set[Any] = set()
        self._position = 0
        self._given: list[Record] = []  # by the last read since the place was set

    async def start(self) -> None:
        await self._way.back(await self._way.there())

    async def topics(self) -> Any:
        starts = await self._way.there()
        is_there = self._way.brokers.log is not None
        await self._way.back(starts)
        return _Everything() if is_there else []

    def assignment(self) -> set[Any]:
        return self._assigned

    def assign(self, partitions: Sequence[Any]) -> None:
        self._assigned = set(partitions)

    def seek(self, partition: Any, offset: int) -> None:
        self._position, self._given = offset, []

    def resume(self, partition: Any) -> None:
        self._way.process.check()

    def pause(self, partition: Any) -> None:
        self._way.process.check()

    async def position(self, partition: Any) -> int:
        self._way.process.check()
        return self._position

    async def beginning_offsets(self, partitions: Sequence[Any]) -> dict[Any, int]:
        await self._end()
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Sequence[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, await self._end())

    async def _end(self) -> int:
        from aiokafka.errors import UnknownTopicOrPartitionError

        starts = await self._way.there()
        if self._way.brokers.log is None:
            raise UnknownTopicOrPartitionError("simulated")
        found = self._way.brokers.stable_end()
        await self._way.back(starts)
        return found

    async def getmany(
        self, partition: Any, *, timeout_ms: int, max_records: int | None = None
    ) -> dict[Any, list[Record]]:
        from aiokafka.errors import OffsetOutOfRangeError

        brokers, loop = self._way.brokers, asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1_000
        while True:
            await self._way._pass()
            if self._given and brokers.repeats:
                brokers.repeats -= 1
                return {partition: self._given}
            if not (brokers.away or brokers.silent or brokers.log is None):
                if self._position > len(brokers.log):
                    raise OffsetOutOfRangeError({partition: self._position})
                end = brokers.stable_end()
                found = brokers.committed(self._position, end)[:max_records]
                if found or end > self._position:
                    is_all = max_records is None or len(found) < max_records
                    self._position = end if is_all else found[-1].offset + 1
                if found:
                    self._given = found
                    return {partition: found}
            if loop.time() >= until:
                return {}
            await asyncio.sleep(min(POLL_S, max(0.0, until - loop.time())))
