"""A publisher of webhooks against a real HTTP server: what it does at each answer, and what it keeps."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from tests.patience import HANGS_S
from tests.webhook_receiver import SECRET, Answer, Receiver, Request, receiving
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Mark, Place
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime
from tidelog.stream.backlog import Page
from tidelog.stream.envelope import Part, envelopes
from tidelog.stream.webhook.kept import Aside, Kept
from tidelog.stream.webhook.publisher import WebhookLimits, WebhookPublisher
from tidelog.stream.webhook.signing import key_of, signed_headers
from tidelog.telemetry import StreamMetrics

QUICK = WebhookLimits(answer_s=HANGS_S, failures=3, first_s=0.01, most_s=0.02, poll_s=0.02)
IMPATIENT = replace(QUICK, answer_s=0.2)  # for an answer that never comes: any other may need longer
WRITER = 0x1F3C0A1B2C3D4E5F


def place(seq: int) -> Place:
    return Place(seq, (Mark(seq, WRITER),)) if seq else BEGIN


class Changes:
    """A backlog of so many changes, some of them of two parts."""

    source, origin = "chain 1", "store"

    def __init__(self, last: int) -> None:
        self.last = last

    async def next(self, behind: Place, payload_max: int) -> Page:
        seq = behind.seq + 1
        if seq > self.last:
            return Page(Agreed(), behind, [], False)
        parts = [("tidelog.chain.1.apply", b'{"seq":%d}' % seq)] * (2 if seq % 3 == 0 else 1)
        messages = envelopes(f"c-{seq}", place(seq - 1), place(seq), parts, "json")
        return Page(Agreed(), place(seq), messages, True, until_us=seq * 1_000_000)

    def follow_on(self, newest: Part) -> None: ...

    async def look(self) -> None: ...

    async def close(self) -> None: ...


class Rig:
    """A publisher that runs until something is true."""

    def __init__(self, receiver: Receiver, path: Path) -> None:
        self.receiver = receiver
        self.path = str(path / "hook.state")
        self.metrics = StreamMetrics()
        self.figures = self.metrics.publisher()

    async def run(
        self, until: Callable[[], bool], last: int = 4, url: str | None = None, limits: WebhookLimits = QUICK
    ) -> None:
        http = AioHttp()
        with Kept(self.path, "chain 1") as kept:
            publisher = WebhookPublisher(
                Changes(last), EndpointUrl(url or self.receiver.url), key_of(SECRET), kept, http, SystemRuntime(),
                metrics=self.figures, limits=limits,
            )  # fmt: skip
            task = asyncio.ensure_future(publisher.run())
            try:
                async with asyncio.timeout(HANGS_S):
                    while not until() and not task.done():  # noqa: ASYNC110  # it looks at what others keep
                        await asyncio.sleep(0.01)
            finally:
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await http.close()
            if not task.cancelled():
                task.result()

    def has(self, seq: int) -> bool:
        with Kept(self.path) as kept:
            return kept.place.seq >= seq

    def asides(self) -> list[tuple[str, int, str, bool]]:
        with Kept(self.path) as kept:
            return [(aside.id.split("-")[1], aside.failures, aside.reason, aside.due) for aside in kept.asides()]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with receiving() as receiver:
        yield Rig(receiver, tmp_path)


def seqs(requests: Sequence[Request]) -> list[int]:
    return [int(request.headers["tidelog-place"].split("-")[0]) for request in requests]


async def test_each_message_is_posted_once_in_order_and_signed(rig: Rig) -> None:
    await rig.run(lambda: rig.has(4))
    assert seqs(rig.receiver.requests) == [1, 2, 3, 3, 4]
    assert len(set(rig.receiver.ids)) == 5
    for request in rig.receiver.requests:
        at_s = int(request.headers["webhook-timestamp"])
        assert abs(at_s - time.time()) < HANGS_S
        signed = signed_headers(key_of(SECRET), request.id, at_s, request.body)
        assert request.headers["webhook-signature"] == signed["webhook-signature"]
        assert request.headers["content-type"] == "application/json"
    assert (rig.figures.published_seq, rig.figures.messages, rig.figures.put_aside) == (4, 5, 0)


async def test_it_goes_on_where_it_was(rig: Rig) -> None:
    await rig.run(lambda: rig.has(2), last=2)
    await rig.run(lambda: rig.has(4))
    assert seqs(rig.receiver.requests) == [1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(status=503), "stream's server"),
        (Answer(status=429), "stream's server"),
        (Answer(after_s=HANGS_S), "stream's server"),
    ],
    ids=["unavailable", "too many", "never answers"],
)
async def test_a_receiver_that_is_away_is_waited_for(rig: Rig, answer: Answer, why: str) -> None:
    rig.receiver.answer = lambda request: answer
    await rig.run(lambda: len(rig.receiver.requests) > QUICK.failures, limits=IMPATIENT if answer.after_s else QUICK)
    assert len(set(rig.receiver.ids)) == 1, "the same id at each attempt"
    assert any(why in reason for reason in rig.metrics.readiness().reasons)
    assert not rig.asides()
    rig.receiver.answer = lambda request: Answer()
    rig.receiver.requests.clear()
    await rig.run(lambda: rig.has(4))
    found = seqs(rig.receiver.requests)
    assert found[-5:] == [1, 2, 3, 3, 4]
    assert set(found[:-5]) <= {1}, "the last attempt before that may have come late"
    assert rig.figures.connected


async def test_a_recording_is_behind_by_the_time_of_what_was_posted_last(rig: Rig) -> None:
    rig.figures.note_stored(at_us=1_000_000)
    rig.receiver.answer = lambda request: Answer(503 if b"3" in request.body else 200)
    await rig.run(lambda: rig.figures.connected is False)
    assert rig.figures.published_us == 2_000_000
    rig.figures.note_stored(at_us=9_000_000)
    assert rig.figures.lag_s == 7.0


async def test_nobody_at_the_address_is_waited_for(rig: Rig) -> None:
    looks = 0

    def has_tried() -> bool:
        nonlocal looks
        looks += not rig.figures.connected
        return looks > 10

    await rig.run(has_tried, url="http://127.0.0.1:9/canary-key-1")
    assert not rig.has(1)
    assert not rig.asides()


async def test_an_answer_whose_body_never_ends_counts_by_its_head(rig: Rig) -> None:
    rig.receiver.answer = lambda request: Answer(slowly=True)
    await rig.run(lambda: rig.has(4))
    assert seqs(rig.receiver.requests) == [1, 2, 3, 3, 4]


async def test_a_message_that_is_refused_is_put_aside_and_the_next_goes_on(rig: Rig) -> None:
    rig.receiver.answer = lambda request: Answer(400 if b"2" in request.body else 200)
    await rig.run(lambda: rig.has(4))
    assert seqs(rig.receiver.requests) == [1, 2, 2, 2, 3, 3, 4]
    assert rig.asides() == [("2", 3, "it answers 400", False)]
    assert rig.figures.put_aside == 1
    assert "1 messages were put aside: see tidelog stream aside" in rig.metrics.readiness().reasons


async def test_what_was_put_aside_is_sent_again_when_somebody_says_so(rig: Rig) -> None:
    rig.receiver.answer = lambda request: Answer(400 if b"2" in request.body else 200)
    await rig.run(lambda: rig.has(4))
    with Kept(rig.path) as kept:
        assert kept.send_again(None) == 1
    await rig.run(lambda: rig.asides() == [("2", 6, "it answers 400", False)])
    rig.receiver.answer = lambda request: Answer()
    rig.receiver.requests.clear()
    with Kept(rig.path) as kept:
        (aside,) = kept.asides()
        assert kept.send_again([aside.id]) == 1
    await rig.run(lambda: not rig.asides())
    assert rig.receiver.ids == [aside.id]
    assert rig.figures.put_aside == 0


async def test_a_redirect_is_not_followed(rig: Rig) -> None:
    rig.receiver.answer = lambda request: Answer(302, {"location": rig.receiver.url})
    await rig.run(lambda: rig.has(1), last=1)
    assert len(rig.receiver.requests) == QUICK.failures
    assert rig.asides() == [("1", 3, "it answers 302: redirects are not followed", False)]


async def test_a_receiver_that_is_gone_ends_it_and_nothing_is_lost(rig: Rig) -> None:
    rig.receiver.answer = lambda request: Answer(410)
    with pytest.raises(ConfigError, match="answers 410") as ended:
        await rig.run(lambda: False)
    assert "canary" not in str(ended.value)
    assert len(rig.receiver.requests) == 1
    rig.receiver.answer = lambda request: Answer()
    await rig.run(lambda: rig.has(4))
    assert seqs(rig.receiver.requests) == [1, 1, 2, 3, 3, 4]


def test_a_state_belongs_to_one_source_and_one_publisher(tmp_path: Path) -> None:
    path = str(tmp_path / "hook.state")
    with Kept(path, "chain 1"), pytest.raises(ConfigError, match="another publisher's, which is running"):
        Kept(path, "chain 1")
    with pytest.raises(ConfigError, match="is the state of chain 1, not of chain 2"):
        Kept(path, "chain 2")
    with Kept(path) as kept, pytest.raises(ConfigError, match="'no-such' was not put aside"):
        kept.send_again(["no-such"])


def test_a_look_at_what_is_to_be_sent_again_reads_nothing_else(tmp_path: Path) -> None:
    """Of a file that an earlier tidelog has made, too: the publisher looks at each page, on its event loop."""
    path = str(tmp_path / "hook.state")
    (message,) = envelopes("1", place(0), place(1), [("a", b"x" * 20_000)], "json")
    with Kept(path, "chain 1") as kept:
        for number in range(1_000):
            kept.put_aside(Aside(str(number), message, 1, 3, "it answers 400", False), None)
    earlier = apsw.Connection(path)
    earlier.execute("DROP INDEX IF EXISTS aside_due")
    earlier.close()
    with Kept(path, "chain 1") as kept:
        assert kept.send_again(["7", "900"]) == 2
        found, pages = measured(kept, lambda: [aside.id for aside in kept.due()])
        assert found == ["7", "900"]
        assert pages < 1_000


def measured(kept: Kept, work: Callable[[], object]) -> tuple[object, int]:
    """What it gives, and the pages of the file that it looked at."""
    file, kinds = kept._file, (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS)
    before = sum(file.status(kind)[0] for kind in kinds)
    found = work()
    return found, sum(file.status(kind)[0] for kind in kinds) - before


def test_what_is_no_state_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        Kept(str(tmp_path / "none"))
    other = tmp_path / "other"
    other.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="is no state of webhooks"):
        Kept(str(other), "chain 1")
    assert other.read_bytes() == b"no database" * 100
