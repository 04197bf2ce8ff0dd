"""Files of frames: what each proves however it is packed, wrapped or cut, and what is refused."""

import asyncio
import gzip
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import zstandard

from tests.market.exchange import Script, Wire, until
from tests.market.kraken.frames import V1, V2
from tests.market.paths import cores_on_either_path
from tidelog.errors import ConfigError, Corruption
from tidelog.market.core import Core
from tidelog.market.events import Started, micros
from tidelog.market.journal.export import export_journal
from tidelog.market.journal.frame_lines import frames_of, time_in
from tidelog.market.journal.reader import JournalReader
from tidelog.market.live.feed import Feed
from tidelog.market.replay.recording import Recording
from tidelog.market.replay.replay import Summary, replay_records
from tidelog.market.replay.sources import Source
from tidelog.runtime import SystemRuntime

__all__ = ["cores_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("cores_on_either_path")

M, U = "matched", "unchecked"
FILES = {  # what is right for each
    "market/thin-depth25.jsonl": ("v2", {M: 13}),
    "market/thin-depth25-v1.jsonl": ("v1", {M: 12, U: 1}),
    "market/empty-snapshot-v2.jsonl": ("v2", {M: 3}),
    "market/empty-snapshot-v1.jsonl": ("v1", {M: 2, U: 1}),
    "market/exponent-book.jsonl": ("v2", {M: 2}),
    "market/no-checksum-no-side.jsonl": ("v2", {M: 3, U: 1}),
    "kraken/book-v1-depth10-xbtusd.jsonl": ("v1", {M: 979, U: 1}),
    "kraken/book-v2-depth10-btcusd.jsonl": ("v2", {M: 510}),
    "kraken/trade-v1.jsonl": ("v1", {}),
    "kraken/ticker-v1.jsonl": ("v1", {}),
}


def lines_of(frames: list[bytes]) -> bytes:
    return b"\n".join(frames) + b"\n"


def each(write: Callable[[bytes], bytes]) -> Callable[[list[bytes]], bytes]:
    return lambda frames: lines_of([write(frame) for frame in frames])


FORMS: dict[str, Callable[[list[bytes]], bytes]] = {
    "plain": lines_of,
    "no newline at the end": b"\n".join,
    "crlf": b"\r\n".join,
    "empty lines": b"\n\n\n".join,
    "byte order mark": lambda frames: b"\xef\xbb\xbf" + lines_of(frames),
    "utf-16": lambda frames: lines_of(frames).decode().encode("utf-16"),
    "gzip": lambda frames: gzip.compress(lines_of(frames)),
    "gzip of two members": lambda frames: gzip.compress(lines_of(frames[:2])) + gzip.compress(lines_of(frames[2:])),
    "zstd": lambda frames: zstandard.compress(lines_of(frames)),
    "gzip, crlf and byte order mark": lambda frames: gzip.compress(b"\xef\xbb\xbf" + b"\r\n".join(frames)),
    "one array": lambda frames: b"[" + b",".join(frames) + b"]",
    "an array with a frame a line": lambda frames: b"[\n" + b",\n".join(frames) + b"\n]\n",
    "iso time before": each(lambda frame: b"2026-08-18T20:44:14.123456Z: " + frame),
    "epoch time before": each(lambda frame: b"1756500001.25 " + frame),
    "direction and time before": each(lambda frame: b"< 1756500001250 " + frame),
    "inside an object": each(lambda frame: b'{"ts":1756500001.25,"data":' + frame + b"}"),
    "as text inside an object": each(lambda frame: json.dumps({"time": "x", "raw": frame.decode()}).encode()),
    "after its time in an array": each(lambda frame: b"[1756500001.25," + frame + b"]"),
}


def frames_in(shared: Path, name: str) -> list[bytes]:
    folder = shared / "cases" if name.startswith("market/") else shared / "data"
    return [line for line in (folder / name).read_bytes().split(b"\n") if line]


async def summary_of(path: Path, *, protocol: str | None = None, depth: int | None = None) -> tuple[Summary, Source]:
    summary, source = Summary(), Source(str(path), protocol=protocol, depth=depth)
    async for _ in replay_records(source.records(), SystemRuntime(), summary=summary):
        pass
    return summary, source


def counts(summary: Summary) -> dict[str, int]:
    found = {check.value: count for check, count in summary.checks.items()}
    return {name: count for name, count in (found | {"malformed": summary.malformed}).items() if count}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
async def test_summary_is_right_however_the_file_is_written(shared: Path, tmp_path: Path, name: str, form: str) -> None:
    frames = frames_in(shared, name)
    protocol, right = FILES[name]
    path = tmp_path / "recording"
    path.write_bytes(FORMS[form](frames))
    summary, source = await summary_of(path)
    assert counts(summary) == right
    assert summary.unknown == 0
    assert summary.readable == len(frames)
    source.require_readable(summary)
    assert source.recording is not None
    started = Core().apply(next(Recording(str(path)).records()))
    assert started is not None
    assert started.event == Started(protocol)


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FILES)
async def test_summary_of_a_file_that_is_cut_counts_what_is_whole(
    shared: Path, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = lines_of(frames_in(shared, name))
    path, again = tmp_path / "cut", tmp_path / "whole lines"
    packed = pack(whole)
    path.write_bytes(packed[: len(packed) * 2 // 3])
    summary, source = await summary_of(path)
    assert source.recording is not None
    assert summary.malformed <= 1
    read = [line.frame for line in frames_of(str(path), [])]
    again.write_bytes(lines_of(read[: len(read) - summary.malformed]))
    expected, _ = await summary_of(again)
    assert counts(summary) == counts(expected) | ({"malformed": 1} if summary.malformed else {})
    assert summary.readable == expected.readable
    cut_is_told = any("end early" in note for note in source.recording.notes)
    assert cut_is_told is (packed is not whole)


async def test_depth_that_nothing_says_is_guessed_and_told(shared: Path, tmp_path: Path) -> None:
    frames = frames_in(shared, "market/thin-depth25.jsonl")[1:]  # without the ack
    path = tmp_path / "thin"
    path.write_bytes(lines_of(frames))
    guessed, source = await summary_of(path)
    assert counts(guessed)["mismatched"] > 0
    assert source.recording is not None
    (note,) = source.recording.notes
    assert note.endswith("by the size of their snapshots: THIN/USD 10 (--depth says it)")
    given, source = await summary_of(path, depth=25)
    assert counts(given) == {M: 13}
    assert source.recording is not None
    assert source.recording.notes == []


async def test_ack_that_comes_after_its_snapshot_says_the_depth(shared: Path, tmp_path: Path) -> None:
    ack, snapshot, *rest = frames_in(shared, "market/thin-depth25.jsonl")
    path = tmp_path / "late"
    path.write_bytes(lines_of([snapshot, ack, *rest]))
    assert counts((await summary_of(path))[0]) == {M: 13}


async def test_level3_frames_do_not_make_a_v2_file_v1(shared: Path, tmp_path: Path) -> None:
    level3 = b'{"channel":"level3","type":"update","data":[{"symbol":"BTC/USD","bids":[{"event":"add"}]}]}'
    frames = frames_in(shared, "kraken/book-v2-depth10-btcusd.jsonl")
    path = tmp_path / "recording"
    path.write_bytes(lines_of([level3, *frames]))
    summary, _ = await summary_of(path)
    assert (counts(summary), summary.unknown) == ({M: 510}, 1)


async def test_protocol_that_is_given_counts_and_a_mixed_file_is_told(shared: Path, tmp_path: Path) -> None:
    v1 = frames_in(shared, "market/thin-depth25-v1.jsonl")
    v2 = frames_in(shared, "market/empty-snapshot-v2.jsonl")
    path = tmp_path / "mixed"
    path.write_bytes(lines_of(v1 + v2))
    summary, source = await summary_of(path)
    assert counts(summary) == {M: 12, U: 1}
    assert summary.unknown == len(v2)
    assert source.recording is not None
    assert source.recording.notes == ["3 of the first 17 frames are not of v1, as most of them are"]
    assert counts((await summary_of(path, protocol="v2"))[0])[M] == 3


async def test_book_ends_with_the_ack_of_its_unsubscribe(shared: Path, tmp_path: Path) -> None:
    frames = frames_in(shared, "market/thin-depth25.jsonl")
    left = b'{"method":"unsubscribe","result":{"channel":"book","depth":25,"symbol":"THIN/USD"},"success":true}'
    path = tmp_path / "left"
    path.write_bytes(lines_of([*frames[:5], left, *frames[5:7], *frames]))
    core = Core()
    proven = []
    for record in Recording(str(path)).records():
        core.apply(record)
        book = core.books.by_symbol.get("THIN/USD")
        proven.append(book is not None and book.proven)
    assert proven[-1], "it was subscribed again"
    at = proven.index(True)
    ends = at + proven[at:].index(False)
    assert not any(proven[ends : ends + 3]), "neither after the ack, nor by updates that come late"
    # the file's second half begins with times that lie before those of the updates that came late
    assert Counter(counts((await summary_of(path))[0])) == {M: 4 + 8, "outdated": 5, "refused": 2}


UNREADABLE = {
    "empty": (b"", "holds no frames: it is empty"),
    "junk": (b"\x00\x01\x02 not a frame\nmore\n", "line 1: malformed frame of 15 bytes"),
    "prose": (b"\n\nhello world\n", "line 3: malformed frame of 11 bytes"),
    "csv": (b"time,price,qty\n1,2,3\n", "line 1: malformed frame"),
    "another exchange": (b'{"stream":"btcusdt@trade","data":{"e":"trade","p":"1.0"}}\n', "it names no channel and no"),
    "zip": (b"PK\x03\x04....", "is packed with zip: unpack it first"),
    "cut gzip": (gzip.compress(b"x" * 1000)[:10], "holds no frames: the packed data end early"),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_file_with_nothing_readable_is_refused_with_its_first_line(tmp_path: Path, name: str) -> None:
    data, told = UNREADABLE[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        await required(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def required(path: Path) -> None:
    summary, source = await summary_of(path)
    source.require_readable(summary)


async def test_own_export_is_read_and_says_its_protocol_itself(tmp_path: Path) -> None:
    script = Script()
    wire = Wire(script)
    journal, exported = tmp_path / "journal", tmp_path / "export.jsonl.zst"
    async with Feed(["A/USD"], ["book"], journal=str(journal), transport=wire, digest=True) as feed:
        await until(lambda: (view := feed.book("A/USD")) is not None and view.proven)
        wire.push(script.update("A/USD", 3))
        await until(lambda: feed.progress.frames >= 3)
        await asyncio.sleep(0)
    reader = JournalReader(str(journal))
    export_journal(reader, str(exported))
    reader.close()
    plain = tmp_path / "export.jsonl"
    with exported.open("rb") as file:
        plain.write_bytes(zstandard.ZstdDecompressor().stream_reader(file).read())
    for path in (journal, exported, plain):
        summary, source = await summary_of(path)
        assert {run: digest.hexdigest() for run, digest in summary.digests.items()} == {1: feed.digest}
        source.require_readable(summary)
        with pytest.raises(ConfigError, match="says its protocol and depths itself"):
            Source(str(path), depth=10)
    plain.write_bytes(plain.read_bytes()[:-40])
    with pytest.raises(Corruption):
        await summary_of(plain)


def test_times_beside_frames_are_read_in_any_unit() -> None:
    right = 1_756_500_001_250_000
    numbers = ("1756500001.25", "1756500001250", "1756500001250000", "1756500001250000000")
    for text in (*numbers, "2025-08-29T20:40:01.25Z"):
        assert time_in(f"< {text}: ") == right, text
    assert time_in("recv: ") == 0


@pytest.mark.parametrize(
    ("candle", "time"),
    [
        (V1["ohlc"], "2018-11-12T21:15:14.748456Z"),
        (V2["ohlc"], "2023-10-04T16:25:00Z"),
        (V2["ohlc"].replace(b'"data"', b'"timestamp":"2023-10-04T16:26:30.000000000Z","data"'), "2023-10-04T16:26:30Z"),
        (V1["open orders"].replace(b'"status":"open"', b'"expiretm":"1760516023.000000"'), "1970-01-01T00:00:00Z"),
    ],
)
def test_times_that_are_still_to_come_are_not_those_of_frames(tmp_path: Path, candle: bytes, time: str) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(candle)
    *_, record = Recording(str(path)).records()
    assert record.at_us == micros(datetime.fromisoformat(time))


def test_memory_stays_flat_however_long_the_file(shared: Path, tmp_path: Path) -> None:
    frames = lines_of(frames_in(shared, "kraken/book-v2-depth10-btcusd.jsonl"))
    path = tmp_path / "long.gz"
    rounds = 10_000_000 // len(frames)
    path.write_bytes(gzip.compress(frames * rounds, 1))
    tracemalloc.start()
    count = sum(1 for _ in Recording(str(path)).records())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 510 * rounds
    assert peak < 3_000_000, "of ten million bytes"
