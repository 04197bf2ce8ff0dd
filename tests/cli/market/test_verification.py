"""`tidelog market verify`: what it prints and how it ends."""

import asyncio
from pathlib import Path

import apsw

from tests.command import tidelog
from tests.market.maintenance.test_audit import entries_of_sound, recorded


def test_verify_without_a_journal(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/market.db"
    asyncio.run(recorded(db, entries_of_sound()))
    done = tidelog("market", "verify", "--db", db, cwd=tmp_path)
    counted, said, unseen = done.out.splitlines()
    assert done.code == 0
    assert counted.startswith("market:test: 1 instruments, ")
    assert said == "the rows fit each other and the checkpoint"
    assert unseen.startswith("not looked at: the journal (none was given)")
    connection = apsw.Connection(str(tmp_path / "market.db"))
    connection.execute("UPDATE candles SET volume = zeroblob(32)")
    connection.close()
    done = tidelog("market", "verify", "--db", db, "--findings", "3", cwd=tmp_path)
    _, *findings, unseen = done.out.splitlines()
    assert done.code == 6
    assert len(findings) == 3
    assert all(each.startswith("market:test differs: the candle of 60 s of ") for each in findings)
    assert unseen.startswith("not looked at: ")


def test_rejects_what_cannot_be_verified(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/market.db"
    asyncio.run(recorded(db, entries_of_sound()[:20]))
    done = tidelog("market", "verify", "--db", db, "--journal", "nowhere", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--journal nowhere: there is no such file" in done.err
    (tmp_path / "market.journal").write_bytes(b"")
    done = tidelog("market", "verify", "--db", db, cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "Traceback" not in done.err
