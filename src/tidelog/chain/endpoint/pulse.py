"""How long an endpoint has not answered its pending requests, and how long it usually takes. Pure.

Times are of the monotonic clock, in seconds, and come as arguments. What waits here to be sent is no silence of the
endpoint's.
"""

LATE_S = 2.0  # a node answers in milliseconds, a provider across the world in half a second, one that collects
# garbage in one: who says nothing for longer is asked elsewhere too
LATE_BLOCK_S = 0.5  # ... and for each whole block: slow archive nodes take so long for the receipts of one
LATE_MAX_S = 30.0  # the time-out of a request: the longest wait, however slow the endpoint usually is
GAIN, GAIN_DEVIATION, DEVIATIONS = 1 / 8, 1 / 4, 4  # RFC 6298: how TCP times its retransmissions


class Latency:
    """How long answers usually take: a moving mean and a moving deviation."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._deviation_s = 0.0

    def observe(self, seconds: float) -> None:
        """Note how long an answer took."""
        if self._mean_s is None:
            self._mean_s, self._deviation_s = seconds, seconds / 2
            return
        self._deviation_s += GAIN_DEVIATION * (abs(seconds - self._mean_s) - self._deviation_s)
        self._mean_s += GAIN * (seconds - self._mean_s)

    def bound_s(self, floor_s: float) -> float:
        """How long an answer may take before it is late."""
        usual = 0.0 if self._mean_s is None else self._mean_s + DEVIATIONS * self._deviation_s
        return min(LATE_MAX_S, max(floor_s, usual))


class Pulse:
    """One endpoint's."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._since: float | None = None  # the last answer, or the first request after it
        self._headers, self._blocks = Latency(), Latency()

    def sent(self, now: float) -> None:
        """A request goes out."""
        self._in_flight += 1
        self._since = now if self._since is None else self._since

    def ended(self, now: float, sent_at: float, *, heard: bool, blocks: bool) -> None:
        """A request is over. `heard`: it was answered; `blocks`: it was for whole blocks or receipts."""
        self._in_flight -= 1
        if heard:
            self.took(now - sent_at, blocks=blocks)
        if not self._in_flight:
            self._since = None
        elif heard:
            self._since = now

    def took(self, seconds: float, *, blocks: bool) -> None:
        """An answer took so long, or there was none for so long."""
        (self._blocks if blocks else self._headers).observe(seconds)

    def silent_s(self, now: float) -> float:
        """For how long nothing has come, while there is something to answer."""
        return 0.0 if self._since is None else now - self._since

    def bound_s(self, blocks: int = 0) -> float:
        """How long an answer may take before it is late, to a question for so many whole blocks (0: a header)."""
        latency = self._blocks if blocks else self._headers
        return latency.bound_s(LATE_S + LATE_BLOCK_S * blocks)
