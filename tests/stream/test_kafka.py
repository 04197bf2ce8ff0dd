"""What is Kafka's alone: transactions that were left open, topics that will not do, who we are to the brokers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running_kafka
from tests.kafka_broker import KafkaBroker
from tests.patience import HANGS_S
from tests.store.tls import certificates
from tidelog.errors import ConfigError, Fenced, Unreachable
from tidelog.stream.kafka.login import KafkaLogin, broker_addresses, client_options
from tidelog.stream.kafka.transport import Kafka, KafkaLimits
from tidelog.stream.port import Limits, Message, Moved, Stored, StreamSession, StreamSettings

NAME = "tidelog-chain-1"
SETTINGS = StreamSettings(NAME, "tidelog.chain.1")
QUICK = KafkaLimits(silence_s=0.3)


def message(number: int) -> Message:
    return Message("tidelog.chain.1.apply", {"Nats-Msg-Id": f"m{number}"}, b"%d" % number)


def transport(kafka: KafkaBroker, limits: KafkaLimits = QUICK) -> Kafka:
    return Kafka([kafka.address], SETTINGS, limits=limits)


@asynccontextmanager
async def left_open(kafka: KafkaBroker, transaction_s: float) -> AsyncIterator[None]:
    """A publisher that has sent a message and is killed before it commits: nothing more is heard of it."""
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.address, transactional_id=NAME, transaction_timeout_ms=int(transaction_s * 1_000)
    )
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(NAME, b"never committed", partition=0)
    await producer.client.close()
    try:
        yield
    finally:
        producer._closed = True
        producer._sender.sender_task.cancel()


async def read(kafka: KafkaBroker, count: int, limits: KafkaLimits = QUICK) -> list[Stored]:
    found = list[Stored]()
    async with asyncio.timeout(60), transport(kafka, limits).connect() as session, aclosing(session.read(1)) as reading:
        async for stored in reading:
            found += stored
            if len(found) >= count:
                break
    return found


def test_the_next_publisher_ends_what_a_killed_one_left_open(kafka: KafkaBroker) -> None:
    async def case() -> None:
        async with transport(kafka).connect() as session:
            await session.ensure()
            last = await session.publish([message(1)], 0)
        async with left_open(kafka, 600.0):
            began = time.monotonic()
            async with transport(kafka).connect() as session:
                await session.ensure()
                ends = await session.ends()
                assert ends is not None
                assert ends.last == last
                await session.publish([message(2)], ends.last)
            assert [each.payload for each in await read(kafka, 2)] == [b"1", b"2"]
            assert time.monotonic() - began < 120.0, "readers waited for the transaction to end by itself"

    asyncio.run(case())


def test_readers_go_on_when_nobody_ends_a_transaction(kafka: KafkaBroker) -> None:
    async def case() -> None:
        from aiokafka import AIOKafkaProducer

        async with transport(kafka).connect() as session:
            await session.ensure()
            await session.publish([message(1)], 0)
        async with left_open(kafka, 1.0), AIOKafkaProducer(bootstrap_servers=kafka.address) as other:
            await other.send_and_wait(NAME, b"behind it", partition=0)
            assert [each.payload for each in await read(kafka, 2)] == [b"1", b"behind it"]

    asyncio.run(case())


def test_whoever_publishes_later_shuts_the_earlier_one_out(kafka: KafkaBroker) -> None:
    async def case() -> None:
        async with transport(kafka).connect() as older, transport(kafka).connect() as newer:
            await older.ensure()
            last = await older.publish([message(1)], 0)
            await newer.ensure()
            with pytest.raises(Fenced, match="another publisher of topic tidelog-chain-1"):
                await older.publish([message(2)], last)
            last = await newer.publish([message(2)], last)
            with pytest.raises(Fenced):  # it has heard of that one's message
                await older.publish([message(3)], last)
            await newer.publish([message(3)], last)
        assert [each.payload for each in await read(kafka, 3)] == [b"1", b"2", b"3"]

    asyncio.run(case())


def test_the_key_is_what_a_message_is_about_and_headers_are_its_own(kafka: KafkaBroker) -> None:
    async def case() -> None:
        from aiokafka import AIOKafkaConsumer

        told = Message("tidelog.market.kraken.BTC-USD.trade", {"Nats-Msg-Id": "m", "Tidelog-Part": "1/1"}, b"{}")
        async with transport(kafka).connect() as session:
            await session.ensure()
            await session.publish([told], 0)
        consumer = AIOKafkaConsumer(NAME, bootstrap_servers=kafka.address, auto_offset_reset="earliest")
        await consumer.start()
        try:
            async with asyncio.timeout(60):
                record = await consumer.getone()
        finally:
            await consumer.stop()
        assert record.key == b"tidelog.market.kraken.BTC-USD"
        assert sorted(record.headers) == [("Tidelog-Id", b"m"), ("Tidelog-Part", b"1/1")]

    asyncio.run(case())


async def make(kafka: KafkaBroker, partitions: int, **configs: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    try:
        names = {name.replace("_", "."): value for name, value in configs.items()}
        await admin.create_topics([NewTopic(NAME, partitions, 1, topic_configs=names)])
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("partitions", "configs", "limits", "said"),
    [
        (3, {}, Limits(), "has 3 partitions instead of one"),
        (1, {"cleanup_policy": "compact"}, Limits(), "has cleanup.policy = compact"),
        (1, {"retention_ms": "1000"}, Limits(age_max_s=60), "has retention.ms = 1000 instead of 60000"),
        (1, {"retention_bytes": "9"}, Limits(bytes_max=10), "has retention.bytes = 9 instead of 10"),
        (1, {}, Limits(replicas=2), "is on 1 brokers instead of 2"),
    ],
)
def test_a_topic_that_would_lose_or_reorder_is_refused(
    kafka: KafkaBroker, partitions: int, configs: dict[str, str], limits: Limits, said: str
) -> None:
    async def case() -> None:
        await make(kafka, partitions, **configs)
        settings = StreamSettings(NAME, "tidelog.chain.1", limits)
        async with Kafka([kafka.address], settings, limits=QUICK).connect() as session:
            with pytest.raises(ConfigError, match=said):
                await session.ensure()

    asyncio.run(case())


def test_more_replicas_than_there_are_brokers_is_said(kafka: KafkaBroker) -> None:
    async def case() -> None:
        settings = StreamSettings(NAME, "tidelog.chain.1", Limits(replicas=3))
        async with Kafka([kafka.address], settings, limits=QUICK).connect() as session:
            with pytest.raises(ConfigError, match=r"do not make the topic tidelog-chain-1: .*replication factor"):
                await session.ensure()

    asyncio.run(case())


def test_a_topic_that_a_broker_makes_by_its_defaults_is_set_as_ours() -> None:
    """It is deleted while we run, and there again as soon as we ask for it: it would keep messages for a week."""

    async def case(kafka: KafkaBroker) -> None:
        from aiokafka.admin import AIOKafkaAdminClient
        from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        try:
            async with asyncio.timeout(HANGS_S):
                await publish_whatever_happens(kafka, 3)
                await admin.delete_topics([NAME])
                await asked_for(kafka)
                await publish_whatever_happens(kafka, 2)
            assert [each.payload for each in await read(kafka, 2)] == [b"1", b"2"]
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, NAME)])
            ((_, _, _, _, entries),) = answer.resources
            configs = {entry[0]: entry[1] for entry in entries}
            assert (configs["retention.ms"], configs["message.timestamp.type"]) == ("-1", "LogAppendTime")
        finally:
            await admin.close()

    with running_kafka(config="auto.create.topics.enable=true\n") as kafka:
        asyncio.run(case(kafka))


async def asked_for(kafka: KafkaBroker) -> None:
    """Somebody asks for the topic, until it is there."""
    from aiokafka import AIOKafkaProducer

    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as other:
        while not await other.partitions_for(NAME):  # noqa: ASYNC110  # it asks anew each time
            await asyncio.sleep(0.1)


async def publish_whatever_happens(kafka: KafkaBroker, last: int) -> None:
    """Messages up to a number, begun anew where the topic is gone, as a publisher does."""
    while True:
        try:
            async with transport(kafka).connect() as session:
                while True:
                    await session.ensure()
                    ends = await session.ends()
                    if ends is None:
                        continue
                    there = await told(session, ends.last) if ends.last >= ends.first else 0
                    if there == last:
                        return
                    with suppress(Moved):
                        await session.publish([message(there + 1)], ends.last)
        except Unreachable:
            pass


async def told(session: StreamSession, sequence: int) -> int:
    stored = await session.get(sequence)
    assert stored is not None
    return int(stored.payload)


USERS = """
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.broker.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="tidelog" password="canary-key-1" user_tidelog="canary-key-1";
"""


def publishes(kafka: KafkaBroker, login: KafkaLogin, within_s: float = HANGS_S) -> None:
    """Publish a message; a broker that has just started may need more than one try."""

    async def once() -> None:
        async with Kafka([kafka.address], SETTINGS, login, QUICK).connect() as session:
            await session.ensure()
            ends = await session.ends()
            assert ends is not None
            await session.publish([message(1)], ends.last)

    async def case() -> None:
        until = time.monotonic() + within_s
        while True:
            try:
                return await once()
            except Unreachable:
                if time.monotonic() >= until:
                    raise

    asyncio.run(case())


def refused(kafka: KafkaBroker, login: KafkaLogin) -> str:
    """What is said of a login that is refused. It is not tried again."""
    with pytest.raises(ConfigError) as error:
        publishes(kafka, login)
    assert "canary" not in str(error.value)
    return str(error.value)


def test_a_user_is_known_by_its_password_which_is_never_shown() -> None:
    with running_kafka(security="SASL_PLAINTEXT", config=USERS) as kafka:
        publishes(kafka, KafkaLogin("tidelog", "canary-key-1"))
        assert "refuses us" in refused(kafka, KafkaLogin("tidelog", "canary-key-2"))
        assert "refuses us" in refused(kafka, KafkaLogin("nobody", "canary-key-1"))
        said = refused(kafka, KafkaLogin("tidelog", "canary-key-1", "SCRAM-SHA-256"))
        assert "takes no SASL by SCRAM-SHA-256" in said


SECURED = """
ssl.keystore.type=PEM
ssl.keystore.location={files.server}
ssl.truststore.type=PEM
ssl.truststore.location={files.authority}
ssl.client.auth={client_auth}
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.broker.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.broker.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
  username="broker" password="canary-key-3";
"""
SCRAM_USERS = [
    "SCRAM-SHA-256=[name=tidelog,password=canary-key-1]",
    "SCRAM-SHA-512=[name=tidelog,password=canary-key-2]",
    "SCRAM-SHA-512=[name=broker,password=canary-key-3]",
]


def test_scram_over_tls(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    ca = str(files.authority)
    config = SECURED.format(files=files, client_auth="none")
    with running_kafka(security="SASL_SSL", config=config, users=SCRAM_USERS) as kafka:
        publishes(kafka, KafkaLogin("tidelog", "canary-key-1", "SCRAM-SHA-256", ca=ca))
        publishes(kafka, KafkaLogin("tidelog", "canary-key-2", "SCRAM-SHA-512", ca=ca))
        assert "refuses us" in refused(kafka, KafkaLogin("tidelog", "canary-key-9", "SCRAM-SHA-512", ca=ca))
        assert "takes no SASL by PLAIN" in refused(kafka, KafkaLogin("tidelog", "canary-key-1", ca=ca))
        with pytest.raises(Unreachable, match="certificate"):  # of an authority that this machine does not know
            publishes(kafka, KafkaLogin("tidelog", "canary-key-1", "SCRAM-SHA-256", tls=True), 0)
        with pytest.raises(Unreachable):
            publishes(kafka, KafkaLogin("tidelog", "canary-key-1", "SCRAM-SHA-256"), 0)


def test_tls_both_ways(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    config = SECURED.format(files=files, client_auth="required")
    ours = KafkaLogin(ca=str(files.authority), cert=str(files.server), key=str(files.server))
    with running_kafka(security="SSL", config=config) as kafka:
        publishes(kafka, ours)
        with pytest.raises(Unreachable):
            publishes(kafka, KafkaLogin(ca=str(files.authority)), 0)


@pytest.mark.parametrize("given", ["", "host", "host:0", "host:99999", "user:secret-1@host:9", "http://host:9"])
def test_what_is_no_address_is_said_without_a_password(given: str) -> None:
    with pytest.raises(ConfigError) as refused:
        broker_addresses([given])
    assert "a Kafka broker is HOST:PORT" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_addresses_with_and_without_the_scheme() -> None:
    assert broker_addresses(["kafka://a.b:9092", "[::1]:1", "c-d:65535"]) == ["a.b:9092", "[::1]:1", "c-d:65535"]


@pytest.mark.parametrize(
    ("login", "protocol"),
    [
        (KafkaLogin(), "PLAINTEXT"),
        (KafkaLogin(tls=True), "SSL"),
        (KafkaLogin("me", "it"), "SASL_PLAINTEXT"),
        (KafkaLogin("me", "it", "SCRAM-SHA-256", tls=True), "SASL_SSL"),
    ],
)
def test_a_login_says_how_the_brokers_are_spoken_to(login: KafkaLogin, protocol: str) -> None:
    options: dict[str, Any] = client_options(login)
    assert options["security_protocol"] == protocol
    assert ("ssl_context" in options) == login.tls
    assert options.get("sasl_mechanism") == (login.mechanism if login.username else None)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (KafkaLogin(username="me"), "both a name and a password"),
        (KafkaLogin(password="it"), "both a name and a password"),
        (KafkaLogin(cert="cert.pem"), "--tls-cert needs --tls-key"),
        (KafkaLogin(ca="/no/such.pem"), "the TLS files cannot be used"),
    ],
)
def test_a_login_that_does_not_fit_is_one_sentence(login: KafkaLogin, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        client_options(login)
