"""`tidelog db`: info, digest and migrate, on both backends."""

import json
from pathlib import Path

import apsw
import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.simulated import Simulated
from tests.system.sql import Sql
from tidelog.store.migrations import shipped
from tidelog.tables import content_tables

SCHEMA = len(shipped("tidelog.store.sqlite"))
TABLES = [*(table.name for table in content_tables()), "store"]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that holds nothing."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_migrate_makes_the_schema_once(empty: str, cli: Cli) -> None:
    applied = ", ".join(map(str, range(1, SCHEMA + 1)))
    assert cli("db", "migrate", "--db", empty) == (0, f"applied {applied}; the schema is at {SCHEMA}\n", "")
    assert cli("db", "migrate", "--db", empty) == (0, f"nothing to do; the schema is at {SCHEMA}\n", "")


def test_both_backends_have_one_digest(empty: str, cli: Cli, node: Simulated, db: str) -> None:
    assert cli("chain", "sync", "--rpc", node.url, "--db", empty).code == 0
    ours, theirs = [json.loads(cli("db", "digest", "--db", url, "--json").out) for url in (empty, db)]
    assert ours == theirs
    assert list(ours) == TABLES
    assert ours["blocks"]["rows"] == BLOCKS + 1
    assert ours["store"]["rows"] == sum(ours[table]["rows"] for table in TABLES[:-1])
    lines = cli("db", "digest", "--db", empty).out.splitlines()
    assert lines[-1] == f"{ours['store']['sha256']}  store"
    assert lines[1] == f"{ours['blocks']['sha256']}  blocks ({BLOCKS + 1} rows)"


def test_info_prints_what_the_store_is(empty: str, cli: Cli, node: Simulated) -> None:
    assert cli("chain", "sync", "--rpc", node.url, "--db", empty).code == 0
    told = json.loads(cli("db", "info", "--db", empty, "--json").out)
    assert told["backend"] == empty.partition(":")[0]
    assert (told["schema"], told["chains"]) == (SCHEMA, [1337])
    assert told["size_bytes"] > 100_000
    (source,) = told["sources"]
    assert (source["source"], source["epoch"], source["position"]["head"]) == ("chain:1337", 1, BLOCKS)
    if told["backend"] == "sqlite":
        assert told["version"] == apsw.sqlite_lib_version()
        assert (told["journal_mode"], told["synchronous"]) == ("wal", "full")
    for_people = cli("db", "info", "--db", empty).out
    assert f"backend        {told['backend']}" in for_people.splitlines()


def test_a_damaged_position_is_shown_as_it_is(empty: str, cli: Cli, node: Simulated) -> None:
    """Who looks at a damaged store looks here first."""
    assert cli("chain", "sync", "--rpc", node.url, "--db", empty).code == 0
    with Sql(empty) as database:
        database.fetch("UPDATE checkpoints SET position = '{\"head\": 1'")
    (source,) = json.loads(cli("db", "info", "--db", empty, "--json").out)["sources"]
    assert source["position"] == '{"head": 1'


def test_the_digest_of_nothing_is_one_too(empty: str, cli: Cli) -> None:
    cli("db", "migrate", "--db", empty)
    told = json.loads(cli("db", "digest", "--db", empty, "--json").out)
    assert told["store"]["rows"] == 0


@pytest.mark.parametrize("command", [(), ("info",), ("digest",), ("migrate",)], ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...], cli: Cli) -> None:
    done = cli("db", *command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(" ".join(("Usage: tidelog db", *command)))


def test_an_empty_list_is_said_on_a_terminal_and_nothing_to_a_program(
    db: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {  # what each says
        ("chain", "contracts"): "no contract of chain 1337 has tables: `tidelog chain sync --contracts FILE`",
        ("token", "list"): "there are no tokens: `tidelog token create` makes one",
    }
    for command, words in lists.items():
        assert cli(*command, "--db", db) == (0, "", "")
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdout.isatty", lambda: True)
            assert cli(*command, "--db", db).out.startswith(words)
            assert cli(*command, "--db", db, "--json") == (0, "", "")
