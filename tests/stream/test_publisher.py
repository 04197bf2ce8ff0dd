"""What a publisher makes of a backlog's pages: flights that share an acknowledgement, and what it says is published."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from tests.patience import HANGS_S
from tests.stream.test_chain_messages import CHAIN, PAYLOAD_MAX, change_row
from tests.stream.test_following import published
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Place, Verdict, WentBack
from tidelog.errors import Busy, Unreachable
from tidelog.runtime import SystemRuntime
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import reset_message
from tidelog.stream.envelope import Part, part_of
from tidelog.stream.port import Ends, Message, Moved, Stored
from tidelog.stream.publisher import Publisher, PublisherLimits
from tidelog.telemetry import StreamFigures, StreamMetrics

MESSAGES = published(40)
PLACES = [BEGIN]
for _seq in range(1, 41):
    PLACES.append(PLACES[-1].advanced([change_row(_seq)]))


class Pages:
    """A backlog whose pages have so many messages each; every page ends at the time of its last one."""

    source, origin, last = "chain 1", "store", 40

    def __init__(self, size: int, went_back: int | None = None, empty: int = 0) -> None:
        self.size, self.went_back, self.empty = size, went_back, empty
        self.asked = 0
        self.looked = 0
        self.figures = StreamFigures()
        self.times = 2  # that it says so: behind a page that comes before, and when it is asked again

    async def next(self, place: Place, payload_max: int) -> Page:
        self.asked += 1
        if self.asked <= self.empty:
            return Page(Agreed(), place, [], more=True, until_us=self.asked)
        verdict: Verdict = Agreed()
        messages = list(MESSAGES[place.seq : place.seq + self.size])
        end = PLACES[min(40, place.seq + self.size)]
        if place.seq == self.went_back and self.times:
            self.times -= 1
            verdict = WentBack(PLACES[place.seq - 1])
            messages = [reset_message(CHAIN, place, PLACES[place.seq - 1]), *MESSAGES[place.seq - 1 : place.seq]]
            end = place
        return Page(verdict, end, messages, more=bool(messages), until_us=end.seq * 1_000)

    def follow_on(self, newest: Part) -> None: ...

    async def look(self) -> None:
        self.looked += 1
        if self.looked % 2 == 0:
            raise Busy("it is away too, now and then")
        self.figures.note_stored(seq=100 + self.looked, at_us=self.looked * 1_000_000)

    async def close(self) -> None: ...


class Server:
    """Takes flights, and lets a test look while one is not acknowledged yet."""

    name = "a stream"
    payload_max = PAYLOAD_MAX

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.flights: list[int] = []
        self.looks: list[int] = []  # at the stream's end, by the messages that it had
        self.before_answer: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        yield self

    async def ensure(self) -> None: ...

    async def ends(self) -> Ends:
        self.looks.append(len(self.stored))
        return Ends(1, len(self.stored))

    async def get(self, sequence: int) -> Stored:
        return self.stored[sequence - 1]

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        assert after == len(self.stored)
        self.flights.append(len(messages))
        self.stored += [Stored(nth, each.headers, each.payload) for nth, each in enumerate(messages, after + 1)]
        self.before_answer()
        return len(self.stored)


async def play(pages: Pages, server: Server, limits: PublisherLimits, last: int, figures: StreamFigures) -> None:
    task = asyncio.create_task(Publisher(pages, server, SystemRuntime(), metrics=figures, limits=limits).run())
    try:
        async with asyncio.timeout(30):
            while figures.published_seq != last:
                await asyncio.sleep(0.005)
                assert not task.done(), task.exception()
            await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("limits", "flights"),
    [
        (PublisherLimits(), [40]),
        (PublisherLimits(flight_messages=12), [12, 12, 12, 4]),
        (PublisherLimits(flight_messages=10), [10, 2, 10, 2, 10, 2, 4]),  # a page is divided
        (PublisherLimits(flight_pages=3), [9, 9, 9, 9, 4]),
        (PublisherLimits(flight_bytes=1), [1] * 40),
    ],
)
async def test_pages_share_a_flight_up_to_its_limits(limits: PublisherLimits, flights: list[int]) -> None:
    server = Server()
    await play(Pages(3), server, limits, 40, StreamFigures())
    assert sum(server.flights) == 40
    assert server.flights == flights
    assert [part_of(each).place.seq for each in server.stored] == list(range(1, 41))


async def test_a_store_that_went_back_between_two_pages_is_told_behind_what_was_read_before() -> None:
    server = Server()
    await play(Pages(3, went_back=9), server, PublisherLimits(), 40, StreamFigures())
    assert [part_of(each).place.seq for each in server.stored] == [*range(1, 10), 8, *range(9, 41)]


async def test_a_stream_whose_last_messages_are_gone_is_filled_again_behind_their_numbers() -> None:
    class Lost(Server):
        """Numbers go on where they were."""

        async def ends(self) -> Ends:
            return Ends(1, max(12, len(self.stored)))

        async def get(self, sequence: int) -> Stored | None:  # type: ignore[override]
            return next((each for each in self.stored if each.sequence >= sequence), None)

        async def publish(self, messages: Sequence[Message], after: int) -> int:
            assert after == max(12, self.stored[-1].sequence)
            self.stored += [Stored(nth, each.headers, each.payload) for nth, each in enumerate(messages, after + 1)]
            return self.stored[-1].sequence

    server = Lost()
    server.stored = [Stored(nth, each.headers, each.payload) for nth, each in enumerate(MESSAGES[:9], 1)]
    await play(Pages(40), server, PublisherLimits(), 40, StreamFigures())
    assert [part_of(each).place.seq for each in server.stored] == list(range(1, 41))
    assert [each.sequence for each in server.stored] == [*range(1, 10), *range(13, 44)]


@pytest.mark.parametrize(("last", "again"), [(41, False), (0, True)], ids=["too old", "made anew"])
async def test_what_was_published_is_so_once_though_it_has_grown_too_old_for_the_stream(last: int, again: bool) -> None:
    class Forgetting(Server):
        """As Kafka: the end of a transaction has a number too, and is not forgotten."""

        sent, empty_looks = 0, 0
        enough = asyncio.Event()

        async def ends(self) -> Ends:
            if not self.sent:
                return Ends(1, 0)
            if self.sent > 40:
                return Ends(1, len(self.stored))
            self.empty_looks += 1
            if self.empty_looks == 5:
                self.enough.set()
            return Ends(last + 1, last)

        async def get(self, sequence: int) -> Stored:
            assert self.sent > 40
            return self.stored[sequence - 1]

        async def publish(self, messages: Sequence[Message], after: int) -> int:
            self.sent += len(messages)
            if self.sent > 40:
                self.enough.set()
            self.stored = [Stored(nth, each.headers, each.payload) for nth, each in enumerate(messages, after + 1)]
            return after + len(messages)

    server, figures = Forgetting(), StreamFigures()
    limits = PublisherLimits(check_s=0.0, poll_s=0.01)
    task = asyncio.create_task(Publisher(Pages(40), server, SystemRuntime(), metrics=figures, limits=limits).run())
    async with asyncio.timeout(HANGS_S):
        await server.enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert server.sent == (80 if again else 40)


@pytest.mark.parametrize("refusal", [Moved(), Unreachable("maximum bytes exceeded")], ids=["moved", "full"])
async def test_a_server_that_refuses_is_asked_ever_more_rarely(refusal: Exception) -> None:
    class Refusing(Server):
        """NATS for two minutes after it was purged: it knows the ids."""

        refused, enough = 0, asyncio.Event()

        async def publish(self, messages: Sequence[Message], after: int) -> int:
            self.refused += 1
            if self.refused == 8:
                self.enough.set()
            raise refusal

    class Slept(SystemRuntime):
        waits: ClassVar[list[float]] = []

        async def sleep(self, seconds: float) -> None:
            self.waits.append(seconds)
            await asyncio.sleep(0)

    server, runtime = Refusing(), Slept()
    runtime.waits.clear()
    task = asyncio.create_task(Publisher(Pages(3), server, runtime).run())
    await asyncio.wait_for(server.enough.wait(), HANGS_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waits = [each for each in runtime.waits if each != PublisherLimits().look_s]
    assert waits[6] >= 8
    assert waits[:7] == sorted(waits[:7])


async def test_a_time_is_published_once_it_is_acknowledged() -> None:
    server, figures, seen = Server(), StreamFigures(), list[int | None]()
    server.before_answer = lambda: seen.append(figures.published_us)
    await play(Pages(3), server, PublisherLimits(flight_messages=12), 40, figures)
    assert seen == [None, 12_000, 24_000, 36_000]
    assert figures.published_us == 40_000


async def test_pages_that_say_nothing_are_passed_by_in_bounds() -> None:
    server, figures, pages = Server(), StreamFigures(), Pages(3, empty=7)
    await play(pages, server, PublisherLimits(flight_pages=4, check_s=0.0), 40, figures)
    assert 0 in server.looks[1:], "the stream was looked at between"
    assert sum(server.flights) == 40


class Away(Server):
    """A server that cannot be reached."""

    def connect(self) -> Any:
        raise Unreachable("nobody is there")


@pytest.mark.parametrize(("known", "lag"), [(False, 4), (True, 55)], ids=["not known what it has", "known"])
async def test_the_lag_grows_while_no_server_answers(known: bool, lag: int) -> None:
    pages = Pages(3)
    figures = pages.figures
    if known:
        figures.published_seq, figures.published_us = 50, 3_000_000
    publisher = Publisher(pages, Away(), SystemRuntime(), metrics=figures, limits=PublisherLimits(look_s=0.01))
    task = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(HANGS_S):
            while figures.lag < lag:  # noqa: ASYNC110  # it looks at what the publisher says
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert figures.stored_seq is not None
    assert figures.lag == figures.stored_seq - (50 if known else 101)
    assert figures.lag_s == figures.stored_seq - 100 - (3 if known else 1)
    assert figures.connected is False


def test_readiness_says_that_the_server_is_away_and_how_far_behind_the_stream_is() -> None:
    for recording, said in ((False, "the stream is 1001 changes behind"), (True, "the stream is 31 s behind")):
        metrics = StreamMetrics(recording=recording)
        figures = metrics.publisher()
        figures.connected = True
        figures.note_stored(seq=7, at_us=1)
        assert metrics.readiness().ready, "what the stream has is not known yet"
        figures.note_stored(seq=1_008, at_us=31_000_001)
        (reason,) = metrics.readiness().reasons
        assert reason.startswith(said)
        figures.connected = False
        assert metrics.readiness().reasons == ("the stream's server does not answer", reason)
