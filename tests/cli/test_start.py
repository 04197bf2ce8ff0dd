"""What a command imports before it does anything: a module here costs each start of each command its time."""

import json
import subprocess
import sys
from typing import NamedTuple

import pytest

REPORT = """
import json, sys
before = set(sys.modules)
from tidelog.__main__ import main
sys.argv[:] = ["tidelog", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
else:
    code = 0
loaded = set(sys.modules) - before
print(json.dumps({"code": code, "modules": sorted(loaded)}), file=sys.stderr)
"""
FRONT = {"tidelog", "tidelog.__main__", "tidelog.interrupt", "tidelog.cli", "tidelog.cli.front", "tidelog.errors"}
PARSER = {"attr", "attrs", "cyclopts", "docstring_parser"}
TERMINAL = {"rich", "pygments", "markdown_it", "mdurl", "linkify_it"}  # the last where it is installed, for others
HELP = PARSER | TERMINAL
RUNNING = {"asyncio", "ssl", "uvloop", "msgspec", "hashlib"}  # what a command runs on, and no help text needs
SAYING = {"tidelog.cli.out", "tidelog.printable"}
GROUP = FRONT | SAYING | {"tidelog.cli.options"}
CHAIN = GROUP | {"tidelog.cli.chain", "tidelog.chain", "tidelog.chain.sync", "tidelog.chain.sync.defaults"}
MARKET = GROUP | {"tidelog.cli.market", "tidelog.market", "tidelog.market.kraken", "tidelog.market.kraken.urls"}
SERVE = GROUP | {"tidelog.cli.serve", "tidelog.api", "tidelog.api.http", "tidelog.api.http.defaults"}
SIM = FRONT | {"tidelog.cli.sim"}
# the command                      what it may import of tidelog      and of others
HELPS: dict[str, tuple[set[str], set[str]]] = {
    "": (FRONT, set()),
    "--help": (FRONT, set()),
    "--version": (FRONT | {"tidelog.compiled"}, PARSER | TERMINAL | {"tidelog_core"}),
    "chain --help": (CHAIN, HELP),
    "chain sync --help": (CHAIN, HELP),
    "chain status --help": (CHAIN, HELP),
    "chain logs --help": (CHAIN, HELP),
    "chain events --help": (CHAIN, HELP),
    "chain calls --help": (CHAIN, HELP),
    "market --help": (MARKET, HELP),
    "market record --help": (MARKET, HELP),
    "market candles --help": (MARKET, HELP),
    "serve --help": (SERVE, HELP),
    "sim --help": (SIM, HELP),
    "sim node --help": (SIM, HELP),
    "sim run --help": (SIM, HELP),
    "db --help": (GROUP | {"tidelog.cli.db"}, HELP),
    "db digest --help": (GROUP | {"tidelog.cli.db"}, HELP),
    "token --help": (GROUP | {"tidelog.cli.token"}, HELP),
    "run --help": (FRONT | {"tidelog.cli.run"}, HELP),
    "status --help": (GROUP | {"tidelog.cli.run", "tidelog.cli.run.status"}, HELP),
    "demo --help": (FRONT | {"tidelog.cli.demo"}, HELP),
    "top --help": (GROUP | {"tidelog.cli.top"}, HELP),
}


class Loaded(NamedTuple):
    """What a command has loaded at its end."""

    code: object
    own: set[str]  # tidelog's modules
    others: set[str]  # packages that are neither tidelog's nor Python's
    modules: set[str]  # all of it


def loaded(*arguments: str) -> Loaded:
    done = subprocess.run([sys.executable, "-c", REPORT, *arguments], capture_output=True, text=True, check=True)
    report = json.loads(done.stderr.splitlines()[-1])
    own = {name for name in report["modules"] if name.partition(".")[0] == "tidelog"}
    others = {name.partition(".")[0] for name in report["modules"]} - sys.stdlib_module_names - {"tidelog"}
    return Loaded(report["code"], own, others, set(report["modules"]))


@pytest.mark.parametrize("command", HELPS)
def test_a_help_text_imports_what_it_shows_and_nothing_else(command: str) -> None:
    code, own, others, modules = loaded(*command.split())
    allowed_own, allowed_others = HELPS[command]
    assert code == 0
    assert own - allowed_own == set()
    assert others - allowed_others == set()
    assert modules.isdisjoint(RUNNING)


NEVER_FOR_A_READ = {
    "aiohttp",
    "asyncpg",
    "coincurve",
    "litestar",
    "picows",
    "prometheus_client",
    "structlog",
    "uvicorn",
    "uvloop",  # takes longer to load than what asyncio's own loop loses in one read
} | TERMINAL
FAR = ("tidelog.net", "tidelog.api", "tidelog.sim", "tidelog.market", "tidelog.chain.source", "tidelog.cli.sources")
WRITING = {  # what makes rows and batches of a block, and its hashes
    "tidelog.chain.encoding",
    "tidelog.chain.forks.checkpoint",
    "tidelog.chain.projections",
    "tidelog.chain.rows.layout",
    "tidelog.telemetry.tracing",
}
RESOURCES = {"importlib.resources", "tempfile", "zipfile"}  # migrations are read by path


def test_status_of_a_chain_imports_its_store_and_neither_network_nor_metrics_nor_what_writes(db: str) -> None:
    code, own, others, modules = loaded("chain", "status", "--db", db)
    assert code == 0
    assert others.intersection(NEVER_FOR_A_READ) == set()
    assert sorted(name for name in own if name.startswith(FAR)) == []
    assert modules.intersection(WRITING) == set()
    if db.startswith("sqlite"):  # the driver of PostgreSQL has a way of its own
        assert modules.intersection(RESOURCES) == set()


LISTS = (
    "chain blocks",
    "chain logs",
    "chain transactions",
    "chain events Transfer --abi erc20",
    "chain calls transfer --abi erc20 --address 0x0000000000000000000000000000000000000000",
    "chain contracts",
    "chain coverage",
    "db info",
    "db digest",
    "token list",
)


@pytest.mark.parametrize("command", LISTS)
def test_a_list_that_goes_on_to_a_program_imports_nothing_that_draws(command: str, db: str) -> None:
    code, _, others, modules = loaded(*command.split(), "--db", db)
    assert code == 0
    assert others.intersection(TERMINAL) == set()
    assert "tidelog.cli.table" not in modules


def test_a_query_of_a_market_imports_no_second_loop_and_no_network(db: str) -> None:
    code, own, others, modules = loaded("market", "coverage", "--db", db)
    assert code in (0, 2)  # there is no recording yet
    assert "tidelog.cli.table" not in modules
    assert others.intersection(NEVER_FOR_A_READ) == set()
    assert sorted(name for name in own if name.startswith(("tidelog.net", "tidelog.api", "tidelog.sim"))) == []
