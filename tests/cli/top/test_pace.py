"""The time in a journal: it is now, or goes as a replay does."""

from tests.runtime import FakeRuntime
from tidelog.cli.top.pace import LATE_S, Pace, PacedRuntime

S = 1_000_000
BEGIN_US, END_US = 1_000 * S, 2_000 * S


def replay(speed: float = 10.0) -> tuple[Pace, FakeRuntime]:
    runtime = FakeRuntime()
    return Pace(runtime, speed, BEGIN_US, END_US), runtime


def test_without_a_speed_it_is_now_and_nothing_is_waited_for() -> None:
    runtime = FakeRuntime()
    pace = Pace(runtime)
    runtime.clock = 5.0
    pace.stand(still=True)
    pace.skip_to(pace.now_us() + S)
    pace.reached(0)
    assert pace.now_us() == int(runtime.now() * S)
    assert not pace.ended


def test_a_replay_goes_so_many_times_as_fast_up_to_its_end() -> None:
    pace, runtime = replay()
    assert pace.now_us() == BEGIN_US
    runtime.clock = 3.0
    assert pace.now_us() == BEGIN_US + 30 * S
    assert PacedRuntime(pace).now() == 1_030.0
    runtime.clock = 101.0
    assert (pace.now_us(), pace.ended) == (END_US, True)


def test_it_stands_still_and_goes_on_from_there() -> None:
    pace, runtime = replay()
    runtime.clock = 1.0
    pace.stand(still=True)
    runtime.clock = 50.0
    assert pace.now_us() == BEGIN_US + 10 * S
    pace.stand(still=False)
    runtime.clock = 51.0
    assert pace.now_us() == BEGIN_US + 20 * S


async def test_a_record_is_waited_for_until_its_time_and_none_for_the_time_between_runs() -> None:
    pace, runtime = replay()
    await pace.until(BEGIN_US + 20 * S)
    assert 2.0 <= runtime.clock < 2.1
    pace.skip_to(BEGIN_US + 500 * S)
    await pace.until(BEGIN_US + 500 * S)
    assert runtime.clock < 2.1
    pace.skip_to(BEGIN_US)  # which is past
    assert pace.now_us() == BEGIN_US + 500 * S


def test_time_waits_for_who_reads_slowly_but_not_for_what_was_before_the_replay() -> None:
    pace, runtime = replay()
    runtime.clock = 10.0
    pace.reached(BEGIN_US - S)  # what brings a core to the beginning
    assert pace.now_us() == BEGIN_US + 100 * S
    pace.reached(BEGIN_US + 98 * S)  # in time
    assert pace.now_us() == BEGIN_US + 100 * S
    pace.reached(BEGIN_US + 50 * S)
    assert pace.now_us() == BEGIN_US + int((50 + LATE_S * 10) * S)
