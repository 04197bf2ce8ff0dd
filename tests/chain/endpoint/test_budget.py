"""What an endpoint may be asked at once: learned from refusals, tried again, never more than the user says.

`asked` plays an endpoint with a plan, in virtual time: a provider's bucket, and answers that take a while.
"""

import heapq
import random
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest

from tidelog.chain.endpoint.budget import FAILURES_MAX, LIMITS, REACHED_S, Bound, Budget, Rate, Said, Way

Plan = Callable[[float, int], bool]  # whether so many calls are served at that moment
KINDS = ("block", "receipts")
NEEDED = 4_000  # calls: 2,000 blocks


def bucket(calls_per_s: float, burst: float) -> Plan:
    tokens, at = burst, 0.0

    def serves(now: float, calls: int) -> bool:
        nonlocal tokens, at
        tokens, at = min(burst, tokens + (now - at) * calls_per_s), now
        if calls > tokens:
            return False
        tokens -= calls
        return True

    return serves


def each_second(calls: int) -> Plan:
    """So many in each second of the clock."""
    used: dict[int, int] = {}

    def serves(now: float, wanted: int) -> bool:
        if used.get(int(now), 0) + wanted > calls:
            return False
        used[int(now)] = used.get(int(now), 0) + wanted
        return True

    return serves


class Asked(NamedTuple):
    seconds: float
    calls: int  # sent
    budget: Budget


def asked(plan: Plan, *, latency_s: float = 0.1, said: Said | None = None, needed: int = NEEDED) -> Asked:
    """Ask `needed` calls of an endpoint with this plan, as fast as the budget allows."""
    rng, budget, now, calls, number = random.Random(1), Budget(said), 0.0, 0, 0
    waiting, done = needed, 0
    events: list[tuple[float, int, tuple[float, int, bool | None] | None]] = []
    while done < needed:
        while waiting and not budget.full:
            count = budget.fitting(KINDS * (min(waiting, 400) // 2 + 1))
            count = min(count, waiting)
            wait_s = budget.wait_s(now, count)
            number += 1
            if wait_s > 0:
                if not any(event is None for _, _, event in events):
                    heapq.heappush(events, (now + wait_s, number, None))
                break
            budget.sent(now, count)
            waiting, calls = waiting - count, calls + count
            heapq.heappush(events, (now + latency_s * rng.uniform(0.25, 0.75), number, (now, count, None)))
        at, number_, event = heapq.heappop(events)
        now = max(now, at)
        if event is None:
            continue
        sent_at, count, served = event
        if served is None:
            back = now + latency_s * rng.uniform(0.25, 0.75)
            heapq.heappush(events, (back, number_, (sent_at, count, plan(now, count))))
            continue
        budget.ended(sent_at)
        if served:
            done += count
            budget.answered(now, sent_at, count, count, {kind: [5_000] * (count // 2) for kind in KINDS})
        else:
            waiting += count
            budget.throttled(now, sent_at)
    return Asked(now, calls, budget)


@pytest.mark.parametrize("latency_s", [0.02, 0.2])
@pytest.mark.parametrize(
    ("calls_per_s", "burst_s"),
    [(5, 1.0), (25, 0.2), (25, 1.0), (25, 10.0), (100, 0.2), (100, 1.0), (300, 1.0), (500, 1.0)],
)
def test_a_plan_is_found_and_used(calls_per_s: float, burst_s: float, latency_s: float) -> None:
    """No less than 80 % of what it allows, with no more than 1.1 times the calls needed; nobody says what it is."""
    seconds, calls, _ = asked(bucket(calls_per_s, calls_per_s * burst_s), latency_s=latency_s)
    assert NEEDED / seconds >= 0.8 * calls_per_s
    assert calls <= 1.1 * NEEDED


@pytest.mark.parametrize("calls_per_s", [5, 25, 100])
def test_a_plan_by_whole_seconds_is_found(calls_per_s: int) -> None:
    """Without a burst the first refusal comes early in a second and says little: it takes a few seconds more."""
    seconds, calls, _ = asked(each_second(calls_per_s))
    assert NEEDED / seconds >= 0.75 * calls_per_s
    assert calls <= 1.1 * NEEDED


def test_what_the_user_says_is_never_exceeded() -> None:
    for rate, batch in ((25.0, 10), (300.0, 20), (0.5, 1)):
        seconds, calls, budget = asked(bucket(1e9, 1e9), said=Said(rate, batch), needed=200)
        assert calls == 200
        assert 200 / seconds <= rate * 1.2
        assert budget.request_calls <= batch
        assert budget.rate.calls_per_s == rate


def test_what_the_user_says_is_lowered_where_it_is_too_much() -> None:
    _, calls, budget = asked(bucket(10, 10), said=Said(rate=100.0), needed=1_000)
    assert budget.rate.calls_per_s is not None
    assert budget.rate.calls_per_s < 20
    assert calls <= 1_100


def test_a_plan_that_is_named_in_the_refusal_is_believed() -> None:
    budget = Budget()
    budget.sent(0.0, 8)
    budget.throttled(0.1, 0.0, plan=25.0)
    assert budget.rate.calls_per_s == pytest.approx(25.0 * (1 - LIMITS.dip))


def test_a_raised_plan_is_noticed() -> None:
    """What was learned does not count for ever: without a refusal the rate grows, faster and faster."""
    low, high, changed_s = bucket(10, 10), bucket(200, 200), 60.0
    seconds, _, budget = asked(lambda now, calls: (low if now < changed_s else high)(now, calls), needed=8_000)
    assert budget.rate.calls_per_s is None or budget.rate.calls_per_s > 100
    assert seconds < changed_s + 120


def test_a_rate_that_is_not_used_does_not_grow() -> None:
    rate = Rate(None, LIMITS)
    rate.served(1.0, 0.5, 20)
    rate.refused(1.0, 0.5, retry_after_s=None, plan=None)
    before = rate.calls_per_s
    for second in range(10, 600, 10):  # one call in ten seconds, a head that is looked at
        rate.sent(float(second), 1)
        rate.served(second + 0.1, float(second), 1)
    assert rate.calls_per_s is not None
    assert before is not None
    assert rate.calls_per_s == pytest.approx(before)


def test_refusals_of_requests_under_way_count_as_one() -> None:
    rate = Rate(None, LIMITS)
    rate.served(0.5, 0.0, 100)
    for _ in range(10):
        rate.refused(0.6, 0.5, retry_after_s=None, plan=None)
    assert rate.calls_per_s == pytest.approx(50.0)


def test_pauses_grow_while_nothing_is_served() -> None:
    rate, now, pauses = Rate(None, LIMITS), 0.0, []
    for _ in range(12):
        rate.sent(now, 1)
        rate.refused(now, now, retry_after_s=None, plan=None)
        pauses.append(rate.shut_s(now))
        now += rate.wait_s(now, 1)
    assert pauses == sorted(pauses)
    assert pauses[0] == LIMITS.pause_s
    assert pauses[-1] == LIMITS.pause_max_s


def test_a_pause_that_is_asked_for_is_kept() -> None:
    rate = Rate(None, LIMITS)
    rate.refused(10.0, 9.0, retry_after_s=90.0, plan=None)
    assert rate.wait_s(10.0, 1) >= 90.0
    assert rate.wait_s(99.0, 1) >= 1.0


def test_the_bucket_holds_one_request() -> None:
    rate = Rate(10.0, LIMITS)
    assert rate.wait_s(100.0, 5) == 0.0
    rate.sent(100.0, 5)
    assert rate.wait_s(100.0, 5) == pytest.approx(0.5)
    assert rate.wait_s(100.2, 5) == pytest.approx(0.3)
    assert rate.wait_s(100.2, 1) == 0.0


def test_the_reached_rate_is_of_late() -> None:
    rate = Rate(None, LIMITS)
    for tenth in range(200):
        rate.served(tenth / 10, tenth / 10, 5)
    assert rate.reached(20.0) == pytest.approx(50.0, rel=0.02)
    assert rate.reached(20.0 + REACHED_S) == 0.0


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10, 50, 100, 399])
def test_a_limit_of_a_request_is_found_and_kept(most: int) -> None:
    bound, now, refused = Bound(8.0, 400.0, LIMITS), 0.0, 0
    for _ in range(5_000):
        size = int(bound.value)
        now += 0.01
        if size > most:
            refused += 1
            bound.refused(size, now)
            assert int(bound.value) < size, "the same size is not repeated"
        else:
            bound.served(size, now)
    assert int(bound.value) in (most, most - 1)
    assert refused <= 10


def test_a_refused_size_is_tried_again_later_and_later() -> None:
    bound, now, refused = Bound(8.0, 400.0, LIMITS), 0.0, []
    while now < 4 * 3_600.0:
        size = int(bound.value)
        now += 1.0
        if size > 10:
            refused.append(now)
            bound.refused(size, now)
        else:
            bound.served(size, now)
    gaps = [later - earlier for earlier, later in pairwise(refused)]
    assert 5 < len(refused) < 20
    assert gaps[-1] > 10 * LIMITS.again_s


def test_sizes_that_are_too_much_together_are_asked_for_apart() -> None:
    budget = Budget()
    for _ in range(20):
        budget.answered(0.0, 0.0, 2, 2, {"block": [723_000], "receipts": [675_000]})
    assert budget.fitting(KINDS) == 2
    budget.too_large(1.0, KINDS, "bytes")
    assert budget.fitting(KINDS) == 1
    assert budget.request_calls >= 8, "small answers still come together"


def test_a_slow_endpoint_is_asked_for_less_at_once() -> None:
    """Half a second for each call: a request aims at two seconds, and never comes near the thirty of a time-out."""
    budget, now, longest = Budget(), 0.0, 0.0
    for _ in range(100):
        count = budget.fitting(KINDS * 200)
        took_s = 0.5 * count
        longest = max(longest, took_s)
        budget.sent(now, count)
        budget.ended(now)
        budget.answered(now + took_s, now, count, count, {"block": [100] * count})
        now += took_s
    assert longest <= 4.0
    assert budget.request_calls * 0.5 <= LIMITS.request_s + 0.5


def test_time_outs_halve_down_to_one_call() -> None:
    budget, now, sizes = Budget(), 0.0, []
    budget.calls.value = 400.0
    for _ in range(12):
        sizes.append(budget.request_calls)
        budget.sent(now, sizes[-1])
        budget.ended(now)
        budget.overtaxed(now + 30.0, now, sizes[-1])
        now += 30.0
    assert sizes[:10] == [400, 200, 100, 50, 25, 12, 6, 3, 1, 1]
    assert budget.in_flight_max == 1.0
    for _ in range(300):  # it was the endpoint and not the size: all comes back
        count = budget.request_calls
        budget.answered(now + 0.1, now, count, count, {"block": [100] * count})
        now += 0.1
    assert budget.request_calls > 100
    assert budget.in_flight_max > 1.0


def test_a_crowd_is_made_smaller() -> None:
    budget = Budget()
    budget.throttled(1.0, 0.5, crowded=True)
    assert budget.in_flight_max == LIMITS.in_flight_first / 2


def test_a_way_that_fails_is_left_alone_and_tried_again() -> None:
    way = Way()
    for _ in range(FAILURES_MAX - 1):
        way.failed(0.0)
    assert way.is_open(0.0)
    way.worked()
    for _ in range(FAILURES_MAX):
        assert way.is_open(0.0)
        way.failed(0.0)
    assert not way.is_open(LIMITS.again_s - 1.0)
    assert way.is_open(LIMITS.again_s)
    way.failed(LIMITS.again_s)
    assert not way.is_open(2 * LIMITS.again_s), "twice as long"
    assert way.is_open(3 * LIMITS.again_s)
