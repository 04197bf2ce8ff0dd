-- Whether a candle is made of all trades of its time, as 0 or 1. The column is null as long as the trades around it
-- show that; tidelog.market.completeness says it in Python, by the same rules.

DROP VIEW v_candles;

ALTER TABLE candles ADD COLUMN complete BIGINT;

CREATE VIEW v_candles AS SELECT
    source,
    symbol,
    interval_s,
    to_char(to_timestamp(time_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad((time_us % 1000000)::text, 6, '0') || 'Z' AS time,
    (open::text || 'e-' || (price_scale))::numeric::text AS open,
    (high::text || 'e-' || (price_scale))::numeric::text AS high,
    (low::text || 'e-' || (price_scale))::numeric::text AS low,
    (close::text || 'e-' || (price_scale))::numeric::text AS close,
    (volume::text || 'e-' || (qty_scale))::numeric::text AS volume,
    (turnover::text || 'e-' || (price_scale + qty_scale))::numeric::text AS turnover,
    trades,
    coalesce(complete, CASE WHEN
        CASE WHEN (SELECT trade_id FROM trades t WHERE t.source = candles.source AND t.symbol = candles.symbol LIMIT 1) IS NOT NULL
        THEN EXISTS (SELECT 1 FROM trades t WHERE t.source = candles.source AND t.symbol = candles.symbol
                AND t.time_us < candles.time_us)
            AND EXISTS (SELECT 1 FROM trades t WHERE t.source = candles.source AND t.symbol = candles.symbol
                AND t.time_us >= candles.time_us + candles.interval_s * 1000000)
            AND NOT EXISTS (SELECT 1 FROM gaps g
                WHERE g.source = candles.source AND g.scope = 'trades:' || candles.symbol AND g.closed_at IS NULL
                AND coalesce((SELECT t.time_us FROM trades t WHERE t.source = g.source AND t.symbol = candles.symbol
                    AND t.trade_id = g.first - 1), 0) < candles.time_us + candles.interval_s * 1000000
                AND coalesce((SELECT t.time_us FROM trades t WHERE t.source = g.source AND t.symbol = candles.symbol
                    AND t.trade_id = g.last + 1), 9223372036854775807) >= candles.time_us)
        ELSE EXISTS (SELECT 1 FROM coverage c WHERE c.source = candles.source AND c.symbol = candles.symbol
                AND c.channel = 'trade' AND c.since_us < candles.time_us)
            AND EXISTS (SELECT 1 FROM coverage c WHERE c.source = candles.source AND c.symbol = candles.symbol
                AND c.channel = 'trade' AND c.until_us >= candles.time_us + candles.interval_s * 1000000)
            AND NOT EXISTS (SELECT 1 FROM coverage c WHERE c.source = candles.source AND c.symbol = candles.symbol
                AND c.channel = 'trade' AND c.state = 'gap' AND c.closed_at IS NULL
                AND c.since_us < candles.time_us + candles.interval_s * 1000000 AND c.until_us >= candles.time_us)
        END
        THEN 1 ELSE 0 END) AS complete
FROM candles;
