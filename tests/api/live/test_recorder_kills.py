"""A recorder in a process of its own, killed with -9 and begun again: who listens loses nothing that is journaled."""

import asyncio
from pathlib import Path

from tests.api.live.recorder import source
from tests.api.live.serving import Event, listening, serving
from tests.api.live.test_trades import numbers
from tests.command import Running
from tests.market.exchange import until
from tests.system.test_market_kill import Exchange
from tidelog.api.live.topics import place_of
from tidelog.market.events import EventId, Trades
from tidelog.market.journal_file import JournalReader
from tidelog.market.records import BEGINNING
from tidelog.market.replay import entries
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

SYMBOL = "BTC/USD"
PATH = "/v1/markets/BTC-USD/live"
KILLS = 2


def journaled(path: Path, after: EventId, through: EventId) -> list[int]:
    """The numbers of the trades in the journal, each once: what a listener must have."""
    reader = JournalReader(str(path))
    try:
        found: list[int] = []
        for entry in entries(reader, BEGINNING):
            if after < entry.id <= through and isinstance(entry.event, Trades):
                ids = [trade.trade_id or 0 for trade in entry.event.trades if trade.symbol == SYMBOL]
                found += [number for number in ids if not entry.event.snapshot or number > max(found, default=0)]
        return found
    finally:
        reader.close()


async def test_killed_and_begun_again_nothing_is_lost_and_no_book_is_wrongly_proven(tmp_path: Path) -> None:
    path, log = tmp_path / "journal", tmp_path / "log"
    store = await open_store(f"sqlite:///{tmp_path}/store.db", SystemRuntime())
    heard: list[Event] = []
    books: list[bool] = []
    with Exchange(5) as exchange:
        record = ("market", "record", "--symbols", SYMBOL, "--url", exchange.url, "--journal", str(path))
        recorder = Running(*record, log=log)
        try:
            async with serving(store, source(path)) as server:
                tail = server.live.tails["test"]
                await waited(lambda: tail.ready and tail.records("trade", SYMBOL))

                async def hear(name: str) -> None:
                    async with listening(f"{server.url}{PATH}/{name}") as stream:
                        async for event in stream:
                            if name == "trades":
                                heard.append(event)
                            else:
                                books.append(event.data["proven"])

                hearing = [asyncio.create_task(hear(name)) for name in ("trades", "book")]
                for run in range(1, KILLS + 2):
                    begun = len(numbers(heard))
                    await waited(lambda: tail.at.run == run and len(numbers(heard)) > begun + 20 and books[-1])  # noqa: B023
                    if run <= KILLS:
                        recorder.kill9()
                        recorder = Running(*record, log=log)
                recorder.kill9()
                await waited(lambda: numbers(heard) == journaled(path, place(heard[0]), place(heard[-1])))
                for task in hearing:
                    task.cancel()
                await asyncio.gather(*hearing, return_exceptions=True)
        finally:
            recorder.kill9()
            await store.close()
    assert not [event for event in heard if event.name in ("lagged", "reset")]
    assert len(numbers(heard)) == len(set(numbers(heard))) > 20 * KILLS
    assert books.count(False) >= KILLS  # each new run begins without a book


def place(event: Event) -> EventId:
    return place_of("id", event.id or "").record


async def waited(condition: object) -> None:
    for _ in range(6):
        try:
            await until(condition)  # type: ignore[arg-type]
        except TimeoutError:
            continue
        return
    raise AssertionError("waited for a minute")
