"""The market's story: an exchange that sends a wrong checksum and hangs up, a kill -9, and what is known after it."""

import json
import re
import signal
from asyncio.subprocess import Process

from tidelog.cli.demo.stage import NOT_YET, STEP_S, Stage, events, failed
from tidelog.cli.stores import opened
from tidelog.market.load.loader import Loader
from tidelog.market.projection.tables import COVERAGE, TRADES
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime

SYMBOLS = "BTC/USD,ETH/USD"
WATCHED = "BTC/USD"  # the one that the coverage is shown of
NAME = "kraken"  # of the recording, unless `--name` says another
RATE = 40  # happenings per second: the exchange shows the trades of seconds again, more than a restart takes
TRADES_BETWEEN = 20  # that are stored before the next thing goes wrong


class MarketStory:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._db = stage.db("market.db")
        self._journal = str(stage.folder / "market.journal")
        self._log = stage.folder / "record.log"
        self._urls: dict[str, str] = {}

    async def play(self) -> None:
        line = await self._stage.listening("sim", "exchange", "--port", "0", "--seed", "7", "--rate", str(RATE))
        self._urls = dict(re.findall(r"(\w+) (\w+://\S+?)(?:,|$)", line.replace("private ", "private_")))
        self._stage.say(
            "A simulated exchange speaks Kraken's protocol. tidelog journals each frame, and proves each book."
        )
        recording = await self._record()
        trades = await self._stretch(1)
        self._stage.note(f"from {self._urls['v2']}: both books are proven, {trades} trades are stored")
        await self._mismatch()
        await self._disconnect()
        last = await self._crash(recording)
        await self._coverage()
        await self._prove(last)

    async def _mismatch(self) -> None:
        self._stage.say(f"A checksum of {WATCHED} does not hold: whoever erred, that book is not to be trusted.")
        await self._tell("fault", "checksum_wrong", 1.0, 1, None, "book", WATCHED)
        await self._stretch(2)
        (resync,) = events(self._log, "resync")
        self._stage.note(f"{resync['symbol']} alone is subscribed again ({resync['reason']}), and proven again")

    async def _disconnect(self) -> None:
        self._stage.say("The connection dies.")
        await self._tell("disconnect", 1006)
        await self._stretch(3)
        (gone,) = events(self._log, "disconnected")
        self._stage.note(f"{gone['reason']}; connected again, and every subscription is back")

    async def _crash(self, recording: Process) -> str:
        """What the second run said of itself at its end."""
        self._stage.say("tidelog is killed with kill -9, and started again.")
        await self._stage.end(recording, signal.SIGKILL)
        recording = await self._record()
        trades = await self._stretch(4)
        self._stage.note(f"it continued with the same journal and store: {trades} trades are stored")
        told = await self._stage.end(recording, signal.SIGINT)
        if recording.returncode != 0:
            raise failed(f"the recording ended with {recording.returncode}; its log is {self._log}")
        self._stage.note(f"stopped in order: {told.strip()}")
        return told

    async def _coverage(self) -> None:
        self._stage.say(
            "The store says for which times its books and trades are proven, and where something is missing."
        )
        shown = await self._stage.show("market", "coverage", WATCHED, "--db", self._db)
        if shown.count("state=gap") < 3:
            raise failed("the coverage hides what was missed")
        print("\nclosed=: what the gap of trades had missed came after all, by the exchange's own numbering of them.")

    async def _prove(self, told: str) -> None:
        self._stage.say("The journal is replayed, and loaded into an empty store in one go.")
        replayed = await self._stage.show("market", "replay", self._journal)
        live = _digest_in(told, "2")
        if live != _digest_in(replayed, "2"):
            raise failed("the replay differs from the live run")
        self._stage.note("run 2 has the digest that the live run printed at its end")
        loaded = self._stage.db("loaded.db")
        runtime = SystemRuntime()
        async with opened(loaded, readonly=False, runtime=runtime) as store:
            loader = await Loader.open(store, runtime, NAME)
            await loader.run(events_to_load(self._journal, runtime, ending=lambda: True))
        mine, other = [await self._stage.digest(db) for db in (self._db, loaded)]
        self._stage.note(f"digest of the store after all that    {mine}")
        self._stage.note(f"digest of the journal, loaded at once {other}")
        if mine != other:
            raise failed("the digests differ")
        print("\nProven: the top 10 levels of each side of a book, wherever its coverage says so; trades by their ids.")
        print("Not proven: deeper levels, and that the exchange told the truth about either.")

    async def _record(self) -> Process:
        what = ("--symbols", SYMBOLS, "--channels", "book,trade", "--journal", self._journal, "--db", self._db)
        return await self._stage.start("market", "record", *what, "--url", self._urls["v2"], log=self._log)

    async def _stretch(self, number: int) -> int:
        """Wait until the book is proven for so many stretches and trades came meanwhile; how many there are then."""
        _, before = await self._stage.until(self._stored, lambda stored: stored[0] >= number, self._log)
        _, trades = await self._stage.until(
            self._stored, lambda stored: stored[1] >= before + TRADES_BETWEEN, self._log
        )
        return trades

    async def _stored(self) -> tuple[int, int]:
        """For how many stretches the watched book is proven, and how many trades there are."""
        if not (self._stage.folder / "market.db").exists():
            return 0, 0
        try:
            async with opened(self._db) as store, store.snapshot() as snapshot:
                where = {"symbol": WATCHED, "channel": "book", "state": "proven"}
                proven = await snapshot.select(COVERAGE, scope=f"market:{NAME}", where=where)
                trades = await snapshot.select(TRADES, scope=f"market:{NAME}")
        except NOT_YET:
            return 0, 0
        return len(proven), len(trades)

    async def _tell(self, *action: object) -> None:
        """Have something go wrong at the exchange."""
        url, body = f"{self._urls['REST']}/sim", json.dumps(action).encode()
        async with self._stage.http.post(url, body, headers={}, timeout_s=STEP_S) as response:
            answer = b"".join([chunk async for chunk in response.chunks()])
        if response.status != 200:
            raise failed(f"the exchange answered {answer.decode()}")


def _digest_in(text: str, run: str) -> str | None:
    found = re.search(rf"^run {run}: .* digest (\w{{64}})$", text, re.MULTILINE)
    return found and found[1]
