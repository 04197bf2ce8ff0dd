"""A contract whose events have tables, and the row that says so in the store."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.batch import Row, Table, bytes_column, int_column, text_column
from tidelog.chain.abi.documents import read_abi
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.types import Array, Parameter, Tuple, Type
from tidelog.chain.contracts.creation import Creation
from tidelog.errors import ConfigError, Corruption

__all__ = [
    "ASKED", "CONTRACTS", "NAME_RULE", "PROVEN", "WHOLE",
    "Contract", "Registered", "is_name", "place_text", "registered_row", "registered_rows",
]  # fmt: skip

WHOLE, PROVEN, ASKED = "whole", "proven", "asked"
"""How what is stored of a contract is known, its evidence. Whole: its blocks are held whole. Proven: the header of each
block is held; its bloom excludes the contract's events, or both roots were compared before only these were kept. Asked:
an endpoint said by eth_getLogs that this is all, and each log is of a block with the header that is held of it."""
EVIDENCES = (WHOLE, PROVEN, ASKED)

NAME_BYTES_MAX = 24  # leaves room for the event in the name of a table
EVENTS_MAX = 128  # a table each: contracts have a dozen
ARGUMENTS_MAX = 256  # a column each, or two: databases take some 1,600, a contract's code has some 16 at once
NAME_RULE = f"of a-z, 0-9 and single _ between them, a letter first, at most {NAME_BYTES_MAX} characters"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
ADDRESS_BYTES = 20
BLOCK_MAX = 2**63 - 1

CONTRACTS = Table(
    "contracts",
    (
        int_column("chain_id"),
        text_column("name"),
        bytes_column("address"),
        text_column("abi"),  # JSON, as compilers write it: the events that have tables
        int_column("first_block"),  # whose events count
        int_column("filled_from", content=False),  # all stored blocks from this one on have their rows
        int_column("leaving", content=False),  # 1: it was removed, and its rows go
        text_column("evidence", content=False),  # of EVIDENCES: what `contract_coverage` says of its blocks
        text_column("created_by", content=False),  # see `Creation`; empty: it stands at its address
        int_column("named_from", content=False),  # its children of all stored blocks from this one on are known
        int_column("keep_proof", content=False),  # 1: `merkle_proofs` has the branches of what is proven of it
    ),
    key=("name", "chain_id"),
    scope="chain_id",
    later=True,
)


def is_name(text: str) -> bool:
    """Whether a contract may be called so: NAME_RULE."""
    return _NAME.fullmatch(text) is not None and len(text) <= NAME_BYTES_MAX


class Contract(Struct, frozen=True):
    """What somebody named.

    Raises:
        ConfigError: it cannot be meant; a sentence without the contract's name.
    """

    name: str
    address: bytes  # empty of one that others create
    events: tuple[Event, ...]
    first_block: int = 0
    evidence: str | None = None  # of EVIDENCES; None: as the chain is held
    created_by: Creation | None = None  # whose event names the addresses where it stands: its children
    keep_proof: bool = False  # whether Merkle proofs of its logs are kept, in a selection

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ConfigError(f"the name has to be {NAME_RULE}: tables are called by it")
        if len(self.address) != (ADDRESS_BYTES if self.created_by is None else 0):
            raise ConfigError("the address has to be 20 bytes, and there is none where created_by says which it has")
        if not 0 <= self.first_block <= BLOCK_MAX:
            raise ConfigError(f"from: give a block number, 0 to {BLOCK_MAX}")
        if self.evidence not in (None, *EVIDENCES):
            raise ConfigError(f"evidence: give one of {', '.join(EVIDENCES)}")
        if not self.events:
            raise ConfigError("there are no events: name some")
        if len(self.events) > EVENTS_MAX:
            raise ConfigError(f"there are {len(self.events)} events, each a table: {EVENTS_MAX} at most")
        for event in self.events:
            if len(event.parameters) > ARGUMENTS_MAX:
                raise ConfigError(f"{event.name} has {len(event.parameters)} arguments: {ARGUMENTS_MAX} at most")

    @property
    def abi(self) -> str:
        """The events as the JSON of an ABI, always the same for the same ones."""
        return msgspec.json.encode([_entry(event) for event in self.events]).decode()


def place_text(contract: Contract) -> str:
    """Where it stands, for people: its address, or what creates it."""
    return f"0x{contract.address.hex()}" if contract.created_by is None else f"created by {contract.created_by.text}"


class Registered(Struct, frozen=True):
    """A contract as a store has it."""

    contract: Contract
    filled_from: int
    leaving: bool = False
    named_from: int = 0  # of one that others create: its children of all stored blocks from this one on are known

    @property
    def is_filled(self) -> bool:
        """Whether every stored block from its first one on has its rows."""
        return self.filled_from <= self.contract.first_block

    @property
    def is_named(self) -> bool:
        """Whether all of its children are known: only then are blocks searched for what they log."""
        return self.named_from == 0


def registered_row(chain_id: int, registered: Registered) -> Row:
    """Its row of `contracts`."""
    contract = registered.contract
    return (
        *(chain_id, contract.name, contract.address, contract.abi, contract.first_block),
        *(registered.filled_from, int(registered.leaving), contract.evidence or WHOLE),
        *("" if contract.created_by is None else contract.created_by.text, registered.named_from),
        int(contract.keep_proof),
    )


def registered_rows(rows: Iterable[Row]) -> list[Registered]:
    """What rows of `contracts` say, in their order. Corruption: one cannot be read."""
    return [_registered(row) for row in rows]


def _registered(row: Any) -> Registered:
    _, name, address, abi, first_block, filled_from, leaving, evidence, created_by, named_from, keep_proof = row
    try:
        creation = Creation.read(created_by) if created_by else None
        events = read_abi(abi.encode()).events
        contract = Contract(name, address, events, first_block, evidence, creation, bool(keep_proof))
        return Registered(contract, filled_from, bool(leaving), named_from)
    except (ConfigError, TypeError, AttributeError) as error:
        raise Corruption(
            f"the row of contract {name!r} cannot be read ({error}): delete it from `contracts` with SQL; a sync that "
            "is given the contract then makes its tables anew"
        ) from None


def _entry(event: Event) -> dict[str, Any]:
    return {
        "type": "event",
        "name": event.name,
        "anonymous": event.anonymous,
        "inputs": [{**_input(parameter), "indexed": parameter.indexed} for parameter in event.parameters],
    }


def _input(parameter: Parameter) -> dict[str, Any]:
    written, inner = "", parameter.type
    while isinstance(inner, Array):
        written = f"[{'' if inner.length is None else inner.length}]{written}"
        inner = inner.item
    entry: dict[str, Any] = {"name": parameter.name, "type": _elementary_name(inner) + written}
    if isinstance(inner, Tuple):
        entry["components"] = [_input(member) for member in inner.parameters]
    return entry


def _elementary_name(inner: Type) -> str:
    return "tuple" if isinstance(inner, Tuple) else inner.name
