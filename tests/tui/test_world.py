"""What was heard: counts become rates, changes follow each other, what nobody asks is forgotten."""

from math import inf
from typing import Any

import msgspec

from tests.tui.hearing import scripted
from tests.tui.scripts import ANSWERS, C, change
from tidelog.tui import answers, questions
from tidelog.tui.asking import Reply, read
from tidelog.tui.metrics import read_samples
from tidelog.tui.questions import CHAINS, METRICS, READY, Question
from tidelog.tui.world import CHANGES_KEPT, EMPTY, World


def chains(head: int) -> answers.Chains:
    reply = scripted(ANSWERS)("/v1/chains", None)
    found = msgspec.json.decode(reply.body, type=answers.Chains)
    (chain,) = found.data
    return answers.Chains([msgspec.structs.replace(chain, head=answers.BlockRef(head, C))])


def page(place: str, *found: dict[str, Any], reset: int | None = None) -> answers.Changes:
    document = {"data": found, "place": place, "reset": None if reset is None else {"seq": reset}}
    return msgspec.convert(document, answers.Changes)


def test_a_rate_is_of_the_last_seconds_and_begins_again_where_a_count_goes_back() -> None:
    world = EMPTY
    for second in range(40):
        world = world.hear(CHAINS, chains(100 + 4 * second), float(second))
    assert world.per_s("head 1") == 4
    for second in range(40, 60):
        world = world.hear(CHAINS, chains(256), float(second))
    assert world.per_s("head 1") == 0
    assert world.hear(CHAINS, chains(200), 60.0).per_s("head 1") is None
    assert EMPTY.per_s("head 1") is None


def test_frames_are_counted_over_all_channels_of_a_recording() -> None:
    def scrape(book: int, trade: int) -> Any:
        return read_samples(
            f'tidelog_market_frames_total{{channel="book",process="kraken"}} {book}\n'
            f'tidelog_market_frames_total{{channel="trade",process="kraken"}} {trade}\n'
            f'tidelog_market_frames_total{{channel="trade",process="other"}} 7\nnonsense\ntidelog_up x\n'
        )

    world = EMPTY.hear(METRICS, scrape(10, 5), 0.0).hear(METRICS, scrape(30, 15), 2.0)
    assert world.per_s("frames kraken") == 15
    assert world.per_s("frames other") == 0


def asked(world: World) -> Question:
    return questions.changes(1, world.place, 0)


def test_changes_follow_the_place_and_a_late_answer_counts_once() -> None:
    first = asked(EMPTY)
    world = EMPTY.hear(first, page("2", change(1, "apply", 1, "a"), change(2, "apply", 2, "b")), 0.0)
    second = asked(world)
    assert "after=2" in second.path
    more = page("3", change(3, "revert", 2, "b"))
    world = world.hear(second, more, 1.0)
    again = world.hear(second, more, 1.1)
    assert [each.seq for each in again.changes] == [1, 2, 3]
    assert again.place == "3"
    reset = again.hear(asked(again), page("9", change(9, "apply", 7, "c"), reset=1), 2.0)
    assert [each.seq for each in reset.changes] == [9]
    assert reset.watch().changes == ()


def test_what_is_kept_of_changes_is_bounded() -> None:
    world = EMPTY
    for at in range(5):
        found = [change(at * 1_000 + n, "apply", n, f"{at}.{n}") for n in range(1_000)]
        world = world.hear(asked(world), page(str(at), *found), float(at))
    assert len(world.changes) == CHANGES_KEPT
    assert world.changes[-1].seq == 4_999


def test_a_failure_lasts_until_an_answer_and_keeps_its_beginning() -> None:
    world = EMPTY.hear(READY, answers.Readiness(True), 0.0)
    world = world.fail(READY, "no connection", 5.0).fail(READY, "still none", 6.0)
    failing = world.failing[READY.key]
    assert (failing.words, failing.since_s) == ("still none", 5.0)
    assert world.age_s(READY, 7.0) == 7.0
    assert world.hear(READY, answers.Readiness(True), 8.0).failing == {}


def test_what_the_api_refuses_is_not_shown_from_before() -> None:
    world = EMPTY.hear(READY, answers.Readiness(True), 0.0).fail(READY, "there is no such block", 1.0, refused=True)
    assert world.answer(READY) is None


def test_a_slot_moves_on_without_being_empty_between() -> None:
    early, late = (questions.coverage("kraken", "BTC/USD", begin) for begin in ("10:00", "10:01"))
    world = EMPTY.hear(early, answers.Coverages([], []), 0.0)
    assert world.only([late]).answer(late) is not None
    assert world.only([READY]).heard == {}


def test_what_is_no_answer_is_told_in_a_sentence() -> None:
    for reply in (
        Reply(200, b"<html>"),
        Reply(200, b'{"data": 1}'),
        Reply(502, b"bad gateway"),
        Reply(200, b"[" * 9_999),
    ):
        answer, words = read(CHAINS, reply)
        assert answer is None
        assert words == f"this is no API of tidelog, or another version's: /v1/chains is answered with {reply.status}"
    refused = Reply(401, b'{"error": {"code": "unauthorized", "message": "a token is needed"}}')
    assert read(CHAINS, refused) == (None, "a token is needed (401)")


def test_the_upper_bound_of_a_quantile() -> None:
    samples = read_samples(ANSWERS["/metrics"].decode())
    assert samples.quantile("tidelog_market_event_latency_seconds", 0.5, ["kraken"]) == 0.005
    assert samples.quantile("tidelog_market_event_latency_seconds", 0.99, ["kraken"]) == 0.05
    assert samples.quantile("tidelog_market_event_latency_seconds", 0.99, ["other"]) is None
    assert samples.buckets("tidelog_market_event_latency_seconds", ["kraken"]) == [(0.005, 90), (0.05, 10), (inf, 0)]
