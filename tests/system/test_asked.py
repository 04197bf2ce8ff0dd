"""What was asked is proven by the command, killed meanwhile: every log that was hidden is found and printed."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.chain.sync.test_contracts import SHAPE
from tests.command import Running, digest, tidelog
from tests.simulated import Simulated
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
    asked, proven = tmp_path / "asked.db", tmp_path / "proven.db"
    with Simulated(tree) as node:
        node.do(lambda: node.node.tell("asked_logs_at_random"))
        url = sync(node, asked, tmp_path, "asked")
        node.do(node.node.honest)
        so = sync(node, proven, tmp_path, "proven")
        hidden = rows(proven) - rows(asked)
        assert len(hidden) > 20
        assert rows(asked) < rows(proven)
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
        assert rows(asked) == rows(proven)
    assert digest(url) == digest(so)
