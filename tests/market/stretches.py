"""Journals for the compiled core and the Python path: both read them here, and have to come to the same."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tests.market.blocks import block_of
from tidelog.market.book.lending import Fault, OnFault, Stretch
from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import BookDelta, BookSnapshot, Connected, EventId, Heartbeat, Started, Stream
from tidelog.market.journal.file import JournalWriter
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.records import Kind, PackedRecords, Record, encode_records
from tidelog.market.session.controls import Connect, Control, Subscribe, Wanted, encode_control

START_US = 1_700_000_000_000_000
SYMBOLS = {"v1": ("BTC/USD", "SC/EUR", "DOGE/USD"), "v2": ("BTC/USD", "SC/EUR", "MATIC/USD")}
DEPTHS = (10, 25, 1000)


def records_of(protocol: str, frames: Iterable[bytes], depths: dict[str, int]) -> list[Record]:
    """The journal of a connection on which those books were subscribed, and the frames came."""
    controls: list[Control] = [Started(protocol), Connect(), Connected()]
    for number, (symbol, depth) in enumerate(depths.items(), 1):
        stream = Stream("book", depth)
        controls += [Wanted(stream, (symbol,)), Subscribe(stream, (symbol,), number)]
    entries = [(Kind.CONTROL, encode_control(control)) for control in controls]
    entries += [(Kind.IN, frame) for frame in frames]
    return [
        Record(EventId(3, seq), START_US + seq * 1_000, kind, payload, seq == 1)
        for seq, (kind, payload) in enumerate(entries, 1)
    ]


def blocks_of(records: Sequence[Record], size: int = 100) -> Iterator[PackedRecords]:
    for group in grouped(records, size):
        packed = encode_records([(record.kind.value, record.at_us, record.payload) for record in group])
        yield PackedRecords(group[0].id.run, group[0].id.seq, len(group), packed)


def write_journal(path: Path, records: Sequence[Record]) -> None:
    writer = JournalWriter(str(path))
    writer.forget_run()
    for group in grouped(records, 150):
        packed = [(record.kind.value, record.at_us, record.payload) for record in group]
        restart_seq = next((record.id.seq for record in group if record.restart), None)
        writer.import_run([block_of(group[0].id.run, group[0].id.seq, packed, restart_seq)])
    writer.close()


def grouped(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    for begin in range(0, len(records), size):
        yield records[begin : begin + size]


def raise_fault(fault: Fault) -> None:
    """A fault of the core is none of what a test provokes, but where it says so."""
    raise AssertionError(fault)


def assert_same(blocks: Iterable[PackedRecords], on_fault: OnFault = raise_fault) -> Counter[str]:
    """Read blocks by both paths; how many events the core took, and how many it left."""
    ours, theirs = Core(digest=True, stretches=on_fault), Core(digest=True)
    counts: Counter[str] = Counter()
    for block in blocks:
        entries, crossed = [], set()
        for record in block.records():
            entry = theirs.apply(record)
            if entry is not None:
                entries.append(entry)
                book = theirs.books.by_symbol.get(getattr(entry.event, "symbol", ""))
                if book is not None and book.crossed:
                    crossed.add(entry.id)
        for item in ours.apply_block(block):
            if isinstance(item, Stretch):
                counts["taken"] += item.events
                taken = [entries.pop(0) for _ in range(item.events)]
                assert crossed.isdisjoint([entry.id for entry in taken])
                _assert_sums_up(item, taken)
            else:
                counts["left"] += 1
                assert item == entries.pop(0)
        assert entries == []
        assert ours.at == theirs.at == block.last
    assert ours.digest is not None
    assert theirs.digest is not None
    assert (ours.digest.events, ours.digest.hexdigest()) == (theirs.digest.events, theirs.digest.hexdigest())
    assert ours.snapshot().books == theirs.snapshot().books
    for one, other in zip(
        ours.session.session_state.subscriptions, theirs.session.session_state.subscriptions, strict=True
    ):
        assert (one.key, one.phase, one.acked_us) == (other.key, other.phase, other.acked_us)
    assert ours.session.session_state.last_received_us == theirs.session.session_state.last_received_us
    return counts


def _assert_sums_up(stretch: Stretch, entries: list[JournalEvent]) -> None:
    updates = [entry for entry in entries if isinstance(entry.event, BookDelta)]
    heartbeats = [entry for entry in entries if entry.event == Heartbeat()]
    assert (len(updates), len(heartbeats)) == (stretch.updates, stretch.heartbeats)
    assert all(entry.check is Check.MATCHED for entry in updates)
    assert not any(entry.suspected for entry in entries)
    if entries:
        assert (entries[0].at_us, entries[-1].at_us) == (stretch.first_us, stretch.at_us)
        assert entries[-1].id <= stretch.id


# -- made-up feeds -----------------------------------------------------------------------------------------------------

Level = tuple[str, str]


class MadeUp:
    """A feed of several books whose checksums are right, written in every way that the exchange might."""

    def __init__(self, protocol: str, seed: int) -> None:
        self.protocol = protocol
        self._rng = random.Random(seed)
        self._codec = {"v1": v1, "v2": v2}[protocol]
        self.depths = {symbol: self._rng.choice(DEPTHS) for symbol in SYMBOLS[protocol]}
        self._scales = {symbol: (self._rng.choice((0, 1, 5)), self._rng.choice((0, 3, 8))) for symbol in self.depths}
        self._books: dict[str, Book] = {}
        self._us = 0

    def frames(self, count: int) -> list[bytes]:
        frames = [self._book(symbol, whole=True) for symbol in self.depths]
        while len(frames) < count:
            frames.append(self._frame())
        return frames

    def _frame(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.1:
            return {"v1": b'{"event":"heartbeat"}', "v2": b'{"channel":"heartbeat"}'}[self.protocol]
        symbol = rng.choice([*self.depths])
        book = self._books[symbol]
        return self._book(symbol, whole=not book.ready or book.crossed or rng.random() < 0.01)

    def _number(self, value: int, scale: int) -> str:
        """A number in units of 10**-scale, mostly with all of its decimals."""
        rng, digits = self._rng, f"{value:0{scale + 1}}"
        text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
        match rng.randrange(60):
            case 0 if self.protocol == "v2":
                return f"{value}E-{scale}"
            case 1 if self.protocol == "v2":
                return f"{value}e+0" if not scale else f"{text}E0"
            case 2 if scale:
                return text.rstrip("0").rstrip(".")
            case 3 if scale and rng.random() < 0.3:
                return text + "0"
        return text

    def _levels(self, symbol: str, sign: int, *, whole: bool) -> list[Level]:
        rng, (price_scale, qty_scale), depth = self._rng, self._scales[symbol], self.depths[symbol]
        if whole:
            ticks = sorted(rng.sample(range(1, 3 * depth), rng.choice((depth, depth, 3))))
        else:
            ticks = [min(1 + int(rng.expovariate(8 / depth)), 3 * depth) for _ in range(rng.choice((0, 1, 1, 2, 5)))]
        lots = [rng.choice((1, 7, 10**qty_scale, rng.randrange(1, 10**12))) for _ in ticks]
        if not whole:
            lots = [rng.choice((0, lot, lot)) for lot in lots]
            if lots and rng.random() < 0.002:
                lots[0] = 10 ** rng.choice((18, 19, 25)) + 7  # beyond what fits into 64 bits, or nearly
        middle = 100_000 if rng.random() < 0.99 else 100_003  # a book may be crossed by it
        return [
            (self._number(middle + sign * tick, price_scale), self._number(lot, qty_scale))
            for tick, lot in zip(ticks, lots, strict=True)
        ]

    def _book(self, symbol: str, *, whole: bool) -> bytes:
        rng = self._rng
        bids, asks = (self._levels(symbol, sign, whole=whole) for sign in (-1, 1))
        if self.protocol == "v1":
            write = self._write_v1(symbol, bids, asks, whole=whole)
        else:
            write = self._write_v2(symbol, bids, asks, whole=whole)
        book = self._books.setdefault(symbol, Book(symbol, self.depths[symbol], ChecksumProof))
        event = self._codec.decode(write(0))
        assert isinstance(event, BookDelta | BookSnapshot)
        book.apply(event)
        return write(checksum_of(book) ^ (rng.random() < 0.004))

    def _write_v2(self, symbol: str, bids: list[Level], asks: list[Level], *, whole: bool) -> Callable[[int], bytes]:
        rng = self._rng
        sides = [",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in (bids, asks)]
        self._us += rng.choice((0, 1, 400_000, 1_000_000 - self._us % 1_000_000)) - 2 * (rng.random() < 0.01)
        seconds, micros = divmod(max(self._us, 0), 1_000_000)
        stamp = f',"timestamp":"2024-02-29T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}Z"'
        if rng.random() < 0.02:
            stamp = rng.choice(("", stamp.replace("Z", "+00:00"), stamp.replace(" ", ""), stamp.replace("000Z", "Z")))
        kind = "snapshot" if whole else "update"
        head = (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}]'
        )
        if rng.random() < 0.01:
            head = head.replace(",", ", ", 1)
        return lambda checksum: f'{head},"checksum":{checksum}{stamp}}}]}}'.encode()

    def _write_v1(self, symbol: str, bids: list[Level], asks: list[Level], *, whole: bool) -> Callable[[int], bytes]:
        rng = self._rng
        sides = {
            name: "["
            + ",".join(
                f'["{price}","{qty}","17.{rng.randrange(10**6):06}"{rng.choice(("", "", again))}]'
                for price, qty in side
            )
            + "]"
            for name, side, again in (("a", asks, ',"r"'), ("b", bids, ',"r"'))
        }
        end = f',"book-{self.depths[symbol]}","{v1.pair_of(symbol)}"]'
        if whole:
            return lambda _: f'[336,{{"as":{sides["a"]},"bs":{sides["b"]}}}{end}'.encode()
        asked, bid = f'"a":{sides["a"]}', f'"b":{sides["b"]}'
        if not asks and (bids or rng.random() < 0.9):
            parts = [bid]
        elif not bids:
            parts = [asked]
        else:
            parts = [f"{asked}{rng.choice((',', '},{'))}{bid}"] if rng.random() < 0.95 else [f"{bid},{asked}"]
        return lambda checksum: f'[336,{{{parts[0]},"c":"{checksum}"}}{end}'.encode()


def made_up(protocol: str, seed: int, count: int = 300, on_fault: OnFault = raise_fault) -> Counter[str]:
    """Read a made-up feed by both paths; see `assert_same`."""
    feed = MadeUp(protocol, seed)
    frames = feed.frames(count)
    return assert_same(blocks_of(records_of(protocol, frames, feed.depths), size=seed % 50 + 20), on_fault)
