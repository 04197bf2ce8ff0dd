"""`tidelog market`: record an exchange as a process, replay what it left, look at its books."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import msgspec
import pytest

from tests.market.exchange import Script, serve, until
from tests.patience import HANGS_S
from tidelog.cli.market import app, record
from tidelog.cli.sources import market
from tidelog.errors import ConfigError
from tidelog.market.journal.reader import JournalReader

PROGRAM = "from tidelog.cli.market import app; app()"


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, *arguments),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def output(process: asyncio.subprocess.Process) -> str:
    out, err = await asyncio.wait_for(process.communicate(), HANGS_S)
    assert process.returncode == 0, err.decode()
    return out.decode()


def has_trade(journal: str, number: int) -> bool:
    """Whether the trade of that number is on the disk."""
    reader = JournalReader(journal)
    try:
        return any(b'"trade_id":%d,' % number in record.payload for record in reader.records())
    finally:
        reader.close()


@asynccontextmanager
async def recorded(script: Script, *flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A recording that has taken a trade; it is ended in order."""
    async with serve(script) as server:
        process = await start("record", f"--url={server.url}", "--symbols=A/USD", *flags)
        await until(lambda: "A/USD" in script.subscribed)
        server.push(script.trade("A/USD"))
        (journal,) = [flag.removeprefix("--journal=") for flag in flags if flag.startswith("--journal=")]
        await until(lambda: has_trade(journal, script.trade_id))
        yield process
        process.send_signal(signal.SIGINT)
        await output(process)


async def refused(*arguments: str) -> str:
    """What a command that has to be refused says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidelog", "market", *arguments), stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), HANGS_S)
    assert process.returncode == 2, err.decode()
    assert b"Traceback" not in err
    return err.decode()


async def test_a_second_recorder_on_one_journal_is_refused(tmp_path: Path) -> None:
    journal = f"--journal={tmp_path / 'j'}"
    async with recorded(Script(), journal) as first:
        said = await refused("record", "--url=ws://127.0.0.1:1", "--symbols=A/USD", journal)
        assert f"is written by process {first.pid} already: stop that one first" in said
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


async def test_a_journal_and_its_store_are_each_one_file_after_an_orderly_end(tmp_path: Path) -> None:
    async with recorded(Script(), f"--journal={tmp_path / 'j'}", f"--db=sqlite:///{tmp_path}/m.db"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"j", "m.db"}


async def test_another_journal_under_the_same_name_is_refused_until_it_is_asked_for(tmp_path: Path) -> None:
    db, journal = f"--db=sqlite:///{tmp_path}/m.db", f"--journal={tmp_path / 'j'}"
    async with recorded(Script(), journal, db):
        pass
    os.rename(tmp_path / "j", tmp_path / "away")
    again = ("record", "--url=ws://127.0.0.1:1", "--symbols=A/USD")
    said = await refused(*again, journal, db)
    assert "loaded from a journal up to run 1, and there is none at" in said
    assert f"tidelog market new-journal {tmp_path}/j" in said
    assert not (tmp_path / "j").exists()

    async with recorded(Script(), f"--journal={tmp_path / 'other'}"):
        pass
    said = await refused(*again, f"--journal={tmp_path / 'other'}", db)
    assert "was loaded from another journal" in said

    told = await output(await start("new-journal", str(tmp_path / "j"), db))
    assert "continues behind run 1" in told
    script = Script()
    script.trade("A/USD")  # the next one has another id
    async with recorded(script, journal, db):
        pass
    store = apsw.Connection(str(tmp_path / "m.db"))
    assert [row[0] for row in store.execute("SELECT trade_id FROM trades ORDER BY trade_id")] == [1, 2]
    closed = store.execute("SELECT scope, reason FROM gaps WHERE closed_at IS NOT NULL").fetchall()
    assert closed == [("connection", "journal")]
    store.close()


async def test_a_recording_replays_to_the_same_digest(tmp_path: Path) -> None:
    journal, script = str(tmp_path / "j"), Script()
    async with serve(script) as server:
        flags = (f"--url={server.url}", f"--journal={journal}", "--symbols=A/USD,B/USD")
        recording = await start("record", *flags)
        await until(lambda: len(script.subscribed) == 2)
        for qty in range(3, 300):
            server.push(
                script.update("A/USD", qty), script.trade("B/USD"), script.update("B/USD", qty, wrong=qty == 99)
            )
        await until(lambda: len([one for one in script.requests if one["method"] == "unsubscribe"]) == 1)
        following = await start("follow", journal, "--from-start")
        assert following.stdout is not None
        line = msgspec.json.decode(await asyncio.wait_for(following.stdout.readline(), HANGS_S))
        assert (line["run"], line["seq"], line["kind"]) == (1, 1, "Started")
        following.kill()
        await following.wait()
        recording.send_signal(signal.SIGINT)
        told = await output(recording)
    found = re.search(r"1 mismatches, 0 malformed, digest (\w{64})", told)
    assert found is not None, told
    text, copy = str(tmp_path / "j.jsonl.zst"), str(tmp_path / "copy")
    assert await output(await start("export", journal, text)) == await output(await start("import", text, copy))
    replayed = await output(await start("replay", copy))
    assert f"digest {found[1]}" in replayed
    assert "1 mismatched" in replayed


def last_run(journal: str) -> int:
    """The run of the last record that is on the disk; 0: there is none."""
    reader = JournalReader(journal)
    try:
        ends = reader.ends()
    finally:
        reader.close()
    return 0 if ends is None else ends.last.run


async def test_kill_9_costs_at_most_the_window(tmp_path: Path) -> None:
    journal, script = str(tmp_path / "j"), Script()
    async with serve(script) as server:
        for run in (1, 2):
            recording = await start("record", f"--url={server.url}", f"--journal={journal}", "--symbols=A/USD")
            await until(lambda: "A/USD" in script.subscribed)
            await until(lambda run=run: last_run(journal) == run)  # type: ignore[misc]
            recording.kill()
            await recording.communicate()
            script.subscribed.clear()
    reader = JournalReader(journal)
    ids = [record.id for record in reader.records()]
    reader.close()
    assert {id_.run for id_ in ids} == {1, 2}
    replayed = await output(await start("replay", journal))
    assert replayed.count("digest") == 2


def test_a_recording_is_replayed(kraken_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(kraken_data / "book-v1-depth10-xbtusd.jsonl")
    for speed in ("max", "5000"):
        app(["replay", source, "--speed", speed], result_action="return_value")
    first, digest, *again = capsys.readouterr().out.splitlines()
    assert first == "1152 events, 979 matched, 0 mismatched, 1 unchecked, 0 outdated, 0 refused, 0 malformed, 0 unknown"
    assert again == [first, digest]


def test_guesses_about_a_file_are_printed_and_given_values_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "frames"
    source.write_bytes(b'{"channel":"book","type":"snapshot","data":[{"symbol":"A/USD","checksum":0}]}\nhalf a li')
    app(["replay", str(source)], result_action="return_value")
    told = capsys.readouterr()
    counts = told.out.splitlines()[0]
    assert "1 matched, 0 mismatched, 0 unchecked, 0 outdated, 0 refused, 1 malformed, 0 unknown" in counts
    assert told.err.startswith(f"{source}: no frame says the depth of these books")
    app(["replay", str(source), "--depth", "25", "--protocol", "v2"], result_action="return_value")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello\n", "line 1: malformed frame of 5 bytes"),
        ("", "it is empty"),
    ],
)
def test_a_file_with_nothing_readable_is_refused(tmp_path: Path, text: str, told: str) -> None:
    source = tmp_path / "frames"
    source.write_text(text)
    with pytest.raises(ConfigError, match=told):
        app(["replay", str(source)], result_action="return_value", exit_on_error=False)


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan"])
def test_a_speed_is_a_factor(speed: str) -> None:
    with pytest.raises(ConfigError, match="give a factor"):
        app(["replay", "x", "--speed", speed], result_action="return_value", exit_on_error=False)


def test_symbols_have_to_be_said() -> None:
    with pytest.raises(ConfigError, match="no symbols"):
        record()


@pytest.mark.parametrize("size", ["", "10", "1000kB", "10GiBs", "-1GiB", "1e9", "1,5GiB", "GiB", "ten GiB"])
def test_a_journals_size_is_a_size(size: str) -> None:
    with pytest.raises(ConfigError, match=r"is no size: write it as|is too small for a journal"):
        record(symbols="A/USD", journal_max=size)


async def test_a_store_that_is_away_holds_the_end_up_only_for_a_while() -> None:
    away = asyncio.create_task(asyncio.Event().wait())
    await market.finished_loading(away, 0.01)  # type: ignore[arg-type]
    assert away.cancelled()


async def test_an_error_of_loading_ends_the_recording() -> None:
    async def refused() -> None:
        raise ConfigError("the recording is another one's")

    with pytest.raises(ConfigError, match="another one's"):
        await market.finished_loading(asyncio.create_task(refused()), 30.0)


async def test_what_is_refused_makes_no_recording_and_displaces_no_writer(tmp_path: Path) -> None:
    """A name of no recording was in the store afterwards, and each command asked for --name from then on."""
    db, journal = f"--db=sqlite:///{tmp_path}/m.db", str(tmp_path / "j")

    def checkpoints() -> list[tuple[object, ...]]:
        with closing(apsw.Connection(str(tmp_path / "m.db"))) as store:
            return store.execute("SELECT source, epoch FROM checkpoints ORDER BY source").fetchall()

    async with recorded(Script(), f"--journal={journal}", db):
        pass
    before = checkpoints()
    new = str(tmp_path / "new")
    for words, command in (
        ("the store holds no recording 'other'", ("new-journal", new, "--name=other")),
        ("the store holds no shard 7 of recording 'kraken'", ("new-journal", new, "--shard=7")),
        ("exists: move it away first", ("new-journal", journal)),
        ("the store holds no recording 'other'", ("release", journal, "--name=other", "--shard=1")),
    ):
        assert words in await refused(*command, db)
        assert checkpoints() == before
    assert not (tmp_path / "new").exists()
