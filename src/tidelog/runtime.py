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
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

COMPUTE_THREADS = max(2, os.cpu_count() or 2)  # decoding and proving hold the GIL: more threads gain nothing


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's coroutine, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


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

    async def sleep(self, seconds: float) -> None: ...

    async def compute(self, function: Callable[[], T]) -> T:
        """Run a pure function off the event loop."""
        ...

    async def compute_apart(self, function: Callable[[], T]) -> T:
        """Run a picklable pure function in another process where there are some, else as `compute`."""
        ...

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run picklable calls in processes of their own, side by side; their results in order."""
        ...

    def worker(self, name: str) -> Worker: ...

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


def _serve_parent() -> None:
    """Begin a process of `compute_apart`: it lives as long as its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; who ends us is the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class SystemRuntime:
    """The real clocks, the system's randomness, real threads.

    `jobs` is how many processes `compute_apart` uses; with 0 it stays in this one. `close` ends them.
    """

    def __init__(self, *, jobs: int = 0) -> None:
        self._pool = ThreadPoolExecutor(max_workers=COMPUTE_THREADS, thread_name_prefix="tidelog-compute")
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
        if self._apart is None:
            self._apart = ProcessPoolExecutor(self._jobs, mp_context=get_context("spawn"), initializer=_serve_parent)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._apart, function)
        except BrokenProcessPool:  # a process was killed, for memory perhaps: the next call gets new ones
            self._apart = None
            return await self.compute(function)

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._apart is not None:
            self._apart.shutdown(wait=True, cancel_futures=True)
            self._apart = None

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        # spawned, not forked: a fork would copy threads' locks in whatever state they are
        with ProcessPoolExecutor(max_workers=len(calls), mp_context=get_context("spawn")) as pool:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, call) for call in calls))

    def worker(self, name: str) -> Worker:
        return ThreadWorker(name)

    def reached(self, point: str) -> None:
        pass
