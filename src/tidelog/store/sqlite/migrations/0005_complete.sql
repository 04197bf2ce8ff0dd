-- Whether a candle is made of all trades of its time, as 0 or 1. The column is null as long as the trades around it
-- show that; tidelog.market.completeness says it in Python, by the same rules.

DROP VIEW v_candles;

ALTER TABLE candles ADD COLUMN complete INTEGER;

CREATE VIEW v_candles AS SELECT
    source,
    symbol,
    interval_s,
    strftime('%Y-%m-%dT%H:%M:%S', time_us / 1000000, 'unixepoch') || printf('.%06dZ', time_us % 1000000) AS time,
    (
        SELECT CASE price_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale)) || '.' || substr(padded, -(price_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(candles.open) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.open), -8 * max(1, (length(ltrim(hex(candles.open), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) ELSE cast(candles.open AS TEXT) END AS whole))
    ) AS open,
    (
        SELECT CASE price_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale)) || '.' || substr(padded, -(price_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(candles.high) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.high), -8 * max(1, (length(ltrim(hex(candles.high), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) ELSE cast(candles.high AS TEXT) END AS whole))
    ) AS high,
    (
        SELECT CASE price_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale)) || '.' || substr(padded, -(price_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(candles.low) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.low), -8 * max(1, (length(ltrim(hex(candles.low), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) ELSE cast(candles.low AS TEXT) END AS whole))
    ) AS low,
    (
        SELECT CASE price_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale)) || '.' || substr(padded, -(price_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(candles.close) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.close), -8 * max(1, (length(ltrim(hex(candles.close), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) ELSE cast(candles.close AS TEXT) END AS whole))
    ) AS close,
    (
        SELECT CASE qty_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (qty_scale)) || '.' || substr(padded, -(qty_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, qty_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.volume), -8 * max(1, (length(ltrim(hex(candles.volume), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) AS whole))
    ) AS volume,
    (
        SELECT CASE price_scale + qty_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale + qty_scale)) || '.' || substr(padded, -(price_scale + qty_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + qty_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(candles.turnover), -8 * max(1, (length(ltrim(hex(candles.turnover), '0')) + 7) / 8)), 0, '', ''
            UNION ALL
            SELECT
                CASE WHEN src <> '' THEN substr(src, 9) ELSE dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END END,
                CASE WHEN src <> '' THEN v % 1000000000 * 4294967296
                    + ((((((instr('123456789ABCDEF', substr(src, 1, 1)) * 16 + instr('123456789ABCDEF', substr(src, 2, 1))) * 16 + instr('123456789ABCDEF', substr(src, 3, 1))) * 16 + instr('123456789ABCDEF', substr(src, 4, 1))) * 16 + instr('123456789ABCDEF', substr(src, 5, 1))) * 16 + instr('123456789ABCDEF', substr(src, 6, 1))) * 16 + instr('123456789ABCDEF', substr(src, 7, 1))) * 16 + instr('123456789ABCDEF', substr(src, 8, 1))
                    WHEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END <> '' THEN 0 END,
                CASE WHEN src <> '' THEN dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END ELSE '' END,
                CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
            FROM digits WHERE v IS NOT NULL
        )
        SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
    ) AS whole))
    ) AS turnover,
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
