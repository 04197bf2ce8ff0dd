"""What one endpoint may be asked at once: calls a second, calls and bytes a request, time, requests in flight.

An endpoint's limits are not known beforehand, so they are learned: a refusal by rate, size or time makes the
next request smaller or later, successes make it larger again. Nothing that was learned counts for ever: what
was refused is tried again after a while, and a plan that was raised is noticed. What the user says is the most
that is ever asked.

Pure: times are arguments, in seconds of a monotonic clock. `rpc` feeds it and obeys.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct


class BudgetLimits(Struct, frozen=True):
    """Where a budget begins, and how far it goes; each with its reason."""

    calls_first: int = 8  # a request before anything is known: four blocks; free plans begin to refuse near ten
    calls_max: int = 400  # 200 blocks with receipts: beyond it a batch saves nothing any more
    answer_bytes: int = 2 * 1024 * 1024  # aimed at: large enough to amortise, small enough to share a core
    call_bytes: int = 64 * 1024  # of an answer before one of its kind was seen: a block of mainnet has some 200 kB
    request_s: float = 2.0  # a request aims to take no longer; providers cut one at 10 to 30 s
    growth: float = 0.2  # of a request's size, by one request at a time: what overshoots is refused, and lost
    in_flight_first: float = 4.0
    in_flight_max: int = 32  # requests at one endpoint; beyond it a node only queues them
    pace_s: float = 0.1  # with a known rate a request has the calls of this long: plans count by whole seconds
    paced_calls_max: int = 25  # ... and no more than this, since a refused request is lost as a whole
    settle_s: float = 10.0  # from a lowered rate back to the one that was refused
    dip: float = 0.15  # of the rate, after a refusal: more would waste the plan, less would be refused again
    search: float = 2.0  # times the rate for each second, while it is not known what is too much
    rate_min: float = 0.1  # calls a second; slower plans are met by pauses
    rate_max: float = 10_000.0  # a rate above it limits nothing, and is forgotten
    pause_s: float = 0.5  # after a refusal by rate that does not say how long: half of a plan's second
    pause_max_s: float = 30.0
    again_s: float = 60.0  # until a size that was refused is tried again; twice as long each time it is confirmed
    again_max_s: float = 3_600.0


class Said(Struct, frozen=True):
    """What the user says of an endpoint."""

    rate: float | None = None  # calls a second
    batch: int | None = None  # calls a request


REACHED_S = 10.0  # the reached rate is a mean over this long
_SECOND_S = 1.0
LIMITS = BudgetLimits()


class Bound:
    """A size that refusals lower and successes raise, below what was refused until that is tried again."""

    def __init__(self, first: float, most: float, limits: BudgetLimits) -> None:
        self.value = self._first = min(first, most)
        self._most = most
        self._limits = limits
        self._served = 0.0  # the largest that was answered
        self._refused: float | None = None  # the smallest that was not
        self._again_at = 0.0  # when that is tried again
        self._again_s = limits.again_s

    @property
    def known(self) -> float:
        """The largest size that is known to pass, or was not refused yet."""
        return min(self.value, max(self._served, self._first if self._refused is None else 1.0))

    def served(self, size: float, now: float) -> None:
        """A request of `size` was answered."""
        self._served = max(self._served, size)
        if self._refused is not None and size >= self._refused:
            self._refused, self._again_s = None, self._limits.again_s
        if size < 0.95 * (int(self.value) - 1):  # a block is two calls: an odd bound is never met exactly
            return
        most = self._most
        if self._refused is not None and now < self._again_at:
            most = min(most, self._refused - 1)
        self.value = max(self.value, min(most, self.value + max(1.0, self._limits.growth * self.value)))

    def refused(self, size: float, now: float) -> None:
        """A request of `size` was refused for its size: the next is half, or the largest that is known to pass."""
        if self._refused is not None and size >= self._refused and now >= self._again_at:
            self._again_s = min(self._limits.again_max_s, 2 * self._again_s)
        if self._refused is None or size < self._refused or now >= self._again_at:
            self._refused = size if self._refused is None else min(size, self._refused)
            self._again_at = now + self._again_s
        if self._served >= size:
            self._served = 0.0
        self.value = max(1.0, min(self.value, max(self._served, size / 2)))

    def lowered(self, size: float) -> None:
        """It was answered, and took too much: less from now on."""
        self.value = max(1.0, min(self.value, size))

    def forgive(self) -> None:
        """What was refused was refused for another reason than its size."""
        self._refused = None


class Rate:
    """Calls a second: unlimited until a refusal, then near what was served, and slowly on.

    After a refusal the rate is a little below what was served up to then, comes back to it within `settle_s`,
    stays near it, and then grows faster and faster (the cubic of TCP's CUBIC, RFC 9438): mostly the plan is used
    to its full, what is lost is a request now and then, and a plan that was raised is found. Time in which there
    was less to ask than allowed does not count.
    """

    def __init__(self, said: float | None, limits: BudgetLimits) -> None:
        self.said = said
        self._limits = limits
        self._base: float | None = None  # what was served when it was last refused
        self._searching = False  # the rate grows by `search`: nothing is known of what is too much
        self._age_s = 0.0  # of asking at the full rate since then
        self._tokens = 1.0
        self._tokens_at = 0.0
        self._lowered_at = -math.inf
        self._shut_until = -math.inf
        self._again = 0  # refusals in a row, each soon after the one before
        self._answers: deque[tuple[float, int]] = deque()  # calls served, with their times
        self._served = 0  # calls since the last refusal

    @property
    def calls_per_s(self) -> float | None:
        """What may be asked; None: there is no limit."""
        learned = None
        if self._base is not None:
            if self._searching:
                learned = self._base * math.pow(self._limits.search, min(self._age_s, 64.0))
            else:
                x = self._age_s / self._limits.settle_s - 1
                learned = self._base * (1 + self._limits.dip * x * x * x)
            learned = max(self._limits.rate_min, learned)
        if learned is None or self.said is None:
            return self.said if learned is None else learned
        return min(self.said, learned)

    def reached(self, now: float, over_s: float = REACHED_S) -> float:
        """Calls served a second, of late."""
        return sum(calls for at, calls in self._answers if at > now - over_s) / over_s

    def shut_s(self, now: float) -> float:
        """How long nothing may be asked at all."""
        return max(0.0, self._shut_until - now)

    def wait_s(self, now: float, calls: int) -> float:
        """How long until the bucket holds so many calls."""
        rate = self.calls_per_s
        shut_s = self.shut_s(now)
        if rate is None:
            return shut_s
        missing = calls - self._held(now, rate, calls)
        return max(shut_s, missing / rate if missing > 1e-9 else 0.0)

    def _held(self, now: float, rate: float, calls: int) -> float:
        """Calls in the bucket, which holds one request: a plan that counts by seconds has no room for bursts."""
        return min(float(calls), self._tokens + max(0.0, now - max(self._tokens_at, self._shut_until)) * rate)

    def sent(self, now: float, calls: int) -> None:
        rate = self.calls_per_s
        if rate is None:
            return
        elapsed_s = now - max(self._tokens_at, self._shut_until)
        filled = self._tokens + max(0.0, elapsed_s) * rate
        if filled <= 2 * calls:  # it was waited for, or nearly so: the rate was the limit
            self._age_s += max(0.0, min(elapsed_s, _SECOND_S))
        self._tokens, self._tokens_at = min(filled, float(calls)) - calls, now
        grown = self.calls_per_s
        if self.said is None and grown is not None and grown > self._limits.rate_max:
            self._base = None

    def served(self, now: float, sent_at: float, calls: int) -> None:
        """So many calls of a request that was sent at `sent_at` were served."""
        if not calls:
            return
        self._answers.append((now, calls))
        if sent_at >= self._lowered_at:
            self._served += calls
        while self._answers[0][0] < now - REACHED_S:
            self._answers.popleft()

    def refused(self, now: float, sent_at: float, *, retry_after_s: float | None, plan: float | None) -> None:
        """A request that was sent at `sent_at` was refused for coming too soon.

        Args:
            retry_after_s: how long to wait, as far as the endpoint says.
            plan: the calls a second that it says it allows; None if it does not.
        """
        limits = self._limits
        if sent_at < self._lowered_at:  # the same refusal: it was under way when the rate was lowered
            self._shut(now, retry_after_s or 0.0)
            return
        rate = self.calls_per_s
        # a pause that was asked for says nothing about the plan, but for the second in which its bucket fills
        span_s = now - max(self._lowered_at, self._shut_until - _SECOND_S)
        if rate is None and plan is not None:
            self._base = plan
        elif rate is None:
            self._base, self._searching = max(1.0, self.reached(now, _SECOND_S) / 2), True
        elif self._served and span_s >= _SECOND_S:
            served = min(rate, self._served / span_s)
            saturated = not self._searching and span_s < limits.settle_s / 2
            self._base = max(served, 0.75 * rate) if saturated else (served + rate) / 2
            self._searching, self._again = False, 0
        else:  # at once again: once because the plan's second is not over, and then the rate is wrong by far
            self._again += 1
            if self._again > 1 or self._base is None:
                self._base, self._searching = rate / min(self._again, 2), not self._served
        self._base = max(limits.rate_min, self._base)
        pause_s = min(limits.pause_max_s, limits.pause_s * 2.0 ** min(self._again, 16))
        self._age_s, self._served, self._tokens, self._lowered_at = 0.0, 0, 0.0, now
        self._shut(now, pause_s if retry_after_s is None else retry_after_s)

    def _shut(self, now: float, seconds: float) -> None:
        self._shut_until = max(self._shut_until, now + seconds)


class Budget:
    """What one endpoint may be asked."""

    def __init__(self, said: Said | None = None, limits: BudgetLimits = LIMITS) -> None:
        said = said or Said()
        most = limits.calls_max if said.batch is None else min(limits.calls_max, said.batch)
        self.limits = limits
        self.said = said
        self.rate = Rate(said.rate, limits)
        self.calls = Bound(limits.calls_first, most, limits)
        self.answer_bytes = Bound(limits.answer_bytes, limits.answer_bytes, limits)
        self.in_flight = 0
        self.in_flight_max = limits.in_flight_first
        self._sizes: dict[str, float] = {}  # bytes of an answer, by kind of call
        self._probe_at: float | None = None  # when the one request was sent that is larger than any that passed
        self._cut_at = -math.inf  # when requests in flight were last made fewer

    @property
    def request_calls(self) -> int:
        """How many calls the next request may have, if their answers are small."""
        rate = self.rate.calls_per_s
        calls = int(self.calls.value if self._probe_at is None else self.calls.known)
        if rate is not None:
            calls = min(calls, self.limits.paced_calls_max, int(rate * self.limits.pace_s))
        return max(1, calls)

    def request_blocks(self, kinds: Sequence[str]) -> int:
        """How many blocks fit the next request, with these calls for each; at least one."""
        block_bytes = sum(map(self._call_bytes, kinds))
        return max(1, min(self.request_calls // len(kinds), int(self.answer_bytes.value / block_bytes)))

    def fitting(self, kinds: Sequence[str]) -> int:
        """How many of the first of these calls the next request takes; at least one."""
        size = 0.0
        for count, kind in enumerate(kinds[: self.request_calls]):
            size += self._call_bytes(kind)
            if size > self.answer_bytes.value and count:
                return count
        return min(len(kinds), self.request_calls)

    def _call_bytes(self, kind: str) -> float:
        return self._sizes.get(kind, self.limits.call_bytes)

    def wait_s(self, now: float, calls: int) -> float:
        """How long until a request of so many calls may be sent, as far as rates go."""
        return self.rate.wait_s(now, calls)

    @property
    def full(self) -> bool:
        """Whether another request has to wait for the end of one that is in flight."""
        return self.in_flight >= int(self.in_flight_max)

    def sent(self, now: float, calls: int) -> None:
        self.in_flight += 1
        if calls > self.calls.known:
            self._probe_at = now
        self.rate.sent(now, calls)

    def ended(self, sent_at: float) -> None:
        """The request that was sent at this moment is over, with any outcome."""
        self.in_flight -= 1
        if sent_at == self._probe_at or not self.in_flight:
            self._probe_at = None

    def answered(self, now: float, sent_at: float, calls: int, served: int, sizes: Mapping[str, Sequence[int]]) -> None:
        """A request was answered.

        Args:
            served: how many of its calls were not refused for coming too soon or being too much.
            sizes: the bytes of each result, by kind of call.
        """
        self.rate.served(now, sent_at, served)
        for kind, found in sizes.items():
            if found:
                mean = max(1.0, sum(found) / len(found))
                self._sizes[kind] = (self._sizes.get(kind, mean) + mean) / 2
        if served < calls:
            return
        size, took_s = sum(map(sum, sizes.values())), now - sent_at
        self.answer_bytes.served(size, now)
        if took_s > self.limits.request_s:
            self.calls.lowered(calls * max(0.5, self.limits.request_s / took_s))
            return
        before = self.calls.value
        self.calls.served(calls, now)
        if self.calls.value == before and (calls >= before - 1 or calls < before / 2):
            # a request is as large as it gets, be it for its bytes or its rate: more of them, then
            self.in_flight_max = min(self.limits.in_flight_max, self.in_flight_max + 1.0 / self.in_flight_max)

    def throttled(
        self,
        now: float,
        sent_at: float,
        *,
        retry_after_s: float | None = None,
        plan: float | None = None,
        crowded: bool = False,
    ) -> None:
        """A request came too soon, as `Rate.refused`; `crowded`: there were too many at once."""
        if crowded:
            self._cut(now, sent_at)
        self.rate.refused(now, sent_at, retry_after_s=retry_after_s, plan=plan)

    def too_large(self, now: float, kinds: Sequence[str], of: str) -> None:
        """A request of these calls, or its answer, was too large.

        Args:
            of: "calls" or "bytes", as far as the endpoint says; "" where it may be either.
        """
        if len(kinds) < 2:
            return
        if of != "bytes":
            self.calls.refused(len(kinds), now)
        if of != "calls":
            self.answer_bytes.refused(sum(map(self._call_bytes, kinds)), now)

    def overtaxed(self, now: float, sent_at: float, calls: int) -> None:
        """A request ran out of time, at the endpoint or here."""
        if calls > 1:
            self.calls.refused(calls, now)
        else:
            self.calls.forgive()  # one call alone fails as well
        self._cut(now, sent_at)

    def broken(self, now: float, sent_at: float) -> None:
        """A request failed for a reason that may be too many of them."""
        self._cut(now, sent_at)

    def _cut(self, now: float, sent_at: float) -> None:
        if sent_at >= self._cut_at:
            self._cut_at = now
            self.in_flight_max = max(1.0, self.in_flight_max / 2)


class Way:
    """A way of asking that may fail: left alone for a while after failures, and then tried again."""

    def __init__(self, limits: BudgetLimits = LIMITS) -> None:
        self._limits = limits
        self._failures = 0  # in a row
        self._closed_until = -math.inf
        self._again_s = limits.again_s

    def is_open(self, now: float) -> bool:
        return now >= self._closed_until

    def worked(self) -> None:
        self._failures, self._again_s = 0, self._limits.again_s

    def failed(self, now: float) -> None:
        """It did not work once, which may be the question's fault."""
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self.close(now)

    def close(self, now: float) -> None:
        """It does not work at all, as the endpoint says."""
        if self.is_open(now):
            self._closed_until = now + self._again_s
            self._again_s = min(self._limits.again_max_s, 2 * self._again_s)


FAILURES_MAX = 4  # in a row, before a way of asking is left alone: each costs a call that was for nothing
