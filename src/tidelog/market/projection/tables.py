"""The tables of a recording: trades, candles, books, and how far they are known to be complete."""

from tidelog.batch import Table, bytes_column, int_column, number_column, text_column, uint256_column

GAPS = Table(
    "gaps",
    (
        text_column("source"),
        text_column("scope"),  # within the source: a symbol and channel, say
        int_column("first"),  # the first and last position that are missing, in the source's own count
        int_column("last"),
        text_column("reason"),
        int_column("opened_at"),  # Unix time, milliseconds
        int_column("closed_at", nullable=True),
    ),
    key=("source", "scope", "first"),
    scope="source",
    content=False,
)

INSTRUMENTS = Table(
    "instruments",
    (
        text_column("source"),
        text_column("symbol"),
        text_column("base"),
        text_column("quote"),
        text_column("status"),
        int_column("price_precision"),  # decimals with which prices enter a checksum
        int_column("qty_precision"),
        number_column("price_increment"),  # in units of 10**-price_increment_scale
        int_column("price_increment_scale"),
        number_column("qty_increment"),
        int_column("qty_increment_scale"),
        int_column("updated_us", content=False),  # Unix time, microseconds, by the journal
    ),
    key=("source", "symbol"),
    scope="source",
)

TRADES = Table(
    "trades",
    (
        text_column("source"),
        text_column("symbol"),
        int_column("time_us"),  # Unix time, microseconds, by the exchange
        int_column("ordinal"),  # the trade id; without one, the place among the frame's trades of this time
        number_column("price"),  # in units of 10**-price_scale
        number_column("qty"),
        text_column("side"),  # of the taker: buy | sell
        text_column("ord_type"),  # of the taker: limit | market
        int_column("price_scale"),
        int_column("qty_scale"),
        int_column("trade_id", nullable=True),  # unique per source and symbol; null where the exchange gives none
        int_column("run", content=False),  # the frame in the journal, and when it was received
        int_column("seq", content=False),
        int_column("received_us", content=False),
    ),
    key=("source", "symbol", "time_us", "ordinal", "price", "qty", "side", "ord_type"),
    scope="source",
    height="time_us",
)

CANDLES = Table(
    "candles",
    (
        text_column("source"),
        text_column("symbol"),
        int_column("interval_s"),
        int_column("time_us"),  # when it begins: Unix time, microseconds, a multiple of the interval
        number_column("open"),  # in units of 10**-price_scale, and the next three
        number_column("high"),
        number_column("low"),
        number_column("close"),
        int_column("price_scale"),
        uint256_column("volume"),  # in units of 10**-qty_scale
        int_column("qty_scale"),
        uint256_column("turnover"),  # sum of price times quantity, in units of 10**-(price_scale + qty_scale)
        int_column("trades"),
        # whether all trades of its time are stored, 0 or 1; null: see market/load/completeness.py for what shows it
        int_column("complete", nullable=True, content=False),
    ),
    key=("source", "symbol", "interval_s", "time_us"),
    scope="source",
)

BOOK_SNAPSHOTS = Table(
    "book_snapshots",
    (
        text_column("source"),
        text_column("symbol"),
        int_column("time_us"),  # Unix time, microseconds, by the journal
        int_column("exchange_us", nullable=True),  # the same by the exchange, where the message has it
        int_column("depth"),  # as subscribed
        int_column("proven_depth"),  # levels of each side that the exchange's checksum proved; 0: none
        int_column("price_scale"),
        int_column("qty_scale"),
        bytes_column("levels"),  # the best of both sides, see market/projection/rows.py
        int_column("run", content=False),
        int_column("seq", content=False),
    ),
    key=("source", "symbol", "time_us"),
    scope="source",
)

COVERAGE = Table(
    "coverage",
    (
        text_column("source"),
        text_column("symbol"),
        text_column("channel"),  # book | trade
        int_column("since_us"),  # Unix time, microseconds, by the journal
        int_column("until_us"),  # as far as it is known to reach; the next interval begins here
        text_column("state"),  # proven | unproven | gap
        text_column("reason", nullable=True),  # why it is not proven
        int_column("closed_at", nullable=True),  # Unix time, milliseconds: when all that a gap missed had come
    ),
    key=("source", "symbol", "channel", "since_us"),
    scope="source",
    content=False,
)

MARKET_TABLES = (INSTRUMENTS, TRADES, CANDLES, BOOK_SNAPSHOTS, COVERAGE)
