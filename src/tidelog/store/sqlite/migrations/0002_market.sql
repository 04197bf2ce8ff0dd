-- What a market's rows are kept in. Numbers are exact integers, each row with its scale; times are Unix time
-- in microseconds. Columns stand in the order of tidelog.batch; 256-bit integers are BLOBs of 32 bytes.

CREATE TABLE instruments (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    status TEXT NOT NULL,
    price_precision INTEGER NOT NULL,
    qty_precision INTEGER NOT NULL,
    price_increment INTEGER NOT NULL,
    price_increment_scale INTEGER NOT NULL,
    qty_increment INTEGER NOT NULL,
    qty_increment_scale INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (source, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE trades (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    side TEXT NOT NULL,
    ord_type TEXT NOT NULL,
    price_scale INTEGER NOT NULL,
    qty_scale INTEGER NOT NULL,
    trade_id INTEGER,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    PRIMARY KEY (source, symbol, time_us, ordinal, price, qty, side, ord_type),
    UNIQUE (source, symbol, trade_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    interval_s INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    open INTEGER NOT NULL,
    high INTEGER NOT NULL,
    low INTEGER NOT NULL,
    close INTEGER NOT NULL,
    price_scale INTEGER NOT NULL,
    volume BLOB NOT NULL,
    qty_scale INTEGER NOT NULL,
    turnover BLOB NOT NULL,
    trades INTEGER NOT NULL,
    PRIMARY KEY (source, symbol, interval_s, time_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE book_snapshots (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    exchange_us INTEGER,
    depth INTEGER NOT NULL,
    proven_depth INTEGER NOT NULL,
    price_scale INTEGER NOT NULL,
    qty_scale INTEGER NOT NULL,
    levels BLOB NOT NULL,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (source, symbol, time_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    channel TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    closed_at INTEGER,
    PRIMARY KEY (source, symbol, channel, since_us)
) STRICT, WITHOUT ROWID;
