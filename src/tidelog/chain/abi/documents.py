"""ABIs as compilers write them: Solidity's and Vyper's output, artifacts of Foundry and Hardhat. Text in, no file."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.chain.abi.entries import Abi, Event, Function
from tidelog.chain.abi.signatures import arrays_of, require_distinct
from tidelog.chain.abi.types import DEPTH_MAX, Parameter, Tuple, Type, elementary
from tidelog.errors import ConfigError

__all__ = ["DOCUMENT_BYTES_MAX", "read_abi"]

DOCUMENT_BYTES_MAX = 64 << 20  # a compiler's output over a whole project has tens of megabytes


class _Input(Struct):
    type: str
    name: str = ""
    indexed: bool = False
    components: "list[_Input]" = []


class _Entry(Struct):
    type: str = "function"  # what an entry is that says nothing, by the specification
    name: str = ""
    inputs: list[_Input] = []
    anonymous: bool = False


def read_abi(text: bytes, contract: str | None = None) -> Abi:
    """The ABI that a document has.

    Args:
        text: a list of entries (`solc --abi`, `vyper -f abi`); an object with it as `abi` (Foundry, Hardhat); or an
            object `contracts` with several (`solc --combined-json abi`, standard JSON).
        contract: which one, where there are several: its name, or `file:name`.

    Raises:
        ConfigError: it is none of these, or has no such contract.
    """
    if len(text) > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"an ABI's document is over {DOCUMENT_BYTES_MAX >> 20} MiB")
    try:
        document = msgspec.json.decode(text)
        if isinstance(document, dict) and "abi" not in document and isinstance(document.get("contracts"), dict):
            document = _chosen(_contracts(document["contracts"]), contract)
        if isinstance(document, dict):
            document = document.get("abi")
        if isinstance(document, str):  # so compilers before Solidity 0.8 wrote it
            document = msgspec.json.decode(document)
        if not isinstance(document, list):
            raise ConfigError("it is neither a list of entries nor an object with `abi`")
        return _abi(msgspec.convert(document, list[_Entry]))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(f"it is no ABI: {str(error)[:200]}") from None


def _contracts(documents: Mapping[str, Any]) -> dict[str, Any]:
    """By `file:name`."""
    found: dict[str, Any] = {}
    for file, inner in documents.items():
        if not isinstance(inner, dict):
            continue
        if "abi" in inner:
            found[file] = inner
        else:
            found |= {f"{file}:{name}": each for name, each in inner.items() if isinstance(each, dict)}
    return found


def _chosen(contracts: Mapping[str, Any], name: str | None) -> Any:
    fitting = [key for key in contracts if name is None or name in (key, key.rpartition(":")[2])]
    if len(fitting) != 1:
        there = ", ".join(sorted(contracts)[:20]) or "none"
        what = "no contract" if not fitting else "several contracts"
        raise ConfigError(f"it has {what}{'' if name is None else f' {name!r}'}: say one of {there}")
    return contracts[fitting[0]]


def _abi(entries: list[_Entry]) -> Abi:
    events, functions = [], []
    for entry in entries:
        if entry.type not in ("event", "function"):
            continue
        try:
            if not entry.name:
                raise ConfigError("it has no name")
            parameters = _parameters(entry.inputs, 0)
            if entry.type == "event":
                events.append(Event(entry.name, parameters, entry.anonymous))
            else:
                functions.append(Function(entry.name, parameters))
        except ConfigError as error:
            raise ConfigError(f"its {entry.type} {entry.name[:80]!r} cannot be read: {error}") from None
    return Abi(tuple(events), tuple(functions))


def _parameters(inputs: list[_Input], depth: int) -> tuple[Parameter, ...]:
    if depth > DEPTH_MAX:
        raise ConfigError(f"arrays and tuples are more than {DEPTH_MAX} deep")
    return require_distinct(
        tuple(Parameter(each.name, _type(each, depth), each.indexed and depth == 0) for each in inputs)
    )


def _type(given: _Input, depth: int) -> Type:
    head, bracket, rest = given.type.partition("[")
    inner: Type = Tuple.of(_parameters(given.components, depth + 1)) if head == "tuple" else elementary(head)
    return arrays_of(inner, bracket + rest)
