"""Contracts as a file says them: what is meant, and what is refused in a sentence."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_mistakes import assert_one_sentence
from tests.simulated import Simulated
from tidelog.cli.sources.contracts import contracts_in
from tidelog.errors import ConfigError
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as places

ADDRESS = "0x" + "ab" * 20
ABI = '[{"type":"event","name":"A","inputs":[{"type":"uint256","name":"x"}]},{"type":"event","name":"B","inputs":[]}]'


def written(folder: Path, *tables: str) -> str:
    file = folder / "contracts.toml"
    file.write_text("".join(f"[[contract]]\n{table}\n" for table in tables))
    return str(file)


def table(name: str = "one", address: str = ADDRESS, abi: str = '"erc20"', more: str = "") -> str:
    return f'name = "{name}"\naddress = "{address}"\nabi = {abi}\n{more}'


def test_an_abi_is_a_name_a_file_or_signatures(tmp_path: Path) -> None:
    (tmp_path / "abi.json").write_text(ABI)
    (tmp_path / "all.json").write_text(
        f'{{"contracts": {{"x.sol:One": {{"abi": {ABI}}}, "x.sol:Two": {{"abi": []}}}}}}'
    )
    file = written(
        tmp_path,
        table("known", more='events = ["Transfer"]\nfrom = 7'),
        table("described", abi='"abi.json"'),
        table("chosen", abi='"all.json#One"', more='events = ["A(uint256)"]'),
        table("signed", abi='["event A(uint256 x)", "A(uint256 indexed x)", "A(uint256 y)", "abi.json"]'),
    )
    known, described, chosen, signed = contracts_in(file)
    assert [event.signature for event in known.events] == ["Transfer(address,address,uint256)"]
    assert (known.first_block, known.address) == (7, bytes.fromhex(ADDRESS[2:]))
    assert [event.name for event in described.events] == ["A", "B"]
    assert [event.signature for event in chosen.events] == ["A(uint256)"]
    assert [(event.name, event.names, len(event.indexed)) for event in signed.events] == [
        ("A", ("x",), 0),
        ("A", ("x",), 1),
        ("B", (), 0),
    ], "an event that comes again under other names of its arguments is one"


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ((table(address="0x12"),), "contract.one.address '0x12': give an address of 20 bytes"),
        ((table(abi='"erc21"'),), "contract.one.abi .*/erc21: No such file or directory; by name there are erc20,"),
        ((table(abi='"A(uint257 x)"'),), "contract.one.abi: 'A.uint257 x.' is no signature of an event"),
        ((table(abi="[]"),), "contract.one.abi: give the name of a known ABI, a file"),
        ((table(abi="7"),), "contract.one.abi: give the name of a known ABI, a file"),
        ((table(more='events = ["Transfr"]'),), "contract.one.events: there is no event 'Transfr'; there are Transfer"),
        ((table(more='evidence = "proved"'),), "contract.one.evidence: give one of asked, proven, whole"),
        ((table(more="from = -1"),), "contract.one.from: give a whole number, 0 or more"),
        ((table(), table()), "contract.one.name: two contracts have it"),
        ((table("a-b"),), "contract.a-b.name: the name has to be of a-z"),
        ((table("a--b"),), "contract.a--b.name: the name has to be of a-z"),
        ((table("Tide"),), "contract.Tide.name: the name has to be of a-z"),
        ((table("tide pool"),), "name: the name has to be of a-z"),
        ((table("a" * 25),), "name: the name has to be of a-z"),
        ((table(more="form = 1"),), "contract.one.form: there is no such key; did you mean from"),
    ],
)
def test_what_cannot_be_meant_is_refused(tables: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        contracts_in(written(tmp_path, *tables))


def test_the_file_of_run_has_them_below_their_chain(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tidelog.toml"
    chain = '[[chain]]\nname = "main"\nrpc = ["http://h"]\n'
    contract = f"[[chain.contract]]\n{table('tide')}"
    file.write_text(chain + contract)
    check = cli("config", "check", "-c", str(file))
    assert "main: http://h/; contracts tide" in check.out or "main: http://h; contracts tide" in check.out
    shown = json.loads(cli("config", "show", "--json", "-c", str(file)).out)
    assert shown["values"]["chain"]["main"]["contract"]["tide"]["abi"] == "erc20"
    file.write_text(chain + contract.replace("erc20", "nothing"))
    assert_one_sentence(cli("config", "check", "-c", str(file)), "chain.main.contract.tide.abi")


def test_a_sync_keeps_what_its_file_names(cli: Cli, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/play.db"
    tree = BlockTree(seed=1, shape=Shape(transactions=(6, 8), contracts=True), blocks=40)
    tide, board = f"0x{places.TIDE.hex()}", f"0x{places.BOARD.hex()}"
    with Simulated(tree) as node:
        sync = ("chain", "sync", "--rpc", node.url, "--db", db, "--jobs", "0")
        one = written(tmp_path, table("tide", tide))
        assert cli(*sync, "--to", "30", "--contracts", one).code == 0
        both = written(
            tmp_path, table("tide", tide), table("board", board, '"Note(string indexed subject, string text)"')
        )
        assert cli(*sync, "--contracts", both).code == 0
        assert cli(*sync).code == 0, "without the option they stay"
        told = [json.loads(line) for line in cli("chain", "contracts", "--db", db, "--json").out.splitlines()]
        assert [(each["contract"], each["state"], each["covered"]) for each in told] == [
            ("board", "filled", [0, 40]),
            ("tide", "filled", [0, 40]),
        ]
        assert told[1]["tables"]["e_tide_transfer"] > 5
        assert told[0]["misfits"] == {"a string is not UTF-8": told[0]["tables"]["e_board__misfits"]}
        text = cli("chain", "contracts", "--db", db).out
        assert f"tide         {tide}  filled: blocks 0 to 40, whole" in text
        assert "rows of contracts' events verified" in cli("chain", "verify", "--db", db).out
        other = written(tmp_path, table("tide", board))
        refused = cli(*sync, "--contracts", other)
        assert refused.code == 2
        assert "contract tide: its address is another one than its tables were made for" in refused.err
        assert cli(*sync, "--contracts", written(tmp_path)).code == 0
        assert cli("chain", "contracts", "--db", db).out == ""
