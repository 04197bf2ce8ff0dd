"""A book's best levels as a stream: the present ones first, then each that differs; never proven when it is not."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.live.feeds.test_trades import ready, served
from tests.api.live.recorder import A, recording
from tests.api.live.serving import listening, refusal, take
from tests.market.exchange import until
from tests.patience import HANGS_S
from tidelog.api.live.feeds.books import book_stream
from tidelog.api.live.feeds.topics import Book

PATH = "/v1/markets/A-USD/live/book"


def best(data: dict[str, Any]) -> tuple[Any, Any]:
    return data["bids"][0], data["asks"][0]


async def test_a_book_stream_begins_with_the_present_book_and_sends_each_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
        async with listening(server.url + PATH + "?levels=2") as stream:
            first = (await take(stream, 1))[0].data
            assert (first["symbol"], first["proven"], first["proven_depth"], first["reason"]) == (A, True, 10, None)
            assert best(first) == (
                {"price": "99.9", "qty": "1.00000000"},
                {"price": "100.1", "qty": "2.00000000"},
            )
            assert (len(first["bids"]), len(first["asks"])) == (2, 2)
            for qty in (3, 4):
                await recorder.update(qty)
                event = (await take(stream, 1))[0]
                assert (event.id, event.data["proven"]) == (None, True)
                assert best(event.data)[0] == {"price": "99.9", "qty": f"{qty}.00000000"}


async def test_a_book_that_mismatches_is_sent_as_not_proven_until_it_matches(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await ready(server)
        async with listening(server.url + PATH) as stream:
            assert (await take(stream, 1))[0].data["proven"]
            recorder.script.deaf = True  # or it might be proven again before it is told: of two books the later is
            await recorder.push(recorder.script.update(A, 7, wrong=True))
            doubted = (await take(stream, 1))[0].data
            assert (doubted["proven"], doubted["proven_depth"]) == (False, 0)
            assert doubted["reason"] in ("its last message does not prove it", "no snapshot of it has come yet")
            await until(lambda: recorder.script.has_unanswered)
            recorder.wire.push(*recorder.script.answer_late())
            async with asyncio.timeout(HANGS_S):
                while not (await anext(stream)).data["proven"]:
                    pass


async def test_a_slow_reader_gets_the_latest_and_nothing_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await ready(server)
        tail = server.live.tails["journal"]
        stream = await book_stream(tail, Book(A, None, 1))
        await anext(stream)
        await recorder.push(*[recorder.script.update(A, qty) for qty in range(3, 400)])
        await until(lambda: tail.at == recorder.feed.progress.last)
        (message,) = await anext(stream)
        assert b'"qty":"399.00000000"' in message.data
        coming = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not coming.done()
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await stream.aclose()


async def test_the_latest_book_of_the_api_is_that_of_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await recorder.update(6)
        await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
        book = server.live.book("journal", A)
        assert book is not None
        assert (book.origin, book.proven_depth, book.depth, book.bids[0].qty) == ("journal", 10, 10, "6.00000000")
        assert server.live.book("journal", "C/USD") is None
        assert server.live.book("other", A) is None


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("?levels=0", 400, "levels is 0: give 1 to 100"),
        ("?levels=x", 400, "levels"),
        ("?after=1-2", 400, "this route knows no parameter 'after'"),
    ],
)
async def test_rejects_streams_of_books_that_are_not_recorded(
    tmp_path: Path, query: str, status: int, sentence: str
) -> None:
    path = tmp_path / "journal"
    async with recording(path), served(tmp_path, path) as server:
        await ready(server)
        got, said = await refusal(server.url + PATH + query)
        assert (got, sentence in said) == (status, True), said


async def test_streams_end_in_order_when_the_server_stops(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path), served(tmp_path, path) as server:
        await ready(server)
        async with aiohttp.ClientSession() as session, session.get(server.url + PATH) as answer:
            await answer.content.readuntil(b"\n\n")
            server.server.stop()
            assert await asyncio.wait_for(answer.content.read(), HANGS_S) == b""  # a whole answer: nothing was cut off
