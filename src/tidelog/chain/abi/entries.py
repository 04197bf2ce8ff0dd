"""An event and a function of a contract, as an ABI declares them, and all that a contract has."""

from functools import cached_property

from msgspec import Struct

from tidelog.chain.abi.types import Parameter
from tidelog.chain.encoding.items import keccak
from tidelog.errors import ConfigError

__all__ = ["INDEXED_MAX", "Abi", "Event", "Function"]

INDEXED_MAX = 3  # a log has four topics, and the first one names the event; one more where it is anonymous


class _Entry(Struct, frozen=True, dict=True):
    name: str
    parameters: tuple[Parameter, ...]

    @cached_property
    def signature(self) -> str:
        """The canonical one, which is hashed: `Transfer(address,address,uint256)`."""
        return f"{self.name}({','.join(parameter.type.name for parameter in self.parameters)})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each argument: its place, where it has none of its own."""
        return named(self.parameters)


class Event(_Entry, frozen=True, dict=True):
    """ConfigError: more arguments are indexed than a log has topics."""

    anonymous: bool = False

    def __post_init__(self) -> None:
        most = INDEXED_MAX + self.anonymous
        if len(self.indexed) > most:
            raise ConfigError(f"{self.name}: {len(self.indexed)} arguments are indexed, at most {most} can be")

    @cached_property
    def indexed(self) -> tuple[Parameter, ...]:
        return tuple(parameter for parameter in self.parameters if parameter.indexed)

    @cached_property
    def topic0(self) -> bytes | None:
        """What the first topic has to be; None of an anonymous event."""
        return None if self.anonymous else keccak(self.signature.encode())


class Function(_Entry, frozen=True, dict=True):
    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of a call's input."""
        return keccak(self.signature.encode())[:4]


class Abi(Struct, frozen=True):
    """A contract's events and functions."""

    events: tuple[Event, ...]
    functions: tuple[Function, ...] = ()

    def events_named(self, name: str) -> tuple[Event, ...]:
        """All of this name, or the one of this canonical signature."""
        return tuple(event for event in self.events if name in (event.name, event.signature))

    def functions_named(self, name: str) -> tuple[Function, ...]:
        return tuple(function for function in self.functions if name in (function.name, function.signature))


def named(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """A name for each, all different."""
    given = {parameter.name for parameter in parameters}
    found = []
    for position, parameter in enumerate(parameters):
        name = parameter.name or f"arg{position}"
        while not parameter.name and name in given:  # another one is called so
            name += "_"
        found.append(name)
    return tuple(found)
