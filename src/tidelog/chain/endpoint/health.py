"""What a pool remembers of one endpoint: its failures, whether it may be asked, and whether it counts in a vote.

Pure. Times are of the monotonic clock, in seconds, and come as arguments.
"""

from msgspec import Struct

from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Throttled, TooLarge


class HealthLimits(Struct, frozen=True):
    """How long an endpoint is left alone."""

    backoff_first_s: float = 0.25  # after a first failure; it doubles with each
    backoff_max_s: float = 30.0
    throttled_wait_s: float = 1.0  # where a 429 does not say how long
    pruned_first_s: float = 0.25  # it has said that it has pruned a block: a balancer's next node may hold it ...
    pruned_max_s: float = 600.0  # ... and to a pruned node a question that comes so rarely is no burden


HEALTH_LIMITS = HealthLimits()


def about_block(error: SourceError | ProofFailure) -> bool:
    """Whether the failure is of a block, and says nothing of the next one: the endpoint does answer."""
    return isinstance(error, ProofFailure) or (isinstance(error, Rejected) and not isinstance(error, TooLarge))


class Health:
    """One endpoint's. `since` is when the pool began."""

    def __init__(self, since: float, limits: HealthLimits = HEALTH_LIMITS) -> None:
        self._limits = limits
        self.failures = 0  # in a row
        self.left_alone_until = 0.0
        self.identified = False  # it has named the right chain
        self.foreign = False  # it has named another chain
        self.late = False  # put aside: it did not answer in time, and has not answered since
        self.quarantined = False  # it contradicts what is final
        self.off_branch = False  # history is on another branch than its blocks
        self._pruned_below = -1  # it has said that it does not hold blocks up to here ...
        self._pruned_until = 0.0  # ... and is believed until then
        self._pruned_times = 0  # in a row that it has said so when it was asked again
        self.silent_since: float | None = since  # its first failure since it last answered; at first the pool's start
        self.error: SourceError | ProofFailure | None = None  # the last failure, until it answers
        self.last_failure: tuple[float, str] | None = None  # when it failed last, and how, also after it has answered

    def answered(self, number: int | None = None) -> None:
        """It gave a good answer, with the whole block `number` if that is given."""
        if number is not None and number <= self._pruned_below:
            self._pruned_below, self._pruned_until, self._pruned_times = -1, 0.0, 0
        self.failures = 0
        self.left_alone_until = 0.0
        self.late = False
        self.silent_since = None
        self.error = None

    def failed(self, error: SourceError | ProofFailure, now: float, *, number: int | None = None) -> None:
        """Note a failure: a growing time alone, a wait that it asked for, or what it does not hold."""
        self.silent_since = now if self.silent_since is None else self.silent_since
        self._note(error, now)
        if isinstance(error, Pruned) and number is not None:
            self._believe_pruned(number, now)
        elif about_block(error) and number is not None:
            self.failures += 1  # it answers: others are preferred, and it is not left alone for other questions
            self.silent_since = None
        elif isinstance(error, Throttled):
            wait = self._limits.throttled_wait_s if error.retry_after_s is None else error.retry_after_s
            self.left_alone_until = max(self.left_alone_until, now + wait)
        else:
            self._leave_alone(now)

    def _believe_pruned(self, number: int, now: float) -> None:
        if number > self._pruned_below:  # what lies between may have come from it
            self._pruned_below, self._pruned_until, self._pruned_times = number, 0.0, 0
        if now < self._pruned_until:
            return  # questions that were under way together
        limits = self._limits
        self._pruned_until = now + min(limits.pruned_max_s, limits.pruned_first_s * 2.0 ** min(self._pruned_times, 16))
        self._pruned_times += 1

    def put_aside(self, error: SourceError, now: float) -> None:
        """It has not answered in time."""
        self.silent_since = now if self.silent_since is None else self.silent_since
        self.late = True
        self._note(error, now)
        self._leave_alone(now)

    def _note(self, error: SourceError | ProofFailure, now: float) -> None:
        self.error = error
        self.last_failure = (now, str(error))

    def _leave_alone(self, now: float) -> None:
        if self.failures and now < self.left_alone_until:
            return  # of questions that were under way together all may fail, and that is one failure
        self.failures += 1
        self.left_alone_until = now + min(
            self._limits.backoff_max_s, self._limits.backoff_first_s * 2.0 ** (min(self.failures, 16) - 1)
        )

    def lacks(self, number: int, now: float) -> bool:
        """Whether it is believed that it has pruned the block."""
        return number <= self._pruned_below and now < self._pruned_until

    def usable(self, number: int | None, now: float) -> bool:
        """Whether it may be asked at all, for the whole block `number` if that is given."""
        has_it = number is None or not (self.off_branch or self.lacks(number, now))
        return self.identified and not self.quarantined and has_it

    def ready(self, now: float) -> bool:
        """Whether it may be asked now, if it is usable."""
        return not self.late and self.left_alone_until <= now

    def votes(self, now: float, patience_s: float) -> bool:
        """Whether it counts in a majority, though it may give no answer at the moment."""
        silent_s = 0.0 if self.silent_since is None else now - self.silent_since
        return not (self.foreign or self.quarantined) and silent_s <= patience_s
