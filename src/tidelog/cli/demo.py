"""`tidelog demo`: the main job on the embedded store, against a node that reorganises, lies, and a kill -9.

Every step is the real command in a process of its own; the narration stands between.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import apsw

from tidelog.chain.jsonrpc import Call, decode, encode
from tidelog.chain.position import decode_position
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, TidelogError
from tidelog.net.http import AioHttp
from tidelog.runtime import run

BLOCKS = 3_000  # at the start: some seconds of history, time enough to kill it in the middle
LIE = "receipts_empty"
STEP_S = 30.0  # no step takes longer, or the demo says that it failed


def demo(*, folder: Path = Path("demo-out"), keep: bool = False) -> None:
    """Play the main job through, with a lying node, a reorg and a kill -9, in half a minute.

    Args:
        folder: where the stores go; it is made anew.
        keep: leave the folder there afterwards.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / ".tidelog-demo").exists():
        raise ConfigError(f"--folder {folder} is not empty, and was not made by an earlier demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / ".tidelog-demo").touch()
    run(_Demo(folder).play())
    if keep:
        print(f"\nThe stores are in {folder}: try `tidelog chain status --db sqlite:///{folder}/chain.db`")
    else:
        shutil.rmtree(folder)


class _Demo:
    def __init__(self, folder: Path) -> None:
        self._db = f"sqlite:///{folder}/chain.db"
        self._other = f"sqlite:///{folder}/undisturbed.db"
        self._damaged = folder / "damaged.db"
        self._file = folder / "chain.db"
        self._log = folder / "sync.log"
        self._http = AioHttp()
        self._url = ""

    async def play(self) -> None:
        node = await self._spawn("sim", "node", "--port", "0", "--seed", "7", "--blocks", str(BLOCKS), stdout=PIPE)
        try:
            assert node.stdout is not None
            line = (await asyncio.wait_for(node.stdout.readline(), STEP_S)).decode()
            self._url = line.split()[0]
            _say(1, f"A simulated node serves a chain of {BLOCKS} blocks with true hashes, roots and signatures.")
            print(f"   {line.strip()}")
            await self._crash()
            await self._reorg()
            await self._lie()
            await self._prove()
            await self._damage()
            await self._query()
        finally:
            await self._end(node, signal.SIGTERM)
            await self._http.close()

    async def _crash(self) -> None:
        _say(2, "tidelog follows it. In the middle of the history it is killed with kill -9, and started again.")
        sync = await self._follow()
        await self._until(lambda head: head is not None and head >= BLOCKS // 5)
        await self._end(sync, signal.SIGKILL)
        at = await self._head()
        print(f"   killed; the store is whole and stands at block {at}")
        self._sync = await self._follow()
        await self._until(lambda head: head == BLOCKS)
        print(f"   started again from its checkpoint, and at the head: block {BLOCKS}")

    async def _reorg(self) -> None:
        _say(3, "The node reorganises its chain: the last 12 blocks are replaced by 13 others.")
        await self._node("sim_reorg", 12)
        await self._until(lambda head: head == BLOCKS + 1)
        facts = await self._status()
        reorg = facts["last_reorg"]
        print(f"   one commit: fork at {reorg['fork']}, {reorg['depth']} blocks dropped, head {facts['head']}")

    async def _lie(self) -> None:
        _say(4, "The node begins to lie: it answers the receipts of full blocks with an empty list.")
        await self._node("sim_lie", LIE, None, 1.0, 6)
        await self._node("sim_extend", 4)
        await self._until(lambda head: head == BLOCKS + 5)
        refused = [entry for entry in self._events("endpoint_failed") if "receipts differs" in entry["error"]]
        if not refused:
            raise TidelogError("the demo failed: the lie was not noticed")
        print(f"   refused {len(refused)} times, then asked again: {refused[0]['error']}")
        await self._end(self._sync, signal.SIGINT)

    async def _prove(self) -> None:
        _say(5, "The whole store is proven again from its rows alone, and compared with an undisturbed run.")
        await self._show("chain", "verify", "--db", self._db)
        await self._command("chain", "sync", "--rpc", self._url, "--db", self._other)
        mine, other = [await self._digest(db) for db in (self._db, self._other)]
        print(f"   digest after kill, reorg and lies  {mine}")
        print(f"   digest of a run without any        {other}")
        if mine != other:
            raise TidelogError("the demo failed: the digests differ")

    async def _damage(self) -> None:
        _say(6, "One byte of one log is flipped in a copy of the file.")
        with contextlib.closing(apsw.Connection(str(self._file))) as source:
            source.execute("VACUUM INTO ?", (str(self._damaged),))
        with contextlib.closing(apsw.Connection(str(self._damaged))) as copy:
            where = "WHERE (block_number, log_index) = (SELECT block_number, log_index FROM logs LIMIT 1 OFFSET 7)"
            [(address,)] = copy.execute(f"SELECT address FROM logs {where}")
            copy.execute(f"UPDATE logs SET address = ? {where}", (bytes((address[0] ^ 1,)) + address[1:],))
        await self._show("chain", "verify", "--db", f"sqlite:///{self._damaged}", expect=6)

    async def _query(self) -> None:
        _say(7, "What is stored can be asked for.")
        await self._show("chain", "blocks", "--db", self._db, "--limit", "2")
        await self._show("chain", "logs", "--db", self._db, "--limit", "2")
        print("\nProven: every block against its own header, and each header against the next one's parent hash.")
        print("Not proven: that this is the chain which the network's consensus chose; that is the node's word.")

    # -- processes ----------------------------------------------------------------------------------------------

    async def _follow(self) -> Process:
        with self._log.open("ab") as log:
            return await self._spawn(
                "chain", "sync", "--rpc", self._url, "--db", self._db, "--follow", "--poll", "0.2", stderr=log
            )

    async def _spawn(self, *arguments: str, stdout: int = DEVNULL, stderr: Any = DEVNULL) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidelog", *arguments, stdout=stdout, stderr=stderr
        )

    async def _end(self, process: Process, number: int) -> None:
        if process.returncode is None:
            process.send_signal(number)
        await asyncio.wait_for(process.wait(), STEP_S)

    async def _command(self, *arguments: str, expect: int = 0) -> str:
        process = await self._spawn(*arguments, stdout=PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), STEP_S)
        if process.returncode != expect:
            raise TidelogError(f"the demo failed: `tidelog {' '.join(arguments)}` ended with {process.returncode}")
        return output.decode()

    async def _show(self, *arguments: str, expect: int = 0) -> None:
        print(f"   $ tidelog {' '.join(arguments)}")
        for line in (await self._command(*arguments, expect=expect)).splitlines():
            print(f"   {line if len(line) <= 150 else line[:147] + '...'}", flush=True)

    async def _status(self) -> dict[str, Any]:
        text = await self._command("chain", "status", "--db", self._db, "--json")
        facts: dict[str, Any] = json.loads(text) if text else {}
        return facts

    async def _head(self) -> int | None:
        """Read here: a process for each look would take longer than what is waited for."""
        try:
            async with opened(self._db) as store, store.snapshot() as snapshot:
                positions = [decode_position(checkpoint) for checkpoint in await snapshot.checkpoints()]
        except ConfigError:  # the file was just made, and has no schema yet
            return None
        return positions[0].head if positions and positions[0] is not None else None

    async def _digest(self, db: str) -> str:
        digest: str = json.loads(await self._command("db", "digest", "--db", db, "--json"))["store"]["sha256"]
        return digest

    async def _until(self, reached: Any) -> None:
        started = time.monotonic()
        while not reached(await self._head() if self._file.exists() else None):
            if time.monotonic() - started > STEP_S:
                raise TidelogError(f"the demo failed: a step took more than {STEP_S:g} s; its log is {self._log}")
            await asyncio.sleep(0.05)

    def _events(self, name: str) -> list[dict[str, Any]]:
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == name]

    async def _node(self, method: str, *params: Any) -> None:
        call = Call(method, params)
        async with self._http.post(self._url, encode([call]), headers={}, timeout_s=STEP_S) as response:
            (result,) = decode(b"".join([chunk async for chunk in response.chunks()]), [call])
        if isinstance(result, Exception):
            raise result


def _say(step: int, sentence: str) -> None:
    print(f"\n{step}. {sentence}", flush=True)
