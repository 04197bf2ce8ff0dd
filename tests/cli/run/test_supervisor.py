"""The supervisor in this process, with small programs as its processes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.patience import HANGS_S
from tidelog.cli.run import supervisor as module
from tidelog.cli.run.file.processes import checked
from tidelog.cli.run.supervisor import Supervisor
from tidelog.runtime import SystemRuntime

# says which symbols it was given, and dies of the first order; or ends only by force
RECORDS = """
import json, os, sys, time
told = os.path.join(sys.argv[1], "told")
part = json.loads(json.loads(sys.stdin.readline())["config"])
with open(told, "a") as file:
    print(json.dumps(part["settings"]["market"][0]["symbols"]), file=file)
sys.stdin.readline()
os._exit(3)
"""
DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: open(os.path.join(sys.argv[1], "heard"), "w").close())
open(os.path.join(sys.argv[1], "deaf"), "w").close()
while True:
    time.sleep(1)
"""
# says that it was asked to end, and ends
ENDS = """
import os, signal, sys, time
def end(number, frame):
    open(os.path.join(sys.argv[1], "asked"), "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(os.path.join(sys.argv[1], "begun"), "w").close()
while True:
    time.sleep(1)
"""
FILE = """
[[market]]
name = "kraken"
symbols = ["BTC/USD"]
[[chain]]
name = "sim"
rpc = ["http://127.0.0.1:1"]
[api]
enabled = false
[run]
stop_timeout = "3s"
"""


async def until(path: Path, lines: int) -> list[str]:
    async with asyncio.timeout(HANGS_S):
        while not path.exists() or len(path.read_text().splitlines()) < lines:  # noqa: ASYNC110 - other processes write it
            await asyncio.sleep(0.01)
    return path.read_text().splitlines()


async def test_a_recording_that_dies_while_another_process_ends_has_the_symbols_of_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, told, deaf = tmp_path / "tidelog.toml", tmp_path / "told", tmp_path / "deaf"
    file.write_text(FILE)
    programs = {"kraken": RECORDS, "sim": DEAF}
    monkeypatch.setattr(
        module, "command_of", lambda name, file: [sys.executable, "-c", programs[name], os.path.dirname(file)]
    )
    loaded = checked(str(file), os.environ)
    running = asyncio.create_task(Supervisor(str(file), loaded, os.environ, SystemRuntime()).run())
    try:
        assert await until(told, 1) == ['["BTC/USD"]']
        await until(deaf, 0)
        file.write_text(FILE.replace('"BTC/USD"', '"BTC/USD", "ETH/USD"').replace(":1", ":2"))
        os.kill(os.getpid(), signal.SIGHUP)
        assert (await until(told, 2))[1] == '["BTC/USD", "ETH/USD"]'
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_a_stop_while_a_new_file_waits_for_the_end_of_a_process_asks_the_others_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tidelog.toml"
    patient = FILE.replace('"3s"', '"1h"')
    file.write_text(patient)
    programs = {"kraken": ENDS, "sim": DEAF}
    monkeypatch.setattr(
        module, "command_of", lambda name, file: [sys.executable, "-c", programs[name], os.path.dirname(file)]
    )
    running = asyncio.create_task(
        Supervisor(str(file), checked(str(file), os.environ), os.environ, SystemRuntime()).run()
    )
    try:
        await until(tmp_path / "begun", 0)
        await until(tmp_path / "deaf", 0)
        (tmp_path / "deaf").unlink()
        file.write_text(patient.replace(":1", ":2"))  # the process that ends by force alone has to end for it
        os.kill(os.getpid(), signal.SIGHUP)
        await until(tmp_path / "heard", 0)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(tmp_path / "asked", 0)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # at once: the other one does not end in order
        await running
    assert not (tmp_path / "deaf").exists()  # it was not started again
