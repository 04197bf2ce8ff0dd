"""Who we are to a NATS server, and whom we trust: files and words of the user's as what nats-py takes."""

import ssl
from typing import Any

from msgspec import Struct

from tidelog.errors import ConfigError

__all__ = ["Login", "options_of", "refuse_seed", "tls_context"]


class Login(Struct, frozen=True):
    """Who we are to the server, beside what the URL says; and whom we trust."""

    credentials: str | None = None  # a .creds file
    nkey: str | None = None  # a file with an nkey's seed
    token: str | None = None
    ca: str | None = None  # a PEM file
    cert: str | None = None  # ours, with its key
    key: str | None = None


def options_of(login: Login) -> dict[str, Any]:
    """Options of a connection. ConfigError: a file cannot be used, or nkeys is not installed."""
    options: dict[str, Any] = {}
    if login.credentials is not None:
        options["user_credentials"] = _file(login.credentials, "--creds")
    if login.nkey is not None:
        options["nkeys_seed"] = _file(login.nkey, "--nkey")
    if options:
        _signing_errors()
    if login.token is not None:
        options["token"] = login.token
    if login.ca is not None or login.cert is not None:
        options["tls"] = tls_context(login.ca, login.cert, login.key)
    return options


def refuse_seed(login: Login, error: BaseException) -> None:
    """ConfigError where a connection failed since a file is no credentials. What is in it is not shown."""
    path = login.credentials or login.nkey
    if path is not None and isinstance(error, _signing_errors()):
        raise ConfigError(f"{path} holds no credentials of NATS ({type(error).__name__})") from None


def _signing_errors() -> tuple[type[Exception], ...]:
    """What is raised of a file that is no seed."""
    try:
        import nkeys
    except ImportError:
        raise ConfigError("--creds and --nkey need nkeys: pip install 'tidelog[nats]'") from None
    return nkeys.NkeysError, ValueError, TypeError, LookupError, AttributeError


def _file(path: str, flag: str) -> str:
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}") from None


def tls_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """TLS with authorities of the user's, and a certificate of ours. ConfigError: a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS files cannot be used: {error}") from None
    return context
