"""Rows of contracts' tables as JSON has them, and what people ask of their columns. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidelog.batch import Row, Table, Value
from tidelog.chain.abi import types
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.texts import json_value, parsed, topic_of
from tidelog.chain.abi.types import Elementary, Parameter
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.event_tables import argument_columns, stored_argument, tables_of
from tidelog.errors import ConfigError

__all__ = ["arguments_of", "conditions", "find_event", "short_name"]


def short_name(contract: Contract, table: Table) -> str:
    """What tells an event's table from the contract's others: `transfer` of `e_usdc_transfer`."""
    return table.name.removeprefix(f"e_{contract.name}_")


def find_event(contract: Contract, name: str) -> tuple[Event, Table]:
    """The event of this name, or whose table has it behind the contract's. ConfigError: none, or several."""
    by_event = tables_of(contract).by_event
    found = [each for each in by_event.items() if short_name(contract, each[1]) == name]
    found = found or [each for each in by_event.items() if each[0].name == name]
    if len(found) != 1:
        names = ", ".join(short_name(contract, table) for table in by_event.values())
        why = "several events of that name" if found else f"no event {name[:80]!r}"
        raise ConfigError(f"contract {contract.name} has {why}; it has {names}")
    return found[0]


def arguments_of(event: Event, table: Table, row: Row) -> dict[str, Any]:
    """By column. Numbers of types with more than 53 bits are text, bytes are hex; arrays and tuples are as in JSON."""
    columns = argument_columns(event, table)
    values = row[len(row) - len(columns) :]
    return {column.name: _shown(parameter, value) for (column, parameter), value in zip(columns, values, strict=True)}


def _shown(parameter: Parameter, value: Any) -> Any:
    given = parameter.type
    if parameter.is_hashed:
        return f"0x{value.hex()}"
    if not isinstance(given, Elementary):
        return msgspec.json.decode(value)
    match given.kind:
        case types.Kind.BOOL:
            return bool(value)
        case types.Kind.UINT | types.Kind.INT:
            signed = given.kind is types.Kind.INT
            number = int.from_bytes(value, "big", signed=signed) if isinstance(value, bytes) else value
            return json_value(given, number)
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def conditions(event: Event, table: Table, given: Mapping[str, str]) -> dict[str, Value]:
    """What columns have to be, from what people write: the text of a value; of an indexed string that string.

    A column is also found by its argument's name, `from_` by `from`.

    Raises:
        ConfigError: there is no such column, or the text is no such value.
    """
    columns = {column.name: parameter for column, parameter in argument_columns(event, table)}
    arguments = dict(zip(event.names, columns, strict=True))
    found: dict[str, Value] = {}
    for asked, text in given.items():
        name = asked if asked in columns else arguments.get(asked, asked)
        parameter = columns.get(name)
        if name in found:
            raise ConfigError(f"the column {name}: given twice, once by its argument's name")
        if parameter is None:
            raise ConfigError(
                f"{table.name} has no column {name[:80]!r}; it has {', '.join(columns) or 'no arguments'}"
            )
        try:
            if parameter.is_hashed:
                found[name] = topic_of(parameter, text)
            elif "\0" in text:
                raise ConfigError("no text of a database can have U+0000")
            else:
                found[name] = stored_argument(parameter, parsed(parameter.type, text))
        except ConfigError as error:
            raise ConfigError(f"the column {name}: {error}") from None
    return found
