"""The market's whole way: from a loopback socket through journal, books, checksums and fan-out to a consumer.

    TIDELOG_SHARED=../shared python -m bench.market_path

The exchange plays recorded frames (made-up ones, where there is no recording) from a process of its own: those of a
book, and the same with as many made-up trades and tickers between them. A rate is
from the first frames in the consumer's hand to the last one, latency from before the exchange's write to the
consumer's hand, on one clock; `json.loads` gets the same frames in the same run.
A journal of the same frames, many times over, is replayed and loaded by the compiled core and in Python, in turns.
Memory is this process's, over a replay of it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import psutil

from bench.market import RECORDINGS, SYMBOL, brought_back, days_later, parse, parted, quiet_feed, seconds
from tidelog import compiled
from tidelog.market.events import BookDelta, BookSnapshot, Event, Tickers, Trades, micros
from tidelog.market.journal.writer import open_journal
from tidelog.market.live.fanout import Lagged
from tidelog.market.live.feed import Feed
from tidelog.market.load.loader import Loader
from tidelog.market.records import Kind
from tidelog.market.replay.position import events_to_load
from tidelog.market.replay.replay import Summary, replay_records, summarize
from tidelog.market.replay.sources import Source, read_recording, read_source
from tidelog.net.websocket import PicoWebSocket, WebSocketLimits
from tidelog.runtime import SystemRuntime, run
from tidelog.sim.exchange.wire.firehose import firehose
from tidelog.store import open_store
from tidelog.telemetry import configure_logs

RECORDED = RECORDINGS / "book-v2-depth10-btcusd.jsonl"
RECORDED_V1 = RECORDINGS / "book-v1-depth10-xbtusd.jsonl"
BURSTS = {"python": 3, "native": 7}  # of the throughput, each over a connection of its own
BURST_FRAMES = 50_000  # in one go; so many may wait in the client, here alone
UNBOUNDED = WebSocketLimits(waiting_max=2 * BURST_FRAMES)
OFFERED_PER_S = {  # a thousand is what a busy hour of a few symbols brings
    "python": (1_000, 10_000),
    "native": (1_000, 10_000, 50_000, 100_000),
}
SLICE_S = 0.001  # of a load is written at once
LOAD_S = 4.0
REPLAY_FRAMES = 100_000
MEMORY_AT = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the replay
LOADS_ROUNDS = 40  # of `json.loads`, before and after what it is compared with
MADE_UPDATES = 500
DAY_US = 86_400_000_000  # between two rounds in the journal: more than any recording lasts
READ_ROUNDS = 3


class Played(NamedTuple):
    """What the exchange plays."""

    path: Path
    rounds: int  # so often
    frames: Sequence[bytes]  # all of it, as often
    channels: tuple[str, ...] = ("book",)  # the book's last: with its subscription it begins
    kinds: tuple[type[Event], ...] = (BookDelta, BookSnapshot)


class Taken(NamedTuple):
    """What a consumer saw of one connection. Times are CLOCK_MONOTONIC."""

    first_ns: int  # when it had the first ones ...
    last_ns: int  # ... and the last one
    frames: int  # that came between
    latencies_us: Sequence[int] = ()


@contextmanager
def exchange(path: Path, rounds: int, per_second: float, at_once: int) -> Iterator[str]:
    arguments = [str(path), str(rounds), str(per_second), str(at_once)]
    process = subprocess.Popen([sys.executable, "-m", "bench.exchange", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def feed_of(url: str, journal: Path, channels: Sequence[str]) -> Feed:
    return Feed([SYMBOL], channels, journal=str(journal), url=url, transport=PicoWebSocket(limits=UNBOUNDED))


def gone_wrong(what: str) -> NoReturn:
    sys.exit(f"{what}: this machine is too busy to measure on")


async def take(url: str, journal: Path, played: Played) -> Taken:
    """Consume all frames of a new feed, one by one, and look at a field of each, if all are of a book."""
    taken = first_ns = 0
    frames, books_only = len(played.frames), played.channels == ("book",)
    async with feed_of(url, journal, played.channels) as feed:
        async for item in feed.events(pending_max=2 * BURST_FRAMES, kinds=played.kinds):
            if isinstance(item, Lagged):
                gone_wrong(f"the consumer missed {item.missed} events")
            first_ns = first_ns or time.monotonic_ns()
            taken += item.event.symbol == SYMBOL if books_only else 1  # type: ignore[union-attr]
            if taken == frames:
                break
        now_ns = time.monotonic_ns()
        progress = feed.progress
        if progress.mismatches or progress.connects != 1 or progress.resyncs:
            gone_wrong("the connection did not hold")
    return Taken(first_ns, now_ns, frames - 1)


async def take_batches(url: str, journal: Path, played: Played) -> Taken:
    """The same, in batches, of which nothing is looked at."""
    first_ns = now_ns = taken = first = 0
    frames = len(played.frames)
    async with feed_of(url, journal, played.channels) as feed:
        async for batch in feed.batches(pending_max=2 * BURST_FRAMES, kinds=played.kinds):
            if isinstance(batch, Lagged):
                gone_wrong(f"the consumer missed {batch.missed} events")
            now_ns = time.monotonic_ns()
            taken += len(batch)
            if not first_ns:
                first_ns, first = now_ns, taken
            if taken >= frames:
                break
    return Taken(first_ns, now_ns, frames - first)


async def take_timed(url: str, journal: Path, frames: int) -> Taken:
    """Consume so many book frames one by one, and look how old each is that has a time."""
    latencies, first_ns, now_ns, taken = array("q"), 0, 0, 0
    async with Feed([SYMBOL], ["book"], journal=str(journal), url=url) as feed:
        async for item in feed.events(kinds=(BookDelta, BookSnapshot)):
            if isinstance(item, Lagged):
                gone_wrong(f"the consumer missed {item.missed} events")
            now_ns = time.monotonic_ns()
            first_ns = first_ns or now_ns
            taken += 1
            event = item.event
            assert isinstance(event, BookDelta | BookSnapshot)
            if event.timestamp is not None and event.timestamp.year == 1970:  # as the exchange has written it
                latencies.append(now_ns // 1_000 - micros(event.timestamp))
            if taken == frames:
                break
        if feed.progress.connects != 1:
            gone_wrong("the connection did not hold")
    return Taken(first_ns, now_ns, frames - 1, latencies)


async def throughput(played: Played, folder: Path) -> None:
    """Messages per second when they come as fast as they are taken: the median of the bursts."""
    figures: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    frames, size = played.frames, len(played.frames)
    with exchange(played.path, played.rounds, 0, 100) as url:
        for burst in range(max(BURSTS.values())):
            for core in paths():
                for what, consume in (("events", take), ("batches", take_batches)):
                    if burst >= BURSTS[core]:
                        continue
                    with using(core):
                        base_s, base_busy_s = seconds(parse, frames), busy(parse, frames)
                        begun_s = time.thread_time()
                        taken = await consume(url, folder / f"{what}-{core}-{burst}-{size}.journal", played)
                        busy_s = time.thread_time() - begun_s
                    each_s = (taken.last_ns - taken.first_ns) / 1e9 / taken.frames
                    found = (1 / each_s, base_s / size / each_s, base_busy_s / busy_s)
                    figures.setdefault((what, core), []).append(found)
    print(f"  bursts of {size:,}; the second ratio is of processor time, connecting and closing included")
    for (what, core), each in figures.items():
        rate, ratio, of_busy = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"  {f'{what}: {core}':32}{rate:10,.0f}/s   {ratio:5.2f} x json.loads   {of_busy:5.2f} x")


def mixed(frames: Sequence[bytes], folder: Path) -> Played:
    """Frames of a book over many days, and between two of them a trade or a ticker."""
    path, others, all_of_them = folder / "mixed.jsonl", iter(quiet_feed(BURST_FRAMES)), list[bytes]()
    for day in range(BURST_FRAMES // len(frames) // 2):
        for frame in frames:
            all_of_them += (days_later(frame, day), next(others))
    path.write_bytes(b"\n".join(all_of_them))
    return Played(path, 1, all_of_them, ("trade", "ticker", "book"), (BookDelta, BookSnapshot, Trades, Tickers))


def paths() -> tuple[str, ...]:
    """Where the compiled core is not, there is one."""
    return ("python", "native") if compiled.core().module is not None else ("python",)


def busy(run: Callable[[Sequence[bytes]], None], frames: Sequence[bytes]) -> float:
    """Processor time of this thread, in seconds."""
    begun = time.thread_time()
    run(frames)
    return time.thread_time() - begun


async def latency(path: Path, frames: Sequence[bytes], folder: Path, per_second: int, at_once: int) -> None:
    rounds = max(1, round(per_second * LOAD_S / len(frames)))
    memory = psutil.Process()
    before_mb = memory.memory_info().rss / 1e6
    with exchange(path, rounds, per_second, at_once) as url:
        taken = await take_timed(
            url, folder / f"load-{per_second}-{os.environ[compiled.VARIABLE]}.journal", rounds * len(frames)
        )
    grown_mb = memory.memory_info().rss / 1e6 - before_mb
    rate = taken.frames / (taken.last_ns - taken.first_ns) * 1e9
    cuts = statistics.quantiles(taken.latencies_us, n=1_000)
    spans = "   ".join(f"p{name} {cuts[at] / 1e3:6.2f} ms" for name, at in (("50", 499), ("99", 989), ("99.9", 998)))
    times = f"p50 {cuts[499] / loads_us(frames):,.0f} x json.loads"
    what = f"{per_second:,}/s offered: {os.environ[compiled.VARIABLE]}"
    print(f"  {what:32}{rate:10,.0f}/s   {spans}   {times}   memory {grown_mb:+.0f} MB")


def loads_us(frames: Sequence[bytes]) -> float:
    """Microseconds of a frame's `json.loads`, the median of passes over all."""
    return statistics.median([seconds(parse, frames) for _ in range(LOADS_ROUNDS)]) / len(frames) * 1e6


async def write_journal(path: Path, frames: Path, protocol: str) -> int:
    """A journal as a feed would have written it for a connection of many days, each with the same updates; how many.

    What begins the connection comes once, the snapshot at its end.
    """
    records = list(read_recording(str(frames)))
    snapshot, updates = parted([record.payload for record in records if record.kind is Kind.IN])
    begun = next(place for place, record in enumerate(records) if record.payload == snapshot) + 1
    journal = await open_journal(str(path), SystemRuntime())
    for record in records[:begun]:
        journal.append(record.kind, record.payload, record.at_us, restart=record.restart)
    day = [*updates, brought_back(protocol, snapshot, updates)]
    rounds = REPLAY_FRAMES // len(day)
    for number in range(rounds):
        await journal.wait_room()
        for place, payload in enumerate(day):
            at_us = records[-1].at_us + number * DAY_US + place
            journal.append(Kind.IN, days_later(payload, number), at_us)
    await journal.close()
    return rounds * len(day)


@contextmanager
def using(path: str) -> Iterator[None]:
    """The compiled core or Python, from here on."""
    before = os.environ.get(compiled.VARIABLE, "")
    for value in (path, before):
        os.environ[compiled.VARIABLE] = value
        compiled.core.cache_clear()
        if value is path:
            yield


def replayed(journal: Path) -> None:
    summarize(Source(str(journal)).blocks())


async def loaded(journal: Path) -> None:
    runtime, db = SystemRuntime(), journal.with_suffix(".db")
    store = await open_store(f"sqlite:///{db}", runtime)
    loader = await Loader.open(store, runtime, db.name)
    await loader.run(events_to_load(str(journal), runtime, ending=lambda: True))
    await store.close()
    db.unlink()


async def reading(protocol: str, journal: Path, total: int, frames: Sequence[bytes]) -> None:
    """A journal replayed as fast as it goes, and loaded into a store, by each path, in turns."""
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
    tried = paths()
    for _ in range(READ_ROUNDS):
        for path in tried:
            with using(path):
                for what in ("replay, with digest", "into SQLite"):
                    base_us, begun = loads_us(frames), time.perf_counter()
                    if what == "into SQLite":
                        await loaded(journal)
                    else:
                        replayed(journal)
                    took_us = (time.perf_counter() - begun) / total * 1e6
                    base_us = (base_us + loads_us(frames)) / 2
                    figures.setdefault((what, path), []).append((1e6 / took_us, base_us / took_us))
    for (what, path), found in figures.items():
        rate, ratio = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"  {f'{protocol} {what}: {path}':32}{rate:10,.0f}/s   {ratio:5.2f} x json.loads")


async def memory(journal: Path, total: int, frames: Sequence[bytes]) -> None:
    process, summary = psutil.Process(), Summary()
    due = [round(total * share) for share in MEMORY_AT]
    seen: list[float] = []
    base_us = loads_us(frames)
    begun = time.perf_counter()
    async for _ in replay_records(read_source(str(journal)), SystemRuntime(), summary=summary):
        if due and summary.events >= due[0]:
            due.pop(0)
            seen.append(process.memory_info().rss / 1e6)
    ours_s = time.perf_counter() - begun
    ratio = (base_us + loads_us(frames)) / 2 / (ours_s / total * 1e6)
    print(f"  {f'replay of {total:,}, event by event':32}{total / ours_s:10,.0f}/s   {ratio:5.2f} x json.loads")
    told = ", ".join(f"{mb:.0f} MB at {share:.0%}" for mb, share in zip(seen, MEMORY_AT, strict=True))
    print(f"  {'':32}memory {told}: {seen[-1] - seen[0]:+.1f} MB, {seen[-1] / seen[0]:.2f} x")


def frames_in(folder: Path) -> tuple[Path, list[bytes]]:
    """A file of frames: recorded ones, or made-up ones where there are none."""
    path = folder / "frames.jsonl"
    if RECORDED.exists():
        path.write_bytes(RECORDED.read_bytes())
    else:
        path.write_bytes(b"\n".join(firehose(updates=MADE_UPDATES).stream("v2", "book", SYMBOL)))
    return path, path.read_bytes().splitlines()


async def main() -> None:
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as name:
        folder = Path(name)
        path, frames = frames_in(folder)
        size = sum(map(len, frames)) / len(frames)
        kind = "recorded" if RECORDED.exists() else "made-up"
        print(f"from socket to consumer, {kind} book frames of {size:.0f} bytes")
        rounds = max(1, BURST_FRAMES // len(frames))
        await throughput(Played(path, rounds, [*frames] * rounds), folder)
        print("the same with trades and tickers, half of all frames")
        await throughput(mixed(frames, folder), folder)
        for core in paths():
            with using(core):
                for per_second in OFFERED_PER_S[core]:
                    await latency(path, frames, folder, per_second, max(1, round(per_second * SLICE_S)))
        for protocol, recorded in (("v2", path), ("v1", RECORDED_V1)):
            if recorded.exists():
                journal, played = folder / f"{protocol}.journal", recorded.read_bytes().splitlines()
                total = await write_journal(journal, recorded, protocol)
                await reading(protocol, journal, total, played)
                await memory(journal, total, played)


if __name__ == "__main__":
    run(main())
