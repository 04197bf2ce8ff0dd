"""Several endpoints of one chain: who is asked, who else where that takes long, who is tried again beside.

Each endpoint has a health of its own, and no healthy endpoint waits for another one:

- A failure costs an endpoint a growing time alone; a success clears it. While all are left alone, questions wait for
  the first that may be asked again.
- A question that takes one endpoint much longer than usual is asked elsewhere too, and the first right answer wins.
- An endpoint that has not answered in time is put aside at once. It is tried again beside everything else, by its
  chain id and its head, and nobody waits for that.
- One that contradicts what is final is in quarantine until it agrees again.

What is known of each is its standing (`standing`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from math import inf
from typing import Any, TypeVar

from tidelog.chain.endpoint.health import about_block
from tidelog.chain.endpoint.pulse import LATE_S
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.questions import QuorumRead, cancelled, guarded
from tidelog.chain.source.standing import POOL_LIMITS, PoolLimits, Standing
from tidelog.errors import ProofFailure, Pruned, Rejected, SourceError, Throttled, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger

__all__ = ["Nobody", "Pool", "QuorumRead"]

T = TypeVar("T")

ROUNDING = 0.05  # of a bound: a request is sent a moment after its question began

_log = logger("pool")


class Nobody(Rejected):
    """There is no endpoint left to ask."""


class Pool(Standing):
    """The endpoints of one chain, in the order of the user's preference, and who of them is asked.

    `give_up_at` is the moment, by the monotonic clock, at which questions end with their last failure.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        runtime: Runtime,
        metrics: ChainMetrics,
        limits: PoolLimits = POOL_LIMITS,
    ) -> None:
        super().__init__(endpoints, runtime, metrics, limits)
        self.give_up_at = inf
        self._aside: dict[str, asyncio.Task[None]] = {}  # by endpoint: what nobody waits for
        self._random = runtime.random("pool")

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
        attempts: int | None = None,
        blocks: int = 0,
        without: Collection[Endpoint] = (),
    ) -> T:
        """Run `work` against an endpoint, and against others after failures or where it takes unusually long.

        Args:
            number: the whole block that is asked for: endpoints that have pruned it are left out for a while.
            blocks: how many whole blocks are asked for; 0 for headers.
            without: these are not asked.

        Raises:
            Nobody: all that could be asked are among `without`.
            SourceError, ProofFailure: the last failure, when all attempts or the time are used up.
        """
        attempts = self._limits.attempts if attempts is None else attempts
        failures = throttled = 0
        last: Endpoint | None = None
        error: SourceError | ProofFailure | None = None
        while True:
            endpoint = await self._pick(number, last, error, without)
            try:
                return await self._hedged(endpoint, work, number, blocks, without)
            except (SourceError, ProofFailure) as failure:
                last, error = endpoint, failure
                self.failed(endpoint, failure, number=number)
                if isinstance(failure, Throttled) and throttled < self._limits.throttled_max:
                    throttled += 1
                else:
                    failures += 1
                if failures >= attempts or self._runtime.monotonic() >= self.give_up_at:
                    if number is not None and isinstance(failure, SourceError):
                        failure.reason = f"block {number}: {failure.reason}"
                    raise
                if number is not None and about_block(failure) and not isinstance(failure, Pruned):
                    await self._rest(endpoint, number, without, failures)

    async def _rest(self, refused: Endpoint, number: int, without: Collection[Endpoint], failures: int) -> None:
        """Before the same endpoint is asked again for a block that it does not give, pause."""
        if self._second(refused, number, without) is None:
            pause_s = min(
                self._limits.health.backoff_max_s, self._limits.health.backoff_first_s * 2.0 ** (failures - 1)
            )
            left_s = self.give_up_at - self._runtime.monotonic()
            await self._runtime.sleep(min(pause_s, max(0.001, left_s)))

    async def _pick(
        self, number: int | None, last: Endpoint | None, error: Exception | None, without: Collection[Endpoint]
    ) -> Endpoint:
        """The endpoint to ask next, waiting until one may be asked."""
        while True:
            self.tend()
            now = self._runtime.monotonic()
            usable = [endpoint for endpoint in self.endpoints if self._health[endpoint.name].usable(number, now)]
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
                pause_s = min(pause_s, self._limits.look_s)
            await self._runtime.sleep(min(pause_s, max(0.001, self.give_up_at - now)))

    def _preference(self, endpoint: Endpoint, last: Endpoint | None) -> tuple[bool, int, float]:
        return endpoint is last, self._health[endpoint.name].failures, endpoint.load

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
        running = {asyncio.create_task(self._answer(first, work, number)): first}
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
                    bound_s = self._limits.look_s
                    if second is not None:
                        self._put_aside(first, taken_s, blocks)
                        running[asyncio.create_task(self._answer(second, work, number))] = second
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
            and self._health[endpoint.name].usable(number, now)
            and self._health[endpoint.name].ready(now)
        ]
        return min(others, key=lambda endpoint: self._preference(endpoint, None), default=None)

    async def _answer(
        self, endpoint: Endpoint, work: Callable[[Endpoint], Awaitable[T]], number: int | None = None
    ) -> T:
        """The answer; note is taken that the endpoint lives."""
        answer = await guarded(endpoint, work)
        self._health[endpoint.name].answered(number)
        return answer

    # -- one question to all endpoints ---------------------------------------------------------------------

    async def quorum_read(
        self,
        work: Callable[[Endpoint], Awaitable[T]],
        *,
        enough: Callable[[Collection[T]], bool] | None = None,
        vote: bool = False,
        blocks: int = 0,
    ) -> QuorumRead[T]:
        """Ask all that may be asked, at once; their answers, in their order, as soon as there are enough.

        Who has not answered within its usual time is put aside, who only is not as quick as others is left to answer
        beside. An endpoint whose last answer has yet to come is not asked again, but where all have a vote.

        Args:
            enough: whether these answers will do; not given: those of more than half of the voters.
            vote: one whose last answer has yet to come is waited for, to be asked too: it may be slower than others at
                each look. Once there are enough, nobody is waited for; where it is no vote, the others have a moment.
            blocks: how many whole blocks are asked for; 0 for headers.
        """
        self.tend()
        if vote:
            await self._linger()
        now = self._runtime.monotonic()
        usable = [endpoint for endpoint in self.endpoints if self._health[endpoint.name].usable(None, now)]
        asked = [e for e in usable if self._health[e.name].ready(now) and e.name not in self._aside]
        enough = enough or (lambda answers: len(answers) * 2 > self.voters)
        answers = await self._collected(asked, work, enough, grace=not vote, blocks=blocks)
        absent = sum(self._votes(endpoint) for endpoint in self.endpoints if endpoint not in answers)
        return QuorumRead(answers, len(answers) + absent)

    async def _collected(
        self,
        asked: Sequence[Endpoint],
        work: Callable[[Endpoint], Awaitable[T]],
        enough: Callable[[Collection[T]], bool],
        *,
        grace: bool = True,
        blocks: int = 0,
    ) -> dict[Endpoint, T]:
        """The answers that came in time. Nobody is late while there is no healthy endpoint that it keeps waiting."""
        running = {asyncio.create_task(self._answer(endpoint, work)): endpoint for endpoint in asked}
        answers: dict[Endpoint, T] = {}
        grace_s = self._limits.grace_s if grace else 0.0
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
                        late_at[endpoint.name] = loop.time() + self._limits.look_s
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
            endpoint not in asked and health.usable(None, now) and health.ready(now) and health.failures == 0
            for endpoint in self.endpoints
            for health in (self._health[endpoint.name],)
        )

    # -- chain id ---------------------------------------------------------------------------------------------

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

    async def _linger(self) -> None:
        """Wait for those that are left to answer beside, so that they can be asked; not for one that is silent."""
        now = self._runtime.monotonic()
        waited = [
            task
            for name, task in self._aside.items()
            if self._health[name].usable(None, now) and not self._health[name].late
        ]
        if waited:
            await asyncio.wait(waited, timeout=self._limits.linger_s)

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
            self._limits.check_max_s, endpoint.pulse.bound_s() * 2.0 ** min(health.failures, 8)
        )  # soon at first, then patient
        try:
            async with asyncio.timeout(limit_s):
                self._named(endpoint, await endpoint.chain_id())
                await endpoint.heads()
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
                late_at = started + endpoint.pulse.bound_s(blocks)  # as a moment: what is left of a span may be too
                left_s = late_at - loop.time()  # little to move the clock by rounding, and the wait would spin
                await asyncio.wait({task}, timeout=self._limits.look_s if left_s <= 0 else left_s)
                if not task.done() and self._silent(endpoint, blocks):
                    self._put_aside(endpoint, loop.time() - started, blocks)
                    return
            if not task.cancelled() and isinstance(error := task.exception(), SourceError | ProofFailure):
                self.failed(endpoint, error)
        finally:
            await cancelled([task])
