"""The numbers of trades that come without ids, as in Kraken's v1: each among those of its microsecond. Pure.

A snapshot repeats trades that came before, so that its numbers begin at 0, but for its oldest time, of which it may
have the last trades alone. Those of an update continue where the frame before it ended: equal fills come in frames of
their own.
"""

from collections.abc import Mapping, Sequence

from tidelog.market.projection.state import SymbolState

MOMENT_TRADES = 100  # whose times are remembered: twice as many as a snapshot repeats


def number_trades(known: SymbolState, times: Sequence[int]) -> list[int]:
    """The number of each trade of a frame, by their times; `known` is changed to what the next frame continues."""
    counts = {known.tick_us: known.ticks}
    ordinals = []
    if known.repeats and times:
        oldest_us = min(times)
        counts = {oldest_us: max(0, dict(known.moments).get(oldest_us, 0) - times.count(oldest_us))}
        known.tick_us = known.ticks = 0
        known.repeats = False
    for time_us in times:
        ordinal = counts.get(time_us, 0)
        ordinals.append(ordinal)
        counts[time_us] = ordinal + 1
        if time_us >= known.tick_us:
            known.tick_us, known.ticks = (
                time_us,
                max(counts[time_us], known.ticks * (time_us == known.tick_us)),
            )
    known.moments = _latest(known.moments, {time_us: counts[time_us] for time_us in times})
    return ordinals


def _latest(moments: tuple[tuple[int, int], ...], more: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """The latest times, each with the most trades that it was seen to have, of MOMENT_TRADES or a few more."""
    merged = dict(moments)
    for time_us, count in more.items():
        merged[time_us] = max(merged.get(time_us, 0), count)
    kept: list[tuple[int, int]] = []
    trades = 0
    for time_us in sorted(merged, reverse=True):
        if trades >= MOMENT_TRADES:
            break
        kept.append((time_us, merged[time_us]))
        trades += merged[time_us]
    return tuple(kept[::-1])
