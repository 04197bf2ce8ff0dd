"""`tidelog chain events | calls`: what is found and decoded, what does not fit, and what cannot be meant."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.cli.conftest import Cli
from tidelog.chain.abi.known import KNOWN
from tidelog.chain.abi.signatures import parse_event, parse_function
from tidelog.chain.reading.event_search import event_search, select_events
from tidelog.cli.stores import opened

TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"
NAMED = "Named(uint8 indexed kind, string name)"
TOKEN, OTHER = b"\xaa" * 20, b"\xbb" * 20
ALICE, BOB = b"\x01" * 20, b"\x02" * 20
HUGE = (1 << 256) - 1


def word(value: bytes | int) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


def transfer(contract: bytes, sender: bytes, to: bytes, value: int) -> tuple[bytes, list[bytes], bytes]:
    topic0 = parse_event(TRANSFER).topic0
    assert topic0 is not None
    return contract, [topic0, word(sender), word(to)], word(value)


def named(kind: int, name: bytes) -> tuple[bytes, list[bytes], bytes]:
    topic0 = parse_event(NAMED).topic0
    assert topic0 is not None
    return OTHER, [topic0, word(kind)], word(32) + word(len(name)) + name.ljust(32, b"\0")


_, TOPICS, _ = transfer(TOKEN, ALICE, BOB, 0)
LOGS = [
    transfer(TOKEN, ALICE, BOB, 5),
    transfer(OTHER, ALICE, BOB, 6),
    transfer(TOKEN, BOB, ALICE, HUGE),
    (TOKEN, [*TOPICS, word(721)], b""),  # an ERC-721's Transfer
    (TOKEN, TOPICS, b"\1"),
    named(3, b"a,\x1b[31m\n"),
]


@pytest.fixture
def places(db: str) -> list[tuple[int, int]]:
    """Where LOGS stand: in the place of as many stored ones."""
    with apsw.Connection(db.removeprefix("sqlite:///")) as connection:
        rows = list(connection.execute("SELECT block_number, log_index FROM logs ORDER BY 1, 2"))
        chosen = [rows[position * len(rows) // len(LOGS)] for position in range(len(LOGS))]
        for place, (address, topics, data) in zip(chosen, LOGS, strict=True):
            connection.execute(
                "UPDATE logs SET address = ?, topic0 = ?, topic1 = ?, topic2 = ?, topic3 = ?, data = ? "
                "WHERE block_number = ? AND log_index = ?",
                (address, *(topics + [None] * 4)[:4], data, *place),
            )
    connection.close()
    return [(int(str(number)), int(str(index))) for number, index in chosen]


@pytest.fixture
def called(db: str) -> list[tuple[int, int]]:
    """Where three transactions stand that call TOKEN: two transfers, and one cut short."""
    sent = parse_function("transfer(address,uint256)").selector + word(BOB) + word(HUGE)
    with apsw.Connection(db.removeprefix("sqlite:///")) as connection:
        rows = list(connection.execute("SELECT block_number, tx_index FROM transactions ORDER BY 1, 2 LIMIT 4"))
        for place, data in zip(rows, (sent, sent[:40], sent + b"mark", b""), strict=True):
            connection.execute(
                "UPDATE transactions SET to_address = ?, input = ?, status = 1 WHERE block_number = ? AND tx_index = ?",
                (TOKEN, data, *place),
            )
    connection.close()
    return [(int(str(number)), int(str(index))) for number, index in rows]


def listed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def hexed(value: bytes) -> str:
    return f"0x{value.hex()}"


def test_events_of_a_contract_are_objects_with_block_time_and_transaction(
    cli: Cli, db: str, places: list[tuple[int, int]]
) -> None:
    done = cli("chain", "events", TRANSFER, "--db", db, "--address", hexed(TOKEN), "--json")
    first, second = listed(done.out)
    number, index = places[0]
    logs = listed(cli("chain", "logs", "--db", db, "--address", hexed(TOKEN), "--json").out)
    assert first == {
        "block_number": number,
        "log_index": index,
        "transaction_hash": logs[0]["tx_hash"],
        "timestamp": logs[0]["timestamp"],
        "address": hexed(TOKEN),
        "event": "Transfer",
        "args": {"from": hexed(ALICE), "to": hexed(BOB), "value": "5"},
    }
    assert second["args"] == {"from": hexed(BOB), "to": hexed(ALICE), "value": str(HUGE)}
    assert done.err.splitlines() == [
        "tidelog: 1 log does not fit the signature: indexed arguments: 3, and 2 in the signature",
        "tidelog: 1 log does not fit the signature: the data ends too early",
    ]


# flags                                                 which of LOGS
SEARCHES: list[tuple[tuple[str, ...], list[int]]] = [
    ((), [0, 1, 2]),
    (("--limit", "2"), [0, 1]),
    (("--arg", f"from={hexed(BOB)}"), [2]),
    (("--arg", f"from={hexed(BOB)}", "--arg", f"from={hexed(ALICE)}"), [0, 1, 2]),
    (("--arg", f"from={hexed(ALICE)}", "--address", hexed(OTHER)), [1]),
    (("--address", hexed(OTHER), "--address", hexed(TOKEN)), [0, 1, 2]),
    (("--arg", f"to={hexed(TOKEN)}"), []),
]


@pytest.mark.parametrize(("flags", "right"), SEARCHES)
def test_arguments_addresses_and_a_limit_choose(
    flags: tuple[str, ...], right: list[int], cli: Cli, db: str, places: list[tuple[int, int]]
) -> None:
    done = cli("chain", "events", TRANSFER, "--db", db, "--json", *flags)
    assert done.code == 0, done.err
    assert [(each["block_number"], each["log_index"]) for each in listed(done.out)] == [
        places[which] for which in right
    ]
    assert ("no log is such a one" in done.err) == (not right)


def test_a_range_of_blocks_chooses(cli: Cli, db: str, places: list[tuple[int, int]]) -> None:
    command = ("chain", "events", TRANSFER, "--db", db, "--json")
    number = str(places[1][0])
    (only,) = listed(cli(*command, "--from", number, "--to", number).out)
    assert (only["block_number"], only["log_index"]) == places[1]


def test_an_abi_has_the_event_by_its_name_and_tells_tokens_apart(
    cli: Cli, db: str, places: list[tuple[int, int]], tmp_path: Path
) -> None:
    command = ("chain", "events", "--db", db, "--json", "--abi")
    (token,) = listed(cli(*command, "erc721", "Transfer").out)
    assert token["args"] == {"from": hexed(ALICE), "to": hexed(BOB), "tokenId": "721"}
    inputs = [{"name": "kind", "type": "uint8", "indexed": True}, {"name": "name", "type": "string"}]
    document = tmp_path / "Named.json"
    document.write_text(json.dumps({"abi": [{"type": "event", "name": "Named", "inputs": inputs}]}))
    (event,) = listed(cli(*command, str(document), "Named").out)
    assert event["args"] == {"kind": 3, "name": "a,\x1b[31m\n"}


def test_a_table_shows_nothing_that_moves_the_terminal(cli: Cli, db: str, places: list[tuple[int, int]]) -> None:
    head, line = cli("chain", "events", NAMED, "--db", db).out.splitlines()
    assert head.split() == [
        "block_number",
        "log_index",
        "transaction_hash",
        "timestamp",
        "address",
        "event",
        "kind",
        "name",
    ]
    assert line.endswith("  Named  3     a,\\u001b[31m\\u000a")
    assert line.index("Named") == head.index("event")


def test_csv_is_read_back_as_it_was(cli: Cli, db: str, places: list[tuple[int, int]]) -> None:
    head, row = csv.reader(io.StringIO(cli("chain", "events", NAMED, "--db", db, "--csv").out))
    cells = dict(zip(head, row, strict=True))
    assert (cells["kind"], cells["name"], cells["event"]) == ("3", "a,\x1b[31m\n", "Named")


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("Transfer(adress a)",), "'Transfer(adress a)' is no signature of an event: 'adress' is no type of an ABI"),
    (("Transfer",), "'Transfer' is a name: write the whole signature, or say --abi"),
    (("Transfer", "--abi", "erc2"), "--abi erc2: No such file or directory; by name there are erc20"),
    (("Move", "--abi", "erc20"), "--abi erc20 has no event 'Move'"),
    (("Transfer", "--abi", __file__), f"--abi {__file__}: it is no ABI: "),
    ((TRANSFER, "--address", "0x12"), "--address '0x12': give an address of 20 bytes"),
    ((TRANSFER, "--arg", "to"), "--arg 'to': give NAME=VALUE"),
    ((TRANSFER, "--arg", "too=1"), "Transfer has no argument 'too': it has from, to, value"),
    ((TRANSFER, "--arg", "to=bob"), "the argument to: 'bob' is no address: give 20 bytes, as 0x and hex digits"),
    ((TRANSFER, "--arg", "value=1"), "the argument value of Transfer is not indexed: it cannot be searched by"),
    (("E(uint256 a) anonymous",), "an anonymous event is found by the address of its contract alone: say which"),
    ((TRANSFER, "--json", "--csv"), "--json and --csv exclude each other"),
    ((TRANSFER, "--from", "1000"), "there is no block from 1000 on"),
    ((TRANSFER, "--limit", "0"), "--limit 0: give 1 to 10000"),
]


@pytest.mark.parametrize(("flags", "why"), MISTAKES)
def test_what_cannot_be_meant_is_told_in_one_sentence(flags: tuple[str, ...], why: str, cli: Cli, db: str) -> None:
    done = cli("chain", "events", *flags, "--db", db)
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert "Traceback" not in done.err


def test_the_help_names_every_known_abi(cli: Cli) -> None:
    shown = cli("chain", "events", "--help").out
    assert [name for name in KNOWN if name not in shown] == []


async def test_a_search_goes_on_where_one_ended_that_passed_over_too_many(
    db: str, places: list[tuple[int, int]]
) -> None:
    search = event_search([parse_event(TRANSFER)], [TOKEN], {})
    found, misfits, after = [], 0, None
    async with opened(db) as store, store.snapshot() as snapshot:
        for _ in range(len(LOGS)):
            page = await select_events(snapshot, 1337, search, low=None, high=None, limit=1, after=after, passed_max=1)
            found += [(event.block_number, event.log_index) for event in page.found]
            misfits += page.misfits.total()
            after = page.last
            if after is None:
                break
    assert (found, misfits, after) == ([places[0], places[2]], 2, None)


def test_calls_of_a_contract_are_objects_with_their_block_and_status(
    cli: Cli, db: str, called: list[tuple[int, int]]
) -> None:
    command = ("chain", "calls", "transfer(address to, uint256 value)", "--db", db, "--address", hexed(TOKEN))
    done = cli(*command, "--json")
    calls = listed(done.out)
    assert [(each["block_number"], each["tx_index"]) for each in calls] == [called[0], called[2]]
    sent = listed(cli("chain", "transactions", "--db", db, "--receiver", hexed(TOKEN), "--json").out)[-1]
    assert calls[0] == {
        **{
            name: sent[name]
            for name in ("block_number", "tx_index", "timestamp", "from_address", "to_address", "status")
        },
        "transaction_hash": sent["hash"],
        "function": "transfer",
        "args": {"to": hexed(BOB), "value": str(HUGE)},
    }
    assert done.err == "tidelog: 1 transaction does not fit the signature: the data ends too early\n"
    head, *lines = cli(*command, "--limit", "1").out.splitlines()
    assert head.split()[-3:] == ["function", "to", "value"]
    assert len(lines) == 1


CALL_MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("f(uint7)", "--address", hexed(TOKEN)), "'f(uint7)' is no signature of a function: 'uint7' is no type"),
    (("move", "--abi", "erc20", "--address", hexed(TOKEN)), "--abi erc20 has no function 'move'"),
    (("transfer", "--address", hexed(TOKEN)), "'transfer' is a name: write the whole signature, or say --abi"),
    (("transfer", "--abi", "erc20"), "--address"),
]


@pytest.mark.parametrize(("flags", "why"), CALL_MISTAKES)
def test_a_call_that_cannot_be_meant_is_told_in_one_sentence(
    flags: tuple[str, ...], why: str, cli: Cli, db: str
) -> None:
    done = cli("chain", "calls", *flags, "--db", db)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


def test_calls_that_are_not_there_say_what_is(cli: Cli, db: str) -> None:
    done = cli("chain", "calls", "transfer", "--abi", "erc20", "--db", db, "--address", hexed(b"\xee" * 20))
    assert (done.code, done.out) == (0, "")
    assert "no transaction is such a one" in done.err
