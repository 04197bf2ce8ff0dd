"""Something to look at: simulated peers that reorganise, err and hang up, and a `tidelog run` of both, until Ctrl-C."""

import asyncio
import itertools
import json
import re
import signal
import socket
from contextlib import suppress

from tidelog.cli.demo.stage import STEP_S, Stage, failed
from tidelog.cli.sources.stopping import Stop
from tidelog.errors import ConfigError, SourceError
from tidelog.sim.node.contracts.world import PLACES

__all__ = ["LiveShow"]

BLOCK_S = 1.0
BLOCKS = 300  # at the start
REORG_EVERY, REORG_DEPTH = 25, 3  # block times, and blocks
SYMBOLS = ("BTC/USD", "ETH/USD")
RATE = 20  # happenings per second
TROUBLE_S = 20.0  # between things that go wrong at the exchange
TOKENS = {"tide": "erc20", "salt": "erc20", "shells": "erc721"}
TROUBLES: tuple[tuple[str, tuple[object, ...]], ...] = (
    (f"a checksum of {SYMBOLS[0]} does not hold", ("fault", "checksum_wrong", 1.0, 1, None, "book", SYMBOLS[0])),
    ("the exchange closes the connection", ("disconnect", 1012)),
    (f"trades of {SYMBOLS[1]} are lost", ("fault", "trade_id_jump", 1.0, 1, None, "trade", SYMBOLS[1])),
)


class LiveShow:
    """Runs on a stage until it is asked to stop."""

    def __init__(self, stage: Stage, port: int) -> None:
        self._stage = stage
        self._port = port

    async def play(self) -> None:
        stop = Stop()
        stop.on_signals()
        _require_free(self._port)
        node = await self._stage.listening(
            *("sim", "node", "--port", "0", "--seed", "7", "--blocks", str(BLOCKS), "--block-time", f"{BLOCK_S:g}"),
            *("--reorg-every", str(REORG_EVERY), "--reorg-depth", str(REORG_DEPTH), "--contracts", "--present"),
        )
        told = await self._stage.listening(
            *("sim", "exchange", "--port", "0", "--seed", "7", "--rate", str(RATE), "--symbols", ",".join(SYMBOLS))
        )
        urls = dict(re.findall(r"(\w+) (\w+://\S+?)(?:,|$)", told.replace("private ", "private_")))
        file = self._stage.folder / "tidelog.toml"
        file.write_text(config(node.split()[0], urls["v2"], self._port))
        log = self._stage.folder / "run.log"
        running = await self._stage.start("run", "-c", str(file), log=log)
        print(f"A simulated chain makes a block a second, and replaces its last {REORG_DEPTH} every {REORG_EVERY} s.")
        print(
            f"A simulated exchange has {' and '.join(SYMBOLS)}, and every {TROUBLE_S:g} s something goes wrong there."
        )
        print("`tidelog run` takes in both, and serves them. Look at it from another terminal:\n")
        print(f"    tidelog top{'' if self._port == 8420 else f' --api http://127.0.0.1:{self._port}'}\n")
        print(f"Its log is {log}. Ctrl-C ends all of it.", flush=True)
        troubling = asyncio.create_task(self._trouble(f"{urls['REST']}/sim"))
        ending = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(running.wait())
        await asyncio.wait([ending, ended, troubling], return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, troubling):
            task.cancel()
        await asyncio.gather(ending, troubling, return_exceptions=True)
        if ended.done() and not stop.asked:
            raise failed(f"`tidelog run` ended with {running.returncode}; its log is {log}")
        ended.cancel()
        await self._stage.end(running, signal.SIGTERM)

    async def _trouble(self, url: str) -> None:
        for words, action in itertools.cycle(TROUBLES):
            await asyncio.sleep(TROUBLE_S)
            with suppress(SourceError):  # an exchange that is just ending
                body = json.dumps(action).encode()
                async with self._stage.http.post(url, body, headers={}, timeout_s=STEP_S):
                    self._stage.note(words)


def config(node: str, exchange: str, port: int) -> str:
    """The file of `tidelog run`."""
    contracts = "".join(
        f'[[chain.contract]]\nname = "{name}"\naddress = "0x{PLACES[name].hex()}"\nabi = "{abi}"\n'
        for name, abi in TOKENS.items()
    )
    return f"""
[store]
url = "sqlite:///live.db"
[[chain]]
name = "sim"
rpc = ["{node}"]
poll = "250ms"
jobs = 0
{contracts}
[[market]]
name = "kraken"
symbols = {json.dumps(SYMBOLS)}
url = "{exchange}"
[api]
port = {port}
"""


def _require_free(port: int) -> None:
    """ConfigError: somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"--port {port} cannot be listened on: {error.strerror}; give another one") from None
