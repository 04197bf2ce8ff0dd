-- What a market's rows are kept in. Numbers are exact integers, each row with its scale; times are Unix time
-- in microseconds. Columns stand in the order of tidelog.batch; text compares by its bytes (collation "C").

CREATE TABLE instruments (
    source TEXT COLLATE "C" NOT NULL,
    symbol TEXT COLLATE "C" NOT NULL,
    base TEXT COLLATE "C" NOT NULL,
    quote TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    price_precision BIGINT NOT NULL,
    qty_precision BIGINT NOT NULL,
    price_increment BIGINT NOT NULL,
    price_increment_scale BIGINT NOT NULL,
    qty_increment BIGINT NOT NULL,
    qty_increment_scale BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (source, symbol)
);

CREATE TABLE trades (
    source TEXT COLLATE "C" NOT NULL,
    symbol TEXT COLLATE "C" NOT NULL,
    time_us BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    price BIGINT NOT NULL,
    qty BIGINT NOT NULL,
    side TEXT COLLATE "C" NOT NULL,
    ord_type TEXT COLLATE "C" NOT NULL,
    price_scale BIGINT NOT NULL,
    qty_scale BIGINT NOT NULL,
    trade_id BIGINT,
    run BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    received_us BIGINT NOT NULL,
    PRIMARY KEY (source, symbol, time_us, ordinal, price, qty, side, ord_type),
    UNIQUE (source, symbol, trade_id)
);

CREATE TABLE candles (
    source TEXT COLLATE "C" NOT NULL,
    symbol TEXT COLLATE "C" NOT NULL,
    interval_s BIGINT NOT NULL,
    time_us BIGINT NOT NULL,
    open BIGINT NOT NULL,
    high BIGINT NOT NULL,
    low BIGINT NOT NULL,
    close BIGINT NOT NULL,
    price_scale BIGINT NOT NULL,
    volume NUMERIC(78, 0) NOT NULL,
    qty_scale BIGINT NOT NULL,
    turnover NUMERIC(78, 0) NOT NULL,
    trades BIGINT NOT NULL,
    PRIMARY KEY (source, symbol, interval_s, time_us)
);

CREATE TABLE book_snapshots (
    source TEXT COLLATE "C" NOT NULL,
    symbol TEXT COLLATE "C" NOT NULL,
    time_us BIGINT NOT NULL,
    exchange_us BIGINT,
    depth BIGINT NOT NULL,
    proven_depth BIGINT NOT NULL,
    price_scale BIGINT NOT NULL,
    qty_scale BIGINT NOT NULL,
    levels BYTEA NOT NULL,
    run BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (source, symbol, time_us)
);

CREATE TABLE coverage (
    source TEXT COLLATE "C" NOT NULL,
    symbol TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    since_us BIGINT NOT NULL,
    until_us BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    closed_at BIGINT,
    PRIMARY KEY (source, symbol, channel, since_us)
);

-- For people at a SQL prompt: numbers as decimal text, times as ISO 8601 text. Comparisons with these texts
-- read the whole table.

CREATE VIEW v_trades AS SELECT
    source,
    symbol,
    to_char(to_timestamp(time_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad((time_us % 1000000)::text, 6, '0') || 'Z' AS time,
    side,
    (price::text || 'e-' || price_scale)::numeric::text AS price,
    (qty::text || 'e-' || qty_scale)::numeric::text AS qty,
    ord_type,
    trade_id,
    run,
    seq
FROM trades;

CREATE VIEW v_candles AS SELECT
    source,
    symbol,
    interval_s,
    to_char(to_timestamp(time_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad((time_us % 1000000)::text, 6, '0') || 'Z' AS time,
    (open::text || 'e-' || price_scale)::numeric::text AS open,
    (high::text || 'e-' || price_scale)::numeric::text AS high,
    (low::text || 'e-' || price_scale)::numeric::text AS low,
    (close::text || 'e-' || price_scale)::numeric::text AS close,
    (volume::text || 'e-' || qty_scale)::numeric::text AS volume,
    (turnover::text || 'e-' || (price_scale + qty_scale))::numeric::text AS turnover,
    trades
FROM candles;
