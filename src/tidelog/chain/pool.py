"""Several endpoints of one chain: who is asked, who is left alone, who is put aside and comes back.

Each endpoint has a health of its own, and no healthy endpoint waits for another one:

- A failure costs an endpoint a growing time alone; a success clears it. While all are left alone, questions wait for
  the first that may be asked again.
- A question that takes one endpoint much longer than usual is asked elsewhere too, and the first right answer wins.
- An endpoint that has not answered in time is put aside at once. It is tried again beside everything else, by its
  chain id and its head, and nobody waits for that.
- One that contradicts what is final is in quarantine until it agrees again.

A vote counts also the endpoints that have not answered for less than `patience_s`: see `voters`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from math import inf
from typing import Any, TypeVar

from tidelog.chain.endpoint_health import BACKOFF_FIRST_S, BACKOFF_MAX_S, THROTTLED_WAIT_S, Health, about_block
from tidelog.chain.proof import CHECKS
from tidelog.chain.pulse import LATE_S
from tidelog.chain.questions import Survey, cancelled, guarded
from tidelog.chain.rpc import Endpoint
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Throttled, TooLarge, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger
from tidelog.telemetry.chain import EndpointReading

__all__ = [
    "ATTEMPTS",
    "BACKOFF_FIRST_S",
    "BACKOFF_MAX_S",
    "THROTTLED_MAX",
    "THROTTLED_WAIT_S",
    "Nobody",
    "Pool",
    "Survey",
]

T = TypeVar("T")

ATTEMPTS = 6  # per question, over all endpoints: about 8 s with one that is down
THROTTLED_MAX = 50  # being asked to wait is no failure, but not for ever either
GRACE_S = 0.25  # once enough have answered: two healthy endpoints are rarely further apart
LOOK_S = 1.0  # between looks whether an endpoint came back before its time, while all are left alone
CHECK_MAX_S = 10.0  # for the chain id and the head of one that was put aside: slower, it would be no help
ROUNDING = 0.05  # of a bound: a request is sent a moment after its question began
SILENT_S = 5.0  # of all endpoints, from when on it is said
CAUSES_MAX = 3  # endpoints whose words one sentence holds
PATIENCE_S = 30.0  # as `--reorg-patience`, which replaces it

_log = logger("pool")


class Nobody(Rejected):
    """There is no endpoint left to ask."""


class Pool:
    """The endpoints of one chain, in the order of the user's preference.

    `give_up_at` is the moment, by the monotonic clock, at which questions end with their last failure.
    """

    def __init__(self, endpoints: Sequence[Endpoint], runtime: Runtime, metrics: ChainMetrics) -> None:
        self.endpoints = tuple(endpoints)
        self.patience_s = PATIENCE_S  # for how long an endpoint that does not answer still counts in a vote
        self.give_up_at = inf
        self._runtime = runtime
        self._metrics = metrics
        self._health = {endpoint.name: Health(runtime.monotonic()) for endpoint in self.endpoints}
        self._aside: dict[str, asyncio.Task[None]] = {}  # by endpoint: what nobody waits for
        self._random = runtime.random("pool")
        self._chain_id: int | None = None
        metrics.endpoints = self._readings
        for endpoint in self.endpoints:
            for check in CHECKS:
                metrics.proof_failures.labels(check, endpoint.name)  # there from the start, so that a first one shows

    def _readings(self) -> list[EndpointReading]:
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

    async def close(self) -> None:
        """End what goes on beside. The pool can be used again."""
        tasks = list(self._aside.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one question to one endpoint, with failover -------------------------------------------------------

    async def ask(
        self,
        work: Callable[[Endpoint], Awaitable[T]],
        *,
        number: int | None = None,
        attempts: int = ATTEMPTS,
        divisible: bool = False,
        blocks: int = 0,
        without: Collection[Endpoint] = (),
    ) -> T:
        """Run `work` against an endpoint, and against others after failures or where it takes unusually long.

        Args:
            number: the whole block that is asked for: endpoints that have pruned it are left out.
            divisible: the caller can ask for less, which mends a `TooLarge` better than asking elsewhere.
            blocks: how many whole blocks are asked for; 0 for headers.
            without: these are not asked.

        Raises:
            Nobody: all that could be asked are among `without`.
            TooLarge: at once, if `divisible`.
            SourceError, ProofFailure: the last failure, when all attempts or the time are used up.
        """
        failures = throttled = 0
        last: Endpoint | None = None
        error: SourceError | ProofFailure | None = None
        while True:
            endpoint = await self._pick(number, last, error, without)
            try:
                return await self._hedged(endpoint, work, number, blocks, without)
            except (SourceError, ProofFailure) as failure:
                if divisible and isinstance(failure, TooLarge):
                    raise
                last, error = endpoint, failure
                self.failed(endpoint, failure, number=number)
                if isinstance(failure, Throttled) and throttled < THROTTLED_MAX:
                    throttled += 1
                else:
                    failures += 1
                if failures >= attempts or self._runtime.monotonic() >= self.give_up_at:
                    if number is not None and isinstance(failure, SourceError):
                        failure.reason = f"block {number}: {failure.reason}"
                    raise
                if number is not None and about_block(failure):
                    await self._rest(endpoint, number, without, failures)

    async def _rest(self, refused: Endpoint, number: int, without: Collection[Endpoint], failures: int) -> None:
        """Before the same endpoint is asked again for a block that it does not give, pause."""
        if self._second(refused, number, without) is None:
            pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (failures - 1))
            left_s = self.give_up_at - self._runtime.monotonic()
            await self._runtime.sleep(min(pause_s, max(0.001, left_s)))

    async def _pick(
        self, number: int | None, last: Endpoint | None, error: Exception | None, without: Collection[Endpoint]
    ) -> Endpoint:
        """The endpoint to ask next, waiting until one may be asked."""
        while True:
            self.tend()
            now = self._runtime.monotonic()
            usable = [endpoint for endpoint in self.endpoints if self._health[endpoint.name].usable(number)]
            if usable and without:
                usable = [endpoint for endpoint in usable if endpoint not in without]
                if not usable:
                    raise Nobody("no other endpoint can be asked")
            if not usable:
                raise self._none_usable(number)
            ready = [endpoint for endpoint in usable if self._health[endpoint.name].ready(now)]
            if not ready and all(self._health[endpoint.name].late for endpoint in usable):  # better than to ask nobody
                ready = [endpoint for endpoint in usable if self._health[endpoint.name].left_alone_until <= now]
            if ready:
                return min(ready, key=lambda endpoint: self._preference(endpoint, last))
            if now >= self.give_up_at:
                raise error or self.cause()
            until = min(self._health[endpoint.name].left_alone_until for endpoint in usable)
            pause_s = max(0.001, until - now) * (1 + 0.1 * self._random.random())
            if self._aside:  # one of them may be back before its time
                pause_s = min(pause_s, LOOK_S)
            await self._runtime.sleep(min(pause_s, max(0.001, self.give_up_at - now)))

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has named this chain, and does not contradict what is final."""
        return self._health[endpoint.name].usable(None)

    def forgive(self) -> None:
        """Let go of what blocks were refused for: they were held to rules that the chain does not have."""
        for health in self._health.values():
            if isinstance(health.error, ProofFailure):
                health.answered()

    def _preference(self, endpoint: Endpoint, last: Endpoint | None) -> tuple[bool, int, float]:
        return endpoint is last, self._health[endpoint.name].failures, endpoint.load

    def _none_usable(self, number: int | None) -> SourceError | ProofFailure:
        healths = list(self._health.values())
        if number is not None and any(number <= health.pruned_below for health in healths):
            return Pruned(f"no endpoint holds block {number}: give one with the full history by --rpc")
        if any(health.quarantined for health in healths):
            return Rejected("every endpoint contradicts the finalized chain, or cannot be reached")
        return self.cause()

    async def _hedged(
        self,
        first: Endpoint,
        work: Callable[[Endpoint], Awaitable[T]],
        number: int | None,
        blocks: int,
        without: Collection[Endpoint],
    ) -> T:
        """The answer of `first`, or of another one if `first` takes unusually long: then it is put aside.

        Raises:
            SourceError, ProofFailure: `first` failed. Of the other one's failure note is taken here.
        """
        running = {asyncio.create_task(self._answer(first, work)): first}
        started = asyncio.get_running_loop().time()
        bound_s = first.pulse.bound_s(blocks) if len(self.endpoints) > 1 else inf
        failure: SourceError | ProofFailure | None = None
        try:
            while running:
                left_s = self._left_s(started)
                timeout = None if min(left_s, bound_s) == inf else max(0.0, min(left_s, bound_s))
                await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                done = [task for task in running if task.done()]
                taken_s = asyncio.get_running_loop().time() - started
                if not done and left_s <= bound_s:
                    failure = failure or Unreachable(f"no answer within {taken_s:.0f} s", endpoint=first.name)
                    break
                if not done:
                    second = self._second(first, number, without) if self._silent(first, blocks) else None
                    bound_s = LOOK_S
                    if second is not None:
                        self._put_aside(first, taken_s, blocks)
                        running[asyncio.create_task(self._answer(second, work))] = second
                        bound_s = inf
                for task in done:
                    endpoint = running.pop(task)
                    try:
                        return task.result()
                    except (SourceError, ProofFailure) as error:
                        if endpoint is first:
                            failure = error
                        else:
                            self.failed(endpoint, error, number=number)
        finally:
            await cancelled(running)
        assert failure is not None
        raise failure

    def _left_s(self, started: float) -> float:
        """The time left for what began at `started` (of the loop's clock): a question has the least even at the end."""
        least_s = started + LATE_S - asyncio.get_running_loop().time()
        return max(self.give_up_at - self._runtime.monotonic(), least_s)

    def _second(self, first: Endpoint, number: int | None, without: Collection[Endpoint]) -> Endpoint | None:
        now = self._runtime.monotonic()
        others = [
            endpoint
            for endpoint in self.endpoints
            if endpoint is not first
            and endpoint not in without
            and self._health[endpoint.name].usable(number)
            and self._health[endpoint.name].ready(now)
        ]
        return min(others, key=lambda endpoint: self._preference(endpoint, None), default=None)

    async def _answer(self, endpoint: Endpoint, work: Callable[[Endpoint], Awaitable[T]]) -> T:
        """The answer; note is taken that the endpoint lives."""
        answer = await guarded(endpoint, work)
        self._health[endpoint.name].answered()
        return answer

    # -- failures ------------------------------------------------------------------------------------------

    def failed(self, endpoint: Endpoint, error: SourceError | ProofFailure, *, number: int | None = None) -> None:
        """Note a failure: a growing time alone, a wait that was asked for, or the end of what the endpoint holds."""
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

    def silence(self) -> str | None:
        """That no endpoint answers what it was asked, if it is so for some seconds."""
        now = self._runtime.monotonic()
        silent = {endpoint.name: endpoint.pulse.silent_s(now) for endpoint in self.endpoints}
        if not silent or min(silent.values()) < SILENT_S:
            return None
        return "; ".join(f"{name}: no answer for {seconds:.0f} s" for name, seconds in silent.items())

    def cause(self) -> SourceError | ProofFailure:
        """Why no endpoint helps, in their own words."""
        errors = [error for health in self._health.values() if (error := health.error) is not None]
        if not errors:
            return Unreachable("no endpoint has answered yet")
        if len({str(error) for error in errors}) == 1:
            return errors[0]
        text = "; ".join(str(error) for error in errors[:CAUSES_MAX])
        refused = all(isinstance(error, Rejected | ProofFailure) for error in errors)
        return Rejected(text) if refused else Unreachable(text)

    # -- one question to all endpoints ---------------------------------------------------------------------

    async def survey(
        self,
        work: Callable[[Endpoint], Awaitable[T]],
        *,
        enough: Callable[[Collection[T]], bool] | None = None,
        grace_s: float = GRACE_S,
        blocks: int = 0,
    ) -> Survey[T]:
        """Ask all that may be asked, at once; their answers, in their order, as soon as there are enough.

        Who has not answered within its usual time is put aside, who only is not as quick as others is left to answer
        beside. An endpoint whose last answer has yet to come is not asked again.

        Args:
            enough: whether these answers will do; not given: those of more than half of the voters.
            grace_s: how long to wait for the others then.
            blocks: how many whole blocks are asked for; 0 for headers.
        """
        self.tend()
        now = self._runtime.monotonic()
        usable = [endpoint for endpoint in self.endpoints if self._health[endpoint.name].usable(None)]
        asked = [e for e in usable if self._health[e.name].ready(now) and e.name not in self._aside]
        enough = enough or (lambda answers: len(answers) * 2 > self.voters)
        answers = await self._collected(asked, work, enough, grace_s=grace_s, blocks=blocks)
        absent = sum(self._votes(endpoint) for endpoint in self.endpoints if endpoint not in answers)
        return Survey(answers, len(answers) + absent)

    async def _collected(
        self,
        asked: Sequence[Endpoint],
        work: Callable[[Endpoint], Awaitable[T]],
        enough: Callable[[Collection[T]], bool],
        *,
        grace_s: float = GRACE_S,
        blocks: int = 0,
    ) -> dict[Endpoint, T]:
        """The answers that came in time. Nobody is late while there is no healthy endpoint that it keeps waiting."""
        running = {asyncio.create_task(self._answer(endpoint, work)): endpoint for endpoint in asked}
        answers: dict[Endpoint, T] = {}
        loop = asyncio.get_running_loop()
        started, ends_at = loop.time(), inf
        late_at = {endpoint.name: started + endpoint.pulse.bound_s(blocks) for endpoint in asked}
        try:
            while running and loop.time() < ends_at:
                next_at = min(ends_at, *(late_at[endpoint.name] for endpoint in running.values()))
                left_s = min(next_at - loop.time(), self._left_s(started))
                timeout = None if left_s == inf else max(0.0, left_s)
                await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    endpoint = running.pop(task)
                    try:
                        answers[endpoint] = task.result()
                    except (SourceError, ProofFailure) as error:
                        self.failed(endpoint, error)
                if self._left_s(started) <= 0:  # the time of all is over
                    for endpoint in running.values():
                        self._put_aside(endpoint, loop.time() - started, blocks)
                    break
                for task, endpoint in list(running.items()):
                    if late_at[endpoint.name] > loop.time():
                        continue
                    if not answers and not self._healthy_beside(running.values()):
                        late_at[endpoint.name] = loop.time() + LOOK_S
                        continue
                    del running[task]
                    if self._silent(endpoint, blocks):
                        self._put_aside(endpoint, loop.time() - started, blocks)
                        await cancelled([task])
                    else:  # it answers others, or rests as it was asked to
                        self._beside(endpoint, self._lingering(endpoint, task, started, blocks))
                if ends_at == inf and enough(answers.values()):
                    ends_at = loop.time() + grace_s
            for task, endpoint in list(running.items()):
                if endpoint.name not in self._aside and ends_at < inf:
                    self._beside(endpoint, self._lingering(endpoint, task, started, blocks))
                    del running[task]
        finally:
            await cancelled(running)
        return {endpoint: answers[endpoint] for endpoint in asked if endpoint in answers}

    def _silent(self, endpoint: Endpoint, blocks: int) -> bool:
        """Whether nothing has come for longer than is usual. What waits here for its turn is no silence."""
        pulse = endpoint.pulse
        return pulse.silent_s(self._runtime.monotonic()) >= pulse.bound_s(blocks) * (1 - ROUNDING)

    def _healthy_beside(self, asked: Collection[Endpoint]) -> bool:
        """Whether one that is not asked now could be."""
        now = self._runtime.monotonic()
        return any(
            endpoint not in asked and health.usable(None) and health.ready(now) and health.failures == 0
            for endpoint in self.endpoints
            for health in (self._health[endpoint.name],)
        )

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

    async def identify(self, expected: int | None) -> int | None:
        """Ask endpoints that have not named their chain yet; the chain id, or None if none has answered.

        All at once, and waited for only while there is none that has. One that serves another chain than `expected`
        is left out, as long as there is one that serves it.

        Raises:
            Rejected: every endpoint that answers serves another chain than `expected`, or they disagree where
                nothing is expected.
        """
        self._chain_id = self._chain_id if expected is None else expected
        if not any(health.identified for health in self._health.values()):
            await self._first_contact(expected)
        self.tend()
        return self._chain_id if any(health.identified for health in self._health.values()) else None

    async def _first_contact(self, expected: int | None) -> None:
        now = self._runtime.monotonic()
        asked = [
            endpoint
            for endpoint in self.endpoints
            if self._health[endpoint.name].left_alone_until <= now and endpoint.name not in self._aside
        ]
        answers = await self._collected(
            asked, lambda endpoint: endpoint.chain_id(), lambda answers: len(answers) * 2 > len(self.endpoints)
        )
        refused = None
        for endpoint, chain_id in answers.items():
            try:
                self._named(endpoint, chain_id)
            except Rejected as error:
                refused = error
                self.failed(endpoint, error)
        identified = any(health.identified for health in self._health.values())
        if refused is not None and not (identified and expected is not None):
            raise refused

    def _named(self, endpoint: Endpoint, chain_id: int) -> None:
        """The endpoint has named its chain. Rejected if that is another one."""
        health = self._health[endpoint.name]
        if self._chain_id is not None and chain_id != self._chain_id:
            health.foreign, health.identified = True, False
            raise Rejected(f"serves chain {chain_id}, not chain {self._chain_id}", endpoint=endpoint.name)
        self._chain_id = chain_id
        health.foreign, health.identified = False, True

    def quarantine(self, endpoint: Endpoint, quarantined: bool) -> None:
        health = self._health[endpoint.name]
        if health.quarantined != quarantined:
            health.quarantined = quarantined
            _log.warning("endpoint_quarantined" if quarantined else "endpoint_released", endpoint=endpoint.name)

    @property
    def quarantined(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if self._health[endpoint.name].quarantined]

    def leave_out(self, others: Collection[Endpoint]) -> None:
        """Ask these for no whole blocks by number: they are on another branch. Replaces who was left out before."""
        for endpoint in self.endpoints:
            health = self._health[endpoint.name]
            if endpoint in others and not health.off_branch:
                _log.warning("endpoint_on_another_branch", endpoint=endpoint.name)
            health.off_branch = endpoint in others

    # -- beside ----------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """Try again those that were put aside or have not named their chain, beside everything else."""
        if self._chain_id is None or not any(health.identified for health in self._health.values()):
            return
        for endpoint in self.endpoints:
            health = self._health[endpoint.name]
            if health.late or not health.identified:
                self.aside(endpoint, self._tried)

    def aside(self, endpoint: Endpoint, work: Callable[[Endpoint], Coroutine[Any, Any, None]]) -> None:
        """Run `work` beside everything else, unless something runs for this endpoint, or it is left alone."""
        alone = self._health[endpoint.name].left_alone_until > self._runtime.monotonic()
        if endpoint.name not in self._aside and not alone:
            self._beside(endpoint, self._attempted(endpoint, work))

    def _beside(self, endpoint: Endpoint, work: Coroutine[Any, Any, None]) -> None:
        task = self._aside[endpoint.name] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._aside.pop(endpoint.name, None))

    async def _attempted(self, endpoint: Endpoint, work: Callable[[Endpoint], Coroutine[Any, Any, None]]) -> None:
        try:
            await guarded(endpoint, work)
        except (SourceError, ProofFailure) as error:
            self.failed(endpoint, error)

    async def _tried(self, endpoint: Endpoint) -> None:
        """Ask for the chain id and the head: with both it is back."""
        health = self._health[endpoint.name]
        limit_s = min(
            CHECK_MAX_S, endpoint.pulse.bound_s() * 2.0 ** min(health.failures, 8)
        )  # soon at first, then patient
        try:
            async with asyncio.timeout(limit_s):
                self._named(endpoint, await endpoint.chain_id())
                await endpoint.tips()
        except TimeoutError:
            raise Unreachable(f"no answer within {limit_s:.0f} s", endpoint=endpoint.name) from None
        was_late = health.late
        health.answered()
        if was_late:
            _log.info("endpoint_back", endpoint=endpoint.name)

    async def _lingering(self, endpoint: Endpoint, task: "asyncio.Task[Any]", started: float, blocks: int) -> None:
        """Wait for an answer that others do not wait for; if the endpoint falls silent, it is put aside."""
        loop = asyncio.get_running_loop()
        try:
            while not task.done():
                left_s = endpoint.pulse.bound_s(blocks) - (loop.time() - started)
                await asyncio.wait({task}, timeout=LOOK_S if left_s <= 0 else left_s)
                if not task.done() and self._silent(endpoint, blocks):
                    self._put_aside(endpoint, loop.time() - started, blocks)
                    return
            if not task.cancelled() and isinstance(error := task.exception(), SourceError | ProofFailure):
                self.failed(endpoint, error)
        finally:
            await cancelled([task])
