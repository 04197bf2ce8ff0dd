"""How fast is the market path, per message, and against `json.loads` of the same frames in the same run?

    TIDELOG_SHARED=../shared python -m bench.market [NAME]

Each figure is measured in Python and by the compiled core, and beside `json.loads`, which gets the frames as we get
them, as bytes. Passes over the frames alternate between the three, and the ratio is the median of the rounds' own, of
processor time: this compares like with like on a machine whose speed varies. Each is measured behind one of its own
kind, and a short one several times, because another kind's leaves the processor's caches to be filled anew: what is
measured is a feed under load, not the first of its frames. Results are dropped as they come.
"""

import gc
import json
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.net.test_websocket import TEXT
from tests.net.test_websocket import frame as sent

from tidelog import compiled
from tidelog.market.book.lending import Room, Stretch
from tidelog.market.book.levels import Book
from tidelog.market.core import Core, lending_for
from tidelog.market.events import BookDelta, BookSnapshot, Connected, Event, EventId, Started, Stream
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.records import Kind, PackedRecords, Record, encode_records
from tidelog.market.replay.replay import tell_fault
from tidelog.market.session.controls import Connect, Control, Subscribe, Wanted, encode_control
from tidelog.market.venues import venue_of
from tidelog.market.views import view_of
from tidelog.net.texts import texts

ROUNDS = 40
PASSES_S = 0.03  # a short pass is made again until it has taken so long
ROUND_MESSAGES = 70_000  # of all rounds, where a pass is long: a figure takes a second
SYMBOL, DEPTH = "BTC/USD", 10
DEPTHS = (10, 100, 1000)
SYMBOLS = 200
SYMBOL_UPDATES = 500  # of each of them, behind a snapshot that Python applies
PASS_FRAMES = 10_000  # a recording is played again and again, for what begins a connection not to count
UPDATES = 10_000  # of a made-up feed: what its snapshots cost does not count then
FRAME_BYTES_MAX = 1 << 20
GATHER_FRAMES = 256  # that come at once: a read of a busy socket
BLOCK_RECORDS = 4_096  # of a journal: some 800 kB
NEVER_US = 1 << 60
START_US = 1_700_000_000_000_000
ROOM = Room(1 << 40, 64)
RECORDINGS = Path(os.environ.get("TIDELOG_SHARED") or Path(__file__).parents[2] / "shared") / "data" / "kraken"
CODECS = {"v1": v1, "v2": v2}

Pass = Callable[[Sequence[bytes]], None]
Look = Callable[[Iterable[Event | None]], None]


def parse(frames: Sequence[bytes]) -> None:
    loads = json.loads
    for frame in frames:
        loads(frame)


# -- what is done with an event ----------------------------------------------------------------------------------------


def leave(events: Iterable[Event | None]) -> None:
    """Nothing: of the core's no object is made then."""


def count(events: Iterable[Event | None]) -> None:
    for _ in events:
        pass


def read_fields(events: Iterable[Event | None]) -> None:
    for event in events:
        if isinstance(event, BookDelta):
            _ = event.symbol, event.bids, event.asks, event.checksum, event.timestamp, event.sequence


def read_levels(events: Iterable[Event | None]) -> None:
    for event in events:
        if isinstance(event, BookDelta):
            for level in event.bids:
                _ = level.price_text, level.qty_text
            for level in event.asks:
                _ = level.price_text, level.qty_text


# -- the two paths -----------------------------------------------------------------------------------------------------


def decoding(protocol: str, look: Look) -> Pass:
    decode = CODECS[protocol].decode
    return lambda frames: look(map(decode, frames))


def decoding_by_core(protocol: str, snapshot: bytes, look: Look) -> Pass:
    """The core reads updates of books, and applies none."""
    book, lending = Book(SYMBOL, DEPTH, ChecksumProof), lending_for(venue_of(protocol), tell_fault)
    event = CODECS[protocol].decode(snapshot)
    assert isinstance(event, BookSnapshot)
    book.apply(event)
    lending.lend(book)

    def run(frames: Sequence[bytes]) -> None:
        for gather in gathers_of(frames):
            look(lending.read(gather))

    return run


def proving(protocol: str, symbols: tuple[str, ...], depth: int, look: Look) -> Pass:
    """Decode, apply, check: frame by frame in Python."""

    def run(frames: Sequence[bytes]) -> None:
        core = followed(protocol, symbols, depth, gathers=False)
        take = core.books.apply_frame
        look(take(frame)[0] for frame in frames)
        assert not core.books.unproven

    return run


def gathering(protocol: str, frames: Sequence[bytes], symbols: tuple[str, ...], depth: int, look: Look) -> Pass:
    """The same by the core, as a feed has it: what its socket's reader hands over, to an event for each frame."""
    gathers = [*map(handed_over, gathers_of(frames))]

    def run(_: Sequence[bytes]) -> None:
        core = followed(protocol, symbols, depth)
        for events in applied(core, gathers):
            look(events)
        assert not core.books.unproven

    return run


def followed(protocol: str, symbols: tuple[str, ...], depth: int, *, gathers: bool = True) -> Core:
    """A core that follows these books, of which nothing has come yet."""
    core = Core(gathers=tell_fault) if gathers else Core()
    for number, control in enumerate(opening(protocol, symbols, depth), 1):
        core.apply(Record(EventId(1, number), START_US, Kind.CONTROL, encode_control(control), number == 1))
    return core


def applied(core: Core, gathers: Sequence[Sequence[bytes]]) -> Iterator[Sequence[Event]]:
    """The events of frames that came gather by gather, a millisecond apart."""
    at_us = START_US
    for gather in gathers:
        at_us += 1_000
        begin = 0
        while begin < len(gather):
            core.session.deadline_us = NEVER_US  # as if it had just decided
            first = core.at._replace(seq=core.at.seq + 1)
            gathered = core.gather(gather, begin, first, at_us, ROOM)
            if gathered is not None:
                begin += gathered.frames
                yield gathered.events
                continue
            entry = core.apply(Record(first, at_us, Kind.IN, gather[begin]))
            begin += 1
            if entry is not None:
                yield (entry.event,)


def gathers_of(frames: Sequence[bytes]) -> Iterator[list[bytes]]:
    for begin in range(0, len(frames), GATHER_FRAMES):
        yield [*frames[begin : begin + GATHER_FRAMES]]


def handed_over(gather: Sequence[bytes]) -> list[bytes]:
    """Messages as a socket's reader hands them over: one that is larger than usual by itself, and what is behind it."""
    messages, _, _ = texts(b"".join([sent(TEXT, message) for message in gather]), 0, FRAME_BYTES_MAX)
    messages += gather[len(messages) :]
    return messages


def reading(blocks: Sequence[PackedRecords], *, by_core: bool, digest: bool) -> Pass:
    """The frames as a journal is read, by who decides nothing."""

    def run(_: Sequence[bytes]) -> None:
        core = Core(digest=digest, stretches=tell_fault if by_core else None)
        taken = 0
        for block in blocks:
            for item in core.apply_block(block):
                taken += item.events if isinstance(item, Stretch) else 1
        assert taken > 0

    return run


def opening(protocol: str, symbols: tuple[str, ...], depth: int) -> tuple[Control, ...]:
    stream = Stream("book", depth)
    return Started(protocol), Connect(), Connected(), Wanted(stream, symbols), Subscribe(stream, symbols, 1)


def journaled(protocol: str, frames: Sequence[bytes], symbols: tuple[str, ...], depth: int) -> list[PackedRecords]:
    """The records of a connection that these frames came by, packed."""
    controls = opening(protocol, symbols, depth)
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


def seconds(run: Pass, frames: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    run(frames)
    return time.perf_counter() - begun


class Compared(NamedTuple):
    """Medians of processor time, of passes in turns."""

    ratio: float  # how many times as fast as `json.loads`
    message_us: float


def compared(runs: Sequence[Pass], frames: Sequence[bytes]) -> list[Compared]:
    def once(one: Pass) -> float:
        one(frames)  # so that it finds the caches as one of its own kind leaves them
        passes, begun = 0, time.thread_time()  # what else runs on the machine is not in it
        while not passes or time.thread_time() - begun < PASSES_S:
            one(frames)
            passes += 1
        return (time.thread_time() - begun) / passes

    rounds = [[once(run) for run in (parse, *runs)] for _ in range(max(3, min(ROUNDS, ROUND_MESSAGES // len(frames))))]
    return [
        Compared(
            statistics.median(each[0] / each[number] for each in rounds),
            statistics.median(each[number] for each in rounds) / len(frames) * 1e6,
        )
        for number in range(1, len(runs) + 1)
    ]


NAME_WIDTH = 46


def report(name: str, frames: Sequence[bytes], python: Pass, by_core: Callable[[], Pass], wanted: str = "") -> None:
    """A line of a figure; `by_core` is called where the core is here."""
    if not name.startswith(tuple(sys.argv[1:]) or ""):
        return
    here = compiled.core().module is not None
    found = compared([python, by_core()] if here else [python], frames)
    told = "".join(f"{each.ratio:9.2f} x {each.message_us:8.3f} us" for each in found)
    print(f"{name:{NAME_WIDTH}}{told}{f'   wanted {wanted}' if wanted else ''}", flush=True)


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


def article_frames(count: int = 10_000) -> list[bytes]:
    """Small v1 frames, of a level each."""
    rng = random.Random(count)
    return [
        f'[336,{{"{rng.choice("ab")}":[["{rng.randrange(10**5, 10**9) / 1e5:.5f}","{rng.randrange(10**9) / 1e8:.8f}",'
        f'"{1_700_000_000 + number / 100:.6f}"]],"c":"{rng.randrange(2**32)}"}},"book-10","XBT/USD"]'.encode()
        for number in range(count)
    ]


def again(frames: Sequence[bytes], first: Sequence[bytes] = ()) -> list[bytes]:
    """Frames day after day, behind what only the first day has."""
    days = max(1, PASS_FRAMES // len(frames))
    return [*first, *(days_later(frame, day) for day in range(days) for frame in frames)]


def going_on(protocol: str, snapshot: bytes, updates: Sequence[bytes]) -> list[bytes]:
    """A recorded book day after day, as `brought_back` at the end of each.

    A connection has one snapshot, however long it lasts.
    """
    return again([*updates, brought_back(protocol, snapshot, updates)], [snapshot])


def parted(frames: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The snapshot of a recorded book, and its updates."""
    snapshot = next(frame for frame in frames if b'"snapshot"' in frame or b'"as":' in frame)
    return snapshot, [frame for frame in frames if b'"update"' in frame or b'"c":' in frame]


def brought_back(protocol: str, snapshot: bytes, updates: Sequence[bytes]) -> bytes:
    """A made-up update that brings a recorded book back to its snapshot."""
    decode = CODECS[protocol].decode
    book, begun, last = Book(SYMBOL, DEPTH, ChecksumProof), decode(snapshot), decode(updates[-1])
    assert isinstance(begun, BookSnapshot)
    assert isinstance(last, BookDelta)
    for event in (begun, *map(decode, updates)):
        book.apply(event)
    sides = []
    for was, now in ((begun.bids, book.bids), (begun.asks, book.asks)):
        kept = {level.price_text for level in was}
        gone = [str(Decimal(level.price).scaleb(-book.precision.price)) for level in now]
        sides.append(
            [*[(price, "0") for price in gone if price not in kept], *[(n.price_text, n.qty_text) for n in was]]
        )
    book.apply(begun)
    checksum = checksum_of(book)
    if protocol == "v2":
        bids, asks = (",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in sides)
        stamp = re.findall(rb'"timestamp":"([^"]+)"', updates[-1])[-1].decode()
        return (
            f'{{"channel":"book","type":"update","data":[{{"symbol":"{SYMBOL}","bids":[{bids}],"asks":[{asks}],'
            f'"checksum":{checksum},"timestamp":"{stamp}"}}]}}'
        ).encode()
    bids, asks = (",".join(f'["{price}","{qty}","1.5"]' for price, qty in side) for side in sides)
    return f'[336,{{"a":[{asks}]}},{{"b":[{bids}],"c":"{checksum}"}},"book-10","XBT/USD"]'.encode()


def report_books(protocol: str, name: str, wanted: dict[str, str]) -> None:
    """The figures of a recording of one book."""
    recorded = recording(name)
    if not recorded:
        return
    snapshot, recorded_updates = parted(recorded)
    updates = again(recorded_updates)
    for what, look, look_by_core in (
        ("", count, leave),  # in Python it is the decoding that makes events
        (", an event each", count, count),
        (", every field read", read_fields, read_fields),
        (", every level read", read_levels, read_levels),
    ):
        report(
            f"{protocol} decode{what}",
            updates,
            decoding(protocol, look),
            partial(decoding_by_core, protocol, snapshot, look_by_core),
            wanted.get(f"decode{what}", ""),
        )
    frames = going_on(protocol, snapshot, recorded_updates)
    for what, look in ((", lazily seen", count), (", every level read", read_levels)):
        report(
            f"{protocol} proven{what}",
            frames,
            proving(protocol, (SYMBOL,), DEPTH, look),
            partial(gathering, protocol, frames, (SYMBOL,), DEPTH, look),
            wanted[f"proven{what}"],
        )
    report_journal(f"{protocol} read from a journal", protocol, frames, (SYMBOL,), DEPTH)
    once = again(recorded)
    report_journal(f"{protocol} a snapshot every {len(recorded)}", protocol, once, (SYMBOL,), DEPTH)


def report_journal(
    name: str, protocol: str, frames: Sequence[bytes], symbols: tuple[str, ...], depth: int, wanted: str = ""
) -> None:
    blocks = journaled(protocol, frames, symbols, depth)
    for what, digest in (("", False), (", with digest", True)):
        python = reading(blocks, by_core=False, digest=digest)
        report(name + what, frames, python, partial(reading, blocks, by_core=True, digest=digest), wanted)


def report_made_up() -> None:
    """The figures of feeds of which there is no recording."""
    for depth in DEPTHS:
        frames = deep_book(depth)
        name = f"v2 proven, made up, depth {depth}"
        run = proving("v2", (SYMBOL,), depth, count)
        wanted = "half of depth 10's" if depth == max(DEPTHS) else ""
        report(name, frames, run, partial(gathering, "v2", frames, (SYMBOL,), depth, count), wanted)
        report_journal(f"{name}: journal", "v2", frames, (SYMBOL,), depth)
        report_top(depth, frames)
    symbols = tuple([f"C{number}/USD" for number in range(SYMBOLS)])
    frames = [
        frame.replace(SYMBOL.encode(), symbol.encode())
        for frame in deep_book(DEPTH, SYMBOL_UPDATES)
        for symbol in symbols
    ]
    name = f"v2 proven, {SYMBOLS} symbols in turn"
    run = proving("v2", symbols, DEPTH, count)
    report(name, frames, run, partial(gathering, "v2", frames, symbols, DEPTH, count), "4")
    report_journal(f"{name}: journal", "v2", frames, symbols, DEPTH, "4")


def report_top(depth: int, frames: Sequence[bytes]) -> None:
    """The first ten levels of a book, as `feed.book()` gives them, looked at behind each of its updates."""
    name = f"v2 first ten levels, depth {depth}"
    if not name.startswith(tuple(sys.argv[1:]) or ""):
        return
    told = []
    for gathers in (False, True)[: 1 + (compiled.core().module is not None)]:
        core = followed("v2", (SYMBOL,), depth, gathers=gathers)
        spans = []
        for number, frame in enumerate(frames[: UPDATES // 4]):
            at_us = START_US + number
            core.session.deadline_us = NEVER_US
            first = core.at._replace(seq=core.at.seq + 1)
            if core.gather([frame], 0, first, at_us, ROOM) is None:
                core.apply(Record(first, at_us, Kind.IN, frame))
            begun = time.perf_counter_ns()
            view = view_of(core, SYMBOL, 10)
            spans.append(time.perf_counter_ns() - begun)
            assert view is not None
            assert len(view.bids) <= 10
        told.append(statistics.median(spans) / 1e3)
    loads_us = compared([parse], frames)[0].message_us
    shown = "".join(f"{loads_us / each_us:9.2f} x {each_us:8.3f} us" for each_us in told)
    print(f"{name:{NAME_WIDTH}}{shown}   wanted 2 us", flush=True)


def recording(name: str) -> list[bytes]:
    path = RECORDINGS / f"{name}.jsonl"
    if path.exists():
        return path.read_bytes().splitlines()
    print(f"{name:{NAME_WIDTH}}not measured: there is no {path}; set TIDELOG_SHARED")
    return []


def main() -> None:
    gc.freeze()
    here = "" if compiled.core().module is not None else f": {compiled.core().said}"
    print(f"times `json.loads` of the same frames, and us a frame: in Python, by the compiled core{here}")
    report_books(
        "v2",
        "book-v2-depth10-btcusd",
        {
            "decode": "20",
            "decode, every field read": "6",
            "proven, lazily seen": "10",
            "proven, every level read": "4",
        },
    )
    report_books(
        "v1",
        "book-v1-depth10-xbtusd",
        {"decode": "8", "decode, every field read": "6", "proven, lazily seen": "5", "proven, every level read": "4"},
    )
    frames = article_frames()
    snapshot = next((frame for frame in recording("book-v1-depth10-xbtusd") if b'"as":' in frame), b"")
    if snapshot:
        by_core = partial(decoding_by_core, "v1", snapshot, leave)
        report("v1 decode, 10,000 small frames (the article's)", frames, decoding("v1", count), by_core, "1.35")
    for channel in ("trade", "ticker"):
        recorded = [frame for frame in recording(f"{channel}-v1") if b"heartbeat" not in frame]
        answers = [frame for frame in recorded if frame.startswith(b"{")]
        frames = again([frame for frame in recorded if not frame.startswith(b"{")], answers)
        if recorded:
            report_journal(f"v1 {channel}s, no heartbeats", "v1", frames, (SYMBOL,), DEPTH, "3")
    frames = quiet_feed()
    report_journal("v2 trades and tickers, made up", "v2", frames, (SYMBOL,), DEPTH, "3")
    report_made_up()


if __name__ == "__main__":
    main()
