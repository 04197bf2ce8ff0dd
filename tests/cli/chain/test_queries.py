"""`tidelog chain logs | transactions`: compared with what the node serves, on both databases, and by indexes."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.command import Finished
from tests.simulated import Simulated
from tidelog.chain.reading.log_search import select_logs
from tidelog.chain.reading.transaction_search import select_transactions
from tidelog.cli.chain import queries as chain_queries
from tidelog.cli.options import Form
from tidelog.errors import ConfigError
from tidelog.store.query import select_query

NOBODY = "0x" + "ab" * 20
NOTHING = "0x" + "cd" * 32


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, node: Simulated, cli: Cli) -> str:
    """The URL of a store with all of the node's blocks."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("db")
        return url
    url = request.getfixturevalue("postgres_url")
    assert cli("chain", "sync", "--rpc", node.url, "--db", url, "--log-level", "error").code == 0
    return url


def listed(done: Finished) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def ask(node: Simulated, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    asked = urllib.request.Request(node.url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)["result"]


def served_blocks(node: Simulated) -> list[dict[str, Any]]:
    return [ask(node, "eth_getBlockByNumber", hex(number), True) for number in range(BLOCKS + 1)]


def served_logs(node: Simulated) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(BLOCKS)})
    return found


def place(log: dict[str, Any]) -> tuple[int, int]:
    return int(log["blockNumber"], 16), int(log["logIndex"], 16)


@pytest.mark.parametrize("position", range(4))
def test_logs_by_each_topic_are_the_nodes_with_time_and_transaction(
    position: int, cli: Cli, node: Simulated, stored: str
) -> None:
    logs, blocks = served_logs(node), served_blocks(node)
    topic = next(log["topics"][position] for log in logs if len(log["topics"]) > position)
    right = [log for log in logs if log["topics"][position : position + 1] == [topic]]
    told = listed(cli("chain", "logs", "--db", stored, "--json", "--limit", "10000", f"--topic{position}", topic))
    assert [(each["block_number"], each["log_index"]) for each in told] == [place(log) for log in right]
    assert [each["tx_hash"] for each in told] == [log["transactionHash"] for log in right]
    times = [int(blocks[int(log["blockNumber"], 16)]["timestamp"], 16) for log in right]
    assert [each["timestamp"] for each in told] == times


def test_several_topics_and_an_address_all_have_to_match(cli: Cli, node: Simulated, stored: str) -> None:
    log = next(log for log in served_logs(node) if len(log["topics"]) > 2)
    flags = ("--address", log["address"], "--topic0", log["topics"][0], "--topic1", NOTHING, "--topic1")
    right = [
        place(other)
        for other in served_logs(node)
        if other["address"] == log["address"] and other["topics"][:2] == log["topics"][:2]
    ]
    told = listed(cli("chain", "logs", "--db", stored, "--json", *flags, log["topics"][1]))
    assert [(each["block_number"], each["log_index"]) for each in told] == right
    assert listed(cli("chain", "logs", "--db", stored, "--json", *flags, NOTHING)) == []


Chosen = Callable[[dict[str, Any]], bool]


def right_transactions(node: Simulated, chosen: Chosen, *, descending: bool = True) -> list[tuple[str, int]]:
    """Hash and time of those that the node serves."""
    found = []
    for block in served_blocks(node):
        for tx in block["transactions"]:
            tx["contract"] = ask(node, "eth_getTransactionReceipt", tx["hash"])["contractAddress"]
            if chosen(tx):
                found.append((tx["hash"], int(block["timestamp"], 16)))
    return found[::-1] if descending else found


def told_transactions(done: Finished) -> list[tuple[str, int]]:
    return [(each["hash"], each["timestamp"]) for each in listed(done)]


def test_transactions_by_sender_receiver_and_both(cli: Cli, node: Simulated, stored: str) -> None:
    command = ("chain", "transactions", "--db", stored, "--json", "--limit", "10000")
    block = next(block for block in served_blocks(node) if block["transactions"])
    sender = block["transactions"][0]["from"]
    sent = right_transactions(node, lambda tx: tx["from"] == sender)
    assert told_transactions(cli(*command, "--sender", sender)) == sent
    assert told_transactions(cli(*command)) == right_transactions(node, lambda tx: True)
    receiver = next(tx["to"] for block in served_blocks(node) for tx in block["transactions"] if tx["to"])
    received = right_transactions(node, lambda tx: receiver in (tx["to"], tx["contract"]))
    assert told_transactions(cli(*command, "--receiver", receiver)) == received
    assert told_transactions(cli(*command, "--receiver", receiver, "--receiver", NOBODY)) == received
    both = [each for each in received if each in sent]
    for flags in ((), ("--sender", NOBODY)):
        told = cli(*command, "--sender", sender, *flags, "--receiver", receiver)
        assert told_transactions(told) == both


def test_the_receiver_of_a_creation_is_the_contract(cli: Cli, node: Simulated, stored: str) -> None:
    command = ("chain", "transactions", "--db", stored, "--json")
    made = next(
        contract
        for block in served_blocks(node)
        for tx in block["transactions"]
        if (contract := ask(node, "eth_getTransactionReceipt", tx["hash"])["contractAddress"])
    )
    right = right_transactions(node, lambda tx: made in (tx["to"], tx["contract"]))
    assert right
    assert told_transactions(cli(*command, "--receiver", made)) == right


def test_transactions_of_a_block_come_in_its_order_by_number_and_by_hash(
    cli: Cli, node: Simulated, stored: str
) -> None:
    block = max(served_blocks(node), key=lambda block: len(block["transactions"]))
    assert len(block["transactions"]) > 1
    for key in (str(int(block["number"], 16)), block["hash"]):
        told = listed(cli("chain", "transactions", "--db", stored, "--json", "--block", key))
        assert [each["hash"] for each in told] == [tx["hash"] for tx in block["transactions"]]
        assert [each["value"] for each in told] == [str(int(tx["value"], 16)) for tx in block["transactions"]]
        assert [each["to_address"] for each in told] == [tx["to"] for tx in block["transactions"]]
    lines = cli("chain", "transactions", "--db", stored, "--block", block["hash"]).out.splitlines()
    assert lines[0].startswith(f"block_number={int(block['number'], 16)}  timestamp={int(block['timestamp'], 16)}  ")


def test_a_list_is_no_longer_than_its_limit_and_within_its_range(cli: Cli, stored: str) -> None:
    command = ("chain", "transactions", "--db", stored, "--json")
    told = listed(cli(*command, "--from", "20", "--to", "30", "--limit", "5"))
    assert len(told) == 5
    assert {each["block_number"] for each in told} <= set(range(20, 31))
    assert told == listed(cli(*command, "--from", "20", "--to", "30"))[:5]


def test_an_empty_result_says_what_the_store_holds(cli: Cli, db: str) -> None:
    there = f"chain 1337 is stored from block 0 to {BLOCKS}"
    for command, what in (
        (("logs", "--address", NOBODY), "log"),
        (("logs", "--topic2", NOTHING), "log"),
        (("transactions", "--sender", NOBODY), "transaction"),
        (("transactions", "--receiver", NOBODY, "--block", "7"), "transaction"),
    ):
        done = cli("chain", command[0], "--db", db, *command[1:])
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith(f"tidelog: no {what} is such a one: {there}, with ")
    for flags in (("--from", "500"), ("--block", "500"), ("--block", NOTHING)):
        done = cli("chain", "transactions", "--db", db, *flags)
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(f": {there}\n")
    assert cli("chain", "blocks", "--db", db, "--from", "500").err.endswith(f": {there}\n")


def test_topics_without_an_index_are_looked_for_in_a_range_only(cli: Cli, db: str) -> None:
    narrow = chain_queries.QueryLimits(span_blocks_max=50)

    def search(*, topic0: str = "", low: int | None = None) -> None:
        topics = ((topic0,) if topic0 else (), (NOTHING,), (), ())
        chain_queries.list_logs(
            db, None, address=(), topics=topics, low=low, high=None, limit=10, form=Form(as_json=True), limits=narrow
        )

    with pytest.raises(ConfigError) as refused:
        search()
    assert "blocks 0 to 100 are 101, and by --topic1 to --topic3 alone at most 50 are looked through" in str(
        refused.value
    )
    search(low=51)
    search(topic0=NOTHING)
    assert cli("chain", "logs", "--db", db, "--topic1", NOTHING).code == 0  # the usual limit is far above this store


class Planning:
    """A snapshot that finds nothing, and notes what it was asked."""

    any_of_max = 0  # as SQLite's: each alternative is a query of its own

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.asked: list[tuple[str, list[Any]]] = []

    async def select(self, table: Any, **arguments: Any) -> list[Any]:
        self.asked.append(select_query(table, mark=self.mark, **arguments))
        return []


A, B = b"\1" * 20, b"\2" * 20
TOPIC = b"\3" * 32
# what is asked for                                      the indexes, one for each query
PLANS: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    ({"addresses": [A]}, ("logs_address",)),
    ({"addresses": [A, B], "topics": {"topic2": TOPIC}}, ("logs_address", "logs_address")),
    ({"topics": {"topic0": (TOPIC,), "topic1": [TOPIC, b"\4" * 32]}}, ("logs_topic0",)),
    ({"senders": [A]}, ("transactions_from",)),
    ({"senders": [A, B]}, ("transactions_from", "transactions_from")),
    ({"receivers": [A]}, ("transactions_to", "transactions_contract")),
)


@pytest.mark.parametrize(("asked", "indexes"), PLANS)
async def test_each_query_is_one_range_of_an_index(asked: dict[str, Any], indexes: tuple[str, ...], db: str) -> None:
    planning: Any = Planning("?")
    order: dict[str, Any] = {"low": 5, "high": 90, "limit": 10}
    if "senders" in asked or "receivers" in asked:
        who = (asked.get("senders", []), asked.get("receivers", []))
        await select_transactions(planning, 1337, *who, descending=True, **order)
    else:
        await select_logs(planning, 1337, addresses=asked.get("addresses", []), topics=asked.get("topics", {}), **order)
    database = apsw.Connection(db.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)
    plans = [str(list(database.execute(f"EXPLAIN QUERY PLAN {text}", values))) for text, values in planning.asked]
    database.close()
    assert len(plans) == len(indexes)
    for plan, index in zip(plans, indexes, strict=True):
        assert f"INDEX {index} " in plan
        assert "TEMP B-TREE" not in plan
