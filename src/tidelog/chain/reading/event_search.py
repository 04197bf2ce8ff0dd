"""Events of contracts, searched for by their arguments and decoded as they are read. Asks a `Snapshot`, no SQL.

Nothing is registered and nothing stored: what an ABI says of a log is worked out when somebody asks.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tidelog.batch import Row
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import Decoded, LogDecoder, Misfit
from tidelog.chain.abi.texts import json_value, topic_of
from tidelog.chain.reading.decoded_rows import PASSED_MAX, DecodedPage, decoded_rows
from tidelog.chain.reading.log_search import TOPICS, select_logs
from tidelog.chain.reading.places import RowWithoutBlock, block_facts, transaction_hashes
from tidelog.chain.rows.tables import LOGS
from tidelog.errors import ConfigError
from tidelog.store import Condition, Snapshot

__all__ = ["EventSearch", "FoundEvent", "event_search", "select_events"]

_NUMBER, _TX_INDEX, _LOG_INDEX, _ADDRESS, _FIRST, _DATA = (
    LOGS.index(name) for name in ("block_number", "tx_index", "log_index", "address", "topic0", "data")
)


class EventSearch(Struct, frozen=True):
    """What is looked for: logs by what has an index, and who decodes them."""

    decoder: LogDecoder
    addresses: tuple[bytes, ...]
    topics: Mapping[str, Condition]


class FoundEvent(Struct, frozen=True):
    """A decoded log; `args` by name, as JSON has them."""

    block_number: int
    log_index: int
    transaction_hash: bytes
    timestamp: int
    address: bytes
    event: str
    args: dict[str, Any]


def event_search(
    events: Sequence[Event], addresses: Sequence[bytes], arguments: Mapping[str, Sequence[str]]
) -> EventSearch:
    """A search for events.

    Args:
        events: any of them; not empty.
        addresses: of any of these contracts; none given, any at all.
        arguments: by name, texts of values of which it may have any.

    Raises:
        ConfigError: an argument is not there or not indexed, or its text is no such value; an anonymous event without
            an address, which no index finds.
    """
    named = tuple(dict.fromkeys(event.topic0 for event in events if event.topic0 is not None))
    anonymous = any(event.topic0 is None for event in events)
    if anonymous and not addresses:
        raise ConfigError("an anonymous event is found by the address of its contract alone: say which")
    topics: dict[str, Condition] = {} if anonymous else {"topic0": named}
    for name, texts in arguments.items():
        column, values = _condition(events[0], name, texts)
        if any(_condition(event, name, texts) != (column, values) for event in events[1:]):
            raise ConfigError(f"the argument {name} is not alike in the events of this name: give a whole signature")
        topics[column] = values if len(values) > 1 or column == "topic0" else values[0]
    return EventSearch(LogDecoder(events), tuple(addresses), topics)


def _condition(event: Event, name: str, texts: Sequence[str]) -> tuple[str, tuple[bytes, ...]]:
    """The column of an indexed argument, and the topics."""
    place = 0 if event.anonymous else 1
    for parameter, known in zip(event.parameters, event.names, strict=True):
        if known != name:
            place += parameter.indexed
            continue
        if not parameter.indexed:
            raise ConfigError(
                f"the argument {name} of {event.name} is not indexed: it cannot be searched by, filter what is listed"
            )
        try:
            return TOPICS[place], tuple(dict.fromkeys(topic_of(parameter, text) for text in texts))
        except ConfigError as error:
            raise ConfigError(f"the argument {name}: {error}") from None
    there = ", ".join(event.names) or "none"
    raise ConfigError(f"{event.name} has no argument {name[:80]!r}: it has {there}")


async def select_events(
    snapshot: Snapshot,
    chain: int,
    search: EventSearch,
    *,
    low: int | None,
    high: int | None,
    limit: int,
    after: Row | None = None,
    passed_max: int = PASSED_MAX,
    bytes_max: int | None = None,
) -> DecodedPage[FoundEvent]:
    """The first `limit` events of blocks `low` to `high`, in the order of the chain.

    Fewer where so many logs do not fit, or are so large, that it is enough; `last` says from where on it is to be
    continued.
    """

    def read(wanted: int, behind: Row | None) -> Awaitable[list[Row]]:
        return select_logs(
            snapshot,
            chain,
            addresses=search.addresses,
            topics=search.topics,
            low=low,
            high=high,
            limit=wanted,
            after=behind,
        )

    def decode(row: Row) -> Decoded | Misfit | None:
        log: Any = (*row[_FIRST : _FIRST + len(TOPICS)], row[_DATA])
        return search.decoder.decode(*log)

    rows = await decoded_rows(LOGS, read, decode, limit=limit, after=after, passed_max=passed_max, bytes_max=bytes_max)
    return DecodedPage(await _told(snapshot, chain, rows.found), rows.misfits, rows.last)


async def _told(snapshot: Snapshot, chain: int, found: Sequence[tuple[Row, Decoded]]) -> list[FoundEvent]:
    """With what other tables have: a block's time, a transaction's hash."""
    places: Any = {(row[_NUMBER], row[_TX_INDEX]) for row, _ in found}
    facts = await block_facts(snapshot, chain, (number for number, _ in places))
    hashes = await transaction_hashes(snapshot, chain, places)
    joined = []
    row: Any
    for row, decoded in found:
        place = row[_NUMBER], row[_TX_INDEX]
        if place[0] not in facts or place not in hashes:
            raise RowWithoutBlock(chain, place[0], "a log is there, and its block or transaction is not")
        joined.append(
            FoundEvent(
                block_number=place[0],
                log_index=row[_LOG_INDEX],
                transaction_hash=hashes[place],
                timestamp=facts[place[0]].timestamp,
                address=row[_ADDRESS],
                event=decoded.event.name,
                args=_arguments(decoded),
            )
        )
    return joined


def _arguments(decoded: Decoded) -> dict[str, Any]:
    event = decoded.event
    joined = {}
    for name, parameter, value in zip(event.names, event.parameters, decoded.values, strict=True):
        joined[name] = f"0x{value.hex()}" if isinstance(value, bytes) else json_value(parameter.type, value)
    return joined
