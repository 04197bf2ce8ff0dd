"""What the exchange says beside data: each cause is told once, in its words."""

from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tests.market.exchange import Script, Wire, session_limits, until
from tidelog.errors import Rejected
from tidelog.market.events import Rejection
from tidelog.market.live.feed import Feed
from tidelog.market.replay.replay import Summary, replay_records
from tidelog.market.replay.sources import read_source
from tidelog.market.session.peer import WORDS_MAX, Peer, Refusal, clipped
from tidelog.runtime import SystemRuntime

BOOK = (("book", "XX/USD"),)


def test_refusal_is_news_when_it_comes_and_when_it_is_another() -> None:
    peer = Peer()
    first, other = Rejection("no such pair"), Rejection("market in maintenance")
    assert peer.refused(first, BOOK) == [Refusal("book", "XX/USD", "no such pair")]
    assert peer.refused(first, BOOK) == []
    assert peer.refused(other, BOOK) == [Refusal("book", "XX/USD", "market in maintenance")]
    assert peer.refusals == [Refusal("book", "XX/USD", "market in maintenance")]
    peer.accepted("book", "XX/USD")
    assert peer.refusals == []
    assert len(peer.refused(other, BOOK)) == 1


def test_refusal_of_what_is_refused_no_more_is_over() -> None:
    peer = Peer()
    peer.refused(Rejection("no such pair"), (*BOOK, ("trade", "XX/USD")))
    peer.keep({("trade", "XX/USD"), ("book", "YY/USD")})
    assert peer.refusals == [Refusal("trade", "XX/USD", "no such pair")]


def test_refusal_that_names_nothing_is_news_once() -> None:
    peer = Peer()
    assert peer.refused(Rejection("Exceeded msg rate"), ()) == [Refusal(None, None, "Exceeded msg rate")]
    assert peer.refused(Rejection("Exceeded msg rate"), ()) == []
    for number in range(10_000):
        peer.refused(Rejection(f"made up {number}"), ())
    assert peer.refusals == []


def test_state_of_the_exchange_is_news_when_it_changes_also_across_connections() -> None:
    peer = Peer()
    assert [peer.said(status) for status in ("online", "online", "maintenance")] == [True, False, True]
    peer.left("the connection was lost")
    assert (peer.status, peer.ended) == (None, "the connection was lost")
    peer.connected()
    assert (peer.said("maintenance"), peer.status, peer.ended) == (False, "maintenance", None)


def test_words_are_one_short_line() -> None:
    assert clipped(" a\n b\tc ") == "a b c"
    assert len(clipped("x" * 10_000)) == WORDS_MAX


class Refusing(Script):
    """Refuses the books of one symbol, as long as `words` are there."""

    words: str | None = "Currency pair not supported B/USD"

    def answer(self, frame: bytes) -> list[bytes]:
        answers = super().answer(frame)
        if self.words is None or b'"subscribe"' not in frame:
            return answers
        kept = [each for each in answers if b"B/USD" not in each]
        request = self.requests[-1]
        refusal = '{"error":"%s","method":"subscribe","req_id":%d,"success":false,"symbol":"B/USD"}'
        return [*kept, (refusal % (self.words, request["req_id"])).encode()]


async def test_feed_tells_a_refusal_once_and_holds_it_until_it_is_granted(tmp_path: Path) -> None:
    script = Refusing()
    wire, path = Wire(script), str(tmp_path / "journal")
    with capture_logs() as logs:
        async with Feed(
            ["A/USD", "B/USD"],
            ["book"],
            journal=path,
            transport=wire,
            digest=True,
            limits=session_limits(refused_first_us=10_000),
        ) as feed:
            await until(lambda: len(script.requests) >= 3)
            assert feed.peer.refusals == [Refusal("book", "B/USD", "Currency pair not supported B/USD")]
            script.words = None
            await until(lambda: feed.progress.held == 2)
            assert feed.peer.refusals == []
            wire.push(b'{"channel":"status","type":"update","data":[{"system":"cancel_only"}]}')
            wire.push(b'{"channel":"status","type":"update","data":[{"system":"cancel_only"}]}')
            await until(lambda: feed.peer.status == "cancel_only")
    assert told(logs, "refused") == [
        {"channel": "book", "symbol": "B/USD", "reason": "Currency pair not supported B/USD"}
    ]
    assert [entry["status"] for entry in told(logs, "exchange_limited")] == ["cancel_only"]
    assert len(told(logs, "exchange_online")) == 1
    summary = Summary()
    async for _ in replay_records(read_source(path), SystemRuntime(), summary=summary):
        pass
    assert summary.digests[1].hexdigest() == feed.digest


async def test_refusal_of_what_nobody_wants_any_more_is_over(tmp_path: Path) -> None:
    script = Refusing()
    with capture_logs() as logs:
        async with Feed(["A/USD", "B/USD"], journal=str(tmp_path / "journal"), transport=Wire(script)) as feed:
            await until(lambda: len(feed.peer.refusals) == 1)
            assert feed.follow(["A/USD"]) == ((), ("B/USD",))
            assert feed.peer.refusals == []
            feed.subscribe(["B/USD"])
            await until(lambda: len(feed.peer.refusals) == 1)
    assert len(told(logs, "refused")) == 2


async def test_refusal_of_what_is_held_though_its_ack_was_lost_is_over(tmp_path: Path) -> None:
    script = Refusing()
    wire = Wire(script)
    limits = session_limits(refused_first_us=10_000)
    async with Feed(["A/USD", "B/USD"], journal=str(tmp_path / "journal"), transport=wire, limits=limits) as feed:
        await until(lambda: len(feed.peer.refusals) == 1)
        script.words = "Already subscribed"
        await until(lambda: feed.progress.held == 2)
        assert feed.peer.refusals == []


async def test_reason_why_there_is_no_token_is_told_once_and_ends_the_connection_with_it(tmp_path: Path) -> None:
    tries = 0

    async def tokens() -> str:
        nonlocal tries
        tries += 1
        raise Rejected("no token: EAPI:Invalid key")

    wire = Wire(Script())
    with capture_logs() as logs:
        feed = Feed(
            [],
            ["executions"],
            journal=str(tmp_path / "journal"),
            transport=wire,
            tokens=tokens,
            limits=session_limits(at_once_us=1_000),
        )
        async with feed:
            await until(lambda: tries >= 2)
            await until(lambda: feed.peer.ended == "no token: EAPI:Invalid key")
    assert [entry["reason"] for entry in told(logs, "token_refused")] == ["no token: EAPI:Invalid key"]
    assert {entry["reason"] for entry in told(logs, "disconnected")} == {"no token: EAPI:Invalid key"}


def told(logs: Any, event: str) -> list[dict[str, Any]]:
    beside = {"event", "log_level", "component", "endpoint"}
    return [
        {name: value for name, value in entry.items() if name not in beside}
        for entry in logs
        if entry["event"] == event
    ]
