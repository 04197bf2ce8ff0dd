"""Pages: their sizes and ends, and that each list still takes the cursors that it gave in older versions."""

import pytest

from tests.api.served import CHAIN, Filled, Served
from tests.sim.asking import ask
from tidelog.api.http import pagination
from tidelog.api.http.cursors import seal
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.pagination import Page, page_of
from tidelog.api.http.problems import Refused
from tidelog.batch import Kind, Row, Table, Value
from tidelog.chain.rows.tables import BLOCKS, CHAINS, CHANGES, LOGS, REORGS, TRANSACTIONS
from tidelog.market.projection.tables import CANDLES, COVERAGE, GAPS, INSTRUMENTS, TRADES

LIST = ("list", 1)


def rows(count: int) -> list[Row]:
    return [(1, number, *[None] * (len(BLOCKS.columns) - 2)) for number in range(count)]


@pytest.mark.parametrize(("read", "shown"), [(0, 0), (1, 1), (3, 3), (4, 3)])
def test_a_page_shows_its_size_and_the_row_beyond_says_that_there_is_more(read: int, shown: int) -> None:
    page = Page(BLOCKS, LIST, 3, None)
    assert page.limit == 4
    found, following = page.cut(rows(read))
    assert found == rows(shown)
    assert following == (None if read == shown else seal(BLOCKS, LIST, (1, shown - 1)))


@pytest.mark.parametrize(("limit", "size"), [(None, 2), (1, 1), (5, 5)])
def test_a_client_says_the_size_or_the_server_does(limit: int | None, size: int) -> None:
    options = ApiOptions(page_default=2, page_max=5)
    assert page_of(options, BLOCKS, LIST, limit, None) == Page(BLOCKS, LIST, size, None)
    assert page_of(options, BLOCKS, LIST, limit, seal(BLOCKS, LIST, (1, 7))).after == (1, 7)


def test_too_much_and_a_strange_cursor_are_refused() -> None:
    options = ApiOptions(page_default=2, page_max=5)
    with pytest.raises(Refused, match="6 is above the most of one answer, 5"):
        page_of(options, BLOCKS, LIST, 6, None)
    with pytest.raises(Refused, match="no cursor of this list"):
        page_of(options, BLOCKS, LIST, None, seal(BLOCKS, ("other",), (1, 7)))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_answer_of_large_rows_ends_sooner_and_the_list_goes_on(
    api: Served, full: Filled, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """1,000 transactions of 128 kB each took hundreds of megabytes of the server's memory."""
    block = ask(full.node, "eth_getBlockByNumber", "latest", True)
    path = f"{CHAIN}/addresses/{block['transactions'][0]['from']}/transactions"
    wanted = api.all(path, order=order)
    assert len(wanted) > 1
    monkeypatch.setattr(pagination, "PAGE_BYTES_MAX", 1)
    pages = api.pages(path, order=order)
    assert {len(page) for page in pages} == {1}
    assert [row for page in pages for row in page] == wanted


SYMBOL = "/v1/markets/BTC-USD"
SENDER = "0x" + "Ab" * 20
TIMES: dict[str, object] = {"from_": "2020-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"}
TIMES_US = (1_577_836_800_000_000, 1_893_456_000_000_000)

# Clients hold cursors of these: a list with another identity would refuse them.
IDENTITIES: list[tuple[str, dict[str, object], Table, tuple[object, ...]]] = [
    ("/v1/chains", {}, CHAINS, ("chains",)),
    (f"{CHAIN}/blocks", {}, BLOCKS, ("blocks", 1337, None, None, "desc")),
    (f"{CHAIN}/blocks", {"from_": 1, "to": 9, "order": "asc"}, BLOCKS, ("blocks", 1337, 1, 9, "asc")),
    (
        f"{CHAIN}/addresses/{SENDER}/transactions",
        {"to": 9},
        TRANSACTIONS,
        ("address", 1337, SENDER.lower(), None, 9, "desc"),
    ),
    (f"{CHAIN}/changes", {}, CHANGES, ("changes", 1337)),
    (f"{CHAIN}/reorgs", {}, REORGS, ("reorgs", 1337, "desc")),
    ("/v1/markets", {}, INSTRUMENTS, ("markets", None)),
    (f"{SYMBOL}/trades", {}, TRADES, ("trades", None, "BTC-USD", None, None, "desc")),
    (f"{SYMBOL}/trades", TIMES, TRADES, ("trades", None, "BTC-USD", *TIMES_US, "desc")),
    (f"{SYMBOL}/candles", {"interval": "1m"}, CANDLES, ("candles 60", None, "BTC-USD", None, None, "desc")),
    (f"{SYMBOL}/coverage", TIMES, COVERAGE, ("coverage", None, "BTC-USD", *TIMES_US)),
    (f"{SYMBOL}/gaps", {"recording": "kraken"}, GAPS, ("gaps", "kraken", "BTC-USD", "asc")),
]


def a_cursor(table: Table, identity: tuple[object, ...]) -> str:
    least: dict[Kind, Value] = {Kind.INT: 0, Kind.NUMBER: 0, Kind.TEXT: "", Kind.BYTES: b""}
    return seal(table, identity, tuple(least[table.columns[table.index(name)].kind] for name in table.key))


@pytest.mark.parametrize(("path", "query", "table", "identity"), IDENTITIES)
def test_a_list_takes_the_cursors_that_it_has_given(
    api: Served, path: str, query: dict[str, object], table: Table, identity: tuple[object, ...]
) -> None:
    assert api.get(path, **query, cursor=a_cursor(table, identity)).status == 200


def test_log_searches_take_the_cursors_that_they_have_given(api: Served) -> None:
    cursor = a_cursor(LOGS, ("logs", 1337, 0, None, None, "asc", {}, (), 0))
    assert api.post(f"{CHAIN}/logs", {"from_block": 0, "cursor": cursor}).status == 200
