"""The one door to clocks, randomness and threads.

Everything that depends on time, chance or another thread asks a `Runtime`, so that the whole engine can
run under a simulated one. Nothing else in tidelog reads a clock, draws a random number or starts a thread.
"""

import asyncio
import atexit
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tidelog import interrupt

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

T = TypeVar("T")

clock = time.monotonic  # for what is measured inside `compute_apart`, where there is no runtime
COMPUTE_THREADS = max(2, os.cpu_count() or 2)  # decoding and proving hold the GIL: more threads gain nothing


def run(main: Coroutine[Any, Any, T], *, brief: bool = False) -> T:
    """Run a program's coroutine in the main thread, on uvloop where it is installed.

    Args:
        brief: it asks a store something and ends, sooner than uvloop is loaded: it runs on asyncio's own loop.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came, and the coroutine, cancelled, had let that end it.
    """
    before = {number: signal.getsignal(number) for number in interrupt.ENDING}
    interrupted = False

    async def interruptible() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            nonlocal interrupted
            interrupted = True
            with suppress(RuntimeError):  # the loop is closed already: the end is near
                loop.call_soon_threadsafe(task.cancel)

        interrupt.on_signals(cancel)
        return await main

    try:
        with asyncio.Runner(loop_factory=None if brief else _loop_factory()) as runner:
            return runner.run(interruptible())
    except asyncio.CancelledError:
        if not interrupted:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Worker(Protocol):
    """A thread of its own: calls run on it one after the other, in the order they were made."""

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the worker's thread; its result or its exception comes back.

        A caller that is cancelled stops waiting; a call that had begun still runs to its end, and the
        next one starts after it. One that had not begun may be left out.
        """
        ...

    async def close(self) -> None:
        """Wait for the calls that were made, then end the thread."""
        ...


class Runtime(Protocol):
    """Clocks, randomness and threads."""

    def now(self) -> float:
        """Wall clock: Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes backwards."""
        ...

    def random(self, component: str) -> random.Random:
        """A random source for one component, so that a new draw in one does not shift the others."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of the monotonic clock; cancelling ends the wait."""
        ...

    async def compute(self, function: Callable[[], T]) -> T:
        """Run a pure function off the event loop."""
        ...

    async def compute_apart(self, function: Callable[[], T]) -> T:
        """Run a picklable pure function in another process where there are some, else as `compute`."""
        ...

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run picklable calls in processes of their own, side by side; their results in order."""
        ...

    def worker(self, name: str) -> Worker:
        """A thread of its own, named for people; the caller closes it."""
        ...

    def reached(self, point: str) -> None:
        """A named point of the code was reached: nothing here, a crash where a test injects one."""
        ...


class ThreadWorker:
    """A `Worker` on a real thread.

    An executor of one thread would do the same; there and back through it takes two and a half times as long
    as through a queue, and that is what a read of one row mostly consists of.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._abandoned = False
        # a daemon, so that a program that fails before it closes its workers is not waited for; see `end`
        self._thread = threading.Thread(target=self._work, name=f"tidelog-{name}", daemon=True)
        _working.add(self)
        self._thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None and not self._abandoned:
            with suppress(RuntimeError):  # the loop that waited is closed
                call()
        _working.discard(self)

    async def call(self, function: Callable[[], T]) -> T:
        if self._closed:
            raise RuntimeError("the worker is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            if answer.cancelled():
                return
            try:
                result = function()
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, answer, error)
            else:
                loop.call_soon_threadsafe(_answer, answer, result)

        self._calls.put(run)
        return await answer

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    def end(self) -> None:
        """Wait for the call that has begun, leave out those behind it, and end the thread."""
        self._closed = self._abandoned = True
        self._calls.put(None)
        self._thread.join()


_working: set[ThreadWorker] = set()  # whose threads run


@atexit.register
def _end_workers() -> None:
    """A thread inside SQLite, while the interpreter takes the connection apart under it, would crash the process."""
    for worker in list(_working):
        worker.end()


def _answer(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


@contextmanager
def _spawned_in_peace() -> Iterator[None]:
    """A process that is spawned in here inherits that Ctrl-C is blocked: it takes none before `_serve_parent`."""
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)


def _serve_parent() -> None:
    """Begin a process of calculation: it lives as long as its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; who ends us is the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class SystemRuntime:
    """The real clocks, the system's randomness, real threads.

    `jobs` is how many processes `compute_apart` uses; with 0 it stays in this one. `close` ends them. `compute` has as
    many threads, at least `COMPUTE_THREADS`: the compiled core releases the GIL.
    """

    def __init__(self, *, jobs: int = 0) -> None:
        threads = max(COMPUTE_THREADS, jobs)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tidelog-compute")
        self._jobs = jobs
        self._apart: ProcessPoolExecutor | None = None

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def random(self, component: str) -> random.Random:
        return random.SystemRandom()  # fit for secrets too: tokens are drawn from it

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def compute(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def compute_apart(self, function: Callable[[], T]) -> T:
        if self._jobs == 0:
            return await self.compute(function)
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        if self._apart is None:
            self._apart = ProcessPoolExecutor(self._jobs, mp_context=get_context("spawn"), initializer=_serve_parent)
        try:
            with _spawned_in_peace():
                result = asyncio.get_running_loop().run_in_executor(self._apart, function)
            return await result
        except BrokenProcessPool:  # a process was killed, for memory perhaps: the next call gets new ones
            self._apart = None
            return await self.compute(function)

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._apart is not None:
            self._apart.shutdown(wait=True, cancel_futures=True)
            self._apart = None

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import active_children, get_context

        # spawned, not forked: a fork would copy threads' locks in their present state
        spawning, others = get_context("spawn"), set(active_children())
        with ProcessPoolExecutor(max_workers=len(calls), mp_context=spawning, initializer=_serve_parent) as pool:
            loop = asyncio.get_running_loop()
            with _spawned_in_peace():
                results = [loop.run_in_executor(pool, call) for call in calls]
            try:
                return await asyncio.gather(*results)
            except BaseException:  # the others' results are not needed any more
                for process in set(active_children()) - others:
                    process.terminate()
                raise

    def worker(self, name: str) -> Worker:
        return ThreadWorker(name)

    def reached(self, point: str) -> None:
        pass
