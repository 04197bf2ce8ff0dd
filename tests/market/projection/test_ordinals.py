"""Numbers of trades without ids: in a microsecond, across frames, and in a snapshot that repeats what came before."""

from tidelog.market.projection.ordinals import MOMENT_TRADES, number_trades
from tidelog.market.projection.state import SymbolState

Frame = tuple[bool, list[int], list[int]]  # whether it may repeat others, the trades' times, their numbers

CASES: dict[str, list[Frame]] = {
    "trades of different times": [(False, [10, 20, 30], [0, 0, 0])],
    "fills of one microsecond in one frame": [(False, [10, 10, 10], [0, 1, 2])],
    "... and in frames of their own": [(False, [10], [0]), (False, [10], [1]), (False, [10, 11], [2, 0])],
    "a later time begins at nought": [(False, [10, 10], [0, 1]), (False, [11], [0])],
    "a snapshot repeats what came": [(False, [10, 10, 11], [0, 1, 0]), (True, [10, 10, 11], [0, 1, 0])],
    "... its oldest time cut": [(False, [10, 10, 10, 11], [0, 1, 2, 0]), (True, [10, 11], [2, 0])],
    "... then what follows goes on": [(False, [10, 10], [0, 1]), (True, [10, 10, 12], [0, 1, 0]), (False, [12], [1])],
    "an empty snapshot": [(False, [10], [0]), (True, [], []), (True, [10], [0])],
}


def test_numbers() -> None:
    for name, frames in CASES.items():
        known = SymbolState(trades=0)
        for repeats, times, numbers in frames:
            known.repeats = repeats or known.repeats
            assert number_trades(known, times) == numbers, name


def test_times_are_remembered_of_so_many_trades() -> None:
    known = SymbolState(trades=0)
    for time_us in range(3 * MOMENT_TRADES):
        number_trades(known, [time_us])
    assert [time_us for time_us, _ in known.moments] == list(range(2 * MOMENT_TRADES, 3 * MOMENT_TRADES))
