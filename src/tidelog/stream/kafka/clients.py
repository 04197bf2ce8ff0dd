"""Kafka's client, aiokafka, behind a seam: what makes its parts, and what ends them without waiting for brokers.

Needs `tidelog[kafka]`. The simulation has parts of its own, which speak to brokers that are not there.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tidelog.errors import ConfigError

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

__all__ = ["AioKafka", "KafkaClients", "require_client"]


_OF_A_CONNECTION = (
    "client_id", "request_timeout_ms", "ssl_context", "security_protocol", "sasl_mechanism", "sasl_plain_username",
    "sasl_plain_password",
)  # fmt: skip


class KafkaClients(Protocol):
    """Makes parts as aiokafka has them, of its options; and ends them, for whatever time the brokers are away."""

    def consumer(self, **options: Any) -> Any: ...

    def producer(self, **options: Any) -> Any: ...

    def admin(self, **options: Any) -> Any: ...

    async def greet(self, address: str, options: Mapping[str, Any]) -> None:
        """Connect to one broker, say who we are, and part; whatever stands in the way is raised.

        The parts above try every broker, and say of all failures alike that there was no connection.
        """
        ...

    async def close(self, consumer: Any, within_s: float) -> None: ...

    async def close_admin(self, admin: Any, within_s: float) -> None: ...

    async def give_up(self, producer: Any, within_s: float) -> None:
        """Stop a producer without waiting for what it has not sent."""
        ...


class AioKafka:
    """aiokafka's own."""

    def __init__(self) -> None:
        require_client()

    def consumer(self, **options: Any) -> Any:
        from aiokafka import AIOKafkaConsumer

        return AIOKafkaConsumer(**options)

    def producer(self, **options: Any) -> Any:
        from aiokafka import AIOKafkaProducer

        return AIOKafkaProducer(**options)

    def admin(self, **options: Any) -> Any:
        from aiokafka.admin import AIOKafkaAdminClient

        return AIOKafkaAdminClient(**options)

    async def greet(self, address: str, options: Mapping[str, Any]) -> None:
        """See `KafkaClients`."""
        from aiokafka.conn import create_conn

        host, _, port = address.rpartition(":")
        wanted = {name: options[name] for name in _OF_A_CONNECTION if name in options}
        (await create_conn(host.strip("[]"), int(port), **wanted)).close()

    async def close(self, consumer: "AIOKafkaConsumer", within_s: float) -> None:
        """Stop a consumer, and its connections where that does not do it."""
        await _stopped(consumer.stop(), within_s)
        await _stopped(consumer._client.close(), within_s)

    async def close_admin(self, admin: Any, within_s: float) -> None:
        """See `KafkaClients`."""
        await _stopped(admin.close(), within_s)

    async def give_up(self, producer: "AIOKafkaProducer", within_s: float) -> None:
        """See `KafkaClients`."""
        from aiokafka.errors import KafkaError

        unsent = producer._message_accumulator
        unsent.fail_all(KafkaError("given up"))
        waiters = [batch._drain_waiter for batches in unsent._batches.values() for batch in batches]
        for waiter in (producer._txn_manager.wait_for_transaction_end(), *waiters):
            if waiter is not None:
                waiter.add_done_callback(_heard)
        await _stopped(producer.stop(), within_s)
        await _stopped(producer.client.close(), within_s)


async def _stopped(stopping: Coroutine[Any, Any, None], within_s: float) -> None:
    """Stop a client, which may wait for brokers that are away, or fail with what its own tasks were cancelled by."""
    task = asyncio.ensure_future(stopping)
    task.add_done_callback(_heard)
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        task.cancel()


def _heard(ended: "asyncio.Future[Any]") -> None:
    """What it says does not matter any more; asyncio would complain that nobody asked."""
    if not ended.cancelled():
        ended.exception()


def require_client() -> None:
    """ConfigError: it is not installed."""
    try:
        import aiokafka  # noqa: F401
    except ImportError:
        raise ConfigError("Kafka needs aiokafka: pip install 'tidelog[kafka]'") from None
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is raised
