"""What the search for panics begins with: blocks of every fork, recorded ones that are small, odd cases, stored lists;
frames of a market, recorded and made up.
`python -m tests.core.corpus FOLDER`"""

import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.chain.answers import simulated
from tests.chain.test_native_stored import stored
from tests.conftest import SHARED
from tests.market.stretches import MadeUp
from tidelog.batch import Column, Kind, Row, Table, encode_row
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.market.book.levels import Book, Precision
from tidelog.market.events import BookDelta, BookSnapshot
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.projection.rows import decimal_text
from tidelog.sim.node.chain.block_builder import FORKS
from tidelog.store.postgres.copying import streams

SIZE_MAX = 64 * 1024  # of an answer: each step of the search reads all of one
FRAMES, FRAMES_AT_ONCE, GROUPS = 120, 6, 20  # of a feed: as each step reads all of what it tries, a few at once
FRAME_MAX = 1 << 16  # bytes
PRECISION = {"v1": Precision(5, 8), "v2": Precision(1, 8)}  # of the target's book
DECODE = {"v1": v1.decode, "v2": v2.decode}
CHECKS = (b"\xff\x00", b"\xfe\x10", b"\xc4\x6f", b"\x00\x80")  # all of them, without the hash, without most, none


def pairs() -> Iterator[tuple[bytes, bytes]]:
    """Blocks and their receipts."""
    for fork in FORKS:
        answers = simulated(fork)
        yield answers.block, answers.receipts
    for block in sorted((SHARED / "data" / "evm" / "rpc").glob("*/*/block.json")):
        receipts = block.with_name("receipts.json")
        yield block.read_bytes(), receipts.read_bytes() if receipts.exists() else b"[]"
    for path in sorted((SHARED / "cases" / "chain").glob("*.jsonl")):
        line = json.loads(path.read_text().splitlines()[0])
        yield json.dumps(line["block"]).encode(), json.dumps(line["receipts"]).encode()


def lists() -> Iterator[bytes]:
    """Stored lists, as RLP."""
    places = [TRANSACTIONS.index(name) for name in ("access_list", "blob_versioned_hashes", "authorization_list")]
    for row in stored(simulated("prague")).transactions:
        yield from (value for value in [row[place] for place in places] if isinstance(value, bytes))


class WrittenLevel(NamedTuple):
    """A level as text."""

    price_text: str
    qty_text: str


def feeds() -> Iterator[bytes]:
    """Frames, some at a time: of recordings, and of a book that begins as the target's does, with its checksums."""
    for number, protocol in enumerate(("v1", "v2")):
        played = [
            path.read_bytes().splitlines() for path in sorted((SHARED / "data" / "kraken").glob(f"*{protocol}*.jsonl"))
        ]
        for place, frames in enumerate([*played, MadeUp(protocol, 1).frames(FRAMES), updates(protocol)]):
            groups = [frames[begin : begin + FRAMES_AT_ONCE] for begin in range(0, len(frames), FRAMES_AT_ONCE)]
            for turn, group in enumerate(groups[:GROUPS]):
                packed = [len(frame).to_bytes(2, "little") + frame for frame in group if len(frame) < FRAME_MAX]
                yield bytes([number | (place + turn) % 3 << 1]) + b"".join(packed)


def updates(protocol: str) -> list[bytes]:
    """Updates of the target's book, each of which it takes."""
    rng, book, frames = random.Random(1), Book("BTC/USD", 10, ChecksumProof, PRECISION[protocol]), []
    price_scale, qty_scale = PRECISION[protocol].price, PRECISION[protocol].qty

    def levels(sign: int, ticks: Iterable[int], lots: Callable[[int], int]) -> list[tuple[str, str]]:
        return [
            (decimal_text(300_000 + sign * tick, price_scale), decimal_text(lots(tick), qty_scale)) for tick in ticks
        ]

    def frame(changed: list[list[tuple[str, str]]], checksum: int) -> bytes:
        bids, asks = changed
        if protocol == "v1":
            sides = [
                f'"{key}":[{",".join(f"""["{p}","{q}","1.5"]""" for p, q in side)}]'
                for key, side in (("a", asks), ("b", bids))
                if side
            ]
            return f'[336,{{{",".join(sides)},"c":"{checksum}"}},"book-10","XBT/USD"]'.encode()
        sides = [",".join(f'{{"price":{p},"qty":{q}}}' for p, q in side) for side in (bids, asks)]
        head = '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD",'
        return f'{head}"bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}}}]}}'.encode()

    def snapshot(side: list[tuple[str, str]]) -> list[WrittenLevel]:
        return [WrittenLevel(*level) for level in side]

    bids, asks = (snapshot(levels(sign, range(1, 11), int)) for sign in (-1, 1))
    book.apply(BookSnapshot("BTC/USD", bids, asks, None))
    for _ in range(FRAMES):
        changed = [
            levels(sign, rng.sample(range(1, 14), rng.choice((1, 2))), lambda _: rng.choice((0, 1, 10**9)))
            for sign in (-1, 1)
        ]
        decoded = DECODE[protocol](frame(changed, 0))
        assert isinstance(decoded, BookDelta)
        book.apply(decoded)
        frames.append(frame(changed, checksum_of(book)))
    return frames


def packed() -> Iterator[bytes]:
    """The rows of a block, packed, each table behind the count of its columns."""
    rows = stored(simulated("prague"))
    for group in ([rows.block], rows.transactions, rows.logs):
        yield bytes([len(group[0])]) + b"".join(map(encode_row, group))


def copies() -> Iterator[bytes]:
    """Streams of binary COPY, of the target's columns."""
    kinds = (Kind.INT, Kind.UINT64, Kind.UINT256, Kind.TEXT, Kind.BYTES)
    table = Table("t", tuple([Column(kind.value, kind, nullable=True) for kind in kinds]), key=("int",))
    rng = random.Random(1)
    for count in range(4):
        rows: list[Row] = [
            (place // 2, rng.randrange(2**64), rng.randbytes(32), "x" * place, None if place else rng.randbytes(40))
            for place in range(count)
        ]
        yield from (b"".join(stream) for _, stream in streams(table, rows) if stream is not None)


def write(folder: Path) -> None:
    """Write a folder for each target."""
    frames = folder / "frames"
    frames.mkdir(parents=True, exist_ok=True)
    for i, feed in enumerate(feeds()):
        (frames / str(i)).write_bytes(feed)
    answers, items, tables, copied = (folder / name for name in ("answers", "items", "packed", "copies"))
    for made in (answers, items, tables, copied):
        made.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(packed()):
        (tables / str(i)).write_bytes(content)
    for i, content in enumerate(copies()):
        (copied / str(i)).write_bytes(content)
    for i, (block, receipts) in enumerate(pairs()):
        if len(block) + len(receipts) <= SIZE_MAX:
            (answers / str(i)).write_bytes(CHECKS[i % len(CHECKS)] + block + b"\0" + receipts)
            (items / str(i)).write_bytes(block)
    for i, encoded in enumerate(lists()):
        (items / f"list-{i}").write_bytes(encoded)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else os.curdir))
