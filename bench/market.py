"""How fast is the market path, per message, and against `json.loads` of the same frames in the same run?

    TIDELOG_SHARED=../shared python -m bench.market

Passes over a recording alternate between `json.loads` and the code in question, and the ratio is the median
of the rounds' own, of processor time: this compares like with like on a machine whose speed varies. `json.loads`
gets the frames as we get them, as bytes. Percentiles are over single messages, and include the two clock reads.
"""

import gc
import json
import os
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

from tidelog import compiled
from tidelog.market.book.books import Books
from tidelog.market.book.lending import Stretch
from tidelog.market.book.levels import Book
from tidelog.market.core import Core
from tidelog.market.events import BookDelta, BookSnapshot, Connected, Event, Started, Stream
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.records import Kind, PackedRecords, encode_records
from tidelog.market.replay.replay import tell_fault
from tidelog.market.session.controls import Connect, Subscribe, Wanted, encode_control

ROUNDS = 60
ROUND_MESSAGES = 200_000  # of all rounds, where a pass is long
SYMBOL, DEPTH = "BTC/USD", 10
SYMBOLS = 200
SYMBOL_UPDATES = 500  # of each of them
DAYS = 20  # on which the same is recorded again, for what begins a connection not to count
UPDATES = 20_000  # of a made-up feed: what its snapshots cost does not count then
BLOCK_RECORDS = 4_096  # of a journal: some 800 kB
RECORDINGS = Path(os.environ.get("TIDELOG_SHARED") or Path(__file__).parents[2] / "shared") / "data" / "kraken"

Pass = Callable[[Sequence[bytes]], None]


def parse(frames: Sequence[bytes]) -> None:
    loads = json.loads
    for frame in frames:
        loads(frame)


def decoding(decode: Callable[[bytes], Event]) -> Pass:
    def run(frames: Sequence[bytes]) -> None:
        for frame in frames:
            decode(frame)

    return run


def proving(decode: Callable[[bytes], Event], depth: int = DEPTH) -> Pass:
    def run(frames: Sequence[bytes]) -> None:
        books = Books(decode, ChecksumProof)
        book = books.open(SYMBOL, depth)
        take = books.apply_frame
        for frame in frames:
            take(frame)
        assert book.proven
        assert not book.mismatches

    return run


def reading(blocks: Sequence[PackedRecords], *, digest: bool) -> Pass:
    """The frames by the compiled core, as a journal is read."""

    def run(frames: Sequence[bytes]) -> None:
        core = Core(digest=digest, stretches=tell_fault)
        taken = 0
        for block in blocks:
            for item in core.apply_block(block):
                taken += item.events if isinstance(item, Stretch) else 0
        assert taken > 0

    return run


def journaled(protocol: str, frames: Sequence[bytes], symbols: tuple[str, ...], depth: int) -> list[PackedRecords]:
    """The records of a connection that these frames came by, packed."""
    stream = Stream("book", depth)
    controls = (Started(protocol), Connect(), Connected(), Wanted(stream, symbols), Subscribe(stream, symbols, 1))
    records = [(Kind.CONTROL.value, 1, encode_control(control)) for control in controls]
    records += [(Kind.IN.value, number, frame) for number, frame in enumerate(frames, 2)]
    groups = [records[begin : begin + BLOCK_RECORDS] for begin in range(0, len(records), BLOCK_RECORDS)]
    return [
        PackedRecords(1, 1 + number * BLOCK_RECORDS, len(group), encode_records(group))
        for number, group in enumerate(groups)
    ]


_DATE = re.compile(rb'(?<="timestamp":")\d{4}-\d\d-\d\d')


def days_later(frame: bytes, days: int) -> bytes:
    """A frame with its times moved: what goes back in time is refused."""
    return _DATE.sub(lambda found: str(date.fromisoformat(found[0].decode()) + timedelta(days=days)).encode(), frame)


def report_reading(name: str, blocks: Sequence[PackedRecords], frames: Sequence[bytes]) -> None:
    if compiled.core().module is None:
        print(f"{name:44} not measured: {compiled.core().said}")
        return
    for what, digest in (("", False), (", with digest", True)):
        run = reading(blocks, digest=digest)
        ratio, per_message = compared(run, frames)
        print(f"{name + what:44}{1 / per_message:12,.0f}/s{ratio:9.2f} x json.loads")


def seconds(run: Pass, frames: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    run(frames)
    return time.perf_counter() - begun


def compared(run: Pass, frames: Sequence[bytes]) -> tuple[float, float]:
    """How many times as fast as `json.loads`, and seconds a message: medians of processor time, in turns."""

    def once(one: Pass) -> float:
        begun = time.thread_time()  # what else runs on the machine is not in it
        one(frames)
        return time.thread_time() - begun

    rounds = [(once(parse), once(run)) for _ in range(max(3, min(ROUNDS, ROUND_MESSAGES // len(frames))))]
    ratio = statistics.median(base / ours for base, ours in rounds)
    return ratio, statistics.median(ours for _, ours in rounds) / len(frames)


def percentiles(call: Callable[[bytes], object], frames: Sequence[bytes]) -> tuple[float, float]:
    """p50 and p99 of single calls, in microseconds."""
    clock = time.perf_counter_ns
    spans = []
    for _ in range(5):
        for frame in frames:
            begun = clock()
            call(frame)
            spans.append(clock() - begun)
    cuts = statistics.quantiles(spans, n=100)
    return cuts[49] / 1e3, cuts[98] / 1e3


def report(name: str, run: Pass, single: Callable[[bytes], object], frames: Sequence[bytes]) -> None:
    ratio, per_message = compared(run, frames)
    p50, p99 = percentiles(single, frames)
    speed = f"{1 / per_message:12,.0f}/s{ratio:9.2f} x json.loads"
    print(f"{name:44}{speed}   p50 {p50:5.2f} us   p99 {p99:5.2f} us")


def deep_book(depth: int, updates: int = UPDATES) -> list[bytes]:
    """A v2 session of a book of that depth: updates of one or two levels, most of them near the top."""
    rng = random.Random(depth)
    book = Book(SYMBOL, depth, ChecksumProof)

    def frame(kind: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> bytes:
        sides = [
            ",".join(f'{{"price":{tick / 10:.1f},"qty":{lots / 1e8:.8f}}}' for tick, lots in side)
            for side in (bids, asks)
        ]
        head = f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{SYMBOL}",'
        tail = '"timestamp":"2024-01-01T00:00:00.000000Z"}]}'
        body = f'"bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":%d,{tail}'
        event = v2.decode((head + body % 0).encode())
        assert isinstance(event, (BookDelta, BookSnapshot))
        book.apply(event)
        return (head + body % checksum_of(book)).encode()

    def lots() -> int:
        return rng.choice((0, rng.randrange(1, 10**9)))

    def level(sign: int) -> tuple[int, int]:
        return 300_000 + sign * (1 + min(int(rng.expovariate(8 / depth)), 2 * depth)), lots()

    frames = [frame("snapshot", *([(300_000 + sign * n, n) for n in range(1, depth + 1)] for sign in (-1, 1)))]
    for _ in range(updates):
        sides = [[level(sign) for _ in range(rng.randrange(3))] for sign in (-1, 1)]
        frames.append(frame("update", *sides))
    return frames


def quiet_feed(count: int = UPDATES) -> list[bytes]:
    """Trades of one or two, whose ids follow on, and tickers, in turn: a v2 session without books."""
    rng = random.Random(count)
    frames, trade_id = [], 0
    for number in range(count // 2):
        stamp = (
            f"2024-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{rng.randrange(10**6):06}Z"
        )
        trades = []
        for _ in range(rng.choice((1, 1, 2))):
            trade_id += 1
            trades.append(
                f'{{"symbol":"{SYMBOL}","side":"{rng.choice(("buy", "sell"))}","price":{rng.randrange(10**6) / 10:.1f},'
                f'"qty":{rng.randrange(1, 10**9) / 1e8:.8f},"ord_type":"limit","trade_id":{trade_id},'
                f'"timestamp":"{stamp}"}}'
            )
        frames.append(f'{{"channel":"trade","type":"update","data":[{",".join(trades)}]}}'.encode())
        numbers = ",".join(
            f'"{key}":{rng.randrange(10**9) / 1e4:.4f}'
            for key in (
                "bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change", "change_pct",
            )
        )  # fmt: skip
        frames.append(
            f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{SYMBOL}",{numbers},"timestamp":"{stamp}"}}]}}'.encode()
        )
    return frames


def main() -> None:
    gc.freeze()
    for name, codec, has_book in (
        ("book-v2-depth10-btcusd", v2, True),
        ("book-v1-depth10-xbtusd", v1, True),
        ("trade-v1", v1, False),
        ("ticker-v1", v1, False),
    ):
        path = RECORDINGS / f"{name}.jsonl"
        if not path.exists():
            print(f"{name:44} not measured: there is no {path}; set TIDELOG_SHARED")
            continue
        frames = path.read_bytes().splitlines()
        busy = [frame for frame in frames if b"heartbeat" not in frame]
        selections = {"": frames} if len(busy) == len(frames) else {"": frames, ", no heartbeats": busy}
        for what, selection in selections.items():
            report(f"{name}{what}: decode", decoding(codec.decode), codec.decode, selection)
            if has_book:
                books = Books(codec.decode, ChecksumProof)
                books.open(SYMBOL, DEPTH)
                report(f"{name}{what}: proven", proving(codec.decode), books.apply_frame, selection)
            protocol = "v1" if codec is v1 else "v2"
            days = [days_later(frame, day) for day in range(DAYS) for frame in selection]
            report_reading(f"{name}{what}: core", journaled(protocol, days, (SYMBOL,), DEPTH), days)
    frames = quiet_feed()
    report("made up, trades and tickers v2: decode", decoding(v2.decode), v2.decode, frames)
    report_reading("made up, trades and tickers v2: core", journaled("v2", frames, (SYMBOL,), DEPTH), frames)
    for depth in (10, 100, 1000):
        books = Books(v2.decode, ChecksumProof)
        books.open(SYMBOL, depth)
        frames = deep_book(depth)
        report(f"made up, depth {depth}: proven", proving(v2.decode, depth), books.apply_frame, frames)
        report_reading(f"made up, depth {depth}: core", journaled("v2", frames, (SYMBOL,), depth), frames)
    symbols = tuple([f"C{number}/USD" for number in range(SYMBOLS)])
    frames = [
        frame.replace(SYMBOL.encode(), symbol.encode())
        for frame in deep_book(DEPTH, SYMBOL_UPDATES)
        for symbol in symbols
    ]
    report_reading(f"made up, {SYMBOLS} symbols: core", journaled("v2", frames, symbols, DEPTH), frames)


if __name__ == "__main__":
    main()
