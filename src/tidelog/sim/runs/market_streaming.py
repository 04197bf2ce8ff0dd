"""A recording's stream under simulation: its publisher reads the journal beside the recorder, and somebody follows it.

The publisher and the consumer are those of production. What comes of it is held against the store's rows.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import apsw
import msgspec

from tidelog.sim.oracle.chain import require
from tidelog.sim.runs.reading import NAME
from tidelog.sim.runs.streaming import Streaming
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World
from tidelog.stream.backlog import Backlog
from tidelog.stream.consumer import consume
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import MarketLanguage, MarketReset, Recorded, events_subject
from tidelog.stream.port import StreamTransport

__all__ = ["RecordingStreaming"]

Id: TypeAlias = tuple[int, int]  # of a record: run, seq
Traded: TypeAlias = tuple[str, int, str, str]  # symbol, time, price, quantity


class RecordingStreaming(Streaming):
    """A recording's events."""

    def __init__(self, world: World, engine: str, path: str) -> None:
        super().__init__(world, engine)
        self._path = path
        self._read = _Read()

    @property
    def _subject(self) -> str:
        return events_subject(NAME)

    @asynccontextmanager
    async def _backlog(self, process: Process, runtime: SimRuntime) -> AsyncIterator[Backlog]:
        backlog = JournalBacklog(self._path, runtime, NAME, vfs=process.mount.name)
        try:
            yield backlog
        finally:
            await backlog.close()

    def _has_all(self, connection: apsw.Connection) -> bool:
        return self._read.trades() == stored_trades(connection)

    def _judge_consumed(self, connection: apsw.Connection) -> None:
        require(self._has_all(connection), "whoever follows the stream has the store's trades")

    def _judge_told(self, connection: apsw.Connection) -> None:
        told, place, parts = _Read(), "0", list[dict[str, Any]]()
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
        stored = stored_trades(connection)
        require(told.trades() == stored, "the stream has the store's trades, each record once, in order")

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

    def __init__(self) -> None:
        self.place = "0"
        self._records: list[tuple[Id, list[Traded]]] = []

    def take(self, id_: Id, events: list[dict[str, Any]]) -> None:
        require(not self._records or id_ > self._records[-1][0], "each record comes once, in order")
        traded = [
            (event["symbol"], trade["time_us"], trade["price"], trade["qty"])
            for event in events
            if event["kind"] == "trade"
            for trade in event["trades"]
        ]
        for event in events:
            lost = event["kind"] == "gap" and event["reason"] in ("journal", "journal_pruned", "journal_full")
            at_first = not self._records  # a journal whose first run a power cut took begins with a later one
            require(not lost or at_first, "the journal keeps all, and nothing is missing")
        self._records.append((id_, traded))

    def go_back(self, id_: Id) -> None:
        require(bool(self._records) and id_ < self._records[-1][0], "a reset undoes something")
        while self._records and self._records[-1][0] > id_:
            self._records.pop()

    def trades(self) -> set[Traded]:
        return {trade for _, traded in self._records for trade in traded}


def stored_trades(connection: apsw.Connection) -> set[Traded]:
    """The store's, with numbers as text: a whole number and how many of its digits are decimals."""
    rows = connection.execute("SELECT symbol, time_us, price, price_scale, qty, qty_scale FROM trades")
    return {
        (symbol, at_us, _text(price, scale), _text(qty, places)) for symbol, at_us, price, scale, qty, places in rows
    }


def _text(number: Any, scale: int) -> str:
    digits = str(int.from_bytes(number, "big") if isinstance(number, bytes) else number).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
