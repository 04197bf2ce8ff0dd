"""A topic as a stream needs it: made if it is not there, and refused if it would lose or reorder messages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn

from tidelog.errors import ConfigError, Unreachable
from tidelog.stream.port import StreamSettings

__all__ = ["ensure_topic"]

TOPIC = 2  # the protocol's number of that kind of resource
OF_TOPIC = 1  # the protocol's number of where a value was set
UNKNOWN, EXISTS = 3, 36  # the protocol's numbers of these errors
LOOK_S = 0.1  # until the next look for what was just made; the caller limits all of it
NOT_AUTHORIZED = (29, 31, 41, 53)  # topic, cluster, policy, transactional id
FOREVER = -1
RETENTION_MS, RETENTION_BYTES = "retention.ms", "retention.bytes"
CLEANUP, MESSAGE_BYTES = "cleanup.policy", "max.message.bytes"
SAFE_REPLICAS = 3  # from so many on, two have to have a message before it is acknowledged


async def ensure_topic(admin: Any, settings: StreamSettings, has_nothing: Callable[[], Awaitable[bool]]) -> int:
    """Make the topic, or look whether the one that is there will do.

    A broker may make it by its own defaults, as soon as somebody asks for it: where nothing was set of a topic that has
    nothing, it is set as we would have made it.

    Args:
        admin: aiokafka's client for administration.
        has_nothing: whether no record was committed to the topic that is there.

    Returns:
        Bytes of the largest batch of records that it takes.

    Raises:
        ConfigError: it is there, and different; or the brokers refuse to make it.
        Unreachable: they do not say.
    """
    name = settings.name
    if name not in await admin.list_topics():
        await _make(admin, settings)
    (described,) = await admin.describe_topics([name])
    while described["error_code"] == UNKNOWN:  # the broker that is asked has not heard of a new topic yet
        await asyncio.sleep(LOOK_S)
        (described,) = await admin.describe_topics([name])
    if described["error_code"]:
        _refuse(f"the topic {name} cannot be described", described["error_code"])
    found = await _configs(admin, name)
    drops = any(found.values[name] != wanted for name, wanted in _kept(settings).items())
    if drops and not found.own and len(described["partitions"]) == 1 and await has_nothing():
        await _set(admin, settings)
        found = await _configs(admin, name)
    _require(settings, described["partitions"], found.values)
    return int(found.values[MESSAGE_BYTES])


class _Configs(NamedTuple):
    """Of a topic."""

    values: dict[str, str]
    own: int  # how many of them were set for this topic; the others are the brokers'


def _kept(settings: StreamSettings) -> dict[str, str]:
    """How much a topic keeps as we make it."""
    limits = settings.limits
    return {
        RETENTION_MS: str(FOREVER if limits.age_max_s is None else limits.age_max_s * 1_000),
        RETENTION_BYTES: str(FOREVER if limits.bytes_max is None else limits.bytes_max),
    }


def _wanted(settings: StreamSettings) -> dict[str, str]:
    """How we make a topic."""
    limits = settings.limits
    return _kept(settings) | {
        CLEANUP: "delete",
        "message.timestamp.type": "LogAppendTime",  # readers ask what was taken since a time
        "min.insync.replicas": "2" if limits.replicas >= SAFE_REPLICAS else "1",
        "unclean.leader.election.enable": "false",
    }


async def _make(admin: Any, settings: StreamSettings) -> None:
    from aiokafka.admin import NewTopic

    topic = NewTopic(settings.name, 1, settings.limits.replicas, topic_configs=_wanted(settings))
    answer = await admin.create_topics([topic])
    ((_, code, *words),) = answer.topic_errors
    if code not in (0, EXISTS):  # another process makes it at the same time
        _refuse(f"the brokers do not make the topic {settings.name}", code, words[0] if words else None)


async def _set(admin: Any, settings: StreamSettings) -> None:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, settings.name, configs=_wanted(settings))
    (answer,) = await admin.alter_configs([resource])
    ((code, words, *_),) = answer.resources
    if code:
        _refuse(
            f"a broker has made the topic {settings.name} by its own defaults, and does not let us set it: set "
            "its retention.ms and retention.bytes to -1",
            code,
            words,
        )


async def _configs(admin: Any, name: str) -> _Configs:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    (answer,) = await admin.describe_configs([resource])
    while answer.resources[0][0] == UNKNOWN:  # as above: it may be another broker that is asked
        await asyncio.sleep(LOOK_S)
        (answer,) = await admin.describe_configs([resource])
    ((code, words, _, _, entries),) = answer.resources
    if code:
        _refuse(f"the topic {name} cannot be described", code, words)
    return _Configs({entry[0]: entry[1] for entry in entries}, sum(_is_own(entry[3]) for entry in entries))


def _is_own(source: bool | int) -> bool:
    """Whether a value was set for the topic itself; the protocol's first version says whether it is a default."""
    return not source if isinstance(source, bool) else source == OF_TOPIC


def _require(settings: StreamSettings, partitions: Any, configs: dict[str, str]) -> None:
    """ConfigError where a topic is not what is wanted."""

    def refuse(what: str, advice: str) -> None:
        raise ConfigError(f"the topic {settings.name} {what}: {advice}, or publish to another --stream")

    wanted = settings.limits
    if len(partitions) != 1:
        refuse(f"has {len(partitions)} partitions instead of one, which keeps messages in order", "delete it")
    if configs[CLEANUP] != "delete":
        refuse(f"has {CLEANUP} = {configs[CLEANUP]}, which drops messages of a key", f"set {CLEANUP} = delete")
    replicas = len(partitions[0]["replicas"])
    if replicas < wanted.replicas:
        refuse(f"is on {replicas} brokers instead of {wanted.replicas}", "give it more replicas")
    for config, limit, unit in (
        (RETENTION_BYTES, wanted.bytes_max, 1),
        (RETENTION_MS, wanted.age_max_s, 1_000),
    ):
        found = int(configs[config])
        if limit is not None and FOREVER < found < limit * unit:
            refuse(f"has {config} = {found} instead of {limit * unit}", "let it keep more")


def _refuse(what: str, code: int, words: str | None = None) -> NoReturn:
    """Unreachable where it is worth another try."""
    from aiokafka.errors import for_code

    error = for_code(code)
    said = f"{what}: {words or error.__name__}"
    raise ConfigError(said) if code in NOT_AUTHORIZED or not error.retriable else Unreachable(said)
