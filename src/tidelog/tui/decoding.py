"""Logs in words, where an ABI is known: of a contract that has tables, else by a standard's events. Pure.

A standard's event is recognised by its first topic and by whether topics and data fit it: that is what the log says,
and no proof that the contract keeps to the standard.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import EventDecoder, Misfit
from tidelog.chain.abi.known import KNOWN, known_abi
from tidelog.chain.abi.signatures import parse_event
from tidelog.errors import ConfigError
from tidelog.tui.answers import Contract, EventTable, Log

__all__ = ["Names", "decoded", "names_of"]

Names = Mapping[str, str]  # of contracts, by address


@cache
def _standard() -> dict[bytes, list[EventDecoder]]:
    found: dict[bytes, list[EventDecoder]] = {}
    for name in KNOWN:
        for event in known_abi(name).events:
            decoders = found.setdefault(event.topic0 or b"", [])
            if all(each.event != event for each in decoders):
                decoders.append(EventDecoder(event))
    return found


@cache
def _decoder(canonical: str, written: str) -> EventDecoder | None:
    """Of an event as its table's columns write it; None where these are not its arguments one by one."""
    try:
        event = parse_event(written)
        return EventDecoder(event) if event.topic0 == parse_event(canonical).topic0 else None
    except ConfigError:
        return None


def _of_table(table: EventTable) -> EventDecoder | None:
    arguments = [f"{each.type}{' indexed' if each.indexed else ''} {each.name}" for each in table.columns]
    return _decoder(table.event, f"event {table.event.partition('(')[0]}({', '.join(arguments)})")


def names_of(contracts: Iterable[Contract]) -> Names:
    return {each.address.lower(): each.name for each in contracts}


def decoded(log: Log, contracts: Iterable[Contract] = ()) -> str | None:
    """The event with its arguments; None where no known event fits. Not yet printable."""
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in log.topics]
        data = bytes.fromhex(log.data[2:])
    except ValueError:
        return None
    if not topics or len(topics) > 4:
        return None
    own = [_of_table(table) for each in contracts if each.address.lower() == log.address for table in each.events]
    for decoder in (*own, *_standard().get(topics[0], ())):
        values = None if decoder is None else decoder.read(*[*topics, None, None, None, None][:4], data)
        if decoder is not None and values is not None and not isinstance(values, Misfit):
            return _said(decoder.event, values)
    return None


def _said(event: Event, values: Iterable[object]) -> str:
    pairs = zip(event.names, values, strict=True)
    return f"{event.name}({', '.join(f'{name}={_value(value)}' for name, value in pairs)})"


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list | tuple) else str(value)
