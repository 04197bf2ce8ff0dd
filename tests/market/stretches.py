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
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    Connected,
    Disconnected,
    EventId,
    Heartbeat,
    Resync,
    Started,
    Stream,
    Tickers,
    Trades,
)
from tidelog.market.journal.file import JournalWriter
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.projection.projection import Projection
from tidelog.market.projection.state import ProjectionState, encode_state
from tidelog.market.records import Kind, PackedRecords, Record, encode_records
from tidelog.market.session.controls import Connect, Control, Subscribe, Wanted, encode_control

START_US = 1_700_000_000_000_000
SAMPLE_US = 20_000  # how often a book is stored: 20 records, of which each of three books has a few
SYMBOLS = {"v1": ("BTC/USD", "SC/EUR", "DOGE/USD"), "v2": ("BTC/USD", "SC/EUR", "MATIC/USD")}
DEPTHS = (10, 25, 1000)


TRADES_AND_TICKERS = (Stream("trade"), Stream("ticker"))


def records_of(
    protocol: str, frames: Iterable[bytes | Control], depths: dict[str, int], channels: Sequence[Stream] = ()
) -> list[Record]:
    """The journal of a connection on which those books, and other channels of their symbols, were subscribed, and the
    frames came, or what the feed did in between."""
    controls: list[Control] = [Started(protocol), Connect(), Connected()]
    for number, (symbol, depth) in enumerate(depths.items(), 1):
        for stream in (Stream("book", depth), *channels):
            controls += [Wanted(stream, (symbol,)), Subscribe(stream, (symbol,), number)]
    entries = [(Kind.CONTROL, encode_control(control)) for control in controls]
    entries += [
        (Kind.IN, frame) if isinstance(frame, bytes) else (Kind.CONTROL, encode_control(frame)) for frame in frames
    ]
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
        if one.stream.channel == "trade":
            assert (one.sequence, one.suspect_reason) == (other.sequence, other.suspect_reason)
    assert ours.session.session_state.last_received_us == theirs.session.session_state.last_received_us
    return counts


def assert_same_rows(blocks: Sequence[PackedRecords], on_fault: OnFault = raise_fault) -> None:
    """Project blocks by both paths: equal states and equal rows, block by block."""
    ours, theirs = Core(stretches=on_fault), Core()
    one, other = (Projection("market:x", ProjectionState(), SAMPLE_US, on_fault) for _ in range(2))
    for block in blocks:
        for item in ours.apply_block(block):
            one.apply(item)
        for entry in filter(None, map(theirs.apply, block.records())):
            other.apply(entry)
        assert encode_state(one.state) == encode_state(other.state)
        assert one.refused == other.refused
        assert _rows(one) == _rows(other)


def _rows(projection: Projection) -> dict[str, list[str]]:
    changes = projection.drain()
    return {rows.table.name: sorted(map(repr, rows.rows)) for rows in (*changes.add, *changes.replaced)}


def _assert_sums_up(stretch: Stretch, entries: list[JournalEvent]) -> None:
    updates, snapshots = (
        [entry for entry in entries if isinstance(entry.event, kind)] for kind in (BookDelta, BookSnapshot)
    )
    heartbeats = [entry for entry in entries if entry.event == Heartbeat()]
    trades, tickers = ([entry for entry in entries if isinstance(entry.event, kind)] for kind in (Trades, Tickers))
    assert (len(updates), len(snapshots)) == (stretch.updates, stretch.snapshots)
    assert len(heartbeats) == stretch.heartbeats
    assert (len(trades), len(tickers)) == (stretch.trades, stretch.tickers)
    assert len(updates) + len(snapshots) + len(heartbeats) + len(trades) + len(tickers) == len(entries)
    assert all(entry.check is Check.MATCHED for entry in updates + snapshots)
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
        self._ids: dict[str, int] = {}

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
        if rng.random() < 0.15:
            return {"v1": self._trades_v1, "v2": self._trades_v2}[self.protocol](symbol)
        if rng.random() < 0.1:
            return {"v1": self._ticker_v1, "v2": self._ticker_v2}[self.protocol](symbol)
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

    def _positive(self, symbol: str) -> str:
        """A price or quantity, of any size, once in a while in an odd way."""
        rng = self._rng
        value, scale = rng.choice((1, 7, 10**5, rng.randrange(1, 10**13))), rng.choice((*self._scales[symbol], 8, 10))
        odd = rng.choice(("0", "1E-7", "1" * 20, "0.0000000", f"1.{'0' * 17}", str(2**63 - 1), str(2**63)))
        return odd if rng.random() < 0.02 else self._number(value, scale)

    def _next_ids(self, symbol: str) -> list[int]:
        """Mostly those that follow on; some are missing, come twice or in another order."""
        rng = self._rng
        last = self._ids.get(symbol, 1000)
        ids = [*range(last + 1, last + 1 + rng.choice((1, 1, 1, 2, 5)))]
        match rng.randrange(60):
            case 0:
                ids = [number + 2 for number in ids]
            case 1:
                ids = [number - 1 for number in ids]
            case 2:
                ids.append(ids[0])
            case 3 | 4 | 5:
                ids.reverse()
            case 6:
                ids[0] = rng.choice((0, 2**63 - 1, 2**64)) if rng.random() < 0.1 else ids[0]
        if max(ids) < 2**60:
            self._ids[symbol] = max(last, *ids)
        return ids

    def _stamp(self) -> str:
        """A time of this year or of 1972 or 2000, mostly with all of its digits."""
        rng = self._rng
        self._us += rng.choice((0, 1, 400_000, 1_000_000 - self._us % 1_000_000))
        seconds, micros = divmod(self._us, 1_000_000)
        day = rng.choice(("2024-02-29",) * 20 + ("1972-12-31", "2000-03-01"))
        stamp = f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}Z"
        return stamp.replace("Z", rng.choice(("+00:00", "000Z"))) if rng.random() < 0.01 else stamp

    def _trades_v2(self, symbol: str) -> bytes:
        rng = self._rng
        trades = [
            f'{{"symbol":"{symbol if rng.random() < 0.99 else rng.choice([*self.depths])}","side":"'
            f'{rng.choice(("buy", "sell"))}","price":{self._positive(symbol)},"qty":{self._positive(symbol)},'
            f'"ord_type":"{rng.choice(("limit", "market"))}","trade_id":{number},"timestamp":"{self._stamp()}"}}'
            for number in self._next_ids(symbol)
        ]
        kind = "update" if rng.random() < 0.97 else "snapshot"
        return f'{{"channel":"trade","type":"{kind}","data":[{",".join(trades)}]}}'.encode()

    def _trades_v1(self, symbol: str) -> bytes:
        rng = self._rng
        trades = []
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            self._us += rng.choice((0, 0, 1, 400_000, 1_000_000 - self._us % 1_000_000))
            time = f"{1_700_000_000 + self._us // 1_000_000}.{self._us % 1_000_000:06}"
            if rng.random() < 0.01:
                time = rng.choice((time[:-3], time + "4", time[:10], "4294967296.5", "7258118399.999999"))
            trades.append(
                f'["{self._positive(symbol)}","{self._positive(symbol)}","{time}","{rng.choice("bs")}",'
                f'"{rng.choice("lm")}",""]'
            )
        return f'[337,[{",".join(trades)}],"trade","{v1.pair_of(symbol)}"]'.encode()

    def _ticker_v2(self, symbol: str) -> bytes:
        rng = self._rng
        keys = ("bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change", "change_pct")
        numbers = [f'"{key}":{rng.choice(("", "", "", "-"))}{self._positive(symbol)}' for key in keys]
        if rng.random() < 0.02:
            rng.shuffle(numbers)
        stamp = rng.choice(("", f',"timestamp":"{self._stamp()}"'))
        kind = rng.choice(("update", "snapshot"))
        head = f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}"'
        return f"{head},{','.join(numbers)}{stamp}}}]}}".encode()

    def _ticker_v1(self, symbol: str) -> bytes:
        rng = self._rng

        def numbers(key: str, count: int, between: str = "") -> str:
            return f'"{key}":[' + f",{between}".join(f'"{self._positive(symbol)}"' for _ in range(count)) + "]"

        lots = rng.choice(("0,", "45,", '"4",'))
        parts = [numbers("a", 2, lots), numbers("b", 2, lots), *[numbers(key, 2) for key in "cvp"], '"t":[1,2]']
        parts += [numbers(key, 2) for key in "lho"]
        return f'[338,{{{",".join(parts)}}},"ticker","{v1.pair_of(symbol)}"]'.encode()

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
    channels = TRADES_AND_TICKERS if seed % 3 else ()  # a recording says nothing of subscriptions
    disturbed: list[bytes | Control] = [*frames]
    if channels:
        symbol, place = next(iter(feed.depths)), count * 3 // 4
        disturbed[place:place] = [Resync("trade", symbol, None, "trade 1 to 3", 0)]
        disturbed[place + 40 : place + 40] = [Disconnected("lost"), Connect(), Connected()]
    blocks = [*blocks_of(records_of(protocol, disturbed, feed.depths, channels), size=seed % 50 + 20)]
    assert_same_rows(blocks, on_fault)
    return assert_same(blocks, on_fault)
