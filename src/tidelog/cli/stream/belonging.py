"""Which options are for which source, and for which destination of a stream. Pure.

One that is for another does nothing, so it is refused: who gives it expects something.
"""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from tidelog.errors import ConfigError

__all__ = ["OWNERS", "Destined", "Source", "destined_for", "refuse_foreign"]

Source: TypeAlias = Literal["a chain", "a recording"]
Destined: TypeAlias = Literal["NATS", "Kafka", "a webhook"]

_STREAM: tuple[Destined, ...] = ("NATS", "Kafka")
OWNERS: dict[str, tuple[Source | Destined, ...]] = {  # by the option's name in the file; what is not here is for all
    **dict.fromkeys(("db", "detail", "delivery", "final"), ("a chain",)),
    **dict.fromkeys(("recording", "events", "frames", "shard"), ("a recording",)),
    **dict.fromkeys(("creds", "nkey", "token"), ("NATS",)),
    **dict.fromkeys(("user", "password", "sasl", "tls"), ("Kafka",)),
    **dict.fromkeys(("stream", "replicas", "max_bytes", "max_age", "tls_ca", "tls_cert", "tls_key"), _STREAM),
    **dict.fromkeys(("secret", "state"), ("a webhook",)),
}


def destined_for(kafka: object | None, webhook: object | None = None) -> Destined:
    """Where messages go, by what is named; NATS where neither is."""
    if webhook is not None:
        return "a webhook"
    return "NATS" if kafka is None else "Kafka"


def refuse_foreign(given: Iterable[str], source: Source, destined: Destined, named: Callable[[str], str]) -> None:
    """ConfigError: an option is for another source, or for another destination, or means nothing beside another one.

    Args:
        given: the options that differ from their defaults, by their names in the file.
        named: how the user calls one.
    """
    options = tuple(given)
    for option in options:
        owners = OWNERS.get(option, ())
        if owners and source not in owners and destined not in owners:
            here = source if owners[0] in ("a chain", "a recording") else destined
            raise ConfigError(f"{named(option)} is for {' or '.join(owners)}, not for {here}: leave it out")
    if "frames" in options and "events" in options:
        raise ConfigError(f"{named('frames')} publishes every record as it is: leave {named('events')} out")
