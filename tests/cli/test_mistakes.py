"""A user's mistake is one sentence on standard error that begins with "tidelog: ", exit code 2, and no trace."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.command import Finished
from tests.simulated import Simulated
from tidelog.market.journal import export
from tidelog.market.journal.file import JournalWriter
from tidelog.sim.node.chain.tree import BlockTree

HUGE = "9" * 26  # beyond what a column holds
MANY_DIGITS = "9" * 5_000  # beyond what Python reads
OTHER_HASH = "0x" + "1" * 64


def assert_one_sentence(done: Finished, words: str, *, code: int = 2) -> None:
    told = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert len(told) == 1, done.err
    assert told[0].startswith("tidelog: "), done.err
    assert words in told[0]
    assert "Traceback" not in done.err + done.out
    assert done.code == code


SYNC = ("chain", "sync", "--rpc", "NODE", "--db", "NEW")

# NODE is an endpoint, DB a store with blocks 0 to 100, NEW one that is not there yet
MISTAKES: list[tuple[str, tuple[str, ...]]] = [
    # what was typed
    ('Unknown command "frob"', ("frob",)),
    ('Unknown command "frob"', ("chain", "frob")),
    ("--frobnicate", (*SYNC, "--frobnicate")),
    ("Unused Tokens", (*SYNC, "--follow", "extra")),
    (
        "word 5 of the command is not UTF-8",
        ("chain", "events", "N(string indexed n)", "--arg", "n=\udcff", "--db", "DB"),
    ),
    ("word 4 of the command is not UTF-8", ("chain", "blocks", "--db", "sqlite:///\udcff.db")),
    ("--rpc requires an argument", ("chain", "sync", "--db", "NEW")),
    ("--to requires an argument", ("chain", "rewind", "--db", "DB")),
    ("--limit: unable to convert", ("chain", "blocks", "--db", "DB", "--limit", "many")),
    ('"soon" for --finality', (*SYNC, "--finality", "soon")),
    ('"loud" for --log-level', (*SYNC, "--log-level", "loud")),
    # numbers
    ("--from 'ten'", (*SYNC, "--from", "ten")),
    ("--from '-1'", (*SYNC, "--from", "-1")),
    ("--to 5 is below --from 10", (*SYNC, "--from", "10", "--to", "5")),
    ("--to -5: give 0 or more", (*SYNC, "--to", "-5")),
    ("--confirmations -1: give 0 or more", (*SYNC, "--confirmations", "-1")),
    ("--poll 0: give more than 0", (*SYNC, "--poll", "0")),
    ("--poll nan", (*SYNC, "--poll", "nan")),
    ("--reorg-patience -1", (*SYNC, "--reorg-patience", "-1")),
    ("--limit 0: give 1 to 10000", ("chain", "blocks", "--db", "DB", "--limit", "0")),
    ("--limit 10001: give 1 to 10000", ("chain", "logs", "--db", "DB", "--limit", "10001")),
    ("--jobs 0: give 1 or more", ("chain", "verify", "--db", "DB", "--jobs", "0")),
    ("--findings 0: give 1 or more", ("chain", "verify", "--db", "DB", "--findings", "0")),
    (f"--from {HUGE}", ("chain", "blocks", "--db", "DB", "--from", HUGE)),
    (f"--from '{MANY_DIGITS[:80]}': give a block number", (*SYNC, "--from", MANY_DIGITS)),
    *(
        (f"--keep-days {days}: give more than 0", ("market", "record", "--symbols=A/USD", f"--keep-days={days}"))
        for days in ("0", "-1", "nan", "inf", "1e+12")
    ),
    ("trades are kept for inf days: give", ("market", "record", "--symbols=A/USD", "--keep-trades-days=inf")),
    (f"--to -{HUGE}", ("chain", "logs", "--db", "DB", "--to", f"-{HUGE}")),
    # hashes and addresses
    ("--anchor 'garbage': give a hash", (*SYNC, "--anchor", "garbage")),
    ("--address '0x12': give an address", ("chain", "logs", "--db", "DB", "--address", "0x12")),
    ("--topic0 'zz': give a topic", ("chain", "logs", "--db", "DB", "--topic0", "zz")),
    ("--topic3 '0x12': give a topic", ("chain", "logs", "--db", "DB", "--topic3", "0x12")),
    ("--sender 'me': give an address", ("chain", "transactions", "--db", "DB", "--sender", "me")),
    ("--receiver '0x': give an address", ("chain", "transactions", "--db", "DB", "--receiver", "0x")),
    ("--block '1.5': give a block number, or a hash", ("chain", "transactions", "--db", "DB", "--block", "1.5")),
    (f"--block '{HUGE}': give a block number", ("chain", "transactions", "--db", "DB", "--block", HUGE)),
    ("--block replaces --from", ("chain", "transactions", "--db", "DB", "--block", "5", "--to", "7")),
    ("--limit 0: give 1 to 10000", ("chain", "transactions", "--db", "DB", "--limit", "0")),
    ("--from 9 is above --to 8", ("chain", "transactions", "--db", "DB", "--from", "9", "--to", "8")),
    ("there is no block from 101 on", ("chain", "logs", "--db", "DB", "--from", "101")),
    # endpoints
    ("must look like http://host", ("chain", "sync", "--rpc", "ftp://host/", "--db", "NEW")),
    ("this one has no scheme", ("chain", "sync", "--rpc", "localhost:8545", "--db", "NEW")),
    ("host or port is not valid", ("chain", "sync", "--rpc", "http://host:99999", "--db", "NEW")),
    ("must look like ws://host", (*SYNC, "--ws", "http://host/")),
    # stores
    ("names no store", ("chain", "sync", "--rpc", "NODE", "--db", "mysql://host/name")),
    ("names no store", ("chain", "status", "--db", "chain.db")),
    ("names no SQLite file", ("chain", "status", "--db", "sqlite:///")),
    ("is not a PostgreSQL URL", ("chain", "status", "--db", "postgresql://user@host:port/name")),
    *(
        ("there is no such file", (*command, "--db", "NEW"))
        for command in (
            ("chain", "status"),
            ("chain", "verify"),
            ("chain", "blocks"),
            ("chain", "logs"),
            ("chain", "transactions"),
            ("db", "info"),
            ("db", "digest"),
        )
    ),
    ("there is no folder", ("db", "migrate", "--db", "sqlite:////nowhere/at/all.db")),
    ("/tmp cannot be opened: it is a folder", ("db", "migrate", "--db", "sqlite:////tmp")),
    ("/tmp cannot be opened: it is a folder", ("chain", "status", "--db", "sqlite:////tmp")),
    ("/tmp cannot be opened: it is a folder", ("market", "follow", "/tmp")),
    *(
        (f"{path!r} names no file: give a path", ("market", *command, path))
        for path in ("", ":memory:")
        for command in (("follow",), ("record", "--url=ws://127.0.0.1:1", "--symbols=A/USD", "--journal"))
    ),
    # what is, and is not, in the store
    ("--to 101 is not in the store", ("chain", "rewind", "--db", "DB", "--to", "101")),
    ("--to -1 is not in the store", ("chain", "rewind", "--db", "DB", "--to", "-1")),
    ("--to 10 drops final blocks", ("chain", "rewind", "--db", "DB", "--to", "10")),
    ("block 500 is not in the store", ("chain", "repair", "500", "--rpc", "NODE", "--db", "DB")),
    ("blocks 90 to 500 are not in the store", ("chain", "verify", "--db", "DB", "--from", "90", "--to", "500")),
    ("blocks 9 to 3 are not in the store", ("chain", "verify", "--db", "DB", "--from", "9", "--to", "3")),
    ("holds no chain 99", ("chain", "blocks", "--db", "DB", "--chain-id", "99")),
    ("would leave a hole", ("chain", "sync", "--rpc", "NODE", "--db", "DB", "--from", "200")),
    ("is not the hash of the store's first", ("chain", "sync", "--rpc", "NODE", "--db", "DB", "--anchor", OTHER_HASH)),
    # what is not on the chain yet
    ("--from 500 is not there yet", (*SYNC, "--from", "500")),
    ("--to 500 is not there yet", (*SYNC, "--to", "500")),
]  # fmt: skip


@pytest.mark.parametrize(("words", "command"), MISTAKES, ids=[" ".join(command)[:60] for _, command in MISTAKES])
def test_a_mistake_is_one_sentence(
    words: str, command: tuple[str, ...], cli: Cli, node: Simulated, db: str, tmp_path: Path
) -> None:
    known = {"NODE": node.url, "DB": db, "NEW": f"sqlite:///{tmp_path}/new.db"}
    assert_one_sentence(cli(*(known.get(word, word) for word in command)), words)


def test_a_setting_of_the_environment_that_is_not_utf_8_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDELOG_DB", "postgresql://user:secret\udcff@host/name")
    done = cli("chain", "blocks")
    assert_one_sentence(done, "TIDELOG_DB is not UTF-8")
    assert "secret" not in done.err


def test_a_store_that_holds_nothing_is_not_asked_by_name(cli: Cli, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    assert cli("db", "migrate", "--db", url).code == 0
    assert_one_sentence(cli("chain", "blocks", "--db", url), "the store holds no chain yet")
    assert_one_sentence(cli("market", "trades", "A/USD", "--db", url), "the store holds no recording yet")


def test_an_export_that_cannot_be_written_leaves_no_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, to = str(tmp_path / "journal"), tmp_path / "export"
    JournalWriter(journal).close()
    missing = f"{tmp_path}/nowhere/export"
    assert_one_sentence(
        cli("market", "export", journal, missing), f"{missing} cannot be made: No such file or directory"
    )

    def full(path: str, flags: int) -> int:
        to.touch()
        return os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(export, "_private", full)
    words = f"{to} could not be written: No space left on device"
    assert_one_sentence(cli("market", "export", journal, str(to)), words, code=5)
    assert not to.exists()


def test_a_read_of_a_missing_file_does_not_make_it(cli: Cli, tmp_path: Path) -> None:
    cli("chain", "status", "--db", f"sqlite:///{tmp_path}/new.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("rewind", "--to", "3"), ("repair", "3", "--rpc", "NODE"), ("probe", "--rpc", "NODE")]
)
def test_a_change_of_a_missing_file_does_not_make_it(
    cli: Cli, node: Simulated, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [node.url if word == "NODE" else word for word in command]
    assert_one_sentence(cli("chain", *words, "--db", f"sqlite:///{tmp_path}/new.db"), "there is no such file")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_left_alone(cli: Cli, node: Simulated, tmp_path: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other.db"
    text.write_text("not a database " * 100)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = text.read_bytes(), other.read_bytes()
    for path, words in ((text, "is not a SQLite file"), (other, "is a SQLite file of another program")):
        for command in (("chain", "sync", "--rpc", node.url), ("chain", "status"), ("db", "migrate")):
            assert_one_sentence(cli(*command, "--db", f"sqlite:///{path}"), words)
    assert (text.read_bytes(), other.read_bytes()) == before


def test_a_store_of_another_chain_is_refused(cli: Cli, db: str) -> None:
    for other, words in (
        (BlockTree(chain_id=31337, blocks=3), "the store holds chain 1337, the endpoint serves chain 31337"),
        (BlockTree(seed=77, blocks=3), "the store holds a chain 1337 with genesis 0x"),
    ):
        with Simulated(other) as served:
            assert_one_sentence(cli("chain", "sync", "--rpc", served.url, "--db", db), words)


def test_two_chains_in_one_store_have_to_be_named(cli: Cli, db: str) -> None:
    with Simulated(BlockTree(chain_id=31337, blocks=3)) as served:
        assert cli("chain", "sync", "--rpc", served.url, "--db", db, "--chain-id", "31337").code == 0
    assert_one_sentence(
        cli("chain", "blocks", "--db", db), "say which chain by --chain-id: the store holds 1337, 31337"
    )
    done = cli("chain", "verify", "--db", db, "--chain-id", "31337")
    assert (done.code, "4 blocks (0 to 3)" in done.out) == (0, True)
    assert f"{BLOCKS + 1} blocks" in cli("chain", "verify", "--db", db, "--chain-id", "1337").out


def test_an_endpoint_of_another_chain_than_asked_for(cli: Cli, node: Simulated, tmp_path: Path) -> None:
    done = cli("chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/new.db", "--chain-id", "1")
    assert_one_sentence(done, "serves chain 1337, not chain 1", code=3)
