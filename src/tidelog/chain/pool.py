"""Several endpoints of one chain: who is asked, who is struck, who is benched and comes back.

A failure costs the endpoint a strike and a growing time on the bench; a success clears it. While all are
benched, requests wait for the first to come back. An endpoint that contradicts what is final is in
quarantine until it agrees again.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tidelog.chain.proof import CHECKS
from tidelog.chain.rpc import Endpoint
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Throttled, TooLarge, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger
from tidelog.telemetry.chain import EndpointReading

T = TypeVar("T")

ATTEMPTS = 6  # per question, over all endpoints: about 8 s with one that is down
THROTTLED_MAX = 50  # being asked to wait is no failure, but not for ever either
BENCH_FIRST_S = 0.25
BENCH_MAX_S = 30.0
THROTTLED_WAIT_S = 1.0  # where a 429 does not say how long

_log = logger("pool")


class Standing:
    """What the pool remembers of an endpoint. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self.strikes = 0  # failures since the last success
        self.benched_until = 0.0
        self.quarantined = False
        self.verified = False  # has named the right chain id
        self.pruned_below = -1  # it has said that it does not hold blocks up to here

    def strike(self, now: float) -> None:
        self.strikes += 1
        self.benched_until = now + min(BENCH_MAX_S, BENCH_FIRST_S * 2.0 ** (min(self.strikes, 16) - 1))

    def success(self) -> None:
        self.strikes = 0
        self.benched_until = 0.0


class Pool:
    """The endpoints of one chain, in the order of the user's preference."""

    def __init__(self, endpoints: Sequence[Endpoint], runtime: Runtime, metrics: ChainMetrics) -> None:
        self.endpoints = tuple(endpoints)
        self._standing = {endpoint.name: Standing() for endpoint in self.endpoints}
        self._runtime = runtime
        self._metrics = metrics
        self._random = runtime.random("pool")
        metrics.endpoints = self._readings
        for endpoint in self.endpoints:
            for check in CHECKS:
                metrics.proof_failures.labels(check, endpoint.name)  # there from the start, so that a first one shows

    def _readings(self) -> list[EndpointReading]:
        now = self._runtime.monotonic()
        return [
            EndpointReading(
                endpoint.name,
                standing.verified,
                standing.benched_until > now,
                standing.quarantined,
                standing.strikes,
                endpoint.budget.in_flight,
                int(endpoint.budget.in_flight_max),
                endpoint.budget.rate.reached(now),
                math.inf if (rate := endpoint.budget.rate.calls_per_s) is None else rate,
                endpoint.budget.request_calls,
            )
            for endpoint in self.endpoints
            for standing in (self._standing[endpoint.name],)
        ]

    # -- one question to one endpoint, with failover -------------------------------------------------------

    async def ask(
        self,
        work: Callable[[Endpoint], Awaitable[T]],
        *,
        number: int | None = None,
        attempts: int = ATTEMPTS,
        divisible: bool = False,
    ) -> T:
        """Run `work` against an endpoint, and against others after failures.

        Args:
            number: the block that is asked for: endpoints that have pruned it are left out.
            divisible: the caller can ask for less, which mends a `TooLarge` better than asking elsewhere.

        Raises:
            TooLarge: at once, if `divisible`.
            SourceError, ProofFailure: the last failure, when all attempts are used up.
        """
        failures = throttled = 0
        last: Endpoint | None = None
        while True:
            endpoint = await self._pick(number, last)
            try:
                result = await work(endpoint)
            except (SourceError, ProofFailure) as error:
                if divisible and isinstance(error, TooLarge):
                    raise
                last = endpoint
                self.failed(endpoint, error, number=number)
                if isinstance(error, Throttled) and throttled < THROTTLED_MAX:
                    throttled += 1
                    continue
                failures += 1
                if failures >= attempts:
                    raise
            else:
                self._standing[endpoint.name].success()
                return result

    async def _pick(self, number: int | None, last: Endpoint | None) -> Endpoint:
        while True:
            usable = [endpoint for endpoint in self.endpoints if self._usable(endpoint, number)]
            if not usable:
                raise self._none_usable(number)
            now = self._runtime.monotonic()
            ready = [endpoint for endpoint in usable if self._standing[endpoint.name].benched_until <= now]
            if ready:
                return min(ready, key=lambda endpoint: self._preference(endpoint, last))
            until = min(self._standing[endpoint.name].benched_until for endpoint in usable)
            await self._runtime.sleep(max(0.001, until - now) * (1 + 0.1 * self._random.random()))

    def _usable(self, endpoint: Endpoint, number: int | None) -> bool:
        standing = self._standing[endpoint.name]
        return standing.verified and not standing.quarantined and (number is None or number > standing.pruned_below)

    def _preference(self, endpoint: Endpoint, last: Endpoint | None) -> tuple[bool, int, float]:
        return endpoint is last, self._standing[endpoint.name].strikes, endpoint.load

    def _none_usable(self, number: int | None) -> SourceError:
        standings = [self._standing[endpoint.name] for endpoint in self.endpoints]
        if number is not None and any(number <= standing.pruned_below for standing in standings):
            return Pruned(f"no endpoint holds block {number}: give one with the full history by --rpc")
        if any(standing.quarantined for standing in standings):
            return Rejected("every endpoint contradicts the finalized chain, or cannot be reached")
        return Unreachable("no endpoint has answered yet")

    def failed(self, endpoint: Endpoint, error: SourceError | ProofFailure, *, number: int | None = None) -> None:
        """Note a failure: a strike, a wait, or the end of what the endpoint holds."""
        standing, now = self._standing[endpoint.name], self._runtime.monotonic()
        if isinstance(error, Pruned) and number is not None:
            standing.pruned_below = max(standing.pruned_below, number)
        elif isinstance(error, Throttled):
            wait = THROTTLED_WAIT_S if error.retry_after_s is None else error.retry_after_s
            standing.benched_until = max(standing.benched_until, now + wait)
        else:
            standing.strike(now)
        if isinstance(error, ProofFailure):
            self._metrics.proof_failures.labels(error.check, endpoint.name).inc()
        _log.warning("endpoint_failed", endpoint=endpoint.name, error=str(error), kind=type(error).__name__)

    # -- one question to all endpoints ---------------------------------------------------------------------

    async def survey(self, work: Callable[[Endpoint], Awaitable[T]]) -> dict[Endpoint, T]:
        """The answers of all endpoints that are in good standing and give one, in their order."""
        now = self._runtime.monotonic()
        asked = [
            endpoint
            for endpoint in self.endpoints
            if self._usable(endpoint, None) and self._standing[endpoint.name].benched_until <= now
        ]
        answers = await asyncio.gather(*(self._one(endpoint, work) for endpoint in asked))
        return {endpoint: answer for endpoint, found in zip(asked, answers, strict=True) for answer in found}

    async def _one(self, endpoint: Endpoint, work: Callable[[Endpoint], Awaitable[T]]) -> list[T]:
        try:
            answer = await work(endpoint)
        except SourceError as error:
            self.failed(endpoint, error)
            return []
        self._standing[endpoint.name].success()
        return [answer]

    # -- chain id and quarantine -----------------------------------------------------------------------------

    async def identify(self, expected: int | None) -> int | None:
        """Ask endpoints that have not named their chain yet; the chain id, or None if none has answered.

        One that serves another chain than `expected` is left out, as long as there is one that serves it.

        Raises:
            Rejected: every endpoint that answers serves another chain than `expected`, or they disagree where
                nothing is expected.
        """
        known, refused = expected, None
        for endpoint in self.endpoints:
            standing = self._standing[endpoint.name]
            if standing.verified or standing.benched_until > self._runtime.monotonic():
                continue
            try:
                chain_id = await endpoint.chain_id()
            except SourceError as error:
                self.failed(endpoint, error)
                continue
            if known is not None and chain_id != known:
                refused = Rejected(f"serves chain {chain_id}, not chain {known}", endpoint=endpoint.name)
                self.failed(endpoint, refused)
                continue
            known = chain_id
            standing.verified = True
            standing.success()
        verified = any(standing.verified for standing in self._standing.values())
        if refused is not None and not (verified and expected is not None):
            raise refused
        return known if verified else None

    def quarantine(self, endpoint: Endpoint, quarantined: bool) -> None:
        standing = self._standing[endpoint.name]
        if standing.quarantined != quarantined:
            standing.quarantined = quarantined
            _log.warning("endpoint_quarantined" if quarantined else "endpoint_released", endpoint=endpoint.name)

    @property
    def quarantined(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if self._standing[endpoint.name].quarantined]
