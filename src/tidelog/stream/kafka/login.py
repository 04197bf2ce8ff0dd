"""Who we are to Kafka's brokers, and whom we trust: the user's words as what aiokafka takes."""

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tidelog.errors import ConfigError
from tidelog.stream.login import tls_context

__all__ = ["SCHEME", "KafkaLogin", "Mechanism", "broker_addresses", "client_options"]

SCHEME = "kafka://"  # which an address may have, and has where it could be another engine's
Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
PORT_MAX = 65_535


class KafkaLogin(Struct, frozen=True):
    """Who we are to Kafka's brokers, and whom we trust."""

    username: str | None = None
    password: str | None = None
    mechanism: Mechanism = "PLAIN"  # of SASL, where there is a user
    tls: bool = False  # also without files
    ca: str | None = None  # a PEM file
    cert: str | None = None  # ours, with its key
    key: str | None = None


def broker_addresses(given: Sequence[str]) -> list[str]:
    """Brokers as HOST:PORT, whether `kafka://` is before them or not. ConfigError: one is no address."""
    found = [address.removeprefix(SCHEME).rstrip("/") for address in given]
    for address in found:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match[2]) <= PORT_MAX:
            shown = address.rpartition("@")[2][:80]  # what is before it may be a password
            raise ConfigError(f"a Kafka broker is HOST:PORT, not {shown!r}")
    if not found:
        raise ConfigError("no Kafka broker is given")
    return found


def client_options(login: KafkaLogin) -> dict[str, Any]:
    """Options of every client. ConfigError: they do not fit together, or a file cannot be used."""
    if (login.username is None) != (login.password is None):
        raise ConfigError("a Kafka user needs both a name and a password")
    if login.cert is not None and login.key is None:
        raise ConfigError("--tls-cert needs --tls-key")
    secure = login.tls or login.ca is not None or login.cert is not None
    options: dict[str, Any] = {}
    if secure:
        options["ssl_context"] = tls_context(login.ca, login.cert, login.key)
    if login.username is not None:
        options |= {
            "sasl_mechanism": login.mechanism,
            "sasl_plain_username": login.username,
            "sasl_plain_password": login.password,
        }
    words = ("SASL_SSL" if secure else "SASL_PLAINTEXT") if login.username else ("SSL" if secure else "PLAINTEXT")
    return options | {"security_protocol": words}
