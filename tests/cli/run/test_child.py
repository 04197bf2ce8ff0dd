"""A process under supervision, with small programs in its place: what it says, how it ends, what becomes of it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patience import HANGS_S
from tidelog.cli.run.channel import Order, line
from tidelog.cli.run.child import Child
from tidelog.cli.run.metrics import RunMetrics
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import rendered

HEAD = "import os, sys, json, time, signal\nsay = lambda **what: print(json.dumps(what), flush=True)\n"
CONFIG = "the text"


def child(program: str, *, stable_s: float = 60.0, config: str = CONFIG) -> Child:
    made = Child("x", [sys.executable, "-c", HEAD + program], dict(os.environ), config, SystemRuntime(), stable_s)
    made.start()
    return made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(HANGS_S):
        while not condition():  # noqa: ASYNC110 - of state that nobody announces
            await asyncio.sleep(0.005)


async def stop(stopped: Child, *, timeout_s: float = HANGS_S, hurry: bool = False) -> None:
    hurried = asyncio.Event()
    if hurry:
        hurried.set()
    await stopped.stop(timeout_s, hurried)


ENDINGS = [
    # a program                                   why it stays down, or else why it ended
    ("sys.exit(2)", "it cannot do what it is asked to: it ended with exit code 2", None),
    ("say(failed='no such file'); sys.exit(2)", "it cannot do what it is asked to: no such file", None),
    ("sys.exit(6)", "the store contradicts itself: it ended with exit code 6", None),
    ("sys.exit(7)", "the source contradicts what is final: it ended with exit code 7", None),
    ("sys.exit(3)", None, "it ended with exit code 3"),
    ("say(failed='nobody answers'); sys.exit(3)", None, "nobody answers"),
    ("sys.exit(0)", None, "it ended with exit code 0"),
    ("os.kill(os.getpid(), 9)", None, "it ended with SIGKILL"),
    ("print('hello'); print('{}'); print('x' * 200_000); sys.exit(3)", None, "it ended with exit code 3"),
]


@pytest.mark.parametrize(("program", "down", "trouble"), ENDINGS)
async def test_exit_codes_decide_what_becomes_of_a_child(program: str, down: str | None, trouble: str | None) -> None:
    made = child(program)
    await until(lambda: made.down is not None or made.restarts >= 1)
    assert (made.down, made.restarts >= 1) == (down, down is None)
    if trouble is not None:
        assert made.trouble == trouble
    await stop(made, hurry=True)
    assert not made.up


async def test_each_end_has_its_own_reason(tmp_path: Path) -> None:
    first = tmp_path / "first"
    made = child(
        f"first = {str(first)!r}\nif not os.path.exists(first):\n"
        "    open(first, 'w').close(); say(failed='nobody answers'); sys.exit(3)\n"
        "os.kill(os.getpid(), 9)"
    )
    await until(lambda: made.restarts >= 2)
    assert made.trouble == "it ended with SIGKILL"
    await stop(made, hurry=True)


async def test_a_child_gets_its_configuration_and_orders_and_says_that_it_runs() -> None:
    made = child(
        "text = json.loads(sys.stdin.readline())['config']\nsay(running=True)\n"
        "level = json.loads(sys.stdin.readline())['level']\nsay(failed=text + ' ' + level); sys.exit(2)"
    )
    await until(lambda: made.running)
    made.tell(Order(level="debug"))
    await until(lambda: made.down is not None)
    assert made.down == f"it cannot do what it is asked to: {CONFIG} debug"
    assert not made.running
    await stop(made)


async def test_a_stable_child_restarts_at_once_and_an_unstable_one_backs_off() -> None:
    stable, other = child("sys.exit(1)", stable_s=0.0), child("sys.exit(1)")
    await until(lambda: stable.restarts >= 5)
    assert other.restarts < stable.restarts
    await asyncio.gather(stop(stable, hurry=True), stop(other, hurry=True))


async def test_a_child_is_terminated_and_killed_if_it_does_not_end() -> None:
    kind = child("signal.signal(15, lambda *a: sys.exit(0)); say(running=True)\nwhile True: time.sleep(1)")
    deaf = child("signal.signal(15, signal.SIG_IGN); say(running=True)\nwhile True: time.sleep(1)")
    for each in (kind, deaf):
        await until(lambda each=each: each.running)  # type: ignore[misc]
    await stop(kind)
    await stop(deaf, timeout_s=0.2)
    assert (kind.last_exit, deaf.last_exit) == (0, -signal.SIGKILL)


async def test_a_hurried_stop_kills_at_once() -> None:
    deaf = child("signal.signal(15, signal.SIG_IGN); say(running=True)\nwhile True: time.sleep(1)")
    await until(lambda: deaf.running)
    await stop(deaf, timeout_s=1_000.0, hurry=True)
    assert deaf.last_exit == -signal.SIGKILL


async def test_a_child_can_be_stopped_while_it_backs_off() -> None:
    made = child("sys.exit(1)")
    await until(lambda: made.last_exit is not None)
    await stop(made)
    assert not made.up


async def test_a_child_s_input_ends_with_its_supervisor() -> None:
    """As it would when the supervisor is killed: the process sees the end of its standard input."""
    made = child("sys.stdin.readline(); say(running=True); sys.stdin.read(); say(failed='alone'); sys.exit(6)")
    await until(lambda: made.running)
    assert made._process is not None
    assert made._process.stdin is not None
    made._process.stdin.close()
    await until(lambda: made.down is not None)
    assert made.down == "the store contradicts itself: alone"
    await stop(made)


async def test_a_program_that_is_not_there() -> None:
    made = Child("x", ["/nowhere/at/all"], {}, CONFIG, SystemRuntime(), 60.0)
    made.start()
    await until(lambda: made.restarts >= 1)
    assert made.trouble == "it could not be started: No such file or directory"
    await stop(made, hurry=True)


async def test_starts_and_ends_are_counted() -> None:
    made, metrics = child("sys.exit(6)"), RunMetrics()
    await until(lambda: made.down is not None)
    metrics.look([made])
    text = rendered(metrics.registry).decode()
    for sample in ("_up", "_stays_down", "_last_exit_code", "_restarts_total"):
        value = {"_up": 0.0, "_stays_down": 1.0, "_last_exit_code": 6.0, "_restarts_total": 0.0}[sample]
        assert f'tidelog_run{sample}{{source="x"}} {value}' in text
    metrics.forget("x")
    assert 'source="x"' not in rendered(metrics.registry).decode()
    await stop(made)


def test_an_order_is_one_line_of_json() -> None:
    said = line(Order(config="a\nb", level="info"))
    assert (said.count(b"\n"), json.loads(said)) == (1, {"config": "a\nb", "level": "info"})
