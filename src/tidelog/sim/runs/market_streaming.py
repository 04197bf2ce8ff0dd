"""A recording's stream under simulation: its publisher reads the journal beside the recorder, and somebody follows it.

The publisher and the consumer are those of production. What comes of it is held against the store's rows.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeAlias

import apsw
import msgspec

from tidelog.errors import ConfigError
from tidelog.market.core import Core
from tidelog.market.events import Trades, micros
from tidelog.market.journal.reader import JournalReader
from tidelog.sim.oracle.chain import require
from tidelog.sim.runs.reading import NAME
from tidelog.sim.runs.streaming import Streaming
from tidelog.sim.scenario.journal_loss import JournalLoss
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World
from tidelog.stream.backlog import Backlog
from tidelog.stream.consumer import consume
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import MarketLanguage, MarketReset, Recorded, events_subject
from tidelog.stream.port import StreamTransport
from tidelog.telemetry import StreamFigures

__all__ = ["RecordingStreaming"]

Id: TypeAlias = tuple[int, int]  # of a record: run, seq
Traded: TypeAlias = tuple[str, int, Decimal, Decimal]  # symbol, time, price, quantity: a market may add decimals


class RecordingStreaming(Streaming):
    """A recording's events."""

    def __init__(self, world: World, engine: str, path: str, losses: JournalLoss, vfs: str) -> None:
        super().__init__(world, engine)
        self._path = path
        self._losses = losses
        self._vfs = vfs
        self._read = _Read(losses)

    def lose_journal(self) -> None:
        """The journal is moved away: nobody has it open then."""
        self._publisher.kill("its journal is moved away")

    @property
    def _subject(self) -> str:
        return events_subject(NAME)

    @asynccontextmanager
    async def _backlog(self, process: Process, runtime: SimRuntime, figures: StreamFigures) -> AsyncIterator[Backlog]:
        backlog = JournalBacklog(self._path, runtime, NAME, metrics=figures, vfs=process.mount.name)
        try:
            yield backlog
        finally:
            await backlog.close()

    def _has_all(self, connection: apsw.Connection) -> bool:
        return self._fits(self._read, connection)

    def _fits(self, read: "_Read", connection: apsw.Connection) -> bool:
        """Whether what was read has the store's trades: of a lost journal some, and some that never got there."""
        trades, stored = read.trades(), stored_trades(connection)
        if not self._losses.files:
            return trades == stored
        journaled = stored | trades_in(self._losses.files, self._vfs)
        first = max([last[0] + 1 for _, last in self._losses.lost], default=0)
        return stored_trades(connection, first) <= trades <= journaled

    def _judge_consumed(self, connection: apsw.Connection) -> None:
        require(self._has_all(connection), "whoever follows the stream has the store's trades")

    def _judge_told(self, connection: apsw.Connection) -> None:
        told, place, parts = _Read(self._losses), "0", list[dict[str, Any]]()
        for message in self._told:
            number, _, count = message.headers["Tidelog-Part"].partition("/")
            require(message.headers["Tidelog-After"] == place, "each message continues the one before")
            parts = [] if number == "1" else parts
            require(int(number) == len(parts) + 1, "parts come in order")
            parts.append(msgspec.json.decode(message.payload))
            if number == count:
                place = message.headers["Tidelog-Place"]
                said, *_ = parts
                if said.get("kind") == "reset":
                    told.go_back((said["run"], said["seq"]))
                else:
                    told.take((said["run"], said["seq"]), [part["event"] for part in parts])
        require(self._fits(told, connection), "the stream has the store's trades, each record once, in order")

    def _items(self, transport: StreamTransport, runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        return consume(transport, runtime, MarketLanguage(NAME), after=self._read.place)

    def _heard(self, item: Any) -> None:
        if isinstance(item, MarketReset):
            self._read.go_back((item.run, item.seq))
        else:
            require(isinstance(item, Recorded), "the stream has events and resets")
            self._read.take((item.run, item.seq), msgspec.to_builtins(item.events))
        self._read.place = item.place


class _Read:
    """What was read: the records in order, with the trades that each told of. Written apart from the engine."""

    def __init__(self, losses: JournalLoss) -> None:
        self.place = "0"
        self._losses = losses
        self._records: list[tuple[Id, list[tuple[int | None, Traded]]]] = []

    def take(self, id_: Id, events: list[dict[str, Any]]) -> None:
        require(not self._records or id_ > self._records[-1][0], "each record comes once, in order")
        traded = [
            (trade["trade_id"], (event["symbol"], trade["time_us"], Decimal(trade["price"]), Decimal(trade["qty"])))
            for event in events
            if event["kind"] == "trade"
            for trade in event["trades"]
        ]
        for event in events:
            lost = event["kind"] == "gap" and event["reason"] in ("journal", "journal_pruned", "journal_full")
            at_first = not self._records  # a journal whose first run a power cut took begins with a later one
            is_told = event.get("reason") == "journal" and bool(self._losses.files)
            require(not lost or at_first or is_told, "the journal keeps all, and nothing is missing")
        self._records.append((id_, traded))

    def go_back(self, id_: Id) -> None:
        require(bool(self._records) and id_ < self._records[-1][0], "a reset undoes something")
        while self._records and self._records[-1][0] > id_:
            self._records.pop()

    def trades(self) -> set[Traded]:
        """The store has the first trade of a number: one that comes under the same is told, and has no row."""
        first: dict[tuple[str, int], Traded] = {}
        numberless: set[Traded] = set()
        for _, traded in self._records:
            for number, trade in traded:
                if number is None:
                    numberless.add(trade)
                else:
                    first.setdefault((trade[0], number), trade)
        return numberless | set(first.values())


def stored_trades(connection: apsw.Connection, first_run: int = 0) -> set[Traded]:
    """The store's, of a whole number and how many of its digits are decimals."""
    query = "SELECT symbol, time_us, price, price_scale, qty, qty_scale FROM trades WHERE run >= ?"
    rows = connection.execute(query, (first_run,))
    return {
        (symbol, at_us, _number(price, scale), _number(qty, places))
        for symbol, at_us, price, scale, qty, places in rows
    }


def trades_in(paths: Sequence[str], vfs: str) -> set[Traded]:
    """Those of journals, all of them."""
    found: set[Traded] = set()
    for path in paths:
        try:
            reader, core = JournalReader(path, vfs), Core()
        except ConfigError:
            continue  # it was being made
        try:
            for record in reader.records():
                entry = core.apply(record)
                if entry is not None and isinstance(entry.event, Trades):
                    for trade in entry.event.trades:
                        found.add((trade.symbol, micros(trade.timestamp), trade.price, trade.qty))
        finally:
            reader.close()
    return found


def _number(digits: Any, scale: int) -> Decimal:
    number = int.from_bytes(digits, "big") if isinstance(digits, bytes) else digits
    return Decimal(f"{number}E-{scale}")  # exact, however many digits
