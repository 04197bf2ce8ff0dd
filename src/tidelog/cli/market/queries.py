"""`tidelog market coverage | candles | trades`: what a store holds of a recording. Reads only.

Numbers are printed as exact decimals, times as UTC; with `--json` one object a line, numbers as text.
"""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidelog.batch import Row, Table
from tidelog.cli.listing import on_terminal, print_rows, say_none, time_text
from tidelog.cli.market.lists import CANDLE_COLUMNS, COVERAGE_COLUMNS, GAP_COLUMNS, TRADE_COLUMNS
from tidelog.cli.options import Form, limited
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError
from tidelog.market.events import micros
from tidelog.market.load.completeness import with_completeness
from tidelog.market.load.recorded import recorded
from tidelog.market.projection.rows import bar_of_row, decimal_text
from tidelog.market.projection.state import ProjectionState, SymbolState
from tidelog.market.projection.tables import CANDLES, COVERAGE, GAPS, TRADES
from tidelog.market.symbols import spelled
from tidelog.runtime import run
from tidelog.store import Condition, Snapshot, Store

SOURCE_PREFIX = "market:"
NAMES_TOLD = 20  # symbols in a sentence
NAME_MAX = 40  # characters of a symbol that there is not
GAPS_TITLE = "missing still"
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def list_trades(
    db: str, name: str | None, symbol: str, *, begin: str | None, end: str | None, limit: int, form: Form
) -> None:
    rows = run(
        _rows(db, name, TRADES, {"symbol": spelled(symbol)}, _time("--from", begin), _time("--to", end), limit),
        brief=True,
    )
    if not rows:
        say_none(f"no trade of {spelled(symbol)} is stored of that time", form)
    print_rows([_trade(dict(zip(TRADES.names, row, strict=True))) for row in rows], TRADE_COLUMNS, form)


def _trade(row: dict[str, Any]) -> dict[str, object]:
    return {
        "time": time_text(row["time_us"]),
        "side": row["side"],
        "price": decimal_text(row["price"], row["price_scale"]),
        "qty": decimal_text(row["qty"], row["qty_scale"]),
        "type": row["ord_type"],
        "trade_id": row["trade_id"],
    }


def list_candles(
    db: str,
    name: str | None,
    symbol: str,
    *,
    interval: str,
    begin: str | None,
    end: str | None,
    limit: int,
    form: Form,
) -> None:
    where: dict[str, Condition] = {"symbol": spelled(symbol), "interval_s": _seconds(interval)}
    rows = run(_rows(db, name, CANDLES, where, _time("--from", begin), _time("--to", end), limit), brief=True)
    if not rows:
        say_none(f"no candle of {spelled(symbol)} is stored of that time", form)
    print_rows([_candle(row) for row in rows], CANDLE_COLUMNS, form)


def _candle(row: Row) -> dict[str, object]:
    bar = bar_of_row(row)
    prices = {
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "vwap": bar.vwap(bar.price_scale),
    }
    return {
        "time": time_text(bar.begin_us),
        **{name: decimal_text(price, bar.price_scale) for name, price in prices.items()},
        "volume": decimal_text(bar.volume, bar.qty_scale),
        "trades": bar.trades,
        "complete": bool(row[CANDLES.index("complete")]),
    }


def list_coverage(
    db: str, name: str | None, symbol: str | None, *, begin: str | None, end: str | None, limit: int, form: Form
) -> None:
    begin_us, end_us = _time("--from", begin), _time("--to", end)
    intervals, missing = run(
        _coverage(db, name, None if symbol is None else spelled(symbol), begin_us, end_us, limited(limit)),
        brief=True,
    )
    if not intervals and not missing:
        say_none("nothing was recorded in that time, and nothing is missing", form)
    print_rows([_interval(dict(zip(COVERAGE.names, row, strict=True))) for row in intervals], COVERAGE_COLUMNS, form)
    if intervals and missing and on_terminal(form):
        say("")
    print_rows([_gap(dict(zip(GAPS.names, row, strict=True))) for row in missing], GAP_COLUMNS, form, title=GAPS_TITLE)


async def _coverage(
    db: str, name: str | None, wanted: str | None, begin_us: int | None, end_us: int | None, limit: int
) -> tuple[list[Row], list[Row]]:
    """The intervals that reach into the time, by symbol and channel, and what is missing still."""
    symbol, until = COVERAGE.index("symbol"), COVERAGE.index("until_us")
    high = None if end_us is None else end_us - 1
    found: deque[Row] = deque(maxlen=limit)
    async with opened(db) as store:
        source = await the_source(store, name)
        async with store.snapshot() as snapshot:
            async for rows in snapshot.scan(COVERAGE, scope=source, high=high):
                for row in rows:
                    until_us = row[until]
                    assert isinstance(until_us, int)
                    if wanted in (None, row[symbol]) and (begin_us is None or until_us >= begin_us):
                        found.append(row)
            where: dict[str, Condition] = {"closed_at": None}
            if wanted is not None:
                where["scope"] = f"trades:{wanted}"
            missing = await snapshot.select(GAPS, scope=source, where=where, limit=limit)
            if wanted is not None and not found and not missing:
                await _require_held(snapshot, source, COVERAGE, {"symbol": wanted})
    return list(found), missing


def _interval(row: dict[str, Any]) -> dict[str, object]:
    return {
        "symbol": row["symbol"],
        "channel": row["channel"],
        "since": time_text(row["since_us"]),
        "until": time_text(row["until_us"]),
        "state": row["state"],
        "reason": row["reason"],
        "closed": None if row["closed_at"] is None else time_text(row["closed_at"] * 1_000),
    }


def _gap(row: dict[str, Any]) -> dict[str, object]:
    opened_at = time_text(row["opened_at"] * 1_000)
    return {
        "missing": row["scope"],
        "first": row["first"],
        "last": row["last"],
        "reason": row["reason"],
        "at": opened_at,
    }


async def _rows(
    db: str,
    name: str | None,
    table: Table,
    where: dict[str, Condition],
    begin_us: int | None,
    end_us: int | None,
    limit: int,
) -> list[Row]:
    """The latest rows within the time, oldest first."""
    high = None if end_us is None else end_us - 1
    async with opened(db) as store:
        source = await the_source(store, name)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(
                table, scope=source, low=begin_us, high=high, where=where, descending=True, limit=limited(limit)
            )
            if not rows:
                await _require_held(snapshot, source, table, where)
            if table is CANDLES:
                rows = await with_completeness(snapshot, source, rows)
    return rows[::-1]


async def _require_held(snapshot: Snapshot, source: str, table: Table, where: Mapping[str, Condition]) -> None:
    """ConfigError, which says what there is, if a recording has nothing of that symbol or interval at any time."""
    found = await recorded(snapshot, source.removeprefix(SOURCE_PREFIX))
    state = ProjectionState() if found is None else found.state
    symbol, interval_s = where.get("symbol"), where.get("interval_s")
    traded = table in (TRADES, CANDLES)
    available = [name for name, each in state.symbols.items() if not traded or each.trades or _uncounted(each)]
    recording = source.removeprefix(SOURCE_PREFIX)
    if symbol is not None and symbol not in available:
        what = "trades" if traded else "coverage"
        raise ConfigError(f"recording {recording} has no {what} of {str(symbol)[:NAME_MAX]}; it has {_some(available)}")
    if interval_s is not None and state.intervals_s and interval_s not in state.intervals_s:
        made = ", ".join(_interval_text(each) for each in state.intervals_s)
        raise ConfigError(f"recording {recording} has no candles of {interval_s} s; it has {made}")


def _uncounted(symbol: SymbolState) -> bool:
    """Whether an older version stored trades of it, which were not counted."""
    return symbol.trades is None and symbol.trade is not None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return (", ".join(sorted(names)[:NAMES_TOLD]) or "none") + more


def _interval_text(seconds: int) -> str:
    unit = next((name for name, size in reversed(_UNITS.items()) if seconds % size == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"


async def the_source(store: Store, name: str | None) -> str:
    """The recording that a command is about."""
    async with store.snapshot() as snapshot:
        sources = [each.source for each in await snapshot.checkpoints() if each.source.startswith(SOURCE_PREFIX)]
    names = [source.removeprefix(SOURCE_PREFIX) for source in sources]
    listed = ", ".join(names) or "none"
    if name is not None and name not in names:
        raise ConfigError(f"the store holds no recording {name!r}; it holds {listed}")
    if name is None and not names:
        raise ConfigError("the store holds no recording yet")
    if name is None and len(names) != 1:
        raise ConfigError(f"say which recording by --name: the store holds {listed}")
    return SOURCE_PREFIX + (names[0] if name is None else name)


def _time(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{flag} {text[:80]!r}: give a time such as 2024-05-01T12:30:00Z") from None
    return micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC))


def _seconds(interval: str) -> int:
    count, unit = interval[:-1], interval[-1:]
    if not (count.isascii() and count.isdecimal() and len(count) < 6 and unit in _UNITS):
        raise ConfigError(f"--interval {interval[:80]!r}: give one such as 1m, 4h or 1d")
    return int(count) * _UNITS[unit]
