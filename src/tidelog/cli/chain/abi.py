"""ABIs that a command or a configuration is given: a signature, the name of a known one, or a file."""

import os

from tidelog.chain.abi.documents import DOCUMENT_BYTES_MAX, read_abi
from tidelog.chain.abi.entries import Abi, Event, Function
from tidelog.chain.abi.known import KNOWN, known_abi
from tidelog.chain.abi.signatures import parse_event, parse_function
from tidelog.errors import ConfigError

__all__ = ["abi_of", "events_of", "functions_of", "located"]


def events_of(signature: str, abi: str | None) -> tuple[Event, ...]:
    """The event of a signature, or those of this name in an ABI. ConfigError: there is none."""
    if abi is None:
        return (parse_event(_whole(signature)),)
    found = abi_of(abi).events_named(signature)
    if not found:
        raise ConfigError(f"--abi {abi} has no event {signature[:80]!r}")
    return found


def functions_of(signature: str, abi: str | None) -> tuple[Function, ...]:
    """The function of a signature, or those of this name in an ABI. ConfigError: there is none."""
    if abi is None:
        return (parse_function(_whole(signature)),)
    found = abi_of(abi).functions_named(signature)
    if not found:
        raise ConfigError(f"--abi {abi} has no function {signature[:80]!r}")
    return found


def _whole(signature: str) -> str:
    if "(" not in signature:
        raise ConfigError(f"{signature[:80]!r} is a name: write the whole signature, or say --abi")
    return signature


def located(text: str, folder: str) -> str:
    """What says an ABI, with a file's path made absolute; relative ones are relative to `folder`."""
    return text if text in KNOWN or "(" in text else os.path.join(folder, text)


def abi_of(text: str, said: str = "--abi") -> Abi:
    """The ABI that is known by a name, that a file has, or that is one event's signature.

    Args:
        said: where the text was said, for errors.

    Raises:
        ConfigError: it is none.
    """
    if text in KNOWN:
        return known_abi(text)
    if "(" in text:
        try:
            return Abi((parse_event(text),))
        except ConfigError as error:
            raise ConfigError(f"{said}: {error}") from None
    return _document(text, said)


def _document(name: str, said: str) -> Abi:
    path, _, contract = name.partition("#")
    try:
        with open(path, "rb") as file:
            text = file.read(DOCUMENT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{said} {path}: {why}; by name there are {', '.join(KNOWN)}") from None
    try:
        return read_abi(text, contract or None)
    except ConfigError as error:
        raise ConfigError(f"{said} {path}: {error}") from None
