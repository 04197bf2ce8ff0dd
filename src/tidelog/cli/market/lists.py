"""The columns of `tidelog market`'s lists on a terminal."""

from tidelog.cli.columns import Column, Kind

SIDES = {"buy": "green", "sell": "red"}
STATES = {"proven": "green", "unproven": "yellow", "gap": "red"}
TRADE_COLUMNS = (
    Column("time", Kind.TIME, weight=8),
    Column("side", weight=9, styles=SIDES),
    Column("price", weight=9),
    Column("qty", weight=9),
    Column("type", weight=1),
    Column("trade_id", weight=2),
)
CANDLE_COLUMNS = (
    Column("time", Kind.TIME, weight=9),
    Column("open", weight=4),
    Column("high", weight=5),
    Column("low", weight=5),
    Column("close", weight=9),
    Column("vwap", weight=1),
    Column("volume", weight=6),
    Column("trades", weight=2),
    Column("complete", weight=7, styles={"no": "yellow"}),
)
COVERAGE_COLUMNS = (
    Column("symbol", weight=9),
    Column("channel", weight=8),
    Column("since", Kind.TIME, weight=7),
    Column("until", Kind.TIME, weight=5),
    Column("state", weight=9, styles=STATES),
    Column("reason", weight=6),
    Column("closed", Kind.TIME, weight=1),
)
GAP_COLUMNS = (
    Column("missing", weight=9),
    Column("first", weight=8),
    Column("last", weight=8),
    Column("reason", weight=7),
    Column("at", Kind.TIME, weight=6),
)
