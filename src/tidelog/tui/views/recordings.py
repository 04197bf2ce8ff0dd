"""The overview's part of recordings: each with its shards, its delays as histograms, and the streams. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from tidelog.tui.answers import Market, RecordingStats, Stats
from tidelog.tui.figures import age, bars, count, rate
from tidelog.tui.lines import Line, Style, line, row
from tidelog.tui.questions import STATS
from tidelog.tui.times import time_us
from tidelog.tui.views.scene import Scene

__all__ = ["STATES", "recording_lines", "stream_lines"]

STATES: dict[str, Style] = {"proven": "good", "unproven": "warn", "gap": "bad"}
COLUMNS = (10, -6, -11, -12, -10, -5, -7, -5)
MOST = 0.99  # of what is timed
STORED_S = 5.0  # that the store may be behind before it is marked
SHARD = "."  # between the name of a recording and the number of its shard's process


def recording_lines(scene: Scene, markets: Sequence[Market]) -> Iterator[Line]:
    """Each recording; below it, where metrics are there, its journal and its delays."""
    stats = scene.world.answer(STATS)
    if not isinstance(stats, Stats) or not stats.recordings:
        return
    head = ("recording", "msgs/s", "trades", "ok/unpr./gap", "stored", "wrong", "resyncs", "gaps")
    yield row([(cell, "title") for cell in head], COLUMNS)
    for each in stats.recordings:
        processes = _processes(scene, each.recording)
        yield _recording_line(scene, each, markets, processes)
        yield from _delay_lines(scene, processes)
        if len(processes) > 1:
            for process in processes:
                yield _shard_line(scene, process)


def _processes(scene: Scene, recording: str) -> list[str]:
    """Those that record it: one, or one for each of its shards."""
    names = {each.labels.get("process", "") for each in scene.samples.of("tidelog_market_gaps_opened_total")}
    own = [name for name in names if name == recording or name.startswith(f"{recording}{SHARD}")]
    return sorted(own, key=lambda name: (len(name), name))


def _total(scene: Scene, name: str, processes: Iterable[str]) -> float | None:
    values = [scene.samples.total(f"tidelog_market_{name}", process=process) for process in processes]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _recording_line(scene: Scene, stats: RecordingStats, markets: Sequence[Market], processes: Sequence[str]) -> Line:
    name = stats.recording
    worths = [market.book.state for market in markets if market.recording == name and market.book]
    rates = [per_s for process in processes if (per_s := scene.world.per_s(f"frames {process}")) is not None]
    per_s = sum(rates) if rates else scene.world.per_s(f"records {name}")
    mismatches, resyncs, gaps = (
        _total(scene, f"{what}_total", processes) for what in ("checksum_mismatches", "resyncs", "gaps_opened")
    )
    stored_us = time_us(stats.time)
    lag_s = None if stored_us is None else (scene.now_us - stored_us) / 1e6
    bad = worths.count("unproven") + worths.count("gap")
    cells: list[str | tuple[str, Style]] = [
        scene.says(name),
        rate(per_s),
        "-" if stats.trades is None else count(stats.trades),
        (" / ".join(str(worths.count(state)) for state in STATES), "warn" if bad else "good"),
        ("-" if lag_s is None else f"{age(lag_s)} ago", "warn" if lag_s is not None and lag_s > STORED_S else ""),
        ("-" if mismatches is None else count(int(mismatches)), "warn" if mismatches else ""),
        "-" if resyncs is None else count(int(resyncs)),
        ("-" if gaps is None else count(int(gaps)), "warn" if gaps else ""),
    ]
    return row(cells, COLUMNS)


def _delay_lines(scene: Scene, processes: Sequence[str]) -> Iterator[Line]:
    """From the exchange's stamp to receipt, and from receipt to who consumes it; how far journal and store are."""
    delays: list[str | tuple[str, Style]] = []
    for what, name in (("to us", "event_latency"), ("to consumers", "event_handling")):
        found = _histogram(scene, f"tidelog_market_{name}_seconds", processes)
        delays += [] if found is None else [(f"  {what} ", "dim"), *found]
    if delays:
        yield line(*delays)
    unsynced = _total(scene, "journal_unsynced_frames", processes)
    lags = [scene.samples.total("tidelog_market_loader_lag_seconds", process=each) for each in processes]
    lag_s = max((each for each in lags if each is not None), default=None)
    if unsynced is not None and lag_s is not None:
        late: Style = "warn" if lag_s > STORED_S else ""
        yield line(
            ("  journal ", "dim"),
            f"{count(int(unsynced))} records not on the disk yet",
            ("  store ", "dim"),
            (f"{age(lag_s)} behind it", late),
        )


def _histogram(scene: Scene, name: str, processes: Sequence[str]) -> list[str | tuple[str, Style]] | None:
    """A bar for each bucket from the first to the last that is not empty, their bounds, and what most are within."""
    buckets = scene.samples.buckets(name, processes)
    filled = [at for at, (_, inside) in enumerate(buckets) if inside]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    drawn = bars([inside for _, inside in buckets[first : last + 1]], 1, scene.glyphs)[0]
    most = scene.samples.quantile(name, MOST, processes) or inf
    return [
        _bound(buckets[first][0]),
        (f" {drawn} ", "good"),
        _bound(buckets[last][0]),
        (f" p{MOST * 100:g} ", "dim"),
        _bound(most),
    ]


def _bound(seconds: float) -> str:
    """Up to that long."""
    if seconds == inf:
        return "more"
    if seconds < 0.001:
        return f"{seconds * 1e6:g}us"
    return f"{seconds * 1e3:g}ms" if seconds < 1 else f"{seconds:g}s"


def _shard_line(scene: Scene, process: str) -> Line:
    """One process of several that fill a recording."""
    per_s = scene.world.per_s(f"frames {process}")
    books, unproven = (
        scene.samples.total(f"tidelog_market_{what}", process=process) for what in ("books", "books_unproven")
    )
    lag_s = scene.samples.total("tidelog_market_loader_lag_seconds", process=process)
    up = scene.samples.total("tidelog_up", process=process)
    return line(
        f"  {scene.says(process)}  ",
        ("runs", "good") if up else ("down", "bad"),
        f"  {rate(per_s)} msgs/s  {books or 0:g} books",
        (f", {unproven:g} not proven", "warn") if unproven else "",
        "" if lag_s is None else f"  store {age(lag_s)} behind",
    )


def stream_lines(scene: Scene) -> Iterator[Line]:
    """Each stream: whether its server answers, and how far it is."""
    for sample in scene.samples.of("tidelog_stream_connected"):
        name = sample.labels.get("process", "")
        published, changes, lag_s = (
            scene.samples.total(f"tidelog_stream_{what}", process=name)
            for what in ("published_seq", "lag_changes", "lag_seconds")
        )
        behind = [f"{count(int(changes))} changes behind"] if changes else []
        behind += [f"{age(lag_s)} behind"] if lag_s else []
        yield line(
            ("stream  ", "title"),
            f"{scene.says(name)}  ",
            ("connected", "good") if sample.value else ("its server does not answer", "bad"),
            "" if published is None else f"  published up to {count(int(published))}",
            (f"  {', '.join(behind)}", "warn") if behind else "  nothing is missing",
        )
