"""`tidelog sim run`: the engine under deterministic simulation, one seed or many."""

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct, structs

from tidelog.chain.proof.senders import require_senders
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime
from tidelog.runtime import run as run_loop
from tidelog.sim.runs.play import Verdict, generate, play, shrunk
from tidelog.sim.scenario import schedule as plan

SEEDS_MAX = 1_000_000  # of one command
EVENTS_MAX = 10_000  # of one schedule
TRACE_LINES = 40  # the last ones, shown where a run failed


class Extras(Struct, frozen=True):
    """What a simulated chain, or market, has besides; see `generate`."""

    contracts: bool = False
    selection: bool = False
    asked: bool = False
    untagged: bool = False
    streams: bool = False
    kafka: bool = False
    webhooks: bool = False
    shards: bool = False

    @property
    def engine(self) -> str:
        """What is published to. ConfigError: to more than one."""
        wanted = {plan.NATS: self.streams, plan.KAFKA: self.kafka, plan.WEBHOOKS: self.webhooks}
        named = [engine for engine, is_wanted in wanted.items() if is_wanted]
        if len(named) > 1:
            raise ConfigError("give one of --streams, --kafka and --webhooks")
        return named[0] if named else ""

    @property
    def flags(self) -> str:
        """As the command line has them, each behind a space."""
        return "".join(f" --{name}" for name, value in structs.asdict(self).items() if value)


def run_seeds(
    *,
    seed: int | None,
    seeds: str | None,
    steps: int | None,
    schedule: Path | None,
    chain: bool,
    market: bool,
    extras: Extras,
    shrink: bool,
    jobs: int | None,
) -> None:
    """Run what is asked for, and end the process; see `tidelog sim run`."""
    if (seed is not None) + (seeds is not None) + (schedule is not None) != 1:
        raise ConfigError("give one of --seed, --seeds and --schedule")
    if steps is not None and not 0 <= steps <= EVENTS_MAX:
        raise ConfigError(f"--steps {steps}: give 0 to {EVENTS_MAX}")
    if schedule is not None and (chain or market or steps is not None or extras != Extras()):
        raise ConfigError("a schedule says itself what it is of: leave --chain, --market, --steps and the like out")
    _require_client(extras.engine)
    kinds = [kind for kind, wanted in ((plan.CHAIN, chain), (plan.MARKET, market)) if wanted]
    if seeds is not None:
        first, last = _span(seeds)
        wanted = [(kind, number) for number in range(first, last + 1) for kind in kinds or [_kind_of(number)]]
        _require_libraries({kind for kind, _ in wanted})
        sys.exit(run_loop(_many(wanted, steps, extras, jobs if jobs is not None else os.cpu_count() or 1)))
    if schedule is not None:
        plans = [plan.decode(_read(schedule))]
    else:
        assert seed is not None
        plans = [_drawn(kind, seed, steps, extras) for kind in kinds or [_kind_of(seed)]]
    _require_libraries({each.kind for each in plans})
    sys.exit(0 if all(list(map(partial(_one, shrink=shrink), plans))) else 1)


def _require_libraries(kinds: set[str]) -> None:
    """ConfigError: a run of a chain recovers senders, and the library for that is not installed."""
    if plan.CHAIN in kinds:
        require_senders()


def _require_client(engine: str) -> None:
    """ConfigError: the twin of Kafka's brokers is spoken to by Kafka's client, which is not installed."""
    if engine == plan.KAFKA:
        from tidelog.stream.kafka.clients import require_client

        require_client()


def _kind_of(seed: int) -> str:
    """Which scenario a seed is where the user leaves it open: each is half of them."""
    return plan.MARKET if seed % 2 else plan.CHAIN


def _one(schedule: plan.Schedule, *, shrink: bool) -> bool:
    print(plan.encode(schedule), flush=True)
    verdict = play(schedule)
    print(_line(schedule.kind, schedule.seed, verdict), flush=True)
    if verdict.ok:
        return True
    for text in verdict.violations:
        print(f"broken: {text}")
    if shrink:
        print("shrunk:", plan.encode(shrunk(schedule, lambda smaller: not play(smaller).ok)), flush=True)
    else:
        for line in verdict.last[-TRACE_LINES:]:
            print(f"  {line}")
    return False


def _line(kind: str, seed: int, verdict: Verdict) -> str:
    told = "held" if verdict.ok else "BROKEN"
    return (
        f"{kind} seed {seed}: every promise {told}; trace {verdict.digest[:32]}, {verdict.steps} steps, "
        f"{verdict.lives} starts, {verdict.seconds:.1f} simulated seconds"
    )


async def _many(wanted: Sequence[tuple[str, int]], steps: int | None, extras: Extras, jobs: int) -> int:
    """Run them all, in so many processes; the exit code."""
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: give 1 or more")
    runtime = SystemRuntime(jobs=jobs)
    started = runtime.monotonic()
    room = asyncio.Semaphore(2 * jobs)
    failed = 0

    async def one(kind: str, seed: int) -> None:
        nonlocal failed
        async with room:
            verdict = await runtime.compute_apart(partial(_tried, kind, seed, steps, extras))
        if not verdict.ok:
            failed += 1
            print(_line(kind, seed, verdict))
            print(
                f"  {verdict.violations[0]}\n  again: tidelog sim run --seed {seed} --{kind}{extras.flags} --shrink",
                flush=True,
            )

    try:
        async with asyncio.TaskGroup() as group:
            for kind, seed in wanted:
                group.create_task(one(kind, seed))
    finally:
        runtime.close()
    print(f"{len(wanted)} runs, {failed} broken, {runtime.monotonic() - started:.0f} s in {jobs} processes")
    return 1 if failed else 0


def _tried(kind: str, seed: int, steps: int | None, extras: Extras) -> Verdict:
    return play(_drawn(kind, seed, steps, extras))


def _drawn(kind: str, seed: int, steps: int | None, extras: Extras) -> plan.Schedule:
    return generate(
        kind,
        seed,
        steps=steps,
        contracts=extras.contracts,
        selection=extras.selection,
        asked=extras.asked,
        untagged=extras.untagged,
        engine=extras.engine,
        shards=extras.shards,
    )


def _span(text: str) -> tuple[int, int]:
    first, separator, last = text.partition("-")
    if not first.isdecimal() or (separator and not last.isdecimal()):
        raise ConfigError(f"--seeds {text}: write the first and the last as 0-99")
    low, high = int(first), int(last or first)
    if high < low or high - low >= SEEDS_MAX:
        raise ConfigError(f"--seeds {text}: give up to {SEEDS_MAX} seeds, in order")
    return low, high


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--schedule {path}: cannot be read ({error.strerror})") from None
