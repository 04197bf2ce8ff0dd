"""Recorded blocks are served byte for byte, and what was not recorded is null."""

import json
from pathlib import Path

import pytest

from tests.sim.asking import ask, call, full_node, ledger_of
from tidelog.errors import ConfigError
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.recorded import RecordedChain


@pytest.fixture
def recordings(shared: Path) -> Path:
    return shared / "data" / "evm" / "rpc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Blocks 5 and 9 of a simulated chain, the receipts of 9 missing."""
    tree = ledger_of(full_node())
    for number in (5, 9):
        place = tmp_path / "polygon" / str(number)
        place.mkdir(parents=True)
        (place / "block.json").write_bytes(tree.canonical(number).page.full)
        if number == 5:
            (place / "receipts.json").write_bytes(tree.canonical(number).page.receipts)
    return tmp_path


def test_a_recorded_node_answers_only_what_was_recorded(folder: Path) -> None:
    node = SimNode(RecordedChain.from_folder(folder / "polygon"))
    assert ask(node, "eth_chainId") == hex(137)
    assert ask(node, "eth_blockNumber") == "0x9"
    assert ask(node, "eth_getBlockByNumber", "finalized", False)["number"] == "0x9"
    block = json.loads((folder / "polygon/5/block.json").read_bytes())
    receipts = json.loads((folder / "polygon/5/receipts.json").read_bytes())
    assert ask(node, "eth_getBlockByNumber", "0x5", True) == block
    assert ask(node, "eth_getBlockByHash", block["hash"], True) == block
    assert ask(node, "eth_getBlockReceipts", "0x5") == receipts
    assert ask(node, "eth_getTransactionReceipt", receipts[1]["transactionHash"]) == receipts[1]
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert ask(node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x9"}) == logs
    for number in ("0x0", "0x6", "0xa"):
        assert ask(node, "eth_getBlockByNumber", number, True) is None
    last = ask(node, "eth_getBlockByNumber", "0x9", False)
    assert ask(node, "eth_getBlockReceipts", "0x9") is None
    assert ask(node, "eth_getTransactionReceipt", last["transactions"][0]) is None


def test_recorded_blocks_cannot_be_moved_but_lied_about(folder: Path) -> None:
    node = SimNode(RecordedChain.from_folder(folder, chain_id=7))
    assert ask(node, "sim_extend") == (-32601, "recorded blocks cannot be changed")
    ask(node, "sim_lie", "receipts_empty")
    ask(node, "sim_lie", "receipts_other_fork")
    assert ask(node, "eth_getBlockReceipts", "0x5") == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nothing", "there is no block.json below"),
        ("which chain", "--chain-id"),
        ("twice", "block 5 is recorded twice"),
        ("no json", "is no recorded block"),
        ("null", "is no recorded block"),
        ("no receipts", "is no recorded block"),
    ],
)
def test_a_folder_that_cannot_be_served_says_why(folder: Path, fault: str, words: str) -> None:
    chain_id: int | None = 1
    match fault:
        case "nothing":
            folder /= "elsewhere"
        case "which chain":
            chain_id = None
        case "twice":
            (folder / "copy").mkdir()
            (folder / "copy" / "block.json").write_bytes((folder / "polygon/5/block.json").read_bytes())
        case "no json":
            (folder / "polygon/5/block.json").write_bytes(b"<html>")
        case "null":
            (folder / "polygon/5/block.json").write_bytes(b"null")
        case "no receipts":
            (folder / "polygon/5/receipts.json").write_bytes(b"[{}]")
    with pytest.raises(ConfigError, match=words):
        RecordedChain.from_folder(folder, chain_id=chain_id)


def test_mainnet_as_it_was_recorded(recordings: Path) -> None:
    folder = recordings / "ethereum"
    node = SimNode(RecordedChain.from_folder(folder))
    assert ask(node, "eth_chainId") == "0x1"
    assert ask(node, "eth_blockNumber") == hex(18_500_000)
    for number in (1_000_000, 4_369_999, 18_000_000, 18_500_000):
        request = json.dumps(call("eth_getBlockByNumber", hex(number), True)).encode()
        recorded = (folder / str(number) / "block.json").read_bytes()
        assert recorded in node.handle("/", request).body
        receipts = ask(node, "eth_getBlockReceipts", hex(number))
        assert len(receipts) == len(ask(node, "eth_getBlockByNumber", hex(number), False)["transactions"])


def test_every_recorded_chain_can_be_served(recordings: Path) -> None:
    for folder in recordings.iterdir():
        node = SimNode(RecordedChain.from_folder(folder, chain_id=1))
        assert ask(node, "eth_getBlockByNumber", "latest", False)["hash"]
