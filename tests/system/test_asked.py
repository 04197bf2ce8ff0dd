"""What was asked is proven by the command, killed meanwhile: every log that was hidden is found and printed."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.chain.sync.test_contracts import SHAPE
from tests.command import Running, digest, tidelog
from tests.simulated import Simulated
from tests.store.test_views import asked
from tests.system.anvil import SIGNER_TEXT, Anvil
from tests.system.test_events_decoded import SIGNATURES, emitter
from tidelog.chain.abi.signatures import parse_event
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as places

BLOCKS = 2_300  # two pieces of what one commit proves
CONTRACT = """
[[contract]]
name = "tide"
address = "0x{}"
abi = "erc20"
events = ["Transfer"]
evidence = "{}"
"""


def rows(path: Path) -> set[tuple[int, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT block_number, log_index FROM e_tide_transfer").fetchall())


def sync(node: Simulated, path: Path, folder: Path, evidence: str) -> str:
    file = folder / f"{evidence}.toml"
    file.write_text(CONTRACT.format(places.TIDE.hex(), evidence))
    url = f"sqlite:///{path}"
    done = tidelog("chain", "sync", "--rpc", node.url, "--db", url, "--contracts", str(file))
    assert done.code == 0, done.err[-2_000:]
    return url


def test_a_proof_that_is_killed_goes_on_and_names_every_hidden_log(tmp_path: Path) -> None:
    tree = BlockTree(seed=5, shape=SHAPE, blocks=BLOCKS, finalized_depth=8, safe_depth=4)
    told, proven = tmp_path / "asked.db", tmp_path / "proven.db"
    with Simulated(tree) as node:
        node.do(lambda: node.node.tell("asked_logs_at_random"))
        url = sync(node, told, tmp_path, "asked")
        node.do(node.node.honest)
        so = sync(node, proven, tmp_path, "proven")
        hidden = rows(proven) - rows(told)
        assert len(hidden) > 20
        assert rows(told) < rows(proven)
        prove = ("chain", "prove", "--rpc", node.url, "--db", url, "--progress", "log")
        with Running(*prove, log=tmp_path / "first.log") as begun:
            begun.until(lambda: begun.events("core"), "its beginning")
            begun.kill9()
        with Running(*prove, log=tmp_path / "second.log") as running:
            running.until(lambda: running.events("asked_proven"), "a piece that is proven")
            running.kill9()
        assert tidelog("chain", "verify", "--db", url).code == 0
        done = tidelog(*prove, "--json")
        assert done.code == 0, done.err[-2_000:]
        found = [json.loads(line) for line in done.out.splitlines()]
        assert {(each["block_number"], each["log_index"]) for each in found} == hidden
        assert {(each["fault"], each["contract"]) for each in found} == {("left out", "tide")}
        assert all(each["endpoint"] in node.url for each in found)
        assert tidelog("chain", "verify", "--db", url).code == 0
        assert rows(told) == rows(proven)
    assert digest(url) == digest(so)


# with PostgreSQL each kind of evidence is tried in test_one_chain.py too
@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.torture)], indirect=True)
@pytest.mark.parametrize("evidence", ["whole", "proven", "asked"])
async def test_every_kind_of_evidence_gives_the_rows_that_a_real_node_has(
    evidence: str, anvil: Anvil, url: str, tmp_path: Path
) -> None:
    event = parse_event(SIGNATURES["Transfer"])
    made = anvil.send(data=emitter(event))
    anvil.mine()
    address = anvil.rpc("eth_getTransactionReceipt", made)["contractAddress"]
    word = bytes.fromhex(SIGNER_TEXT[2:]).rjust(32, b"\0")
    for value in range(12):
        anvil.send(to=address, data=f"0x{word.hex()}{value:064x}")
        anvil.mine(1 + value)
    anvil.mine(80)  # 64 blocks below the head a block is final
    file = tmp_path / "contracts.toml"
    file.write_text(
        f'[[contract]]\nname = "it"\naddress = "{address}"\nabi = "{SIGNATURES["Transfer"]}"\nevidence = "{evidence}"\n'
    )
    given = ("--rpc", anvil.url, "--db", url, "--log-level", "error")
    synced = tidelog("chain", "sync", *given, "--contracts", str(file))
    assert (synced.code, synced.err) == (0, "")
    logs = anvil.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": address})
    right = [
        tuple(
            str(each)
            for each in (
                int(log["blockNumber"], 16),
                int(log["logIndex"], 16),
                log["transactionHash"],
                int(log["data"], 16),
            )
        )
        for log in logs
    ]
    assert len(right) == 12

    async def stored() -> list[tuple[str, ...]]:
        found = await asked(url, "SELECT * FROM v_it_transfer ORDER BY block_number, log_index")
        names = ("block_number", "log_index", "transaction_hash", "value")
        return [tuple(str(row[name]) for name in names) for row in found]

    assert await stored() == right
    coverage = tidelog("chain", "coverage", "--db", url, "--json").out
    assert {json.loads(line)["evidence"] for line in coverage.splitlines()} >= {evidence}
    if evidence == "asked":
        proven = tidelog("chain", "prove", *given)
        assert (proven.code, proven.out.endswith("endpoints had said all\n")) == (0, True), proven.err
        assert await stored() == right
    assert tidelog("chain", "verify", "--db", url).code == 0
