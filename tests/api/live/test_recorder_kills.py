"""A recorder in a process of its own, killed with -9 and begun again: who listens loses nothing that is journaled."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.api.live.feeds.test_trades import numbers
from tests.api.live.recorder import source
from tests.api.live.serving import Event, listening, serving
from tests.command import Running
from tests.patience import HANGS_S
from tests.system.test_market_kill import Exchange
from tidelog.api.live.feeds.tail import JournalTail
from tidelog.api.live.feeds.topics import place_of
from tidelog.market.core import Core
from tidelog.market.events import EventId, Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.projection.rows import decimal_text
from tidelog.market.records import BEGINNING
from tidelog.market.replay.position import events_after
from tidelog.market.views import view_of
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
        for entry in events_after(reader, BEGINNING):
            if after < entry.id <= through and isinstance(entry.event, Trades):
                ids = [trade.trade_id or 0 for trade in entry.event.trades if trade.symbol == SYMBOL]
                found += [number for number in ids if not entry.event.snapshot or number > max(found, default=0)]
        return found
    finally:
        reader.close()


async def test_killed_and_begun_again_nothing_is_lost_and_each_book_is_the_journals(tmp_path: Path) -> None:
    path, log = tmp_path / "journal", tmp_path / "log"
    store = await open_store(f"sqlite:///{tmp_path}/store.db", SystemRuntime())
    heard: list[Event] = []
    books: list[Event] = []
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
                                books.append(event)

                hearing = [asyncio.create_task(hear(name)) for name in ("trades", "book")]
                for run in range(1, KILLS + 2):
                    wanted = len(numbers(heard)) + 20
                    await waited(partial(goes_on, tail, run, heard, wanted, books))
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
    judge_books(path, books)


def goes_on(tail: JournalTail, run: int, heard: list[Event], wanted: int, books: list[Event]) -> bool:
    """Whether a run is followed, and is told of."""
    return tail.at.run == run and len(numbers(heard)) > wanted and bool(books and books[-1].data["proven"])


def place(event: Event) -> EventId:
    return place_of("id", event.id or "").record


def judge_books(path: Path, books: list[Event]) -> None:
    """Each book that was told is that of the journal at the record that it names."""
    told = {place_of("at", event.data["at"]).record: event.data for event in books}
    core, reader, found = Core(), JournalReader(str(path)), 0
    try:
        for record in reader.records():
            core.apply(record)
            if (data := told.get(record.id)) is not None:
                view = view_of(core, SYMBOL, 10)
                found += 1
                if view is None:  # a run has just begun
                    assert (data["proven"], data["bids"], data["asks"]) == (False, [], [])
                    continue
                assert view.proven or not data["proven"]
                for side, levels in (("bids", view.bids), ("asks", view.asks)):
                    assert [(each["price"], each["qty"]) for each in data[side]] == [
                        (decimal_text(level.price, view.precision.price), decimal_text(level.qty, view.precision.qty))
                        for level in levels
                    ]
    finally:
        reader.close()
    assert found == len(told) > KILLS


async def waited(condition: Callable[[], bool]) -> None:
    """As `until`, for what takes the start of a process, with looks that leave the processor to it."""
    async with asyncio.timeout(HANGS_S):
        while not condition():  # noqa: ASYNC110 - of state that nobody announces
            await asyncio.sleep(0.02)
