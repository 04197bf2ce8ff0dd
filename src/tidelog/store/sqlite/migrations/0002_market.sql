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

-- For people at a SQL prompt: prices and quantities as decimal text, times as ISO 8601 text. The 256-bit sums
-- are 0x-hex: decimal text would need a function of ours. Comparisons with these texts read the whole table.

CREATE VIEW v_trades AS SELECT
    source,
    symbol,
    strftime('%Y-%m-%dT%H:%M:%S', time_us / 1000000, 'unixepoch') || printf('.%06dZ', time_us % 1000000) AS time,
    side,
    CASE price_scale WHEN 0 THEN cast(price AS TEXT)
        ELSE substr(printf('%0*d', price_scale + 1, price), 1, max(length(price), price_scale + 1) - price_scale)
            || '.' || substr(printf('%0*d', price_scale + 1, price), -price_scale) END AS price,
    CASE qty_scale WHEN 0 THEN cast(qty AS TEXT)
        ELSE substr(printf('%0*d', qty_scale + 1, qty), 1, max(length(qty), qty_scale + 1) - qty_scale)
            || '.' || substr(printf('%0*d', qty_scale + 1, qty), -qty_scale) END AS qty,
    ord_type,
    trade_id,
    run,
    seq
FROM trades;

CREATE VIEW v_candles AS SELECT
    source,
    symbol,
    interval_s,
    strftime('%Y-%m-%dT%H:%M:%S', time_us / 1000000, 'unixepoch') || printf('.%06dZ', time_us % 1000000) AS time,
    CASE price_scale WHEN 0 THEN cast(open AS TEXT)
        ELSE substr(printf('%0*d', price_scale + 1, open), 1, max(length(open), price_scale + 1) - price_scale)
            || '.' || substr(printf('%0*d', price_scale + 1, open), -price_scale) END AS open,
    CASE price_scale WHEN 0 THEN cast(high AS TEXT)
        ELSE substr(printf('%0*d', price_scale + 1, high), 1, max(length(high), price_scale + 1) - price_scale)
            || '.' || substr(printf('%0*d', price_scale + 1, high), -price_scale) END AS high,
    CASE price_scale WHEN 0 THEN cast(low AS TEXT)
        ELSE substr(printf('%0*d', price_scale + 1, low), 1, max(length(low), price_scale + 1) - price_scale)
            || '.' || substr(printf('%0*d', price_scale + 1, low), -price_scale) END AS low,
    CASE price_scale WHEN 0 THEN cast(close AS TEXT)
        ELSE substr(printf('%0*d', price_scale + 1, close), 1, max(length(close), price_scale + 1) - price_scale)
            || '.' || substr(printf('%0*d', price_scale + 1, close), -price_scale) END AS close,
    '0x' || coalesce(nullif(lower(ltrim(hex(volume), '0')), ''), '0') AS volume,
    qty_scale,
    '0x' || coalesce(nullif(lower(ltrim(hex(turnover), '0')), ''), '0') AS turnover,
    trades
FROM candles;
