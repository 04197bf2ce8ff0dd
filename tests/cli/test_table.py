"""Lists as tables: on a real terminal (a pty), as recorded text, and as they are where nobody reads them."""

import asyncio
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.cli.conftest import Cli
from tests.command import tidelog
from tests.market.recorded import Recording, levels
from tests.terminal import STYLE, on_terminal
from tidelog.cli.columns import Column, Kind
from tidelog.cli.listing import print_facts, print_rows, say_none
from tidelog.cli.options import Form
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

HOSTILE = "\x1b]0;owned\x07\x9b2J\x1b[31m\u202e\nnext"
ESCAPED = "\\u001b]0;owned\\u0007\\u009b2J\\u001b[31m\\u202e\\u000anext"


async def fill(url: str) -> None:
    made = Recording()
    made.trades(1, 2)
    made.trades(100, 101)
    made.trades(1, symbol=f"EVIL{HOSTILE}/USD")
    made.book(levels([99]), levels([101]), whole=True)
    made.note(Disconnected(HOSTILE))
    made.book(levels([99]), levels([101]), whole=True)
    store = await open_store(url, SystemRuntime())
    loader = await Loader.open(store, SystemRuntime(), "kraken")
    await loader.load(made.events)
    await store.close()


@pytest.fixture
def market(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/market.db"
    asyncio.run(fill(url))
    return url


TRADES = """\
time (UTC)           side  price   qty  type   trade_id
───────────────────  ────  ─────  ────  ─────  ────────
2023-11-14 22:13:21  buy   100.0  1.00  limit         1
2023-11-14 22:13:22  buy   100.0  1.00  limit         2
2023-11-14 22:15:00  buy   100.0  1.00  limit       100
2023-11-14 22:15:01  buy   100.0  1.00  limit       101
"""
TRADES_NARROW = """\
time (UTC)           side  price   qty
───────────────────  ────  ─────  ────
2023-11-14 22:13:21  buy   100.0  1.00
2023-11-14 22:13:22  buy   100.0  1.00
2023-11-14 22:15:00  buy   100.0  1.00
2023-11-14 22:15:01  buy   100.0  1.00
not shown, for want of room: type,
trade_id; --wide shows all
"""


def test_trades_on_a_terminal_and_on_a_narrow_one(market: str) -> None:
    screen = on_terminal("market", "trades", "BTC/USD", "--db", market)
    assert (screen.code, screen.plain) == (0, TRADES)
    assert "\x1b[32mbuy" in screen.text
    screen = on_terminal("market", "trades", "BTC/USD", "--db", market, columns=40)
    assert screen.plain == TRADES_NARROW
    assert on_terminal("market", "trades", "BTC/USD", "--db", market, "--wide", columns=40).plain == TRADES


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "dumb", "COLUMNS": "40"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_a_terminal_without_colour_without_escapes_or_without_unicode(market: str, env: dict[str, str]) -> None:
    screen = on_terminal("market", "trades", "BTC/USD", "--db", market, env=env)
    expected = TRADES_NARROW if "COLUMNS" in env else TRADES
    assert screen.plain == (expected.replace("─", "-") if "PYTHONIOENCODING" in env else expected)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", screen.text) or "PYTHONIOENCODING" in env
    if "TERM" in env:
        assert "\x1b" not in screen.text


def test_a_hostile_text_is_shown_on_a_terminal_and_never_run(market: str) -> None:
    screen = on_terminal("market", "coverage", "--db", market, "--wide")
    assert screen.code == 0
    assert ESCAPED in screen.plain  # the reason, and a part of the symbol
    assert f"EVIL{ESCAPED.upper()}".partition("\\")[0] in screen.plain
    assert "missing still" in screen.plain
    narrow = on_terminal("market", "coverage", "--db", market, columns=80)
    assert max(map(cell_len, narrow.plain.splitlines())) <= 80
    assert "\\u001b]0;" in narrow.plain
    unknown = on_terminal("market", "trades", f"X{HOSTILE}/USD", "--db", market)
    assert unknown.code == 2


def test_what_goes_to_a_program_is_a_line_a_row_and_exact_as_json(market: str) -> None:
    piped = tidelog("market", "coverage", "--db", market)
    assert (piped.code, "\x1b" in piped.out) == (0, False)
    lines = piped.out.splitlines()
    exact = [json.loads(line) for line in tidelog("market", "coverage", "--db", market, "--json").out.splitlines()]
    assert any(row.get("reason") == HOSTILE for row in exact)
    assert len(lines) == len(exact)
    for line, row in zip(lines, exact, strict=True):
        assert line.startswith("  ".join(f"{name}=" for name in list(row)[:1]))
        assert re.findall(r"(?:^|  )(\w+)=", line) == [name for name, value in row.items() if value is not None]
    for flag in ("--wide", "--full"):
        assert tidelog("market", "coverage", "--db", market, flag).out == piped.out


def test_json_is_the_same_on_a_terminal(market: str) -> None:
    piped = tidelog("market", "candles", "BTC/USD", "--db", market, "--json")
    assert on_terminal("market", "candles", "BTC/USD", "--db", market, "--json", columns=40).plain == piped.out


def test_an_empty_list_says_so_to_who_reads_it(market: str) -> None:
    arguments = ("market", "trades", "BTC/USD", "--from", "2030-01-01", "--db", market)
    assert on_terminal(*arguments).plain == "no trade of BTC/USD is stored of that time\n"
    assert tidelog(*arguments).out == ""


CHAIN_LISTS = [
    ("chain", "blocks", "--limit", "3"),
    ("chain", "logs", "--limit", "5"),
    ("chain", "transactions", "--limit", "5"),
    ("chain", "status"),
    ("chain", "coverage"),
    ("db", "info"),
    ("db", "digest"),
]


@pytest.mark.parametrize("command", CHAIN_LISTS, ids=" ".join)
def test_lists_of_a_chain_stay_within_the_width_and_are_all_there_when_wide(
    command: tuple[str, ...], db: str, cli: Cli
) -> None:
    for columns in (80, 40):
        screen = on_terminal(*command, "--db", db, columns=columns)
        assert screen.code == 0
        assert max(map(cell_len, screen.plain.splitlines())) <= columns
    whole = on_terminal(*command, "--db", db, "--wide", "--full", columns=40).plain
    assert "…" not in whole
    assert "not shown" not in whole
    exact = cli(*command, "--db", db, "--json").out
    hashes = set(re.findall(r"0x[0-9a-f]{64}|\b[0-9a-f]{64}\b", exact))
    if command == ("db", "digest"):  # of tables that have rows
        hashes = set(re.findall(r"^[0-9a-f]{64}", cli(*command, "--db", db).out, re.MULTILINE))
    assert {each for each in hashes if each not in whole} == set()


def test_a_block_on_a_terminal_is_the_one_of_the_store(db: str, cli: Cli) -> None:
    [row] = [json.loads(line) for line in cli("chain", "blocks", "--db", db, "--limit", "1", "--json").out.splitlines()]
    line = on_terminal("chain", "blocks", "--db", db, "--limit", "1", columns=120).plain.splitlines()[-1]
    number, short, day, time, transactions, logs, gas, proof = line.split()
    assert (number, transactions, logs, gas) == tuple(
        str(row[name]) for name in ("number", "transaction_count", "log_count", "gas_used")
    )
    assert short == f"{row['hash'][:8]}…{row['hash'][-4:]}"
    assert (day, time) == ("2023-11-14", "22:33:20")
    assert proof == "proven"


def test_tokens_and_their_states_on_a_terminal(db: str) -> None:
    assert on_terminal("token", "list", "--db", db).plain.splitlines() == [
        "there are no tokens: `tidelog token create` makes one"
    ]
    assert tidelog("token", "create", "ours", "--scope", "read", "--scope", "metrics", "--db", db).code == 0
    screen = on_terminal("token", "list", "--db", db)
    assert screen.plain.splitlines()[0].split() == ["name", "state", "scopes", "created", "(UTC)"]
    assert screen.plain.splitlines()[2].split()[:4] == ["ours", "valid", "metrics", "read"]
    assert "\x1b[32mvalid" in screen.text


class Tty(io.TextIOWrapper):
    """A terminal that keeps what is written, in some encoding."""

    def __init__(self, encoding: str) -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding=encoding, newline="\n")

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.flush()
        return STYLE.sub("", self.kept.getvalue().decode(self.encoding))


class Terminal:
    """Standard output as long as the context lasts."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self._patch = pytest.MonkeyPatch()
        self._columns, self._encoding = columns, encoding

    def __enter__(self) -> Tty:
        tty = Tty(self._encoding)
        self._patch.setenv("COLUMNS", str(self._columns))
        self._patch.setattr("sys.stdout", tty)
        return tty

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), TEXT, st.binary(max_size=40), st.lists(TEXT, max_size=2))


@given(
    st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=4),
    st.integers(20, 120),
    st.sampled_from(["utf-8", "ascii", "latin-1", "cp437"]),
    st.booleans(),
)
def test_any_values_are_lines_within_any_width_in_any_encoding(
    rows: list[tuple[object, ...]], columns: int, encoding: str, full: bool
) -> None:
    names = [Column("first_of_all"), Column("second", Kind.SECONDS, weight=2), Column("third", weight=1, absent="-")]
    with Terminal(columns, encoding) as tty:
        print_rows(
            [dict(zip(("first_of_all", "second", "third"), row, strict=True)) for row in rows], names, Form(full=full)
        )
        print_facts({"name": rows[0][0], "other": rows[0][1]}, Form(full=full), names)
    lines = tty.shown.splitlines()
    assert len(lines) >= len(rows)
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if cell_len(line) > columns] == []


@pytest.mark.parametrize(
    ("text", "cut"), [("日本語日本語日本語日本語", "日本語日本語日本語 …"), ("naïve café " * 3, "naïve café naïve ca…")]
)
def test_wide_characters_take_their_columns(text: str, cut: str) -> None:
    with Terminal(20) as tty:
        print_rows([{"text": text}], [Column("text")], Form())
    line = tty.shown.splitlines()[-1]
    assert (line, cell_len(line)) == (cut, 20)


def test_many_rows_are_all_there() -> None:
    with Terminal(80) as tty:
        print_rows([{"n": i} for i in range(1_200)], [Column("n")], Form())
    assert [int(line) for line in tty.shown.splitlines()[2:]] == list(range(1_200))


def test_a_sentence_for_nobody_is_not_said() -> None:
    with Terminal(80, "ascii") as tty:
        say_none("no trade of \x1b€", Form(as_json=True))
        say_none("no trade of \x1b€", Form())
    assert tty.shown == "no trade of \\u001b\\u20ac\n"
