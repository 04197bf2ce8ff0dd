"""The chain's story: a node that reorganises and lies, a kill -9, and a proof of what is stored after all that."""

import contextlib
import json
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from typing import Any

import apsw

from tidelog.chain.forks.position import decode_position
from tidelog.cli.demo.stage import NOT_YET, Stage, events, failed
from tidelog.cli.stores import opened

BLOCKS = 3_000  # at the start: some seconds of history, time enough to kill it in the middle
LIE = "logs_missing"
LIES = 3  # each makes tidelog wait about twice as long before it asks again


class ChainStory:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._db = stage.db("chain.db")
        self._other = stage.db("undisturbed.db")
        self._log = stage.folder / "sync.log"
        self._url = ""

    async def play(self) -> None:
        line = await self._stage.listening("sim", "node", "--port", "0", "--seed", "7", "--blocks", str(BLOCKS))
        self._url = line.split()[0]
        self._stage.say(f"A simulated node serves a chain of {BLOCKS} blocks with true hashes, roots and signatures.")
        self._stage.note(line)
        sync = await self._crash()
        await self._reorg()
        await self._lie()
        await self._stage.end(sync, signal.SIGINT)
        await self._prove()
        await self._damage()
        await self._query()
        await self._serve()

    async def _crash(self) -> Process:
        self._stage.say(
            "tidelog follows it. In the middle of the history it is killed with kill -9, and started again."
        )
        sync = await self._follow()
        await self._until(lambda head: head is not None and head >= BLOCKS // 5)
        await self._stage.end(sync, signal.SIGKILL)
        self._stage.note(f"killed; the store is whole and is at block {await self._head()}")
        sync = await self._follow()
        await self._until(lambda head: head == BLOCKS)
        self._stage.note(f"started again from its checkpoint, and at the head: block {BLOCKS}")
        return sync

    async def _reorg(self) -> None:
        self._stage.say("The node reorganises its chain: the last 12 blocks are replaced by 13 others.")
        await self._node("sim_reorg", 12)
        await self._until(lambda head: head == BLOCKS + 1)
        facts = json.loads(await self._stage.command("chain", "status", "--db", self._db, "--json"))
        reorg = facts["last_reorg"]
        self._stage.note(f"one commit: fork at {reorg['fork']}, {reorg['depth']} blocks dropped, head {facts['head']}")

    async def _lie(self) -> None:
        self._stage.say("The node begins to lie: it leaves logs out, under unchanged hashes and blooms.")
        await self._node("sim_lie", LIE, None, 1.0, LIES)
        await self._node("sim_extend", 4)
        await self._until(lambda head: head == BLOCKS + 5)
        refused = [entry for entry in events(self._log, "endpoint_failed") if "receipts differs" in entry["error"]]
        if not refused:
            raise failed("the lie was not noticed")
        self._stage.note(f"refused {len(refused)} times, then asked again: {refused[0]['error']}")

    async def _prove(self) -> None:
        self._stage.say("The whole store is proven again from its rows alone, and compared with an undisturbed run.")
        await self._stage.show("chain", "verify", "--db", self._db)
        await self._stage.command("chain", "sync", "--rpc", self._url, "--db", self._other)
        mine, other = [await self._stage.digest(db) for db in (self._db, self._other)]
        self._stage.note(f"digest after kill, reorg and lies  {mine}")
        self._stage.note(f"digest of a run without any        {other}")
        if mine != other:
            raise failed("the digests differ")

    async def _damage(self) -> None:
        self._stage.say("One byte of one log is flipped in a copy of the file.")
        damaged = self._stage.folder / "damaged.db"
        with contextlib.closing(apsw.Connection(str(self._stage.folder / "chain.db"))) as source:
            source.execute("VACUUM INTO ?", (str(damaged),))
        with contextlib.closing(apsw.Connection(str(damaged))) as copy:
            where = "WHERE (block_number, log_index) = (SELECT block_number, log_index FROM logs LIMIT 1 OFFSET 7)"
            [(address,)] = copy.execute(f"SELECT address FROM logs {where}")
            copy.execute(f"UPDATE logs SET address = ? {where}", (bytes((address[0] ^ 1,)) + address[1:],))
        await self._stage.show("chain", "verify", "--db", self._stage.db("damaged.db"), expect=6)

    async def _query(self) -> None:
        self._stage.say("What is stored can be asked for.")
        await self._stage.show("chain", "blocks", "--db", self._db, "--limit", "2")
        await self._stage.show("chain", "logs", "--db", self._db, "--limit", "2")

    async def _serve(self) -> None:
        self._stage.say("It is served over HTTP: the node and the store are asked the same, by JSON-RPC.")
        line = await self._stage.listening("serve", "--db", self._db, "--port", "0")
        url = line.split()[-1]
        chain, head = json.loads(await self._stage.ask(self._url, "eth_chainId")), hex(BLOCKS + 5)
        for method, *params in (
            ("eth_getBlockByNumber", head, False),
            ("eth_getBlockReceipts", head),
            ("eth_getLogs", {"fromBlock": hex(BLOCKS - 50), "toBlock": head}),
        ):
            theirs = json.loads(await self._stage.ask(self._url, method, *params))
            answer = await self._stage.ask(f"{url}/rpc/{int(chain, 16)}", method, *params)
            if json.loads(answer) != theirs:
                raise failed(f"the store answers {method} otherwise than the node")
            self._stage.note(f"{method}: the same, {len(answer):,} bytes")
        self._stage.note(f"{line}; its page /docs shows all that can be asked")
        print("\nProven: every block against its own header, and each header against the next one's parent hash.")
        print("Not proven: that this is the chain which the network's consensus chose; that is the node's word.")

    async def _follow(self) -> Process:
        flags = ("--follow", "--poll", "0.2")
        return await self._stage.start("chain", "sync", "--rpc", self._url, "--db", self._db, *flags, log=self._log)

    async def _head(self) -> int | None:
        """Read here: a process for each look would take longer than what is waited for."""
        if not (self._stage.folder / "chain.db").exists():
            return None
        try:
            async with opened(self._db) as store, store.snapshot() as snapshot:
                positions = [decode_position(checkpoint) for checkpoint in await snapshot.checkpoints()]
        except NOT_YET:
            return None
        return positions[0].head if positions and positions[0] is not None else None

    async def _until(self, reached: Callable[[int | None], bool]) -> None:
        await self._stage.until(self._head, reached, self._log)

    async def _node(self, method: str, *params: Any) -> None:
        await self._stage.ask(self._url, method, *params)
