"""Events on a real node: what `tidelog chain events` reads of the store is what web3.py reads of the node."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from web3 import HTTPProvider, Web3

from tests.command import tidelog
from tests.store.test_views import asked
from tests.system.anvil import SENDER_TEXT, SIGNER_TEXT, Anvil
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.abi.types import Array, Parameter, Tuple, Type

SIGNATURES = {
    "Transfer": "Transfer(address indexed from, address indexed to, uint256 value)",
    "Filled": (
        "Filled(address indexed from, address indexed to, string note, (uint64 id, bytes data)[] orders, int24 tick)"
    ),
}
VALUES: dict[str, list[tuple[Any, ...]]] = {
    "Transfer": [(1,), ((1 << 256) - 1,), (10**18,)],
    "Filled": [("", [], -1), ("Grüße", [(7, b"\0\xff"), (1 << 63, b"")], 887272), ("a" * 100, [(0, b"b" * 33)], 0)],
}


def emitter(event: Event) -> str:
    """Creates a contract by hand that logs, from its caller to its input's first word, the rest of its input."""
    assert event.topic0 is not None
    runtime = (
        "602036036020600037"  # calldatacopy(0, 32, calldatasize - 32)
        "60003533"  # calldataload(0), caller
        f"7f{event.topic0.hex()}"
        "602036036000a3"  # log3(0, calldatasize - 32, topic0, caller, calldataload(0))
        "00"
    )
    return f"0x60{len(runtime) // 2:02x}8060093d393df3{runtime}"


def described(parameter: Parameter) -> dict[str, Any]:
    """As a compiler's JSON has it."""
    inner: Type = parameter.type
    brackets = ""
    while isinstance(inner, Array):
        brackets, inner = f"[{inner.length or ''}]{brackets}", inner.item
    entry: dict[str, Any] = {"name": parameter.name, "type": inner.name + brackets, "indexed": parameter.indexed}
    if isinstance(inner, Tuple):
        entry |= {"type": f"tuple{brackets}", "components": [described(member) for member in inner.parameters]}
    return entry


def as_json(value: Any) -> Any:
    """What web3.py gives, as the command prints it."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if hasattr(value, "items"):
        return {name: as_json(each) for name, each in value.items()}
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


def numbers_as_text(value: Any, wide: set[str], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: numbers_as_text(each, wide, key) for key, each in value.items()}
    if isinstance(value, list):
        return [numbers_as_text(each, wide, name) for each in value]
    return str(value) if isinstance(value, int) and name in wide else value


@pytest.mark.each_choice
@pytest.mark.parametrize("name", SIGNATURES)
async def test_decoded_events_are_those_that_web3_reads_of_the_node(
    name: str, anvil: Anvil, url: str, tmp_path: Path
) -> None:
    event = parse_event(SIGNATURES[name])
    plain = [parameter.type.name for parameter in event.parameters if not parameter.indexed]
    made = anvil.send(data=emitter(event))
    anvil.mine()
    address = anvil.rpc("eth_getTransactionReceipt", made)["contractAddress"]
    for values in VALUES[name]:
        word = bytes.fromhex(SIGNER_TEXT[2:]).rjust(32, b"\0")
        anvil.send(to=address, data=f"0x{(word + encode(plain, values)).hex()}")
        anvil.mine()
    assert tidelog("chain", "sync", "--rpc", anvil.url, "--db", url, "--log-level", "error").code == 0
    flags = ("--address", address, "--arg", f"from={SENDER_TEXT}", "--arg", f"to={SIGNER_TEXT}", "--json")
    done = tidelog("chain", "events", SIGNATURES[name], "--db", url, *flags)
    assert (done.code, done.err) == (0, "")
    entry = {
        "type": "event",
        "anonymous": False,
        "name": name,
        "inputs": [described(each) for each in event.parameters],
    }
    web3 = Web3(HTTPProvider(anvil.url))
    reader: Any = web3.eth.contract(Web3.to_checksum_address(address), abi=[entry])
    right = [
        {
            "block_number": log["blockNumber"],
            "log_index": log["logIndex"],
            "transaction_hash": as_json(bytes(log["transactionHash"])),
            "timestamp": web3.eth.get_block(log["blockNumber"])["timestamp"],
            "address": address,
            "event": name,
            "args": numbers_as_text(as_json(log["args"]), {"value", "id"}),
        }
        for log in reader.events[name]().get_logs(from_block=0)
    ]
    assert len(right) == len(VALUES[name])
    assert [json.loads(line) for line in done.out.splitlines()] == right
    file = tmp_path / "contracts.toml"
    file.write_text(f'[[contract]]\nname = "it"\naddress = "{address}"\nabi = "{SIGNATURES[name]}"\n')
    synced = tidelog("chain", "sync", "--rpc", anvil.url, "--db", url, "--contracts", str(file), "--log-level", "error")
    assert (synced.code, synced.err) == (0, "")
    rows = await asked(url, f"SELECT * FROM v_it_{name.lower()} ORDER BY block_number, log_index")
    assert [in_a_row(each, event) for each in right] == [
        {key: value for key, value in row.items() if key not in ("chain_id", "tx_index", "time")} for row in rows
    ]


def in_a_row(right: dict[str, Any], event: Event) -> dict[str, str]:
    """An event as its table's view shows it, every value as text."""
    row = {key: str(value) for key, value in right.items() if key not in ("event", "args")}
    for parameter in event.parameters:
        value = right["args"][parameter.name]
        compound = isinstance(parameter.type, Array | Tuple)
        column = {"from": "from_", "to": "to_"}.get(parameter.name, parameter.name)
        row[column] = json.dumps(value, separators=(",", ":"), ensure_ascii=False) if compound else str(value)
    return row
