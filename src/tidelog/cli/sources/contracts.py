"""The contracts whose events are to have tables, as a file says it: `[[chain.contract]]`, or `[[contract]]` alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from msgspec import Meta, Struct, field

from tidelog.config import ConfigValue, Reading, load
from tidelog.errors import ConfigError

if TYPE_CHECKING:  # a process that keeps no contracts does not load what decodes them
    from tidelog.chain.abi.entries import Event
    from tidelog.chain.contracts.contract import Contract

__all__ = ["CONTRACTS_MAX", "ContractAbi", "ContractSettings", "contracts_in", "contracts_of"]

CONTRACTS_MAX = 256  # each has tables of its own, which every commit looks at


class ContractAbi(ConfigValue):
    """Where events are described: a known ABI's name, a compiler's file, an event's signature; or several of these."""

    __slots__ = ("texts",)
    wanted = 'the name of a known ABI, a file, an event\'s signature, or several in [ ], such as "erc20"'

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        from tidelog.cli.chain.abi import located

        texts = [text for text in (given if isinstance(given, list) else [given]) if isinstance(text, str) and text]
        if not texts or (isinstance(given, list) and len(texts) < len(given)):
            raise ValueError(f"give {cls.wanted}")
        return cls([located(text, reading.folder) for text in texts])

    def shown(self) -> str:
        return ", ".join(self.texts)

    def plain(self) -> list[str]:
        return list(self.texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContractAbi) and self.texts == other.texts

    def __hash__(self) -> int:
        return hash(self.texts)


class ContractName(str, ConfigValue):
    """Of a contract: its tables are called by it."""

    __slots__ = ()
    wanted = "a name such as usdc: its tables are called by it"

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        from tidelog.chain.contracts.contract import NAME_RULE, is_name

        if not isinstance(given, str) or not is_name(given):
            raise ValueError(f"the name has to be {NAME_RULE}: tables are called by it")
        return cls(given)

    def plain(self) -> str:
        return str(self)

    def shown(self) -> str:
        return str(self)


class ContractSettings(Struct, frozen=True, kw_only=True):
    name: Annotated[ContractName, Meta(description="Of its tables: e_NAME_EVENT, v_NAME_EVENT.", examples=["usdc"])]
    address: Annotated[
        str | None,
        Meta(
            description="Where it stands; required, unless others create it.",
            examples=["0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"],
        ),
    ] = None
    abi: Annotated[
        ContractAbi,
        Meta(
            description="Its events: the name of a known ABI, a compiler's file, an event's signature, or several of "
            "these in [ ].",
            examples=["erc20"],
        ),
    ]
    created_by: Annotated[
        str,
        Meta(
            description="In place of an address: CONTRACT.EVENT.ARGUMENT, the event of another contract here that "
            "names the addresses where it stands, each from that log on, such as uniswap_v3_factory.PoolCreated.pool."
        ),
    ] = ""
    events: Annotated[
        tuple[str, ...],
        Meta(description="Which of them have a table, by name or canonical signature; all.", examples=[["Transfer"]]),
    ] = ()
    from_: Annotated[int, Meta(description="The first block whose events count.", ge=0)] = field(default=0, name="from")
    evidence: Annotated[
        Literal["whole", "proven", "asked"] | None,
        Meta(
            description="How what is stored is known. whole: the blocks are stored whole. proven: only the headers and "
            "what the contracts log are stored; a block's bloom excludes them, or the block was proven before the rest "
            "of it was left out. asked: the same near the head; below, an endpoint is asked by eth_getLogs, whose word "
            "it is that nothing is left out. Not given: as the chain is held: whole unless a contract says otherwise.",
            examples=["proven"],
        ),
    ] = None
    keep_proof: Annotated[
        bool,
        Meta(
            description="With the evidence proven or asked: keep the Merkle proofs of what is proven of it, by which "
            "`chain verify` proves the rows again, and `chain proofs` hands them out."
        ),
    ] = False


class ContractsFile(Struct, frozen=True, kw_only=True):
    """What `chain sync --contracts FILE` reads."""

    contract: Annotated[tuple[ContractSettings, ...], Meta(max_length=CONTRACTS_MAX)] = ()


def contracts_in(file: str) -> tuple[Contract, ...]:
    """Those of a file of `[[contract]]` tables. ConfigError: what is wrong with it."""
    found = load(file, ContractsFile, {}).value.contract
    return contracts_of(found, lambda name, key: f"{file}: contract.{name}.{key}")


def contracts_of(settings: Sequence[ContractSettings], spelled: Callable[[str, str], str]) -> tuple[Contract, ...]:
    """What the settings mean; reads the files of ABIs.

    Args:
        spelled: what to call a key of the contract of this name.

    Raises:
        ConfigError: one cannot be meant.
    """
    from tidelog.chain.contracts.contract import Contract
    from tidelog.chain.contracts.creation import Creation
    from tidelog.chain.contracts.kinship import require_creator
    from tidelog.cli.options import ADDRESS, hexadecimal

    made: list[Contract] = []
    for each in settings:
        if each.name in {contract.name for contract in made}:
            raise ConfigError(f"{spelled(each.name, 'name')}: two contracts have it: give one another name")
        if (each.address is None) == (not each.created_by):
            raise ConfigError(
                f"{spelled(each.name, 'address')}: give the address where it stands, or created_by where others create "
                "it: one of the two"
            )
        address = b""
        if each.address is not None:
            address = hexadecimal(spelled(each.name, "address"), each.address, ADDRESS, "an address of 20 bytes")
        events = _events(each, spelled)
        try:
            creation = Creation.read(each.created_by) if each.created_by else None
        except ConfigError as error:
            raise ConfigError(f"{spelled(each.name, 'created_by')}: {error}") from None
        try:
            made.append(Contract(str(each.name), address, events, each.from_, each.evidence, creation, each.keep_proof))
        except ConfigError as error:
            raise ConfigError(f"{spelled(each.name, 'name')}: {error}") from None
    for contract in made:
        try:
            require_creator(contract, made)
        except ConfigError as error:
            raise ConfigError(f"{spelled(contract.name, 'created_by')}: {error}") from None
    return tuple(made)


def _events(contract: ContractSettings, spelled: Callable[[str, str], str]) -> tuple[Event, ...]:
    """The events that are wanted, each once."""
    from tidelog.cli.chain.abi import abi_of

    there: list[Event] = []
    for text in contract.abi.texts:
        there += abi_of(text, spelled(contract.name, "abi")).events
    if not there:
        raise ConfigError(f"{spelled(contract.name, 'abi')}: {contract.abi.shown()} has no events")
    wanted = list(there)
    if contract.events:
        wanted = []
        for name in contract.events:
            found = [event for event in there if name in (event.name, event.signature)]
            if not found:
                names = ", ".join(dict.fromkeys(event.name for event in there))
                raise ConfigError(
                    f"{spelled(contract.name, 'events')}: there is no event {name[:80]!r}; there are {names}"
                )
            wanted += found
    once: dict[Any, Event] = {}
    for event in wanted:
        once.setdefault(_likeness(event), event)
    return tuple(once.values())


def _likeness(event: Event) -> Any:
    """What events have in common that are one and the same, whatever its arguments are called."""
    return event.signature, tuple(parameter.indexed for parameter in event.parameters), event.anonymous
