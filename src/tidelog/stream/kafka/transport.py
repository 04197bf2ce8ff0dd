"""Kafka behind the port for streams: a topic of one partition, written in transactions. Needs `tidelog[kafka]`.

A message's number is its offset, counted from 1; the ends of transactions have numbers too, which no message has. What
is read is what was committed. Publishers of a topic share its name as their transactional id: whoever begins to
publish ends what another one has begun, and the brokers refuse that one from then on.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from msgspec import Struct

from tidelog.errors import ConfigError, Fenced, Unreachable
from tidelog.stream.envelope import ID
from tidelog.stream.kafka.clients import AioKafka, KafkaClients
from tidelog.stream.kafka.login import KafkaLogin, broker_addresses, client_options
from tidelog.stream.kafka.topic import ensure_topic
from tidelog.stream.naming import judge_topic
from tidelog.stream.port import Ends, Message, Moved, Stored, StreamSettings

__all__ = ["Kafka", "KafkaLimits"]

NAME_OF_ID = "Tidelog-Id"  # here; the port's own name of that header is NATS'
BATCH_BYTES = 1_048_576  # of the largest batch that brokers take by default, less what is about a batch
RECORD_BYTES = 1_024  # at most what is about a record beside payload and headers: its key, and its batch
BATCHED_BYTES = 262_144  # of records that are sent together
BACK = 2  # a transaction's end, and the record before it: where the last record is looked for first
BACK_GROWS = 4  # beyond those of transactions that were aborted


class KafkaLimits(Struct, frozen=True):
    """How long an answer may take, and how much is asked for at once."""

    connect_s: float = 5.0
    answer_s: float = 10.0  # a partition has another leader in less
    transaction_s: float = 15.0  # then the brokers end what a killed publisher began, and readers go on
    silence_s: float = 2.0  # without messages, then the reader looks whether the topic is what it was
    look_s: float = 0.02  # a search waits so long for records, before it looks whether it has passed the end
    settle_s: float = 2.0  # until a transaction that was committed can be read
    batch: int = 256  # messages given at once


LIMITS = KafkaLimits()


class Kafka:
    """A topic of Kafka.

    Args:
        servers: HOST:PORT of some of the brokers.
        settings: of the stream; its name is the topic's.
        clients: what speaks to them, if it is not aiokafka.
    """

    def __init__(
        self,
        servers: Sequence[str],
        settings: StreamSettings,
        login: KafkaLogin | None = None,
        limits: KafkaLimits = LIMITS,
        clients: KafkaClients | None = None,
    ) -> None:
        self.servers = broker_addresses(servers)
        judge_topic(settings)
        self.settings = settings
        self.limits = limits
        self.login = login or KafkaLogin()
        client_options(self.login)  # what is wrong with it is said before anything is tried
        self.clients = clients or AioKafka()

    @property
    def name(self) -> str:
        return f"topic {self.settings.name} at {self.servers[0]}"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["KafkaSession"]:
        session = KafkaSession(self)
        try:
            try:
                with self.translated():
                    async with asyncio.timeout(self.limits.connect_s * len(self.servers)):
                        await session.open()
            except Unreachable as failed:
                raise await self._reason(failed) from None
            yield session
        finally:
            await session.close()

    async def _reason(self, failed: Unreachable) -> Unreachable:
        """What stands between us and the brokers, in the words of the first. ConfigError: one of them refuses us."""
        told = None
        for server in self.servers:
            try:
                with self.translated():
                    async with asyncio.timeout(self.limits.connect_s):
                        await self.clients.greet(server, self.client_options())
            except Unreachable as error:
                told = told or error
        return told or failed

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The library's errors as ours."""
        from aiokafka import errors

        refusals = (
            errors.AuthenticationFailedError,
            errors.SaslAuthenticationFailed,
            errors.TopicAuthorizationFailedError,
            errors.ClusterAuthorizationFailedError,
            errors.TransactionalIdAuthorizationFailed,
        )
        try:
            yield
        except TimeoutError:
            raise Unreachable("no answer in time", endpoint=self.servers[0]) from None
        except errors.UnsupportedSaslMechanismError:
            raise ConfigError(f"{self.servers[0]} refuses us: it takes no SASL by {self.login.mechanism}") from None
        except refusals as error:
            raise ConfigError(f"{self.servers[0]} refuses us: {_words(error)}") from None
        except (errors.KafkaError, OSError) as error:
            raise Unreachable(_words(error), endpoint=self.servers[0]) from None

    def client_options(self) -> dict[str, Any]:
        """Of every client of aiokafka's."""
        return client_options(self.login) | {
            "bootstrap_servers": self.servers,
            "client_id": "tidelog",
            "request_timeout_ms": int(self.limits.answer_s * 1_000),
        }


class KafkaSession:
    """Connections to the brokers, about one topic."""

    def __init__(self, owner: Kafka) -> None:
        from aiokafka import TopicPartition

        self._owner = owner
        self._clients = owner.clients
        self._limits = owner.limits
        self._topic = owner.settings.name
        self._partition: TopicPartition = TopicPartition(self._topic, 0)
        self._looker: Any = self._consumer(fetch_max_wait_ms=int(self._limits.look_s * 1_000))
        self._producer: Any = None
        self._last: int | None = None  # the number of the last message, as far as this publisher knows it
        self._batch_bytes = BATCH_BYTES

    async def open(self) -> None:
        await self._looker.start()

    async def close(self) -> None:
        await self._clients.close(self._looker, self._limits.connect_s)
        if self._producer is not None:
            await self._clients.give_up(self._producer, self._limits.connect_s)

    @property
    def payload_max(self) -> int:
        return min(self._batch_bytes, BATCH_BYTES) - RECORD_BYTES

    async def ensure(self) -> None:
        """Make the topic, and end what another publisher has begun: what is read from here on is settled."""
        with self._answered():
            async with asyncio.timeout(self._limits.answer_s):
                admin = self._clients.admin(**self._owner.client_options())
                try:
                    await admin.start()
                    self._batch_bytes = await ensure_topic(admin, self._owner.settings, self._has_nothing)
                finally:
                    await self._clients.close_admin(admin, self._limits.connect_s)
                await self._begun()

    async def _has_nothing(self) -> bool:
        ends = await self._ends()
        return ends is not None and ends.last < ends.first

    async def ends(self) -> Ends | None:
        with self._answered():
            async with asyncio.timeout(self._limits.answer_s):
                found = await self._ends()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.settle_s):
                        while found is not None and self._last is not None and found.last < self._last:
                            await asyncio.sleep(self._limits.look_s)  # its transaction is being ended
                            found = await self._ends()
                return found

    async def _ends(self) -> Ends | None:
        if not await self._is_there():
            return None
        first = (await self._looker.beginning_offsets([self._partition]))[self._partition]
        end = (await self._looker.end_offsets([self._partition]))[self._partition]  # of what was committed
        back = BACK
        while True:
            begin = max(first, end - back)
            last = None
            async for record in self._records(begin, end):
                last = record
            if last is not None:
                return Ends(first + 1, last.offset + 1)
            if begin == first:
                return Ends(first + 1, first)
            back *= BACK_GROWS

    async def get(self, sequence: int) -> Stored | None:
        with self._answered():
            async with asyncio.timeout(self._limits.answer_s):
                if not await self._is_there():
                    return None
                first = (await self._looker.beginning_offsets([self._partition]))[self._partition]
                end = (await self._looker.end_offsets([self._partition]))[self._partition]
                async for record in self._records(max(first, sequence - 1), end):
                    return _stored(record)
                return None

    async def since(self, at_us: int) -> int:
        with self._answered():
            async with asyncio.timeout(self._limits.answer_s):
                if await self._is_there():
                    found = await self._looker.offsets_for_times({self._partition: -(-at_us // 1_000)})
                    if (at := found[self._partition]) is not None:
                        return int(at.offset) + 1
                ends = await self._ends()
                return 1 if ends is None else ends.last + 1

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        """See the port: all of them in one transaction, or none.

        Raises:
            Fenced: another publisher has begun since.
        """
        with self._answered():
            async with asyncio.timeout(self._limits.answer_s):
                producer = await self._begun()
                if self._last is None:  # it has published nothing yet: all that others began is ended
                    ends = await self._ends()
                    if ends is None:
                        raise Unreachable("there is no such topic", endpoint=self._owner.servers[0])
                    self._last = ends.last
                if self._last != after:
                    ends = await self._ends()
                    if ends is not None and ends.last > self._last:
                        raise self._fenced()
                    await self._begin_anew()
                    raise Moved
                self._last = await self._transaction(producer, messages, after)
                return self._last

    async def _begin_anew(self) -> None:
        """Forget what we know: what is read after the next beginning is settled."""
        producer, self._producer, self._last = self._producer, None, None
        if producer is not None:
            await self._clients.give_up(producer, self._limits.connect_s)

    async def _transaction(self, producer: Any, messages: Sequence[Message], after: int) -> int:
        from aiokafka.errors import ProducerFenced

        began = asyncio.get_running_loop().time()
        try:
            await producer.begin_transaction()
            sent = [await producer.send(self._topic, partition=0, **_record_of(message)) for message in messages]
            taken = await asyncio.gather(*sent)  # before the commit: they know their offsets
            if any(record.offset < after for record in taken):  # of a topic that begins again
                await self._begin_anew()
                raise Moved
            await producer.commit_transaction()
        except ProducerFenced:
            slept = asyncio.get_running_loop().time() - began >= self._limits.transaction_s
            ends = await self._ends()
            if slept or ends is None or ends.last < after:  # it was ended meanwhile, or the brokers' files went back
                raise Unreachable(
                    "the brokers have forgotten this publisher", endpoint=self._owner.servers[0]
                ) from None
            raise self._fenced() from None
        return int(taken[-1].offset) + 1

    def _fenced(self) -> Fenced:
        return Fenced(f"another publisher of {self._owner.name} has begun since: this one stops, so that one publishes")

    async def read(self, first: int) -> AsyncGenerator[list[Stored], None]:
        from aiokafka.errors import OffsetOutOfRangeError

        reader = self._consumer()
        try:
            with self._answered():
                async with asyncio.timeout(self._limits.connect_s):
                    await reader.start()
            reader.assign([self._partition])
            reader.seek(self._partition, first - 1)
            while True:
                with self._answered():
                    try:
                        found = await reader.getmany(
                            self._partition,
                            timeout_ms=int(self._limits.silence_s * 1_000),
                            max_records=self._limits.batch,
                        )
                    except OffsetOutOfRangeError:  # whoever reads looks what the topic has
                        found = {}
                yield [_stored(record) for record in found.get(self._partition, ())]
        finally:
            await self._clients.close(reader, self._limits.connect_s)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _answered(self) -> Any:
        return self._owner.translated()

    def _consumer(self, **options: Any) -> Any:
        """A client that reads what was committed, and keeps no place on the brokers."""
        return self._clients.consumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            **options,
            **self._owner.client_options(),
        )

    async def _begun(self) -> Any:
        """Our producer. Before it has begun, the brokers have ended what another one had, one way or the other."""
        if self._producer is None:
            self._producer = self._clients.producer(
                transactional_id=self._topic,
                transaction_timeout_ms=int(self._limits.transaction_s * 1_000),
                max_batch_size=BATCHED_BYTES,
                max_request_size=BATCH_BYTES,
                **self._owner.client_options(),
            )
            await self._producer.start()
        return self._producer

    async def _is_there(self) -> bool:
        """Whether there is such a topic. It is not asked for by its name: some brokers would make it."""
        return self._topic in await self._looker.topics()

    async def _records(self, begin: int, end: int) -> AsyncIterator[Any]:
        """What was committed from one offset up to another."""
        if begin >= end:
            return
        looker, partition = self._looker, self._partition
        if not looker.assignment():
            looker.assign([partition])
        looker.seek(partition, begin)
        looker.resume(partition)
        try:
            while await looker.position(partition) < end:
                found = await looker.getmany(partition, timeout_ms=int(self._limits.look_s * 1_000))
                for record in found.get(partition, ()):
                    if record.offset < end:
                        yield record
        finally:
            looker.pause(partition)  # it would fetch for ever what comes


def _record_of(message: Message) -> dict[str, Any]:
    """A message as a record; its key is what the message is about: a chain, or a recording and a symbol."""
    return {
        "key": message.subject.rpartition(".")[0].encode(),
        "value": message.payload,
        "headers": [(NAME_OF_ID if name == ID else name, text.encode()) for name, text in message.headers.items()],
    }


def _stored(record: Any) -> Stored:
    headers = {name: text.decode(errors="replace") for name, text in record.headers}
    if NAME_OF_ID in headers:
        headers[ID] = headers.pop(NAME_OF_ID)
    return Stored(record.offset + 1, headers, record.value or b"")


def _words(error: Exception) -> str:
    """What the library says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
