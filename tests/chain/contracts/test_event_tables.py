"""Tables of events: names that both databases take, columns of the right kind, and a row for every log that fits."""

import random
from typing import Any

import apsw
import pytest
from hypothesis import given, settings

from tests.chain.abi.test_events import logged
from tidelog.batch import Kind, Row, Table, encode_row
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.known import KNOWN, known_abi
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.contract import Contract, Registered, registered_row, registered_rows
from tidelog.chain.contracts.event_tables import ContractTables, Place
from tidelog.chain.rows.columns import LogColumns
from tidelog.errors import ConfigError, Corruption
from tidelog.sim.node.contracts.words import Inline, Part, address_word, encoded, word
from tidelog.store.ddl import IDENTIFIER_MAX, POSTGRES, SQLITE
from tidelog.store.query import column_list
from tidelog.store.sqlite.wide import stored, texts
from tidelog.tables import TABLES

ADDRESS, OTHER, HASH = bytes(range(20)), bytes(range(20, 40)), bytes(range(32))
PLACE = Place(b"\x11" * 32, 1_700_000_000)
BEGINNING = (1, 5, 3, 2, PLACE.transaction_hash, PLACE.timestamp, ADDRESS)


def contract(*events: Event | str, name: str = "usdc") -> Contract:
    return Contract(name, ADDRESS, tuple(each if isinstance(each, Event) else parse_event(each) for each in events))


def log(event: Event, *indexed: bytes, data: bytes = b"") -> LogColumns:
    topics: list[Any] = [*([] if event.topic0 is None else [event.topic0]), *indexed, None, None, None, None]
    return LogColumns(1, 5, 3, 2, ADDRESS, topics[0], topics[1], topics[2], topics[3], data, 1)


def columns(table: Table) -> dict[str, Kind]:
    return {column.name: column.kind for column in table.columns[len(BEGINNING) :]}


def the_row(event: str, *indexed: bytes, data: tuple[Part, ...] = ()) -> tuple[Table, Row]:
    parsed = parse_event(event)
    found = ContractTables(contract(parsed)).row(log(parsed, *indexed, data=encoded(data)), PLACE)
    assert found is not None
    return found


def test_a_transfer() -> None:
    tables = ContractTables(contract(*known_abi("erc20").events))
    assert [(table.name, table.view) for table in tables.tables] == [
        ("e_usdc_transfer", "v_usdc_transfer"),
        ("e_usdc_approval", "v_usdc_approval"),
        ("e_usdc__misfits", None),
    ]
    table, row = the_row(
        "Transfer(address indexed from, address indexed to, uint256 value)",
        address_word(OTHER),
        address_word(ADDRESS),
        data=(7,),
    )
    assert columns(table) == {"from_": Kind.BYTES, "to_": Kind.BYTES, "value": Kind.UINT256}
    assert table.searched == ("from_", "to_")
    assert row == (*BEGINNING, OTHER, ADDRESS, word(7))


@pytest.mark.parametrize(
    ("its_type", "given", "kind", "stored"),
    [
        ("uint8", 255, Kind.INT, 255),
        ("uint56", 2**56 - 1, Kind.INT, 2**56 - 1),
        ("uint64", 2**64 - 1, Kind.UINT64, 2**64 - 1),
        ("uint72", 9, Kind.UINT256, word(9)),
        ("int64", -(2**63), Kind.INT, -(2**63)),
        ("int24", -5, Kind.INT, -5),
        ("int128", -1, Kind.INT256, b"\xff" * 32),
        ("bool", 1, Kind.INT, 1),
        ("address", OTHER, Kind.BYTES, OTHER),
        ("bytes32", HASH, Kind.BYTES, HASH),
        ("bytes4", b"\x01\x02\x03\x04".ljust(32, b"\0"), Kind.BYTES, b"\1\2\3\4"),
        ("bytes", b"abc", Kind.BYTES, b"abc"),
        ("string", "h\u00f6he", Kind.TEXT, "h\u00f6he"),
        ("fixed128x2", -150, Kind.TEXT, "-1.50"),
        ("uint8[2]", Inline((1, 2)), Kind.TEXT, "[1,2]"),
        ("uint256[]", [1, 2**200], Kind.TEXT, f'["1","{2**200}"]'),
        ("(address who, uint64 at)", Inline((OTHER, 5)), Kind.TEXT, f'{{"who":"0x{OTHER.hex()}","at":"5"}}'),
        ("string[]", ["a\0b"], Kind.TEXT, '["a\\u0000b"]'),
    ],
)
def test_a_value_of_each_type(its_type: str, given: Part, kind: Kind, stored: object) -> None:
    table, row = the_row(f"E({its_type} it)", data=(given,))
    assert columns(table) == {"it": kind}
    assert row[-1] == stored


@pytest.mark.parametrize("its_type", ["string", "bytes", "(uint256 a, string b)", "uint256[]", "uint256[2]"])
def test_of_an_indexed_value_without_a_fixed_size_there_is_the_hash(its_type: str) -> None:
    table, row = the_row(f"E({its_type} indexed it)", HASH)
    assert columns(table) == {"it": Kind.BYTES}
    assert row[-1] == HASH


@settings(max_examples=60)
@given(logged())
def test_any_log_of_any_event_has_a_row_that_its_table_takes(case: tuple[Event, tuple[Any, ...], Any]) -> None:
    event, values, (*topics, data) = case
    tables = ContractTables(contract(event))
    found = tables.row(LogColumns._make((1, 5, 3, 2, ADDRESS, *topics, data, 1)), PLACE)
    assert found is not None
    table, row = found
    if "\0" in [character for value in values if isinstance(value, str) for character in value]:
        assert table is tables.misfits
    encode_row(row)
    assert POSTGRES.create(table)
    database = apsw.Connection(":memory:")
    database.execute("ANALYZE")  # as in a store: the statistics of its tables are told to SQLite
    for statement in SQLITE.create(table):
        database.execute(statement)
    names = [*table.names, *(name for _, name, _ in table.spelled), *(["segment"] if table.segmented else [])]
    marks = ", ".join("?" * len(names))
    given_row = (*stored(row), *texts(row, table.spelled), *([0] if table.segmented else []))
    database.execute(f'INSERT INTO "{table.name}" ({column_list(names)}) VALUES ({marks})', given_row)
    (back,) = database.execute(f'SELECT {column_list(table.names)} FROM "{table.name}"')
    assert back == tuple(stored(row))
    if table.view is not None:
        (shown,) = database.execute(f'SELECT * FROM "{table.view}"')
        assert len(shown) == len(table.columns) + 1
    database.close()


def test_events_that_differ_in_what_is_indexed_have_a_table_each() -> None:
    """As the `Transfer` of ERC-20 and of ERC-721, at one address."""
    (fungible,), (piece,) = (known_abi(name).events_named("Transfer") for name in ("erc20", "erc721"))
    tables = ContractTables(contract(fungible, piece))
    names = [table.name for table in tables.tables]
    assert len(set(names)) == 3
    assert all(name.startswith("e_usdc_transfer_") for name in names[:2])
    words = [address_word(OTHER), address_word(ADDRESS)]
    first = tables.row(log(fungible, *words, data=word(7)), PLACE)
    second = tables.row(log(piece, *words, word(7)), PLACE)
    assert first is not None
    assert second is not None
    assert [first[0].name, second[0].name] == names[:2]
    assert first[1] == second[1]


def test_events_of_one_name_have_a_table_each_whatever_else_there_is() -> None:
    one, other = parse_event("Note(string text)"), parse_event("Note(uint256 number)")
    together = ContractTables(contract(one, other, "Other()")).by_event
    assert together[one].name != together[other].name
    assert ContractTables(contract(other, one)).by_event[one].name == together[one].name


def test_what_does_not_fit_has_a_row_with_the_reason() -> None:
    event = parse_event("Note(string text)")
    tables = ContractTables(contract(event))
    for data, reason in (
        (encoded(("a\0b",)), "a string has U+0000, which no text of a database can have"),
        (word(32) + word(2) + b"\xff\xfe".ljust(32, b"\0"), "a string is not UTF-8"),
        (b"", "the data ends too early"),
        (word(2**255), "the data ends too early"),
    ):
        found = tables.row(log(event, data=data), PLACE)
        assert found is not None
        table, row = found
        assert table is tables.misfits
        assert row[:3] == (1, 5, 3)
        assert row[3] == reason or reason.split()[-1] in str(row[3])
    found = tables.row(log(event, HASH, data=encoded(("x",))), PLACE)
    assert found == (tables.misfits, (1, 5, 3, "indexed arguments: 1, and 0 in the signature"))


def test_logs_of_other_events_have_no_row() -> None:
    tables = ContractTables(contract("A(uint256 a)"))
    assert tables.row(log(parse_event("B(uint256 a)"), data=word(1)), PLACE) is None
    anonymous = parse_event("Tick(address indexed who, uint256 count) anonymous")
    tables = ContractTables(contract(anonymous, "A(uint256 a)"))
    found = tables.row(log(anonymous, address_word(OTHER), data=word(1)), PLACE)
    assert found is not None
    assert found[1] == (*BEGINNING, OTHER, word(1))
    assert tables.row(log(anonymous, HASH, data=word(1)), PLACE) is None, "nothing says that it was meant"


def test_names_are_words_that_need_no_quotes() -> None:
    event = parse_event(
        "E(uint8 from, uint8 blockNumber, uint8 log_index, uint8 tokenID, uint8 sqrtPriceX96, uint8 $, uint8 _, "
        "uint8 a, uint8 A, uint8 time, uint8, uint8 order, uint256 x, uint8 x_text, uint8 xmin)"
    )
    (table,) = ContractTables(contract(event)).by_event.values()
    assert list(columns(table)) == [
        *("from_", "block_number_", "log_index_", "token_id", "sqrt_price_x96", "arg", "arg_2", "a", "a_2", "time_"),
        *("arg10", "order_", "x", "x_text_2", "xmin_"),
    ]
    assert [text for _, text, _ in table.spelled] == ["x_text"]
    assert "x_text" not in table.names


@pytest.mark.parametrize("known", KNOWN)
def test_known_abis_have_tables_whose_names_the_database_tells_apart(known: str) -> None:
    tables = ContractTables(contract(*known_abi(known).events, name="a" * 24)).tables
    names = [name for table in tables for name in (table.name, table.view) if name]
    assert len(set(names)) == len(names)
    assert all(len(name) <= IDENTIFIER_MAX for name in names)
    assert not {table.name for table in TABLES}.intersection(names)


def test_a_long_name_of_an_event_is_cut_and_told_apart() -> None:
    one, other = parse_event("A" + "b" * 80 + "(uint8 x)"), parse_event("A" + "b" * 81 + "(uint8 x)")
    names = {table.name for table in ContractTables(contract(one, other)).tables}
    assert len(names) == 3
    assert all(len(name) <= IDENTIFIER_MAX for name in names)


def test_a_contract_is_read_back_from_its_row() -> None:
    rng = random.Random(1)
    whole = [event for name in KNOWN for event in known_abi(name).events]
    awkward = [
        parse_event("E((uint256 a, (string b, bytes[2][] c)[3] d)[] indexed e, fixed128x18 f, int256[]) anonymous"),
        parse_event("Z()"),
    ]
    for events in (awkward, rng.sample(whole, 10)):
        registered = Registered(Contract("some", ADDRESS, tuple(events), 7, "proven"), 12, leaving=True)
        assert registered_rows([registered_row(5, registered)]) == [registered]


def test_a_row_that_cannot_be_read_is_corruption() -> None:
    row = registered_row(1, Registered(contract("A()"), 0))
    for place, value in ((1, "Not A Name"), (2, b"short"), (3, "[]"), (3, "{"), (4, -1), (3, None)):
        with pytest.raises(Corruption, match="cannot be read"):
            registered_rows([(*row[:place], value, *row[place + 1 :])])


@pytest.mark.parametrize(
    ("name", "address", "events", "words"),
    [
        ("USDC", ADDRESS, ("A()",), "the name has to be of a-z"),
        ("a__b", ADDRESS, ("A()",), "the name has to be of a-z"),
        ("1a", ADDRESS, ("A()",), "the name has to be of a-z"),
        ("a" * 25, ADDRESS, ("A()",), "at most 24 characters"),
        ("a", ADDRESS[1:], ("A()",), "the address has to be 20 bytes"),
        ("a", ADDRESS, (), "there are no events"),
    ],
)
def test_what_is_no_contract(name: str, address: bytes, events: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Contract(name, address, tuple(map(parse_event, events)))
