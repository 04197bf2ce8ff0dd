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


def child(created_by: str, name: str = "pool") -> str:
    return f'name = "{name}"\ncreated_by = "{created_by}"\nabi = "uniswap_v3_pool"\n'


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
        (
            (table(more='created_by = "two.A.x"'),),
            "contract.one.address: give the address where it stands, or created_by",
        ),
        ((child(""),), "contract.pool.address: give the address where it stands, or created_by"),
        ((child("factory"),), "contract.pool.created_by: give CONTRACT.EVENT.ARGUMENT, such as uniswap_v3_factory"),
        ((child("factory.PoolCreated.pool"),), "contract.pool.created_by: there is no contract 'factory'"),
        (
            (child("one.Sent.to"), table()),
            "pool.created_by: one has no event 'Sent'; it has Transfer, Approval",
        ),
        (
            (child("one.Transfer.who"), table()),
            "one.Transfer has no argument 'who'; it has from, to, value",
        ),
        ((child("one.Transfer.value"), table()), "its argument value is of type uint256, and no address"),
        ((child("pool.Mint.sender"),), "contract.pool.created_by: it would create itself: pool < pool"),
        (
            (child("pond.Mint.sender"), child("pool.Mint.sender", "pond")),
            "contract.pool.created_by: it would create itself: pool < pond < pool",
        ),
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


def test_one_that_others_create_names_its_creator(tmp_path: Path) -> None:
    factory = table("factory", abi='"uniswap_v3_factory"')
    pool, made = contracts_in(written(tmp_path, child("factory.PoolCreated.pool"), factory))
    assert (pool.address, pool.created_by and pool.created_by.text) == (b"", "factory.PoolCreated.pool")
    assert (made.name, made.created_by) == ("factory", None)
    signature = "factory.PoolCreated(address,address,uint24,int24,address).pool"
    (pool, _) = contracts_in(written(tmp_path, child(signature), factory))
    assert pool.created_by is not None
    assert (pool.created_by.contract, pool.created_by.argument, pool.created_by.text) == ("factory", "pool", signature)


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


def test_children_are_shown_where_contracts_are(cli: Cli, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/play.db"
    tree = BlockTree(seed=1, shape=Shape(transactions=(6, 8), contracts=True), blocks=40)
    factory = table("factory", f"0x{places.FACTORY.hex()}", '"uniswap_v3_factory"', 'evidence = "proven"')
    file = written(tmp_path, factory, child("factory.PoolCreated.pool"))
    with Simulated(tree) as node:
        sync = ("chain", "sync", "--rpc", node.url, "--db", db, "--jobs", "0", "--contracts", file)
        assert cli(*sync).code == 0
    told = [json.loads(line) for line in cli("chain", "contracts", "--db", db, "--json").out.splitlines()]
    assert [(each["contract"], each["created_by"], each["state"]) for each in told] == [
        ("factory", None, "filled"),
        ("pool", "factory.PoolCreated.pool", "filled"),
    ]
    assert told[1]["address"] is None
    assert told[1]["children"] == told[1]["tables"]["e_pool__children"] == 3
    text = cli("chain", "contracts", "--db", db).out
    assert "pool         created by factory.PoolCreated.pool  filled: blocks 0 to 40, proven" in text
    assert json.loads(cli("chain", "status", "--db", db, "--json").out)["children"] == {"pool": 3}
    assert "pool" in cli("chain", "coverage", "--db", db).out
    assert cli("chain", "verify", "--db", db).code == 0
    pool = f"0x{places.named('pool 500').hex()}"
    events = ("chain", "events", "Swap", "--abi", "uniswap_v3_pool", "--address", pool, "--db", db)
    found = cli(*events, "--json")
    assert (found.code, len(found.out.splitlines()) > 3) == (0, True)
    refused = cli(*events, "--from", "0")
    assert_one_sentence(refused, f"of pool ({pool}) blocks ")
    stranger = cli("chain", "events", "Swap", "--abi", "uniswap_v3_pool", "--address", ADDRESS, "--db", db)
    assert_one_sentence(stranger, "pool created by factory.PoolCreated.pool")


def test_contracts_are_shown_with_how_each_block_is_known(cli: Cli, tmp_path: Path) -> None:
    """Not with what their file asks for: what was asked is proven later."""
    db = f"sqlite:///{tmp_path}/play.db"
    tree = BlockTree(seed=1, shape=Shape(transactions=(6, 8), contracts=True), blocks=80, finalized_depth=20)
    tide = f"0x{places.TIDE.hex()}"
    file = written(tmp_path, table("tide", tide, '"erc20"', 'evidence = "asked"'))
    with Simulated(tree) as node:
        endpoint = ("--rpc", node.url, "--db", db)
        assert cli("chain", "sync", *endpoint, "--jobs", "0", "--contracts", file).code == 0
        [told] = [json.loads(line) for line in cli("chain", "contracts", "--db", db, "--json").out.splitlines()]
        asked, proven = told["spans"]
        assert (asked["first"], asked["evidence"], asked["endpoint"] is None) == (0, "asked", False)
        assert (proven["first"], proven["last"], proven["evidence"]) == (asked["last"] + 1, 80, "proven")
        held = f"blocks 0 to {asked['last']}, asked; blocks {asked['last'] + 1} to 80, proven"
        assert f"tide         {tide}  filled: {held}\n" in cli("chain", "contracts", "--db", db).out
        assert cli("chain", "prove", *endpoint).code == 0
    assert f"tide         {tide}  filled: blocks 0 to 80, proven\n" in cli("chain", "contracts", "--db", db).out


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
