"""Another exchange through the same session, core, feed, journal and replay, which know nothing of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.market.exchange import Wire, serve, until
from tests.market.toy.exchange import ToyExchange
from tests.market.toy.venue import LIMITS, PROTOCOL, VENUES
from tidelog.errors import ConfigError, Rejected
from tidelog.market import venues
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import Ack, BookDelta, Resync, SequenceSpan
from tidelog.market.journal.reader import JournalReader
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import FeedLimits
from tidelog.market.load.loader import Loader, Options
from tidelog.market.load.recorded import recorded, source_of
from tidelog.market.maintenance.audit import audit
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE
from tidelog.market.records import Kind, Record
from tidelog.market.replay.position import events_after, events_to_load
from tidelog.market.replay.recording import Recording
from tidelog.market.replay.replay import Summary, replay_records
from tidelog.market.replay.sources import read_source
from tidelog.market.session.controls import CoreSnapshot, decode_control
from tidelog.net.websocket import WebSocketTransport
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

A, B = "A/USD", "B/USD"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    venues.register(VENUES)  # the one line
    yield
    del venues.VENUES[PROTOCOL]


def feed_of(
    path: Path,
    transport: WebSocketTransport | None,
    *symbols: str,
    limits: FeedLimits | None = None,
    url: str = "ws://toy",
) -> Feed:
    return Feed(
        symbols or [A, B],
        ["book"],
        journal=str(path),
        depth=5,
        protocol=PROTOCOL,
        url=url,
        digest=True,
        transport=transport,
        limits=limits or FeedLimits(),
    )


def proven(feed: Feed, symbol: str) -> bool:
    view = feed.book(symbol)
    return view is not None and view.proven


def records(path: Path) -> list[Record]:
    reader = JournalReader(str(path))
    try:
        return list(reader.records())
    finally:
        reader.close()


def asked(exchange: ToyExchange) -> list[tuple[str, list[str]]]:
    return [(request["op"], request["books"]) for request in exchange.requests if request["op"] != "ping"]


async def digest_of(path: Path) -> str:
    summary = Summary()
    async for _ in replay_records(read_source(str(path)), SystemRuntime(), summary=summary):
        pass
    return summary.digests[1].hexdigest()


async def test_gap_in_the_sequence_resyncs_that_symbol_alone_and_proves_it_again(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    wire = Wire(toy)
    async with feed_of(path, wire) as feed:
        await until(lambda: feed.progress.held == 2 and proven(feed, A) and proven(feed, B))
        wire.push(toy.change(A), toy.change(B, of=3), toy.change(A))
        await until(lambda: feed.progress.frames >= 7)
        assert proven(feed, A)
        assert proven(feed, B)
        toy.change(A)  # lost
        wire.push(toy.change(B), toy.change(A))
        await until(lambda: feed.progress.resyncs == 1 and feed.progress.held == 2 and proven(feed, A))
        assert proven(feed, B)
        wire.push(toy.change(A), toy.change(B))
        view, other = feed.book(A), feed.book(B)
        await until(lambda: (view := feed.book(A)) is not None and view.bids[0].qty == toy.qty[A])
        view, other = feed.book(A), feed.book(B)
    assert view is not None
    assert other is not None
    assert (view.proven, view.proven_depth, view.bids[0]) == (True, 5, (1000, toy.qty[A]))
    assert (other.proven, other.proven_depth, other.bids[0]) == (True, 5, (1000, toy.qty[B]))
    assert asked(toy) == [("sub", [A, B]), ("unsub", [A]), ("sub", [A])]
    resyncs = [each.event for each in journaled(path) if isinstance(each.event, Resync)]
    assert [(each.symbol, each.reason) for each in resyncs] == [(A, "messages are missing")]
    checks = [(each.event.symbol, each.check) for each in journaled(path) if isinstance(each.event, BookDelta)]
    assert checks.count((A, Check.GAP)) == 1
    assert {check for symbol, check in checks if symbol == B} == {Check.MATCHED}
    assert await digest_of(path) == feed.digest


async def test_messages_that_the_snapshot_has_already_are_left_out(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    wire = Wire(toy)
    async with feed_of(path, wire, A) as feed:
        await until(lambda: proven(feed, A))
        change = toy.change(A)
        wire.push(change, toy.change(A), change)  # the last one says how it was before
        await until(lambda: feed.progress.frames >= 6)
        view = feed.book(A)
    assert view is not None
    assert (view.proven, view.bids[0].qty, feed.progress.resyncs) == (True, 3, 0)


async def test_one_ack_answers_a_whole_request_and_so_does_one_refusal(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    limits = FeedLimits(session=replace(LIMITS, refused_first_us=20_000))
    async with feed_of(path, Wire(toy), A, B, "C/EUR", limits=limits) as feed:
        await until(lambda: feed.progress.held == 2 and len(toy.requests) >= 2)
        await until(lambda: bool(feed.peer.refusals))
        assert [each.symbol for each in feed.peer.refusals] == ["C/EUR"]
        toy.lists.add("C/EUR")
        await until(lambda: feed.progress.held == 3)
        assert feed.peer.refusals == []
        feed.unsubscribe([A, B])
        await until(lambda: feed.progress.subscriptions == 1)
    assert asked(toy)[:3] == [("sub", [A, B]), ("sub", ["C/EUR"]), ("sub", ["C/EUR"])]
    assert asked(toy)[-1] == ("unsub", [A, B])
    acks = [each.answered for each in journaled(path) if isinstance(each.event, Ack)]
    assert acks == [(A, B), ("C/EUR",), (A, B)]


async def test_core_begins_at_a_snapshot_with_what_decoder_and_proof_knew(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    wire = Wire(toy)
    async with feed_of(path, wire, limits=FeedLimits(snapshot_every_us=50_000)) as feed:
        await until(lambda: proven(feed, A) and proven(feed, B))
        for _ in range(4):
            wire.push(toy.change(A), toy.change(B))
            await until(lambda: (view := feed.book(B)) is not None and view.bids[0].qty == toy.qty[B])
            await asyncio.sleep(0.06)  # beyond the pause between snapshots
            feed.subscribe([A])  # nothing new: it makes the feed look at the clock
        toy.change(A)  # lost
        wire.push(toy.change(A))
        await until(lambda: feed.progress.resyncs == 1 and proven(feed, A))
    whole, every = Core(), records(path)
    events = [whole.apply(record) for record in every]
    begins = [number for number, record in enumerate(every) if is_snapshot(record)]
    assert len(begins) >= 4
    for begin in begins:
        core = Core()
        assert [core.apply(record) for record in every[begin:]][1:] == events[begin + 1 :]
        assert core.snapshot() == whole.snapshot()


def journaled(path: Path) -> list[JournalEvent]:
    reader = JournalReader(str(path))
    try:
        return list(events_after(reader))
    finally:
        reader.close()


def is_snapshot(record: Record) -> bool:
    return record.kind is Kind.CONTROL and isinstance(decode_control(record.payload), CoreSnapshot)


async def test_journal_of_the_toy_exchange_is_loaded_and_its_rows_say_how_far_they_are_proven(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    wire = Wire(toy)
    async with feed_of(path, wire, A) as feed:
        await until(lambda: proven(feed, A))
        wire.push(toy.change(A))
        toy.change(A)  # lost
        wire.push(toy.change(A))
        await until(lambda: feed.progress.resyncs == 1 and proven(feed, A))
    url, runtime = f"sqlite:///{tmp_path / 'store.db'}", SystemRuntime()
    store = await open_store(url, runtime)
    try:
        loader = await Loader.open(store, runtime, "toy", Options(sample_s=1))
        await loader.run(events_to_load(str(path), runtime, after=loader.committed, ending=lambda: True))
        async with store.snapshot() as snapshot:
            coverage = [dict(zip(COVERAGE.names, row, strict=True)) for row in await snapshot.select(COVERAGE)]
            samples = [
                dict(zip(BOOK_SNAPSHOTS.names, row, strict=True)) for row in await snapshot.select(BOOK_SNAPSHOTS)
            ]
            found_toy = await recorded(snapshot, "toy")
            assert found_toy is not None
            assert [found async for found in audit(snapshot, source_of("toy"), found_toy)] == []
    finally:
        await store.close()
    assert [(row["state"], row["reason"]) for row in coverage][:2] == [("proven", None), ("unproven", "sequence_gap")]
    assert samples
    assert {row["proven_depth"] for row in samples} <= {0, 5}


async def test_toy_exchange_over_a_socket_recovers_from_a_gap(tmp_path: Path) -> None:
    toy, path = ToyExchange(), tmp_path / "journal"
    async with serve(toy) as server, feed_of(path, None, url=server.url) as feed:
        await until(lambda: proven(feed, A) and proven(feed, B))
        toy.change(A)
        server.push(toy.change(A))
        await until(lambda: feed.progress.resyncs == 1 and feed.progress.held == 2 and proven(feed, A))
    assert asked(toy) == [("sub", [A, B]), ("unsub", [A]), ("sub", [A])]
    assert await digest_of(path) == feed.digest


def test_a_file_of_frames_that_mean_nothing_alone_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b'{"hb":1}\n')
    with pytest.raises(ConfigError, match="replayed from a journal"):
        list(Recording(str(path), protocol=PROTOCOL).records())


def test_protocol_is_registered_once_and_under_its_own_name() -> None:
    venues.register(VENUES)  # the same one again
    with pytest.raises(ValueError, match="registered twice"):
        venues.register({"v2": VENUES[PROTOCOL]})
    with pytest.raises(ConfigError, match="say v1 or v2 or toy-1"):
        venues.venue_of("toy-2")


def test_frames_that_cannot_be_read_name_the_book_that_they_are_about() -> None:
    decoder = VENUES[PROTOCOL].decoder()
    decoder.decode(b'{"ok":"sub","id":1,"books":{"1":"A/USD"},"depth":5}')
    for frame in (b'[1,"new",1', b'[2,"all",1,[],[]]', b'[1,"all"]', b"[", b"{", b"[[[[[["):
        with pytest.raises(Rejected, match="malformed frame"):
            decoder.decode(frame)
    assert decoder.books_in(b'[1,"new",1') == (A,)
    assert decoder.books_in(b'[2,"all"') is None
    again = VENUES[PROTOCOL].decoder()
    again.resume(decoder.state)
    event = again.decode(b'[1,"new",7,9,[],[["1.5","0"]]]')
    assert isinstance(event, BookDelta)
    assert (event.symbol, event.sequence) == (A, SequenceSpan(7, 9))
