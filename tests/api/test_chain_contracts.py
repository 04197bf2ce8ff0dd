"""`/v1/chains/{chain}/contracts`: the rows of contracts' tables are what their logs say, by pages and by columns."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.api.served import CHAIN, Served, sqlite_url
from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import ALL, BOARD, GAUGE, SHAPE, SHELLS, TIDE
from tests.postgres import PostgresServer
from tests.runtime import FakeRuntime
from tidelog.api.http import pagination
from tidelog.chain.sync.contracts import ContractKeeper, ContractLimits
from tidelog.chain.sync.writer import ChainWriter
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

BLOCKS = 80  # the proxy changes at block 60
CONTRACTS = f"{CHAIN}/contracts"
TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"
# contract, event in the path, the same as a signature for `/events`
SAME = (
    ("tide", "Transfer", TRANSFER),
    ("tide", "approval", "Approval(address indexed owner, address indexed spender, uint256 value)"),
    ("shells", "transfer", "Transfer(address indexed from, address indexed to, uint256 indexed id)"),
    ("gauge", "measured_by", "MeasuredBy(address indexed by, string note)"),
    ("board", "Parcel", "Parcel((uint256 weight, string label) indexed parcel, int256[2] place)"),
    ("board", "tick", "Tick(address indexed who, uint256 count) anonymous"),
)


def taken_in(url: str) -> str:
    """A store of a chain with contracts' tables."""

    async def work() -> None:
        store = await open_store(url, SystemRuntime())
        try:
            rig = Rig(store, a_node(BLOCKS, shape=SHAPE), FakeRuntime(), ("http://replica-0",))
            rig.contracts = ALL
            await rig.once()
        finally:
            await store.close()

    asyncio.run(work())
    return url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path_factory.mktemp("tables"))
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    with Served(taken_in(url)) as served:
        yield served


def every(api: Served, path: str, given: dict[str, object]) -> list[Any]:
    """All pages, of names with `_` at their end too."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        asked = given if cursor is None else {**given, "cursor": cursor}
        reply = api.ask("GET", f"{path}?{urlencode(asked)}")
        found += reply.data
        cursor = reply.json["next"]
        if cursor is None:
            return found


def test_contracts_are_listed_with_what_asks_for_their_rows(tables: Served) -> None:
    found = tables.all(CONTRACTS, limit=3)
    assert [each["name"] for each in found] == ["board", "gauge", "shells", "tide"]
    [_, gauge, shells, tide] = found
    assert (tide["address"], tide["from"], tide["evidence"]) == (f"0x{TIDE.address.hex()}", 0, "whole")
    assert (tide["state"], tide["covered"]) == (
        "filled",
        [{"first": 0, "last": BLOCKS, "evidence": "whole", "endpoint": None}],
    )
    assert shells["covered"] == [{"first": SHELLS.first_block, "last": BLOCKS, "evidence": "whole", "endpoint": None}]
    assert tide["events"][0] == {
        "name": "transfer",
        "event": "Transfer(address,address,uint256)",
        "table": "e_tide_transfer",
        "columns": [
            {"name": "from_", "type": "address", "indexed": True},
            {"name": "to_", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    }
    assert [each["name"] for each in gauge["events"]] == [
        "measured_c6cf784d",
        "measured_96114f43",
        "measured_by",
    ]
    for contract in found:
        for event in contract["events"]:
            assert tables.get(f"{CONTRACTS}/{contract['name']}/{event['name']}").status == 200


@pytest.mark.parametrize(("name", "event", "signature"), SAME)
def test_rows_are_what_the_logs_say(name: str, event: str, signature: str, tables: Served) -> None:
    contract = next(each for each in ALL if each.name == name)
    rows = tables.all(f"{CONTRACTS}/{name}/{event}", limit=7)
    given = {"signature": signature, "address": f"0x{contract.address.hex()}", "limit": 11}
    said = tables.all(f"{CHAIN}/events", **given, from_=contract.first_block)
    assert rows
    assert [[*row.pop("args").values()] for row in rows] == [[*each.pop("args").values()] for each in said]
    for row, each in zip(rows, said, strict=True):
        assert row.pop("tx_index") >= 0
        del each["event"]
        assert row == each


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_answer_of_large_rows_ends_sooner_and_the_list_goes_on(
    tables: Served, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    path = f"{CONTRACTS}/tide/transfer"
    rows = tables.all(path, order=order)
    monkeypatch.setattr(pagination, "PAGE_BYTES_MAX", 1)
    pages = tables.pages(path, order=order)
    assert {len(page) for page in pages} == {1}
    assert [row for page in pages for row in page] == rows


def test_columns_ranges_and_order_choose(tables: Served) -> None:
    path = f"{CONTRACTS}/tide/transfer"
    rows = tables.all(path)
    assert tables.all(path, order="desc", limit=9) == rows[::-1]
    row = rows[len(rows) // 2]
    for column in ("from_", "to_", "value"):
        wanted = [each for each in rows if each["args"][column] == row["args"][column]]
        for name in {column, column.rstrip("_")}:
            assert every(tables, path, {f"arg.{name}": row["args"][column], "limit": 1}) == wanted
    both = {f"arg.{column}": row["args"][column] for column in ("from_", "to_")}
    assert row in every(tables, path, both)
    twice = tables.ask("GET", f"{path}?arg.to={row['args']['to_']}&arg.to_={row['args']['to_']}")
    assert "the column to_: given twice" in twice.error
    number = row["block_number"]
    assert tables.all(path, from_=number, to=number) == [each for each in rows if each["block_number"] == number]
    final = tables.get(path, at_most="finalized", limit=1_000)
    assert final.json["finality"] == "finalized"
    assert final.data == [each for each in rows if each["block_number"] <= BLOCKS - 8]
    assert tables.get(path, **{"arg.to": "0x" + "ab" * 20}).data == []


def test_integers_texts_and_hashes_are_searched_as_they_are_written(tables: Served) -> None:
    notes = f"{CONTRACTS}/gauge/measured_by"
    note = tables.all(notes)[0]
    assert note in tables.all(notes, **{"arg.note": note["args"]["note"]})
    text = f"{CONTRACTS}/board/{tables.all(CONTRACTS)[0]['events'][0]['name']}"
    assert tables.get(text, **{"arg.subject": "no such subject"}).data == []
    measured = f"{CONTRACTS}/gauge/measured_96114f43"
    row = tables.all(measured)[0]
    value = int(row["args"]["value"])
    for written in (str(value), hex(value)):
        assert row in tables.all(measured, **{"arg.value": written})


REFUSED: list[tuple[str, dict[str, object], int, str]] = [
    ("nobody/transfer", {}, 404, "chain 1337 has no contract 'nobody' with tables: /contracts lists those it has"),
    ("tide/transfr", {}, 404, "contract tide has no event 'transfr'; it has transfer, approval"),
    ("gauge/Measured", {}, 404, "contract gauge has several events of that name; it has measured_c6cf784d, measured_9"),
    ("tide/transfer", {"arg.too": "0x"}, 400, "e_tide_transfer has no column 'too'; it has from_, to_, value"),
    ("tide/transfer", {"arg.to": "bob"}, 400, "the column to_: 'bob' is no address: give 20 bytes"),
    ("tide/transfer", {"arg.value": "-1"}, 400, "the column value: -1 is out of the range of uint256"),
    ("board/parcel", {"arg.place": "[1,2]"}, 400, "the column place: a int256[2] cannot be given as text"),
    ("board/parcel", {"arg.parcel": "0x12"}, 400, "the column parcel: '0x12' is no hash"),
    ("tide/transfer", {"args.to": "1"}, 400, "this route knows no parameter 'args.to'"),
    ("tide/transfer", {"cursor": "abc"}, 400, "cursor: this is no cursor of this list"),
    ("tide/transfer", {"limit": 0}, 400, "limit"),
]


@pytest.mark.parametrize(("path", "given", "status", "why"), REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    path: str, given: dict[str, object], status: int, why: str, tables: Served
) -> None:
    reply = tables.get(f"{CONTRACTS}/{path}", **given)
    assert reply.status == status
    assert why in reply.error


def test_a_text_that_no_database_has_is_refused(tables: Served) -> None:
    names = [each["name"] for each in tables.all(CONTRACTS)[0]["events"]]
    reply = tables.ask("GET", f"{CONTRACTS}/board/{names[0]}?arg.text={quote(chr(0))}")
    assert (reply.status, "U+0000" in reply.error) == (400, True)


def test_a_cursor_is_of_one_table_and_its_filters(tables: Served) -> None:
    path = f"{CONTRACTS}/tide/transfer"
    cursor = tables.get(path, limit=1).json["next"]
    assert tables.get(path, limit=5, cursor=cursor).status == 200
    for other in (f"{CONTRACTS}/tide/approval", f"{CONTRACTS}/shells/transfer"):
        assert "no cursor of this list" in tables.get(other, cursor=cursor).error
    assert "no cursor of this list" in tables.get(path, cursor=cursor, order="desc").error
    assert "no cursor of this list" in tables.get(path, cursor=cursor, **{"arg.value": 1}).error


def test_a_column_without_an_index_is_searched_in_a_range(tmp_path: Path) -> None:
    with Served(taken_in(sqlite_url(tmp_path)), block_range_max=5) as api:
        path = f"{CONTRACTS}/tide/transfer"
        assert "and value is not indexed: at most 5 go in one search" in api.get(path, **{"arg.value": 1}).error
        assert api.get(path, **{"arg.value": 1}, from_=3, to=7).status == 200
        assert api.get(path, **{"arg.to": "0x" + "ab" * 20}).status == 200


def test_blocks_whose_rows_come_later_are_not_passed_off_as_empty(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)

    async def half() -> None:
        store = await open_store(url, SystemRuntime())
        try:
            rig = Rig(store, a_node(BLOCKS, shape=SHAPE), FakeRuntime(), ("http://replica-0",))
            await rig.once()
            writer = await ChainWriter.open(store, rig.runtime, rig.metrics, 1337)
            keeper = ContractKeeper(writer, store, rig.runtime, ContractLimits(logs=20))
            await keeper.begin((TIDE, GAUGE, BOARD))
            while not all(each.filled_from <= BLOCKS - 10 for each in writer.holdings.contracts):
                await keeper.step()
            await keeper.begin((TIDE, GAUGE))
        finally:
            await store.close()

    asyncio.run(half())
    with Served(url) as api:
        contracts: dict[str, Any] = {each["name"]: each for each in api.all(CONTRACTS)}
        assert contracts["board"]["state"] == "leaving"
        assert api.get(f"{CONTRACTS}/board/tick").status == 404
        begun = {name: each["covered"][0]["first"] for name, each in contracts.items() if each["state"] == "filling"}
        assert begun
        for name, first in begun.items():
            path = f"{CONTRACTS}/{name}/{contracts[name]['events'][0]['name']}"
            assert all(row["block_number"] >= first for row in api.all(path))
            reply = api.get(path, from_=first - 1)
            assert reply.status == 404
            assert (
                f"has the rows of blocks {first} to {BLOCKS} so far, and {first - 1} to {first - 1} are" in reply.error
            )
