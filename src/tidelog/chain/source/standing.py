"""How the endpoints of one chain stand: their health, who counts in a vote, why none helps. Asks nobody.

A vote counts also the endpoints that have not answered for less than `patience_s`: see `voters`.
"""

from collections.abc import Collection, Sequence
from math import inf

from msgspec import Struct

from tidelog.chain.endpoint.health import HEALTH_LIMITS, Health, HealthLimits
from tidelog.chain.proof.outcome import CHECKS
from tidelog.chain.source.client import Endpoint
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger
from tidelog.telemetry.chain import EndpointReading

__all__ = ["POOL_LIMITS", "PoolLimits", "Standing"]

FAILURE_S = 600.0  # for how long one is told of: as long as somebody who comes to look asks what was wrong
FAILURE_CHARS_MAX = 200  # of an endpoint's words: a peer may say anything

_log = logger("pool")


class PoolLimits(Struct, frozen=True):
    """How long endpoints are waited for, and how often one is asked."""

    attempts: int = 6  # per question, over all endpoints: about 8 s with one that is down
    throttled_max: int = 50  # being asked to wait is no failure, but not for ever either
    grace_s: float = 0.25  # once enough have answered: two healthy endpoints are rarely further apart
    linger_s: float = 2.0  # for those that are not as quick, where each has a vote
    look_s: float = 1.0  # between looks whether an endpoint came back before its time, while all are left alone
    check_max_s: float = 10.0  # for the chain id and the head of one that was put aside: slower, it would be no help
    silent_s: float = 5.0  # of all endpoints, from when on it is said
    causes_max: int = 3  # endpoints whose words one sentence holds
    patience_s: float = 30.0  # as `--reorg-patience`, which replaces it
    health: HealthLimits = HEALTH_LIMITS


POOL_LIMITS = PoolLimits()


class Standing:
    """The endpoints of one chain, in the order of the user's preference, and what is known of each."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        runtime: Runtime,
        metrics: ChainMetrics,
        limits: PoolLimits = POOL_LIMITS,
    ) -> None:
        self._limits = limits
        self.endpoints = tuple(endpoints)
        self.patience_s = limits.patience_s  # for how long an endpoint that does not answer still counts in a vote
        self._runtime = runtime
        self._metrics = metrics
        self._health = {endpoint.name: Health(runtime.monotonic(), limits.health) for endpoint in self.endpoints}
        self._chain_id: int | None = None
        metrics.endpoints = self.readings
        for endpoint in self.endpoints:
            for check in CHECKS:
                metrics.proof_failures.labels(check, endpoint.name)  # there from the start, so that a first one shows

    def readings(self) -> list[EndpointReading]:
        """How each endpoint stands, in the user's order."""
        now = self._runtime.monotonic()
        return [
            EndpointReading(
                endpoint.name,
                health.identified,
                health.left_alone_until > now,
                health.late,
                health.quarantined,
                health.failures,
                endpoint.budget.in_flight,
                int(endpoint.budget.in_flight_max),
                endpoint.budget.rate.reached(now),
                inf if (rate := endpoint.budget.rate.calls_per_s) is None else rate,
                endpoint.budget.request_calls,
            )
            for endpoint in self.endpoints
            for health in (self._health[endpoint.name],)
        ]

    def last_failures(self) -> list[str]:
        """How each endpoint failed last, if that was of late, in its words where it gave any."""
        now = self._runtime.monotonic()
        return [
            f"{words[:FAILURE_CHARS_MAX]} ({now - at:.0f} s ago)"
            for endpoint in self.endpoints
            if (failure := self._health[endpoint.name].last_failure) is not None
            for at, words in (failure,)
            if now - at <= FAILURE_S
        ]

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has named this chain, and does not contradict what is final."""
        return self._health[endpoint.name].usable(None, self._runtime.monotonic())

    def failed(self, endpoint: Endpoint, error: SourceError | ProofFailure, *, number: int | None = None) -> None:
        """Note a failure: a growing time alone, a wait that was asked for, or what the endpoint does not hold."""
        if error.endpoint is None:
            error.endpoint = endpoint.name
        self._health[endpoint.name].failed(error, self._runtime.monotonic(), number=number)
        if isinstance(error, ProofFailure):
            self._metrics.proof_failures.labels(error.check, endpoint.name).inc()
        _log.warning("endpoint_failed", endpoint=endpoint.name, error=str(error), kind=type(error).__name__)

    def _put_aside(self, endpoint: Endpoint, seconds: float, blocks: int = 0) -> None:
        endpoint.pulse.took(seconds, blocks=blocks > 0)  # so that one that is always slow is given more time
        error = Unreachable(f"no answer within {seconds:.1f} s", endpoint=endpoint.name)
        self._health[endpoint.name].put_aside(error, self._runtime.monotonic())
        _log.warning("endpoint_put_aside", endpoint=endpoint.name, seconds=round(seconds, 1))

    def forgive(self) -> None:
        """Let go of what blocks were refused for: they were held to rules that the chain does not have."""
        for health in self._health.values():
            if isinstance(health.error, ProofFailure):
                health.answered()

    def silence(self) -> str | None:
        """That no endpoint answers what it was asked, if it is so for some seconds."""
        now = self._runtime.monotonic()
        silent = {endpoint.name: endpoint.pulse.silent_s(now) for endpoint in self.endpoints}
        if not silent or min(silent.values()) < self._limits.silent_s:
            return None
        return "; ".join(f"{name}: no answer for {seconds:.0f} s" for name, seconds in silent.items())

    def cause(self) -> SourceError | ProofFailure:
        """Why no endpoint helps, in their own words."""
        errors = [error for health in self._health.values() if (error := health.error) is not None]
        if not errors:
            return Unreachable("no endpoint has answered yet")
        if len({str(error) for error in errors}) == 1:
            return errors[0]
        text = "; ".join(str(error) for error in errors[: self._limits.causes_max])
        refused = all(isinstance(error, Rejected | ProofFailure) for error in errors)
        return Rejected(text) if refused else Unreachable(text)

    def _none_usable(self, number: int | None) -> SourceError | ProofFailure:
        healths, now = list(self._health.values()), self._runtime.monotonic()
        if number is not None and any(health.lacks(number, now) for health in healths):
            return Pruned(f"no endpoint holds block {number}: give one with the full history by --rpc")
        if any(health.quarantined for health in healths):
            return Rejected("every endpoint contradicts the finalized chain, or cannot be reached")
        return self.cause()

    # -- votes ---------------------------------------------------------------------------------------------

    def _votes(self, endpoint: Endpoint) -> bool:
        return self._health[endpoint.name].votes(self._runtime.monotonic(), self.patience_s)

    @property
    def voters(self) -> int:
        """How many endpoints count in a vote: a majority is more than half of them.

        Those that serve this chain, are not in quarantine, and have not been silent for longer than `patience_s`; at
        the start of a run that counts from the start. So endpoints that hang or are down leave no minority that
        decides by itself, until they have been away for as long as a head has to be unknown before a lower one is
        believed.
        """
        return sum(map(self._votes, self.endpoints))

    def votes(self, endpoint: Endpoint) -> bool:
        """Whether it is one of the `voters`."""
        return self._votes(endpoint)

    @property
    def absent(self) -> list[Endpoint]:
        """Those of this chain that cannot be asked at the moment, however long they have been away."""
        now = self._runtime.monotonic()
        return [
            endpoint
            for endpoint in self.endpoints
            for health in (self._health[endpoint.name],)
            if not (health.foreign or health.quarantined) and not (health.identified and health.ready(now))
        ]

    # -- chain id, quarantine, branch ------------------------------------------------------------------------

    def _named(self, endpoint: Endpoint, chain_id: int) -> None:
        """The endpoint has named its chain. Rejected if that is another one."""
        health = self._health[endpoint.name]
        if self._chain_id is not None and chain_id != self._chain_id:
            health.foreign, health.identified = True, False
            raise Rejected(f"serves chain {chain_id}, not chain {self._chain_id}", endpoint=endpoint.name)
        self._chain_id = chain_id
        health.foreign, health.identified = False, True

    def quarantine(self, endpoint: Endpoint, quarantined: bool) -> None:
        """Put an endpoint into quarantine, in which nobody asks it, or let it out."""
        health = self._health[endpoint.name]
        if health.quarantined != quarantined:
            health.quarantined = quarantined
            _log.warning("endpoint_quarantined" if quarantined else "endpoint_released", endpoint=endpoint.name)

    @property
    def quarantined(self) -> list[Endpoint]:
        """The endpoints in quarantine."""
        return [endpoint for endpoint in self.endpoints if self._health[endpoint.name].quarantined]

    def leave_out(self, others: Collection[Endpoint]) -> None:
        """Ask these for no whole blocks by number: they are on another branch. Replaces who was left out before."""
        for endpoint in self.endpoints:
            health = self._health[endpoint.name]
            if endpoint in others and not health.off_branch:
                _log.warning("endpoint_on_another_branch", endpoint=endpoint.name)
            health.off_branch = endpoint in others
