"""Text of others on every way to a terminal: it is shown, and commands nothing. `top` has its own such test."""

import asyncio
import json

import pytest

from tests.command import tidelog
from tests.market.recorded import Recording
from tests.terminal import on_terminal
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

COMMANDS = ("\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\u202e", "\x1b]52;c;cm0=\x07")
HOSTILE = "".join(COMMANDS)
SHOWN = "\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u202e\\u001b]52;c;cm0=\\u0007"
SYMBOL = f"E{HOSTILE}/USD"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recording of a symbol, and with a reason of a gap, that the exchange chose."""
    made = Recording()
    made.trades(1, 2, symbol=SYMBOL)
    made.trades(1, 2)
    made.note(Disconnected(HOSTILE))
    made.trades(100, 101)
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile')}/market.db"

    async def fill() -> None:
        store = await open_store(url, SystemRuntime())
        loader = await Loader.open(store, SystemRuntime(), "kraken")
        await loader.load(made.events)
        await store.close()

    asyncio.run(fill())
    return url


def harmless(text: str) -> None:
    for command in COMMANDS:
        assert command not in text
    assert SHOWN in text


@pytest.mark.parametrize("wide", [(), ("--wide",), ("--wide", "--full")])
def test_lists_and_what_is_said_of_a_store(wide: tuple[str, ...], db: str) -> None:
    harmless(on_terminal("market", "coverage", "--db", db, *wide, columns=400).text)
    harmless(tidelog("market", "coverage", "--db", db).out)
    harmless(on_terminal("db", "info", "--db", db, "--wide").text)  # JSON in it: its escapes are kept


def test_json_is_exact(db: str) -> None:
    done = tidelog("market", "coverage", "--db", db, "--json")
    assert SYMBOL in {json.loads(line).get("symbol") for line in done.out.splitlines()}
    on_screen = on_terminal("market", "coverage", "--db", db, "--json", columns=400).lines
    assert [json.loads(line) for line in on_screen] == [json.loads(line) for line in done.out.splitlines()]


def test_mistakes(db: str) -> None:
    harmless(on_terminal("market", "trades", "DOGE/USD", "--db", db, "--name", "kraken").text)


def test_decoded_events_as_a_table_and_as_csv() -> None:
    code = f"""
from msgspec import Struct
from tidelog.cli.chain.decoded import print_decoded
from tidelog.cli.options import TableForm
class Found(Struct):
    block_number: int
    args: dict
for form in (TableForm(wide=True), TableForm(as_csv=True), TableForm(as_json=True)):
    print_decoded([Found(1, {{{HOSTILE!r}: {HOSTILE!r}}})], Found, [({HOSTILE!r},)], form)
"""
    drawn = on_terminal("-c", code, python=True)
    assert drawn.code == 0, drawn.text
    harmless(drawn.text)
    assert drawn.text.count(SHOWN) == 6  # the names of arguments are somebody's too


def test_logs_for_people() -> None:
    code = f"""
from tidelog.telemetry import configure_logs, logger
configure_logs()
logger("x").warning("refused", reason={HOSTILE!r}, all=[{HOSTILE!r}])
"""
    drawn = on_terminal("-c", code, python=True)
    assert drawn.code == 0, drawn.text
    harmless(drawn.text.replace("\\\\", "\\"))  # where the renderer quotes, it doubles them


def test_progress_lines() -> None:
    code = f"""
import asyncio
from tidelog.cli.sources.progress import Display, ProgressReport
from tidelog.runtime import SystemRuntime
class Report(ProgressReport):
    def look(self, now_s): pass
    def line(self, width): return {HOSTILE!r}
    def facts(self): return {{}}
    def counts(self): return ()
    def news(self): return ()
    def log(self): pass
async def main():
    async with Display(Report(), SystemRuntime(), "auto"):
        pass
asyncio.run(main())
"""
    drawn = on_terminal("-c", code, python=True, columns=200)
    assert drawn.code == 0, drawn.text
    harmless(drawn.text)
