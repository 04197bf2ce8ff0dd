"""`tidelog top` in a real terminal, on a real `tidelog run` of simulated peers: a reorg, a wrong checksum, a gap, a
restart, other sizes, other terminals, and kill -9.
"""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import Running, until
from tests.conftest import missing
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.simulated import Simulated
from tests.system.test_market_kill import Exchange
from tests.terminal import Terminal, program, terminal
from tidelog.sim.node.chain.tree import BlockTree

SYMBOL = "BTC/USD"
BLOCKS = 30
PLAIN = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


class TroubledExchange(Exchange):
    def do(self, *action: object) -> None:
        """Have something go wrong."""
        body = json.dumps(action).encode()
        with urllib.request.urlopen(f"{self._server.rest_url}/sim", body, timeout=HANGS_S) as answer:
            assert answer.status == 200


class Whole:
    """`tidelog run` of a node and an exchange, and its API."""

    def __init__(self, folder: Path, node: Simulated, exchange: TroubledExchange) -> None:
        self.folder = folder
        self.node = node
        self.exchange = exchange
        self.port = reserved_port()
        self.url = f"http://127.0.0.1:{self.port}"
        file = folder / "tidelog.toml"
        file.write_text(
            f"""
[[chain]]
name = "sim"
rpc = ["{node.url}"]
jobs = 0
poll = "50ms"
[[market]]
name = "kraken"
symbols = ["{SYMBOL}", "ETH/USD"]
url = "{exchange.url}"
[api]
port = {self.port}
[run]
stop_timeout = "200s"
"""
        )
        self._file = str(file)
        self.run: Running | None = None

    def up(self) -> None:
        self.run = Running("run", "-c", self._file, log=self.folder / "log")
        self.run.until(self.is_ready, "readiness")

    def down(self) -> None:
        if self.run is not None:
            self.run.process.send_signal(signal.SIGTERM)
            self.run.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=HANGS_S) as answer:
            return json.loads(answer.read())

    def is_ready(self) -> bool:
        try:
            return bool(self.get("/readyz")["ready"]) and all(
                (each["book"] or {}).get("state") == "proven" for each in self.get("/v1/markets")["data"]
            )
        except OSError:
            return False


@pytest.fixture(scope="module")
def tmux() -> str:
    found = program()
    if found is None:
        missing("tmux, which is the terminal of this test, is not installed")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(tmux: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("top")
    exchange = TroubledExchange(7)
    with Simulated(BlockTree(blocks=BLOCKS)) as node, exchange:
        made = Whole(folder, node, exchange)
        try:
            made.up()
            yield made
        finally:
            if made.run is not None:
                made.run.interrupt()


@pytest.fixture(params=[(80, 24), (200, 60)], ids=["80x24", "200x60"])
def top(request: pytest.FixtureRequest, tmux: str, whole: Whole, tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmux, tmp_path, "top", "--api", whole.url, size=request.param) as shown:
        yield shown


def test_a_reorg_is_seen_with_the_hashes_that_went_and_came(top: Terminal, whole: Whole) -> None:
    top.shows("overview", "live", "1337", SYMBOL)
    old = "0x" + whole.node.head_hash.hex()
    until(lambda: whole.get("/v1/chains")["data"][0]["head"]["hash"] == old, "the head in the store")
    whole.node.do(lambda: whole.node.tree.reorg(2, 3))
    new = "0x" + whole.node.head_hash.hex()
    top.shows("2 dropped above", f"{old[:8]}…{old[-4:]} → {new[:8]}…{new[-4:]}")
    top.press("4")
    top.shows("chain 1337", "dropped by a reo")
    went = re.compile(rf"^-.*{old[:8]}…{old[-4:]}", re.MULTILINE)
    until(lambda: went.search(top.text), "the block that went")
    number = whole.get("/v1/chains")["data"][0]["head"]["number"]
    until(lambda: whole.get("/v1/chains")["data"][0]["head"]["hash"] == new, "the new head in the store")
    top.press("/", str(number), "Enter")
    top.shows(f"block {number}", new, "+receipts")


def test_a_wrong_checksum_and_a_gap_are_seen_and_both_are_over(top: Terminal, whole: Whole) -> None:
    top.shows("live", SYMBOL)
    top.press("/", "btc", "Enter")
    top.shows(f"{SYMBOL}  kraken  PROVEN")
    mismatches = whole_mismatches(whole)
    whole.exchange.do("fault", "checksum_wrong", 1.0, 1, None, "book", SYMBOL)
    until(lambda: whole_mismatches(whole) > mismatches, "a mismatch that the API tells of")
    top.press("1")
    until(lambda: wrong_shown(top.text) == whole_mismatches(whole), "as many mismatches as the API tells of")
    top.press("Escape")
    top.shows(f"{SYMBOL}  kraken  PROVEN")  # again
    whole.exchange.do("disconnect", 1012)
    top.shows("last gap", "no connection", f"{SYMBOL}  kraken  PROVEN")
    until(lambda: re.search(r"^book +.*░", top.text, re.MULTILINE), "a gap in the strip")
    top.press("3")
    top.shows(f"{SYMBOL}  kraken  1m", "incomplete")


def wrong_shown(text: str) -> float | None:
    """The column of wrong checksums on the overview."""
    found = re.search(r"^kraken +\S+ +\S+ +\d+ / \d+ / \d+ +\S+ \S+ ago +(\d+)", text, re.MULTILINE)
    return None if found is None else float(found[1])


def whole_mismatches(whole: Whole) -> float:
    with urllib.request.urlopen(f"{whole.url}/metrics", timeout=HANGS_S) as answer:
        text = answer.read().decode()
    found = re.findall(r"^tidelog_market_checksum_mismatches_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def test_what_is_watched_may_restart(top: Terminal, whole: Whole) -> None:
    top.shows("live", SYMBOL)
    whole.down()
    top.shows("STALE: ", "no answer: ", SYMBOL)
    whole.up()
    top.shows("live", SYMBOL, "healthy")


def test_sizes_keys_and_the_end(top: Terminal, whole: Whole) -> None:
    top.shows("live", SYMBOL)
    for columns, rows in ((120, 40), (60, 15), (80, 24)):
        top.resize(columns, rows)

        def fits(columns: int = columns, rows: int = rows) -> bool:
            lines = top.text.splitlines()
            return len(lines) == rows and lines[0].endswith("Z") and len(lines[0]) == columns

        until(fits, f"a screen of {columns}x{rows}")
    top.press("Space")
    top.shows("PAUSED")
    top.press("Space", "?")
    top.shows("up down")
    top.press("q")
    until(lambda: top.ended, "its end")
    assert "Traceback" not in top.text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, PLAIN])
def test_a_terminal_without_colours_or_without_unicode(
    env: dict[str, str], tmux: str, whole: Whole, tmp_path: Path
) -> None:
    with terminal(tmux, tmp_path, "top", "btc", "--api", whole.url, env=env) as shown:
        text = shown.shows("live", f"{SYMBOL}  kraken  PROVEN", "spread")
        colours = shown.do("capture-pane", "-p", "-e", "-t", "top")
        if "NO_COLOR" in env:
            assert not re.search(r"\x1b\[(\d+;)*3[1-6]m", colours)
            assert "━" in text
        else:
            assert text.isascii()


def test_kill_9_is_noticed_by_nobody(top: Terminal, whole: Whole) -> None:
    top.shows("live", SYMBOL)
    os.kill(top.pid, signal.SIGKILL)
    until(lambda: top.ended, "its end")
    before = whole.get("/v1/stats")["recordings"][0]["commits"]
    until(lambda: whole.get("/v1/stats")["recordings"][0]["commits"] > before, "more commits")
    assert whole.is_ready() or until(whole.is_ready, "readiness")


def test_a_journal_is_watched_alone_live_and_replayed(tmux: str, whole: Whole, tmp_path: Path) -> None:
    journal = f"{whole.folder}/market.journal"
    with terminal(tmux, tmp_path, "top", journal, "btc") as shown:
        shown.shows("live", f"{SYMBOL}  market  PROVEN", "spread")
    with terminal(tmux, tmp_path, "top", journal, "btc", "--speed", "1") as shown:
        text = shown.shows("replay x1 ", f"{SYMBOL}  market  PROVEN")
        shown.press("Space")
        shown.shows("PAUSED")
        shown.press("<")
        shown.shows("replay x1 ", SYMBOL)
        assert "Traceback" not in text


def test_market_book_is_the_view_of_a_symbol(tmux: str, whole: Whole, tmp_path: Path) -> None:
    with terminal(tmux, tmp_path, "market", "book", "btc-usd", "--url", whole.exchange.url) as shown:
        shown.shows("live", f"{SYMBOL}  exchange  PROVEN to 10 levels", "spread", "trades")
        shown.press("3")
        shown.shows(f"{SYMBOL}  exchange  1m")


def test_a_store_is_watched_without_an_api(tmux: str, whole: Whole, tmp_path: Path) -> None:
    arguments = ("--db", f"sqlite:///{whole.folder}/tidelog.db", "--journal", f"{whole.folder}/market.journal")
    with terminal(tmux, tmp_path, "top", "btc", *arguments) as shown:
        shown.shows("live", f"{SYMBOL}  kraken  PROVEN", "spread")
        assert "a stored sample" not in shown.text
