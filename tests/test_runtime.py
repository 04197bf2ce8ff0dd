"""The worker thread: one call after the other, and nobody waits for what nobody wants. How a program is interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

from tests.patience import HANGS_S
from tidelog.interrupt import ENDING
from tidelog.runtime import ThreadWorker, run


async def test_calls_run_in_order_on_one_thread_of_their_own() -> None:
    worker = ThreadWorker("test")
    seen: list[tuple[int, int]] = []

    def see(number: int) -> None:
        seen.append((number, threading.get_ident()))

    await asyncio.gather(*(worker.call(partial(see, number)) for number in range(50)))
    await worker.close()
    assert [number for number, _ in seen] == list(range(50))
    assert len({thread for _, thread in seen} - {threading.get_ident()}) == 1


async def test_results_and_errors_come_back() -> None:
    worker = ThreadWorker("test")
    assert await worker.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0)
    assert await worker.call(lambda: 8) == 8
    await worker.close()


async def test_a_call_that_had_begun_runs_to_its_end_though_its_caller_is_gone() -> None:
    worker, begun, go = ThreadWorker("test"), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    done: list[str] = []

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait()
        done.append("slow")

    first = asyncio.ensure_future(worker.call(slow))
    await begun.wait()
    second = asyncio.ensure_future(worker.call(lambda: done.append("never begun")))
    await asyncio.sleep(0)
    for task in (first, second):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()
    await worker.call(lambda: done.append("next"))
    assert done == ["slow", "next"]
    await worker.close()


async def test_closing_waits_for_the_calls_that_were_made() -> None:
    worker, done = ThreadWorker("test"), list[int]()
    calls = [asyncio.ensure_future(worker.call(partial(done.append, n))) for n in range(5)]
    await asyncio.sleep(0)
    await worker.close()
    assert done == list(range(5))
    await asyncio.gather(*calls)
    await worker.close()
    with pytest.raises(RuntimeError, match="closed"):
        await worker.call(lambda: None)


FAILS = """
import asyncio, threading
from tidelog.interrupt import ENDING
from tidelog.runtime import ThreadWorker, run

begun, gone = threading.Event(), threading.Event()

def slow():
    begun.set()
    gone.wait()
    threading.Event().wait(0.05)  # into the interpreter's end, if that does not wait
    print("ended")

async def main():
    worker = ThreadWorker("test")
    calls = [asyncio.ensure_future(worker.call(call)) for call in (slow, lambda: print("never begun"))]
    await asyncio.to_thread(begun.wait)
    raise RuntimeError("a fault")

try:
    asyncio.run(main())
finally:
    gone.set()
"""


def test_a_program_that_fails_ends_after_the_call_that_had_begun() -> None:
    """A thread that is inside a library while the interpreter is taken apart may crash the process."""
    done = subprocess.run([sys.executable, "-c", FAILS], capture_output=True, text=True, timeout=HANGS_S)
    assert (done.returncode, done.stdout) == (1, "ended\n"), done.stderr
    assert done.stderr.endswith("RuntimeError: a fault\n")


# -- a program's loop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_cancels_the_program_which_ends_in_order(number: signal.Signals) -> None:
    ended: list[str] = []
    before = [signal.getsignal(number) for number in ENDING]

    async def program() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append("in order")

    with pytest.raises(KeyboardInterrupt):
        run(program())
    assert ended == ["in order"]
    assert [signal.getsignal(number) for number in ENDING] == before


def test_a_program_that_is_done_all_the_same_has_its_result() -> None:
    async def program() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 7

    assert run(program()) == 7


def test_a_cancellation_of_its_own_is_no_interruption() -> None:
    async def program() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(program())


STUBBORN = """
import asyncio, os, signal, time
from tidelog.runtime import run

async def main():
    os.kill(os.getpid(), signal.SIGINT)
    print("asked", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(3600)

run(main())
"""


def test_a_second_signal_ends_a_program_that_is_too_busy_to_hear_the_first() -> None:
    done = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, timeout=HANGS_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"asked\n", b"")
