"""`tidelog sim node`: what it prints, how it ends, and what it refuses."""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from typing import Any

import pytest

from tests.patience import HANGS_S
from tidelog.cli.sim import app, node
from tidelog.errors import ConfigError
from tidelog.sim.node.contracts.world import PLACES
from tidelog.sim.node.lies import LIES


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"lie": ("nonsense",)}, "--lie nonsense: there is no such lie"),
        ({"lie": ("cut=2",)}, "--lie cut=2: a probability lies between 0 and 1"),
        ({"lie": ("cut=often",)}, "--lie cut=often: a probability"),
        ({"transactions": "6-2"}, "--transactions 6-2: write a number"),
        ({"logs": "-1"}, "--logs -1: write a number"),
        ({"replicas": 0}, "--replicas 0: give 1 to 64"),
        ({"port": 70_000}, "--port 70000: give 0 to 65535"),
        ({"blocks": -1}, "--blocks -1: give 0 to"),
        ({"block_time": 0.0}, "--block-time 0: give more than 0 seconds"),
        ({"reorg_every": 3}, "give --block-time too"),
        ({"rate": 0.0}, "--rate 0: give 0.01 or more"),
        ({"batch": 0}, "--batch 0: give 1 or more"),
        ({"answer_bytes": -1}, "--answer-bytes -1: give 1 or more"),
        ({"compute_units": True}, "give --rate too"),
        ({"recorded": "/nowhere", "block_time": 1.0}, "recorded blocks stand still"),
        ({"recorded": "/nowhere", "contracts": True}, "leave --contracts out"),
        ({"recorded": "/nowhere", "present": True}, "leave --present out"),
    ],
)
def test_a_mistake_is_one_sentence(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        node(**flags)


def test_lies_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    app(["node", "--list-lies"], result_action="return_value")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(LIES)
    assert all(line.endswith(".") for line in lines)


async def test_sim_node_serves_until_it_is_interrupted() -> None:
    program = "from tidelog.cli.sim import app; app()"
    flags = ["node", "--port=0", "--blocks=5", "--block-time=0.01", "--reorg-every=4", "--contracts"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *flags, "--lie=chain_id_wrong", "--lie=throttle=0"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), HANGS_S)).decode()
    url = line.split()[0]
    assert line == f"{url} serves chain 1337, head 5\n"
    places = [(await asyncio.wait_for(process.stdout.readline(), HANGS_S)).decode().split() for _ in PLACES]
    assert places == [[name, f"0x{address.hex()}"] for name, address in PLACES.items()]
    assert await asyncio.to_thread(rpc, url, "eth_chainId") == hex(1338)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), HANGS_S)
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_a_chain_of_the_present_ends_now() -> None:
    program = "from tidelog.cli.sim import app; app()"
    flags = ["node", "--port=0", "--blocks=5", "--block-time=600", "--present"]
    before_s = int(time.time())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *flags),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), HANGS_S)).decode().split()[0]
    last, first = [await asyncio.to_thread(rpc, url, "eth_getBlockByNumber", name, False) for name in ("latest", "0x0")]
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), HANGS_S)
    assert before_s <= int(last["timestamp"], 16) <= time.time()
    assert int(last["timestamp"], 16) - int(first["timestamp"], 16) == 5 * 600


def rpc(url: str, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=HANGS_S) as response:
        return json.loads(response.read())["result"]
