"""`tidelog init`, `config check` and `config show`: a file to begin with is good, and no secret is printed."""

import json
import re
import stat
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Cli
from tests.cli.test_mistakes import assert_one_sentence
from tidelog.cli.run.file.reference import commented_file, reference_table
from tidelog.cli.run.file.settings import (
    ApiSettings,
    ChainSettings,
    LogSettings,
    MarketSettings,
    RunSettings,
    Settings,
)
from tidelog.cli.run.file.streams import StreamSettings
from tidelog.cli.sources.contracts import ContractSettings
from tidelog.config import parse

DOCS = Path(__file__).parents[3] / "docs" / "run.md"
CANARY = "canary0123456789"


@pytest.fixture
def file(tmp_path: Path, cli: Cli) -> str:
    path = str(tmp_path / "tidelog.toml")
    assert cli("init", path).code == 0
    return path


def test_the_file_of_init_is_valid(file: str, cli: Cli) -> None:
    done = cli("config", "check", "-c", file)
    assert (done.code, done.err) == (0, "")
    for words in ("mainnet: http://127.0.0.1:8545", "kraken: BTC/USD", "port 8420", "stops within 30s"):
        assert words in done.out
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600


def test_a_variable_that_replaces_a_value_of_the_file_is_told(
    file: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDELOG__STORE__URL", "sqlite:////elsewhere/x.db")
    done = cli("config", "check", "-c", file)
    assert done.err == f"tidelog: warning: TIDELOG__STORE__URL replaces store.url of {file}\n"
    assert "sqlite:////elsewhere/x.db" in done.out


def test_data_dir_is_what_relative_paths_are_relative_to(file: str, cli: Cli, tmp_path: Path) -> None:
    done = cli("config", "check", "-c", file, "--data-dir", str(tmp_path / "data"))
    assert f"store    sqlite:///{tmp_path}/data/tidelog.db" in done.out
    assert f"journal {tmp_path}/data/market.journal" in done.out


def test_the_file_of_init_has_every_key_with_a_valid_value(
    file: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(file).read_text()
    schemas = (ChainSettings, ContractSettings, MarketSettings, StreamSettings, ApiSettings, LogSettings, RunSettings)
    for schema in schemas:
        for field in msgspec.structs.fields(schema):
            if field.encode_name == "contract":
                assert "\n# [[chain.contract]]\n" in text
                continue
            assert re.search(rf"^(# )?{field.encode_name} = ", text, re.MULTILINE), field.encode_name
    every = re.sub(r"^# ([a-z_]+ = |\[\[)", r"\1", text, flags=re.MULTILINE)
    elsewhere = (  # a stream goes to one of three, and has keys of that one
        r'^(kafka = |user = "tidelog"|password = "\$\{KAFKA_|'
        r'url = "https://example\.org/hooks/|secret = "\$\{WEBHOOK_|state = "/var/lib/tidelog/hook\.).*\n'
    )
    Path(file).write_text(re.sub(elsewhere, "", every, flags=re.MULTILINE))
    monkeypatch.setenv("NATS_TOKEN", CANARY)
    monkeypatch.setenv("KAFKA_PASSWORD", CANARY)
    monkeypatch.setenv("WEBHOOK_SECRET", CANARY)
    monkeypatch.setenv("KRAKEN_KEY", CANARY)
    monkeypatch.setenv("KRAKEN_SECRET", "YWJjZGVmZ2hpamtsbW5vcA==")
    assert cli("config", "check", "-c", file).code == 0


def test_commented_keys_of_init_show_the_default() -> None:
    text = re.sub(r"^# \[\[.*?\n\n", "\n", commented_file(), flags=re.MULTILINE | re.DOTALL)  # a table that is none
    lines = text.splitlines()
    examples = {
        number for number, line in enumerate(lines) if line.endswith(" An example:")
    }  # the key is on the next line
    kept = [
        line.removeprefix("# ") if re.match(r"# [a-z_]+ = ", line) and number - 1 not in examples else line
        for number, line in enumerate(lines)
    ]
    as_written = parse(text, Settings, file="/x/t.toml", environ={}).value
    assert parse("\n".join(kept), Settings, file="/x/t.toml", environ={}).value == as_written
    assert text != "\n".join(kept)


def test_a_file_that_exists_is_left_alone(file: str, cli: Cli, tmp_path: Path) -> None:
    Path(file).write_text("mine")
    assert_one_sentence(cli("init", file), "exists: give the path of a new file")
    assert Path(file).read_text() == "mine"
    assert_one_sentence(cli("init", str(tmp_path / "none" / "x")), "cannot be written: No such file or directory")


def test_show_hides_secrets_and_says_where_a_value_is_from(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        f'[store]\nurl = "postgresql://u:{CANARY}@host/n"\n'
        f'[[chain]]\nname = "main"\nrpc = ["https://host/v2/{CANARY}"]\n[run]\ndirectory = "/r"\n'
    )
    monkeypatch.setenv("TIDELOG__CHAIN__MAIN__POLL", "9s")
    plain, as_json = cli("config", "show", "-c", str(file)), cli("config", "show", "--json", "-c", str(file))
    check = cli("config", "check", "-c", str(file))
    assert CANARY not in plain.out + as_json.out + check.out + check.err
    assert 'chain.main.rpc = ["https://host/***"]  # file' in plain.out
    assert 'chain.main.poll = "9s"  # TIDELOG__CHAIN__MAIN__POLL' in plain.out
    assert 'store.url = "postgresql://u:***@host/n"  # file' in plain.out
    shown = json.loads(as_json.out)
    assert shown["values"]["chain"]["main"]["poll"] == "9s"
    assert shown["overrides"] == {"chain.main.poll": "TIDELOG__CHAIN__MAIN__POLL"}
    assert "everybody on this machine can read" in check.err


def test_a_bad_file_is_one_sentence_everywhere(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('[[chain]]\nname = "main"\nrpc = ["http://h"]\nconfirmation = 5\n')
    for command in (("config", "check"), ("config", "show"), ("run",), ("run-source", "main")):
        words = f"{file}: chain.main.confirmation: there is no such key; did you mean confirmations?"
        assert_one_sentence(cli(*command, "-c", str(file)), words)
    assert_one_sentence(
        cli("run", "-c", str(tmp_path / "none")),
        "none cannot be read: No such file or directory; `tidelog init` writes one",
    )


def test_a_source_that_is_not_in_the_file(cli: Cli, file: str) -> None:
    assert_one_sentence(cli("run-source", "x", "-c", file), "has no source x; there are mainnet, kraken, api")


def test_status_of_what_does_not_run(cli: Cli, file: str) -> None:
    done = cli("status", "-c", file)
    assert (done.code, done.err) == (3, "")
    assert [line.split(maxsplit=1) for line in done.out.splitlines()] == [
        [name, "does not answer"] for name in ("supervisor", "mainnet", "kraken")
    ]


def test_the_documentation_has_every_key() -> None:
    assert reference_table() in DOCS.read_text()
