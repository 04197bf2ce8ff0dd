"""Names and limits that a stream can have, by the engine that is to keep it. Pure: asks no server."""

import re

from tidelog.errors import ConfigError
from tidelog.stream.port import Limits, StreamSettings

__all__ = ["judge_stream", "judge_topic"]

INT64_MAX = 2**63 - 1
STREAM_NAME_BYTES_MAX = 255  # nats-server, JSMaxNameLen
STREAM_REPLICAS_MAX = 5  # nats-server, StreamMaxReplicas
STREAM_AGE_MAX_S = INT64_MAX // 10**9  # an int64 of nanoseconds
TOPIC_REPLICAS_MAX = 2**15 - 1  # an int16 of the protocol
TOPIC_AGE_MAX_S = INT64_MAX // 10**3  # an int64 of milliseconds
_STREAM_NAME = re.compile(r"[^\s.*>/\\\x00-\x20\x7f]+")  # https://docs.nats.io/nats-concepts/jetstream/streams
_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # org.apache.kafka.common.internals.Topic


def judge_stream(settings: StreamSettings) -> None:
    """ConfigError: NATS JetStream has no such stream."""
    name = settings.name
    if not _STREAM_NAME.fullmatch(name) or len(name.encode()) > STREAM_NAME_BYTES_MAX:
        raise ConfigError(
            f"a stream of NATS cannot be called {name[:80]!r}: give 1 to {STREAM_NAME_BYTES_MAX} bytes without spaces, "
            "dots, *, >, / and \\"
        )
    _judge("a stream of NATS", settings.limits, STREAM_REPLICAS_MAX, "servers", STREAM_AGE_MAX_S)


def judge_topic(settings: StreamSettings) -> None:
    """ConfigError: Kafka has no such topic."""
    name = settings.name
    if not _TOPIC_NAME.fullmatch(name):
        raise ConfigError(
            f"a topic of Kafka cannot be called {name[:80]!r}: give 1 to 249 letters, digits, '.', '_' and '-', not "
            "'.' or '..'"
        )
    _judge("a topic of Kafka", settings.limits, TOPIC_REPLICAS_MAX, "brokers", TOPIC_AGE_MAX_S)


def _judge(what: str, limits: Limits, replicas_max: int, keepers: str, age_max_s: int) -> None:
    if not 1 <= limits.replicas <= replicas_max:
        raise ConfigError(f"{what} is on 1 to {replicas_max} {keepers}, not on {limits.replicas}")
    if (limits.bytes_max or 0) > INT64_MAX:
        raise ConfigError(f"{what} keeps at most {INT64_MAX} bytes, not {limits.bytes_max}")
    if (limits.age_max_s or 0) > age_max_s:
        raise ConfigError(f"{what} keeps a message for at most {age_max_s} seconds, not for {limits.age_max_s}")
