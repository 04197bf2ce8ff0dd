"""`tidelog chain`: each command's good way, each exit code for real, and what is said on a terminal and off one."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.command import Running, digest, environment
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tests.system.sql import Sql, opened, position
from tests.system.truth import standing
from tidelog.chain.endpoint.health import HealthLimits
from tidelog.chain.source import opening
from tidelog.chain.source.standing import PoolLimits
from tidelog.chain.sync.engine import Sync, SyncLimits
from tidelog.cli import stores
from tidelog.cli.sources import chain as source
from tidelog.cli.sources.chain import STOP_GRACE_S
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.server import HOST
from tidelog.store import open_store
from tidelog.store.limits import PostgresLimits, SqliteLimits, StoreLimits

CHAIN_ID = 1337
KEY = "canary0123456789"
LONG = 4_000  # blocks: some seconds of history


def execute(db: str, statement: str) -> None:
    """Change the file behind the store's back."""
    with Sql(db) as database:
        database.fetch(statement)


def flip_a_byte(db: str, number: int) -> None:
    execute(db, f"UPDATE blocks SET state_root = zeroblob(32) WHERE number = {number}")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up in tenths of a second what takes tens of seconds otherwise, where somebody answers."""
    pool = PoolLimits(health=HealthLimits(backoff_first_s=0.001))
    stores_of = StoreLimits(SqliteLimits(write_patience_s=0.2), PostgresLimits(read_patience_s=0.2))
    monkeypatch.setattr(source, "open_pool", partial(opening.open_pool, limits=pool))
    for module in (source, stores):
        monkeypatch.setattr(module, "open_store", partial(open_store, limits=stores_of))


@pytest.fixture
def give_up(monkeypatch: pytest.MonkeyPatch, impatient: None) -> Callable[[], None]:
    """From this call on, an endpoint has to answer first in tenths of a second: for those that never do."""
    return lambda: monkeypatch.setattr(source, "Sync", partial(Sync, limits=SyncLimits(contact_s=0.3)))


# -- the good way --------------------------------------------------------------------------------------------------


def test_sync_says_what_it_did_in_one_json_line_per_event(cli: Cli, node: Simulated, tmp_path: Path) -> None:
    done = cli("chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/chain.db")
    assert (done.code, done.out) == (0, "")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert events[-1]["event"] == "done"
    assert (events[-1]["first"], events[-1]["head"], events[-1]["blocks"]) == (0, BLOCKS, BLOCKS + 1)


def test_sync_reads_its_endpoint_and_store_from_the_environment(
    cli: Cli, node: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDELOG_RPC", node.url)
    monkeypatch.setenv("TIDELOG_DB", f"sqlite:///{tmp_path}/chain.db")
    assert cli("chain", "sync", "--from", "5", "--to", "7").code == 0
    assert json.loads(cli("chain", "status", "--json").out)["head"] == 7


@pytest.mark.parametrize(
    ("flags", "first", "head"),
    [
        (("--from", "40", "--to", "40"), 40, 40),
        (("--from", "latest"), BLOCKS, BLOCKS),
        (("--finality", "finalized"), 0, BLOCKS - 64),
        (("--finality", "safe"), 0, BLOCKS - 32),
        (("--confirmations", "10"), 0, BLOCKS - 10),
    ],
    ids=str,
)
def test_sync_goes_as_far_as_it_is_told(
    flags: tuple[str, ...], first: int, head: int, cli: Cli, node: Simulated, tmp_path: Path
) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    for _ in range(2):  # the second time there is nothing to do
        assert cli("chain", "sync", "--rpc", node.url, "--db", db, *flags).code == 0
        assert standing(db, CHAIN_ID)[:2] == (first, head)


def test_a_lower_from_fills_in_downwards(cli: Cli, node: Simulated, db: str, tmp_path: Path) -> None:
    filled = f"sqlite:///{tmp_path}/filled.db"
    for first in ("70", "30", "0"):
        assert cli("chain", "sync", "--rpc", node.url, "--db", filled, "--from", first).code == 0
    assert digest(filled) == digest(db)


def test_an_anchor_pins_the_first_block(cli: Cli, node: Simulated, tmp_path: Path, impatient: None) -> None:
    command = ("chain", "sync", "--rpc", node.url, "--from", "40", "--to", "45", "--anchor")
    right = "0x" + node.tree.canonical(40).hash.hex()
    assert cli(*command, right, "--db", f"sqlite:///{tmp_path}/right.db").code == 0
    done = cli(*command, "0x" + "1" * 64, "--db", f"sqlite:///{tmp_path}/wrong.db")
    assert done.code == 4
    assert "block 40" in done.err.splitlines()[-1]


def test_status_prints_what_is_held(cli: Cli, db: str, node: Simulated) -> None:
    told = json.loads(cli("chain", "status", "--db", db, "--json").out)
    head = node.tree.canonical(BLOCKS)
    assert (told["chain_id"], told["first"], told["head"]) == (CHAIN_ID, 0, BLOCKS)
    assert told["head_hash"] == "0x" + head.hash.hex()
    assert (told["finalized"], told["changes"], told["last_reorg"]) == (BLOCKS - 64, BLOCKS + 1, None)
    for_people = cli("chain", "status", "--db", db).out
    assert re.search(rf"^head +{BLOCKS}$", for_people, re.MULTILINE)
    assert re.search(r"^last_reorg +none$", for_people, re.MULTILINE)


def test_probe_prints_what_holds_and_in_how_many_blocks(cli: Cli, node: Simulated, db: str) -> None:
    done = cli("chain", "probe", "--rpc", node.url)
    assert done.code == 0
    assert re.search(
        r"^chain 1337 .anvil.: \d+ blocks of 0 to \d+ looked at, from 1 endpoints$", done.out, re.MULTILINE
    )
    assert re.search(r"^from block 0: hash: holds \((\d+) of \1 blocks\), .*receipts: holds \(", done.out, re.MULTILINE)
    assert "stored:" not in done.out


def test_probe_of_a_store_leaves_its_digest_and_is_shown_by_status(cli: Cli, node: Simulated, db: str) -> None:
    before = digest(db)
    assert "stored: blocks from" in cli("chain", "probe", "--rpc", node.url, "--db", db).out
    assert digest(db) == before
    (told,) = [json.loads(line) for line in cli("chain", "status", "--db", db, "--json").out.splitlines()]
    assert told["not_checked"] == told["accepted_unproven"] == []
    assert told["rules"][0].startswith("from block 0: hash: holds")


def test_a_check_that_is_none_is_not_accepted(cli: Cli, node: Simulated, db: str) -> None:
    done = cli("chain", "sync", "--rpc", node.url, "--db", db, "--accept-unproven", "everything")
    assert done.code == 2
    assert "--accept-unproven 'everything': give one of hash, uncles, transactions" in done.err


def test_blocks_are_listed(cli: Cli, db: str, node: Simulated) -> None:
    rows = [json.loads(line) for line in cli("chain", "blocks", "--db", db, "--json", "--limit", "3").out.splitlines()]
    assert [row["number"] for row in rows] == [BLOCKS, BLOCKS - 1, BLOCKS - 2]
    assert [row["hash"] for row in rows] == ["0x" + node.tree.canonical(row["number"]).hash.hex() for row in rows]
    lines = cli("chain", "blocks", "--db", db, "--from", "7", "--to", "8").out.splitlines()
    assert [line.split()[0] for line in lines] == ["number=8", "number=7"]


def test_logs_are_listed(cli: Cli, db: str) -> None:
    rows = [
        json.loads(line) for line in cli("chain", "logs", "--db", db, "--json", "--limit", "10000").out.splitlines()
    ]
    places = [(row["block_number"], row["log_index"]) for row in rows]
    assert len(places) > BLOCKS
    assert places == sorted(places)
    address = rows[0]["address"]
    topic = next(row["topic0"] for row in rows if row["topic0"])
    for flag, name, value in (("--address", "address", address), ("--topic0", "topic0", topic)):
        shown = cli("chain", "logs", "--db", db, "--json", "--limit", "10000", flag, value).out.splitlines()
        assert [json.loads(line) for line in shown] == [row for row in rows if row[name] == value]
    assert cli("chain", "logs", "--db", db, "--address", "0x" + "ab" * 20).out == ""


@pytest.mark.parametrize("flags", [(), ("--jobs", "2"), ("--from", "10", "--to", "20")], ids=str)
def test_verify_of_a_sound_store(flags: tuple[str, ...], cli: Cli, db: str) -> None:
    done = cli("chain", "verify", "--db", db, *flags)
    *_, said, last = done.out.splitlines()
    assert (done.code, said) == (0, "every hash, root, bloom and link holds")
    assert last.startswith("not looked at: ")
    assert ("a range was given" in last) == ("--from" in flags)


# -- damage, repair, rewind ------------------------------------------------------------------------------------------


def test_a_flipped_byte_is_found_told_apart_and_repaired(cli: Cli, node: Simulated, db: str) -> None:
    sound = digest(db)
    flip_a_byte(db, 60)
    done = cli("chain", "verify", "--db", db)
    assert done.code == 6
    assert "block 60 differs from the chain's commitment: hash: expected" in done.out
    assert cli("chain", "repair", "60", "--rpc", node.url, "--db", db).code == 0
    assert cli("chain", "verify", "--db", db).code == 0
    assert digest(db) == sound
    execute(db, "UPDATE blocks SET ingested_at = ingested_at + 1 WHERE number = 61")
    done = cli("chain", "verify", "--db", db)
    assert done.code == 6
    assert "block 61 differs from what was ingested" in done.out
    assert cli("chain", "repair", "61", "--rpc", node.url, "--db", db).code == 0
    assert cli("chain", "verify", "--db", db).code == 0


@pytest.mark.parametrize("to", [99, 40, 36])
def test_a_rewound_store_syncs_to_the_same_again(to: int, cli: Cli, node: Simulated, db: str) -> None:
    whole = digest(db)
    done = cli("chain", "rewind", "--db", db, "--to", str(to))
    assert (done.code, done.out) == (0, f"chain {CHAIN_ID}: {BLOCKS - to} blocks dropped, the head is {to}\n")
    assert standing(db, CHAIN_ID).head == to
    assert cli("chain", "sync", "--rpc", node.url, "--db", db).code == 0
    assert digest(db) == whole
    assert cli("chain", "verify", "--db", db).code == 0


def test_final_blocks_are_rewound_only_on_purpose(cli: Cli, node: Simulated, db: str) -> None:
    whole = digest(db)
    assert cli("chain", "rewind", "--db", db, "--to", "20").code == 2
    assert digest(db) == whole
    assert cli("chain", "rewind", "--db", db, "--to", "20", "--below-finalized").code == 0
    assert (standing(db, CHAIN_ID).head, standing(db, CHAIN_ID).finalized) == (20, 20)
    assert cli("chain", "sync", "--rpc", node.url, "--db", db).code == 0
    assert digest(db) == whole


# -- exit codes ------------------------------------------------------------------------------------------------------


def last_line(err: str) -> str:
    assert "Traceback" not in err
    line = err.splitlines()[-1]
    assert line.startswith("tidelog: ")
    return line


def test_exit_code_3_when_no_endpoint_listens(cli: Cli, tmp_path: Path, give_up: Callable[[], None]) -> None:
    give_up()
    done = cli("chain", "sync", "--rpc", f"http://{HOST}:9/", "--db", f"sqlite:///{tmp_path}/chain.db")
    assert done.code == 3
    assert f"no contact within 0.3 s: http://{HOST}:9: no connection" in last_line(done.err)


def test_exit_code_4_when_a_block_contradicts_its_header(
    cli: Cli, own_node: Simulated, tmp_path: Path, impatient: None
) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    own_node.do(lambda: own_node.node.tell("receipt_altered", blocks=[80]))
    done = cli("chain", "sync", "--rpc", own_node.url, "--db", db)
    assert done.code == 4
    assert re.search(r"block 80 from http://\S+: \w+ differs: expected", last_line(done.err))
    assert 36 <= standing(db, CHAIN_ID).head < 80  # blocks that came with it are asked for again, with it


def test_exit_code_5_when_another_writer_holds_the_store(cli: Cli, node: Simulated, db: str, impatient: None) -> None:
    with Sql(db) as holder:
        holder.fetch("BEGIN IMMEDIATE")
        done = cli("chain", "rewind", "--db", db, "--to", "90")
    assert done.code == 5
    assert "is locked by another writer" in last_line(done.err)


def test_exit_code_6_when_the_store_contradicts_itself(cli: Cli, node: Simulated, db: str) -> None:
    execute(db, "DELETE FROM blocks WHERE number = 90")
    done = cli("chain", "sync", "--rpc", node.url, "--db", db)
    assert done.code == 6
    assert "tidelog chain verify" in last_line(done.err)


def test_exit_code_7_when_final_blocks_are_replaced(cli: Cli, own_node: Simulated, db: str) -> None:
    whole = digest(db)
    own_node.do(lambda: own_node.tree.reorg(80))  # 16 blocks below what is final
    done = cli("chain", "sync", "--rpc", own_node.url, "--db", db)
    assert done.code == 7
    assert "is final here as 0x" in last_line(done.err)
    assert "nothing was changed" in last_line(done.err)
    assert digest(db) == whole


@pytest.fixture(scope="module")
def long_node() -> Iterator[Simulated]:
    with Simulated(BlockTree(seed=8, blocks=LONG)) as served:
        yield served


def test_exit_code_130_when_a_sync_is_interrupted_before_the_end(long_node: Simulated, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    with Running("chain", "sync", "--rpc", long_node.url, "--db", db, log=tmp_path / "log") as run:
        run.until(lambda: has_blocks(db), "the first commit")
        assert run.interrupt() == 130
        assert run.events("stopped")[-1]["head"] == standing(db, CHAIN_ID).head
        assert run.events("stopped")[-1]["head"] < LONG
        assert "Traceback" not in run.text


def has_blocks(db: str) -> bool:
    path = Path(db.removeprefix("sqlite:///"))
    try:
        return path.exists() and position(db, CHAIN_ID) is not None
    except Exception as error:
        if "no such table" in str(error):  # it was just made
            return False
        raise


def test_exit_code_0_when_following_is_interrupted(node: Simulated, db: str, tmp_path: Path) -> None:
    with Running("chain", "sync", "--rpc", node.url, "--db", db, "--follow", log=tmp_path / "log") as run:
        run.until(lambda: epoch(db) > 1, "its start")
        assert run.interrupt() == 0
        assert run.events("stopped")[-1]["head"] == BLOCKS


def epoch(db: str) -> int:
    with opened(db) as view:
        return int(view.row("SELECT max(epoch) FROM checkpoints")[0])


def test_an_interrupted_sync_does_not_wait_for_an_endpoint(own_node: Simulated, db: str, tmp_path: Path) -> None:
    with Running("chain", "sync", "--rpc", own_node.url, "--db", db, "--follow", log=tmp_path / "log") as run:
        stall(own_node, db, run)
        failed = len(run.events("endpoint_failed"))
        assert run.interrupt() == 0
        assert len(run.events("endpoint_failed")) == failed, "the question was not waited for until its time was over"
        assert run.events("stopped")[-1]["head"] == standing(db, CHAIN_ID).head
        assert "Traceback" not in run.text


def stall(node: Simulated, db: str, run: Running) -> None:
    """Let the node stop to answer, and wait until the sync waits for it."""
    before, told = epoch(db), node.do(lambda: node.node.told["stall"])
    run.until(lambda: epoch(db) > before, "its start")
    node.do(lambda: node.node.tell("stall"))
    run.until(lambda: node.do(lambda: node.node.told["stall"]) > told, "a question without an answer")


def test_exit_code_130_at_once_when_a_sync_is_interrupted_twice(own_node: Simulated, db: str, tmp_path: Path) -> None:
    between_s = STOP_GRACE_S
    while between_s > STOP_GRACE_S / 2:  # the machine stood still between our signals: the first one's end was in order
        own_node.do(own_node.node.honest)
        with Running("chain", "sync", "--rpc", own_node.url, "--db", db, "--follow", log=tmp_path / "log") as run:
            stall(own_node, db, run)
            sent_s = [time.monotonic()]
            while run.process.poll() is None:  # two signals of one kind that come at once are delivered as one
                run.process.send_signal(signal.SIGINT)
                time.sleep(0.02)
                sent_s.append(time.monotonic())
            code = run.wait()
        between_s = max(later - earlier for earlier, later in pairwise(sent_s))
    assert code == 130  # an end in order would be 0, after STOP_GRACE_S


# -- what is said ------------------------------------------------------------------------------------------------------


def test_keys_are_never_printed(cli: Cli, own_node: Simulated, tmp_path: Path, give_up: Callable[[], None]) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    url = own_node.path(f"v2/{KEY}?apikey={KEY}")
    outputs = [cli("chain", "sync", "--rpc", url, "--db", db, "--log-level", "debug")]
    assert outputs[0].code == 0
    give_up()
    for lie in ("key_echoed", "bad_gateway", "redirect", "transaction_altered", "cut"):
        own_node.do(own_node.node.honest)
        own_node.do(lambda: own_node.tree.extend(1))
        own_node.do(lambda lie=lie: own_node.node.tell(lie))  # type: ignore[misc]
        outputs.append(cli("chain", "sync", "--rpc", url, "--db", db, "--log-level", "debug"))
        assert outputs[-1].code in (3, 4), lie
        outputs.append(cli("chain", "repair", "3", "--rpc", url, "--db", db))
    own_node.stop()
    outputs.append(cli("chain", "sync", "--rpc", url, "--db", db))
    outputs.append(cli("chain", "sync", "--rpc", f"ftp://{KEY}@host/{KEY}", "--db", db))
    outputs.append(cli("chain", "sync", "--rpc", url, "--ws", f"gopher://host/{KEY}", "--db", db))
    outputs.append(cli("chain", "status", "--db", f"postgresql://user:{KEY}@{HOST}:9/name"))
    outputs.append(cli("chain", "status", "--db", f"mysql://user:{KEY}@{HOST}:9/name"))
    assert all(output.code for output in outputs[-5:])
    for output in (*outputs, cli("chain", "blocks", "--db", db), cli("db", "info", "--db", db)):
        assert KEY not in output.out + output.err
    own_node.start()


def test_on_a_terminal_a_line_is_kept_up_to_date(long_node: Simulated, tmp_path: Path) -> None:
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", long_node.url, "--to", "1500"],
        env={**environment(), "TERM": "xterm", "COLUMNS": "160", "TIDELOG_DB": f"sqlite:///{tmp_path}/chain.db"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    try:
        shown = read_to_end(main)
        assert process.wait(HANGS_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main)
    assert re.search(r"chain 1337  \[[#.]{10}\]  head [\d,]+  .*[\d,]+ blocks/s  [\d,]+ tx/s", shown), shown[-2000:]
    assert "head 1,500" in shown
    assert "Traceback" not in shown


def read_to_end(terminal: int) -> str:
    """Everything that is written to a terminal until its other end is closed."""
    parts: list[bytes] = []
    while select.select([terminal], [], [], HANGS_S)[0]:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode())


COMMANDS = ("sync", "status", "verify", "rewind", "repair", "blocks", "logs", "transactions")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...], cli: Cli) -> None:
    done = cli("chain", *command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(" ".join(("Usage: tidelog chain", *command)))


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    text = " ".join(cli("--help").out.split())
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 130):
        assert re.search(rf"[:;] {code} \w+", text), code


def test_the_version_is_told(cli: Cli) -> None:
    done = cli("--version")
    assert done.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+, core: (native|python) \(.+\)\n", done.out)
