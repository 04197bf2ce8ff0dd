"""Tables of events on a real node, through reorgs: what tidelog has is what ponder has of the same node."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from eth_abi.abi import encode

from tests.command import tidelog
from tests.conftest import missing
from tests.postgres import PostgresServer
from tests.store.test_views import asked
from tests.system.anvil import CHAIN_ID, SIGNER_TEXT, Anvil
from tests.system.test_events_decoded import SIGNATURES, VALUES, described, emitter, in_a_row
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.signatures import parse_event

ROOT = Path(__file__).parents[2]
APP = Path(__file__).with_name("ponder")
EVENTS: dict[str, Event] = {name: parse_event(signature) for name, signature in SIGNATURES.items()}
THERE_S = 600.0  # it compiles itself at its start: seconds, and minutes on a machine that is busy
END_S = 60.0


def program() -> Path:
    """What `.ci/ponder .ponder` has installed."""
    found = ROOT / ".ponder" / "node_modules"
    if not (found / ".bin" / "ponder").exists():
        missing("ponder is not here: `.ci/ponder .ponder` installs it by npm (200 MB), which `make` does not")
    return found


@contextlib.contextmanager
def indexing(packages: Path, folder: Path, **environment: str) -> Iterator[None]:
    """ponder, following the node, until the context ends."""
    app = shutil.copytree(APP, folder / "app")
    (app / "node_modules").symlink_to(packages)
    told = {**os.environ, "PONDER_TELEMETRY_DISABLED": "true", **environment}
    with (folder / "ponder.log").open("wb") as log:
        started = subprocess.Popen(
            [packages / ".bin" / "ponder", "start", "--schema", "compared", "--port", "0", "--log-format", "json"],
            cwd=app,
            env=told,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
            assert started.poll() is None, (folder / "ponder.log").read_text()[-2000:]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


async def rows_at(database: str, block: int, log: Path) -> list[dict[str, Any]]:
    """What it has once it has a row of this block."""
    until = time.monotonic() + THERE_S
    while time.monotonic() < until:
        client = await asyncpg.connect(database)
        with contextlib.suppress(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            rows = [dict(row) for row in await client.fetch("SELECT * FROM compared.row ORDER BY block, log_index")]
            if rows and rows[-1]["block"] >= block:
                await client.close()
                return rows
        await client.close()
        await asyncio.sleep(0.2)
    raise AssertionError(f"ponder has no row of block {block}: {log.read_text()[-2000:]}")


def as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """A row of ponder's, called as in an answer of `tidelog chain events`."""
    return {
        "block_number": row["block"],
        "log_index": row["log_index"],
        "transaction_hash": row["transaction"],
        "timestamp": row["timestamp"],
        "address": row["address"].lower(),
        "event": row["event"],
        "args": {
            name: value.lower() if name in ("from", "to") else value for name, value in json.loads(row["args"]).items()
        },
    }


@pytest.mark.timeout(2 * THERE_S)
async def test_rows_are_those_that_ponder_has_of_the_same_node(
    anvil: Anvil, sqlite_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    packages = program()
    addresses: dict[str, str] = {}
    for name, event in EVENTS.items():
        made = anvil.send(data=emitter(event))
        anvil.mine()
        addresses[name] = anvil.rpc("eth_getTransactionReceipt", made)["contractAddress"]

    def log_all() -> None:
        for name, event in EVENTS.items():
            plain = [parameter.type.name for parameter in event.parameters if not parameter.indexed]
            word = bytes.fromhex(SIGNER_TEXT[2:]).rjust(32, b"\0")
            for values in VALUES[name]:
                anvil.send(to=addresses[name], data=f"0x{(word + encode(plain, values)).hex()}")
            anvil.mine()

    contracts = tmp_path / "contracts.toml"
    contracts.write_text(
        "".join(
            f'[[contract]]\nname = "{name.lower()}"\naddress = "{addresses[name]}"\nabi = "{signature}"\n'
            for name, signature in SIGNATURES.items()
        )
    )

    def take_in() -> None:
        given = ("--rpc", anvil.url, "--db", sqlite_url, "--contracts", str(contracts), "--log-level", "error")
        assert tidelog("chain", "sync", *given).code == 0

    abi = [
        {"type": "event", "anonymous": False, "name": name, "inputs": [described(each) for each in event.parameters]}
        for name, event in EVENTS.items()
    ]
    database = postgres_server.create_database()
    log_all()
    take_in()
    with indexing(
        packages,
        tmp_path,
        NODE_URL=anvil.url,
        CHAIN_ID=str(CHAIN_ID),
        DATABASE_URL=database,
        CONTRACTS=json.dumps({"It": {"abi": abi, "address": [*addresses.values()]}}),
        EVENTS=" ".join(f"It:{name}" for name in EVENTS),
    ):
        await rows_at(database, anvil.head, tmp_path / "ponder.log")
        anvil.rpc("anvil_reorg", 1, [])  # the last block's events are gone, for both
        log_all()
        log_all()
        theirs = [as_ours(row) for row in await rows_at(database, anvil.head, tmp_path / "ponder.log")]
    take_in()
    assert len(theirs) > 2 * sum(map(len, VALUES.values()))
    for name, event in EVENTS.items():
        rows = await asked(
            sqlite_url, f"SELECT * FROM v_{name.lower()}_{name.lower()} ORDER BY block_number, log_index"
        )
        ours = [
            {key: value for key, value in row.items() if key not in ("chain_id", "tx_index", "time")} for row in rows
        ]
        assert ours == [in_a_row(row, event) for row in theirs if row["event"] == name]
