"""What is told of many data at once leaves a subscription as each of them would."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tidelog.market.book.watch import Noted
from tidelog.market.events import Stream
from tidelog.market.session.limits import PaceLimits
from tidelog.market.session.subscription.pace import Pace
from tidelog.market.session.subscription.silence import note_alike, note_data, watch_of
from tidelog.market.session.subscription.subscriptions import Subscription

LIMITS = PaceLimits(stretch_us=40, stretch_pauses=5)
BEGAN_US = 1_000

subscriptions = st.builds(
    Subscription,
    stream=st.just(Stream("book", 10)),
    symbol=st.just("BTC/USD"),
    stale=st.booleans(),
    stale_count=st.integers(0, 2),
    calm=st.integers(0, 4),
    moved_us=st.sampled_from([0, BEGAN_US]),
    pauses=st.integers(0, 9),
    pace=st.builds(Pace, st.sampled_from([BEGAN_US - 30, BEGAN_US]), st.integers(0, 20), st.integers(0, 20)),
) | st.builds(Subscription, stream=st.just(Stream("book", 10)), symbol=st.just("BTC/USD"))
data_that_came = st.lists(st.tuples(st.integers(0, 25), st.booleans(), st.integers(1, 99)), max_size=12)


@given(subscriptions, data_that_came)
def test_data_told_at_once_are_noted_as_one_by_one(
    subscription: Subscription, data: list[tuple[int, bool, int]]
) -> None:
    one_by_one, at_once = replace(subscription), replace(subscription)
    watch, noted, at_us = watch_of(at_once, LIMITS), None, BEGAN_US
    if watch is None:
        assert subscription.stale
        return
    moved_us, left = watch.moved_us, watch.pauses_left
    for pause_us, moved, checksum in data:
        at_us += pause_us
        if moved and 0 < moved_us < at_us:
            if left == 0 or (watch.due_us is not None and at_us >= watch.due_us):
                break  # this one is to be seen by itself
            left = None if left is None else left - 1
            was = noted or Noted(0, at_us, 0, 0, 0, 0)
            first_us = was.first_us if was.pauses else at_us
            longest_us = max(was.longest_us, at_us - moved_us)
            noted = was._replace(pauses=was.pauses + 1, first_us=first_us, longest_us=longest_us)
        moved_us = at_us if moved else moved_us
        was = noted or Noted(0, at_us, 0, 0, 0, 0)
        noted = was._replace(moved_us=at_us if moved else was.moved_us, at_us=at_us, checksum=checksum)
        sooner = note_data(one_by_one, at_us, LIMITS, moved=moved, seen=checksum)
        assert not sooner, "the session would have decided at once"
    if noted is not None:
        note_alike(at_once, noted, LIMITS)
    assert at_once == one_by_one
