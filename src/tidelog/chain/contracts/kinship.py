"""Whose logs are whose: by the address where a contract stands, or as what another contract's event has named. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tidelog.batch import Row
from tidelog.chain.abi import types
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import Decoded, LogDecoder
from tidelog.chain.abi.types import Elementary
from tidelog.chain.contracts.births import Births, Child
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.creation import Creation
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.tables import LOGS
from tidelog.errors import ConfigError

__all__ = ["Kin", "Told", "ancestors", "by_descent", "creating_events", "possible_creations", "require_creator"]

_ADDRESS, _NUMBER, _INDEX = LOGS.index("address"), LOGS.index("block_number"), LOGS.index("log_index")


class Told(NamedTuple):
    """A log, the contracts that it is of, and the children that it names."""

    row: Row
    owners: Sequence[Contract]
    named: Sequence[Child]


class _Maker(NamedTuple):
    """How a contract's logs name the children of another one."""

    contract: str  # the one that is created
    decoder: LogDecoder
    places: dict[Event, int]  # of the argument among the values

    def child(self, log: LogColumns) -> Child | None:
        decoded = self.decoder.decode(log.topic0, log.topic1, log.topic2, log.topic3, log.data)
        if not isinstance(decoded, Decoded):
            return None
        address: Any = decoded.values[self.places[decoded.event]]
        return Child(self.contract, address, (log.block_number, log.log_index))


class Kin:
    """Contracts of one chain, and how some name the others. Of one whose creator is not among them nothing is named."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts = tuple(contracts)
        self._standing: dict[bytes, list[Contract]] = {}
        self._created: list[Contract] = []
        self._makers: dict[str, list[_Maker]] = {}
        by_name = {each.name: each for each in self.contracts}
        for each in self.contracts:
            creation = each.created_by
            if creation is None:
                self._standing.setdefault(each.address, []).append(each)
                continue
            self._created.append(each)
            if creation.contract in by_name:
                events = creating_events(by_name[creation.contract], creation)
                places = {event: event.names.index(creation.argument) for event in events}
                self._makers.setdefault(creation.contract, []).append(_Maker(each.name, LogDecoder(events), places))

    @property
    def created(self) -> Sequence[Contract]:
        """Those that others create."""
        return self._created

    def owners(self, births: Births, number: int, index: int, address: bytes) -> Sequence[Contract]:
        """The contracts that a log at this place is of."""
        found = self._standing.get(address, ())
        if self._created:
            found = [
                *found,
                *(each for each in self._created if self._is_child(births, each, (number, index), address)),
            ]
        return [each for each in found if number >= each.first_block] if found else found

    def _is_child(self, births: Births, contract: Contract, place: tuple[int, int], address: bytes) -> bool:
        birth = births.birth(contract.name, address)
        return birth is not None and birth < place

    def walk(self, logs: Sequence[Row], births: Births) -> Iterator[Told]:
        """Each log in its order, with whose it is; what one names is added to the births before the next one."""
        rows: Sequence[Any] = logs
        for row in rows:
            owners = self.owners(births, row[_NUMBER], row[_INDEX], row[_ADDRESS])
            named: list[Child] = []
            for owner in owners if self._makers else ():
                for maker in self._makers.get(owner.name, ()):
                    child = maker.child(LogColumns._make(row))
                    if child is not None:
                        births.add(child)
                        named.append(child)
            yield Told(row, owners, named)


def creating_events(creator: Contract, creation: Creation) -> list[Event]:
    """The creator's events that name children. ConfigError: there are none, or they name no address."""
    events = [each for each in creator.events if creation.event in (each.name, each.signature)]
    if not events:
        there = ", ".join(dict.fromkeys(each.name for each in creator.events))
        raise ConfigError(f"{creator.name} has no event {creation.event[:80]!r}; it has {there}")
    for event in events:
        if event.anonymous:
            raise ConfigError(f"{creator.name}.{event.name} is anonymous: nothing tells it from other logs")
        if creation.argument not in event.names:
            there = ", ".join(event.names) or "none"
            raise ConfigError(f"{creator.name}.{event.name} has no argument {creation.argument[:80]!r}; it has {there}")
        given = event.parameters[event.names.index(creation.argument)].type
        if not (isinstance(given, Elementary) and given.kind is types.Kind.ADDRESS):
            raise ConfigError(
                f"{creator.name}.{event.name}: its argument {creation.argument} is of type {given.name}, and no address"
            )
    return events


def possible_creations(creator: Contract) -> list[Creation]:
    """All that could be said of a contract that this one creates: each argument of its events that is an address."""
    names = [event.name for event in creator.events]
    return [
        Creation(creator.name, event.name if names.count(event.name) == 1 else event.signature, parameter.name)
        for event in creator.events
        if not event.anonymous
        for parameter in event.parameters
        if isinstance(parameter.type, Elementary) and parameter.type.kind is types.Kind.ADDRESS
    ]


def require_creator(contract: Contract, contracts: Iterable[Contract]) -> None:
    """ConfigError: what creates it is not there, names no address, or is created by it."""
    if contract.created_by is None:
        return
    by_name = {each.name: each for each in contracts}
    creator = by_name.get(contract.created_by.contract)
    if creator is None:
        raise ConfigError(f"there is no contract {contract.created_by.contract[:80]!r}")
    line = ancestors(contract, by_name.values())
    if contract in line:
        names = [each.name for each in line[: line.index(contract) + 1]]
        raise ConfigError(f"it would create itself: {' < '.join([contract.name, *names])}")
    creating_events(creator, contract.created_by)


def ancestors(contract: Contract, contracts: Iterable[Contract]) -> list[Contract]:
    """The one that creates it, the one that creates that one, and so on."""
    creation = contract.created_by
    if creation is None:  # nearly all, and each commit asks of each of them
        return []
    by_name = {each.name: each for each in contracts}
    found: list[Contract] = []
    while creation is not None and creation.contract in by_name:
        creator = by_name.pop(creation.contract)
        found.append(creator)
        creation = creator.created_by
    return found


def by_descent(contracts: Iterable[Contract]) -> list[Contract]:
    """Those that create before those that they create."""
    given = list(contracts)
    return sorted(given, key=lambda each: len(ancestors(each, given)))
