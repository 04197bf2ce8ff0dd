"""How fast is the market path, per message, and against `json.loads` of the same frames in the same run?

    TIDELOG_SHARED=../shared python -m bench.market

Passes over a recording alternate between `json.loads` and the code in question, and the ratio is the median
of the rounds' own: this compares like with like on a machine whose speed varies. `json.loads` gets the
frames as we get them, as bytes. Percentiles are over single messages, and include the two clock reads.
"""

import gc
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tidelog.market.book import Book
from tidelog.market.books import Books
from tidelog.market.events import BookDelta, BookSnapshot, Event
from tidelog.market.kraken import v1, v2

ROUNDS = 60
SYMBOL, DEPTH = "BTC/USD", 10
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
        books = Books(decode)
        book = books.open(SYMBOL, depth)
        take = books.take
        for frame in frames:
            take(frame)
        assert book.proven
        assert not book.mismatches

    return run


def seconds(run: Pass, frames: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    run(frames)
    return time.perf_counter() - begun


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
    rounds = [(seconds(parse, frames), seconds(run, frames)) for _ in range(ROUNDS)]
    ratio = statistics.median(base / ours for base, ours in rounds)
    per_message = statistics.median(ours for _, ours in rounds) / len(frames)
    p50, p99 = percentiles(single, frames)
    speed = f"{1 / per_message:12,.0f}/s{ratio:9.2f} x json.loads"
    print(f"{name:44}{speed}   p50 {p50:5.2f} us   p99 {p99:5.2f} us")


def deep_book(depth: int, updates: int = 2_000) -> list[bytes]:
    """A v2 session of a book of that depth: updates of one or two levels, most of them near the touch."""
    rng = random.Random(depth)
    book = Book(SYMBOL, depth)

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
        return (head + body % book.checksum()).encode()

    def lots() -> int:
        return rng.choice((0, rng.randrange(1, 10**9)))

    def level(sign: int) -> tuple[int, int]:
        return 300_000 + sign * (1 + min(int(rng.expovariate(8 / depth)), 2 * depth)), lots()

    frames = [frame("snapshot", *([(300_000 + sign * n, n) for n in range(1, depth + 1)] for sign in (-1, 1)))]
    for _ in range(updates):
        sides = [[level(sign) for _ in range(rng.randrange(3))] for sign in (-1, 1)]
        frames.append(frame("update", *sides))
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
                books = Books(codec.decode)
                books.open(SYMBOL, DEPTH)
                report(f"{name}{what}: proven", proving(codec.decode), books.take, selection)
    for depth in (10, 100, 1000):
        books = Books(v2.decode)
        books.open(SYMBOL, depth)
        report(f"made up, depth {depth}: proven", proving(v2.decode, depth), books.take, deep_book(depth))


if __name__ == "__main__":
    main()
