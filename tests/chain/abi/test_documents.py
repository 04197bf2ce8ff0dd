"""ABIs as compilers and tools write them, and those that have a name here."""

import json
from typing import Any

import pytest

from tidelog.chain.abi.documents import read_abi
from tidelog.chain.abi.entries import Abi
from tidelog.chain.abi.known import KNOWN, known_abi
from tidelog.errors import ConfigError

ENTRIES: list[dict[str, Any]] = [
    {"type": "constructor", "inputs": [], "stateMutability": "nonpayable"},
    {"type": "error", "name": "No", "inputs": [{"name": "a", "type": "nonsense"}]},
    {
        "type": "event",
        "name": "Filled",
        "anonymous": False,
        "inputs": [
            {"name": "who", "type": "address", "indexed": True, "internalType": "address"},
            {
                "name": "orders",
                "type": "tuple[2][]",
                "indexed": False,
                "components": [{"name": "id", "type": "uint256"}, {"name": "text", "type": "string"}],
            },
        ],
    },
    {"type": "function", "name": "fill", "inputs": [{"name": "id", "type": "uint256"}], "outputs": []},
    {"type": "function", "name": "fill", "inputs": [{"name": "ids", "type": "uint256[]"}], "outputs": []},
    {"type": "receive", "stateMutability": "payable"},
]
COMBINED = {"contracts": {"a.sol:Market": {"abi": ENTRIES}, "a.sol:Other": {"abi": []}}}
STANDARD = {"contracts": {"a.sol": {"Market": {"abi": ENTRIES, "evm": {}}, "Other": {"abi": []}}}}
# what wrote it, and what it wrote
DOCUMENTS: list[tuple[str, Any]] = [
    ("solc --abi, vyper -f abi", ENTRIES),
    ("Hardhat", {"_format": "hh-sol-artifact-1", "contractName": "Market", "abi": ENTRIES, "bytecode": "0x"}),
    ("Foundry", {"abi": ENTRIES, "bytecode": {"object": "0x"}, "methodIdentifiers": {}}),
    ("solc --combined-json abi", COMBINED),
    ("the same, before 0.8", {"contracts": {"a.sol:Market": {"abi": json.dumps(ENTRIES)}}}),
    ("standard JSON", STANDARD),
]


def read(document: object, contract: str | None = None) -> Abi:
    return read_abi(json.dumps(document).encode(), contract)


@pytest.mark.parametrize(("writer", "document"), DOCUMENTS)
def test_events_and_functions_of_each_kind_of_document(writer: str, document: Any) -> None:
    abi = read(document, "Market")
    (event,) = abi.events
    assert event.signature == "Filled(address,(uint256,string)[2][])"
    assert [parameter.indexed for parameter in event.parameters] == [True, False]
    assert [each.signature for each in abi.functions_named("fill")] == ["fill(uint256)", "fill(uint256[])"]
    assert [each.signature for each in abi.functions_named("fill(uint256)")] == ["fill(uint256)"]


REFUSED: list[tuple[Any, str]] = [
    ({}, "it is neither a list of entries nor an object with `abi`"),
    (3, "it is neither a list of entries nor an object with `abi`"),
    (COMBINED, "it has several contracts: say one of a.sol:Market, a.sol:Other"),
    (
        [{"type": "event", "name": "E", "inputs": [{"type": "uint7"}]}],
        "its event 'E' cannot be read: 'uint7' is no type",
    ),
    ([{"type": "event", "inputs": []}], "its event '' cannot be read: it has no name"),
    ([{"type": 3}], "it is no ABI: "),
]


@pytest.mark.parametrize(("document", "why"), REFUSED)
def test_what_is_no_abi_is_refused_in_a_sentence(document: Any, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(document)
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[" * 100_000, b'[{"inputs": [' + b'{"components": [' * 5_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigError, match="it is no ABI"):
        read_abi(text)


# of each ABI that has a name: the first topic of one of its events, as explorers show it
TOPICS = {
    "erc20": ("Transfer", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
    "erc721": ("ApprovalForAll", "17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31"),
    "erc1155": ("TransferSingle", "c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"),
    "erc4626": ("Deposit", "dcbc1c05240f31ff3ad067ef1ee35ce4997762752e3a095284754544f4c709d7"),
    "weth": ("Deposit", "e1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c"),
    "uniswap_v2_factory": ("PairCreated", "0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"),
    "uniswap_v2_pair": ("Swap", "d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"),
    "uniswap_v3_factory": ("PoolCreated", "783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"),
    "uniswap_v3_pool": ("Swap", "c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_abis_that_have_a_name_are_those_that_are_deployed(name: str) -> None:
    event, topic = TOPICS[name]
    (found,) = known_abi(name).events_named(event)
    assert found.topic0 is not None
    assert found.topic0.hex() == topic


def test_another_name_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match="there are erc20, erc721"):
        known_abi("erc2")
