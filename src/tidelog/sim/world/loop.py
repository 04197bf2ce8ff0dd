"""An asyncio event loop whose time is a number: it jumps to the next timer when nothing is ready.

There is no selector, no socket and no thread in it; what would need one is an error. The same program over the
same seeds takes the same steps, so that a run can be told by the number of its step.

A *domain* is a simulated process: every callback belongs to the one that its context names. A domain that is
killed takes no further step, as a process that was killed takes none.
"""

import asyncio
import contextvars
import heapq
import sys
import threading
import weakref
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from itertools import count
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEPS_MAX = 2_000_000  # of one run: what takes more will never end
IDLE_STEPS_MAX = 200_000  # without time passing: somebody turns without waiting for anything
THROWS_MAX = 50  # awaits in the `finally` blocks of a coroutine that was killed

DOMAIN: ContextVar[int] = ContextVar("DOMAIN", default=0)  # 0: the world around the simulated processes

_Coro = Coroutine[Any, Any, T] | Generator[Any, None, T]


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class Escaped(AssertionError):
    """Something wanted a thread, a socket or a signal, or came from another thread."""


class Killed(BaseException):
    """What coroutines of a killed domain meet: no `except Exception` holds it up."""


def _of_the_living(told: Callable[[Any], object]) -> Callable[[Any], object]:
    """A hook for errors that nobody can take, without those of a dead process that releases what it had open."""

    def tell(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Killed):
            told(unraisable)

    return tell


class _Future(asyncio.Future[T]):
    """A future that knows whose it is."""

    domain = 0


class _Timer(NamedTuple):
    """What is due at a time; of several at one time, in the order in which they were set."""

    at_s: float
    number: int
    domain: int
    handle: asyncio.TimerHandle


class SimLoop(asyncio.AbstractEventLoop):
    """The loop. `steps` counts callbacks that ran; `domain_steps` those of each domain."""

    def __init__(self) -> None:
        self.steps = 0
        self.domain_steps: dict[int, int] = {}
        self.on_step: Callable[[int, int], None] = lambda domain, step: None
        self.failures: list[BaseException] = []  # that no task's owner has asked for
        self._now = 0.0
        self._numbers = count()  # timers of one moment fire in the order they were set
        self._ready: deque[tuple[int, asyncio.Handle]] = deque()
        self._timers: list[_Timer] = []
        self._tasks: dict[asyncio.Task[Any], int] = {}  # those that are not done, by domain
        self._failed: list[tuple[int, weakref.ref[asyncio.Task[Any]]]] = []  # tasks that ended with an error
        self._dead: set[int] = set()
        self._thread = threading.get_ident()
        self._running = self._closed = False
        self._idle_steps = 0

    # -- time and callbacks ---------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._check_thread()
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context.get(DOMAIN, 0), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._check_thread()
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, _Timer(when, next(self._numbers), context.get(DOMAIN, 0), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays until it is due, and is then left out."""

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise Escaped("a thread called into the simulated loop: start none but through Runtime")

    # -- futures and tasks ----------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future[Any](loop=self)
        future.domain = DOMAIN.get()
        return future

    def create_task(
        self, coro: _Coro[T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        context = contextvars.copy_context() if context is None else context
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = context.get(DOMAIN, 0)
        task.add_done_callback(self._forget, context=Context())
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        domain = self._tasks.pop(task, None)
        if domain and not task.cancelled() and task._exception is not None:  # not by asking, which would be a taking
            self._failed.append((domain, weakref.ref(task)))

    def waiting(self) -> list[str]:
        """Who waits, and where: one line for each task that is not done."""
        lines = []
        for task, domain in self._tasks.items():
            frames = task.get_stack(limit=1)
            place = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "nowhere"
            lines.append(f"domain {domain}: {getattr(task.get_coro(), '__qualname__', task)} at {place}")
        return lines

    # -- running --------------------------------------------------------------------------------------------

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        main: asyncio.Future[T] = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]
        previous = sys.get_asyncgen_hooks()
        told = sys.unraisablehook
        sys.set_asyncgen_hooks(finalizer=self._finalize)
        sys.unraisablehook = _of_the_living(told)
        events._set_running_loop(self)
        self._running = True
        try:
            while not main.done():
                self._turn()
        finally:
            self._running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*previous)
            sys.unraisablehook = told
        return main.result()

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A generator that nobody closed was collected: close it, unless its process is gone."""
        if not self._closed and DOMAIN.get() not in self._dead:
            self.create_task(generator.aclose())

    def _turn(self) -> None:
        """Run what is ready; where nothing is, let time pass to the next timer."""
        while self._timers and (self._timers[0].handle.cancelled() or self._timers[0].domain in self._dead):
            heapq.heappop(self._timers)
        if not self._ready:
            if not self._timers:
                raise Deadlock("nothing is ready and no timer is set; waiting: " + "; ".join(self.waiting()))
            if self._timers[0].at_s > self._now:
                self._now, self._idle_steps = self._timers[0].at_s, 0
        while self._timers and self._timers[0].at_s <= self._now:
            _, _, domain, timer = heapq.heappop(self._timers)
            self._ready.append((domain, timer))
        for _ in range(len(self._ready)):
            domain, handle = self._ready.popleft()
            if not handle.cancelled() and domain not in self._dead:
                self._step(domain, handle)

    def _step(self, domain: int, handle: asyncio.Handle) -> None:
        self.steps += 1
        self._idle_steps += 1
        if self.steps > STEPS_MAX or self._idle_steps > IDLE_STEPS_MAX:
            raise Deadlock(f"{self.steps} steps, {self._idle_steps} of them at {self._now} s: " + repr(handle))
        step = self.domain_steps[domain] = self.domain_steps.get(domain, 0) + 1
        self.on_step(domain, step)
        if domain not in self._dead:
            handle._run()

    # -- domains --------------------------------------------------------------------------------------------

    def kill(self, domain: int) -> None:
        """The domain takes no further step. Its coroutines stay as they are until `bury`."""
        self._dead.add(domain)

    def bury(self, domain: int) -> None:
        """Unwind what is left of a killed domain; its `finally` blocks run now, against ports that refuse."""
        for owner, failed in self._failed:
            if owner == domain and (ended := failed()) is not None:
                ended._log_traceback = False  # whoever was to take its error is dead
        self._failed = [(owner, failed) for owner, failed in self._failed if owner != domain and failed() is not None]
        for task in [task for task, owner in self._tasks.items() if owner == domain]:
            coro = task.get_coro()
            for _ in range(THROWS_MAX):
                try:
                    assert coro is not None
                    coro.throw(Killed())
                except BaseException:  # nobody is left to hear of it
                    break
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            del self._tasks[task]

    # -- what a loop has to answer --------------------------------------------------------------------------

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if getattr(context.get("future"), "domain", 0) in self._dead:
            return  # whoever was to take the error is dead
        if not isinstance(error, Killed | asyncio.CancelledError):
            self.failures.append(error if error is not None else AssertionError(str(context.get("message"))))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Unwind what is left, in every domain."""
        for domain in sorted(set(self._tasks.values())):
            self.kill(domain)
            self.bury(domain)
        self._ready.clear()
        self._timers.clear()
        self._closed = True

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        raise Escaped(f"{func} was to run on a thread: work goes through Runtime")
