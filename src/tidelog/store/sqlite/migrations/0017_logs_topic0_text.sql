-- Logs are found by their first topic as v_logs shows it, too: the index is over that text alone, and serves both. See
-- 0010. A topic may be missing, so that the view cannot say a range of bytes, as it does for an address.

DROP INDEX logs_topic0;
ALTER TABLE logs ADD COLUMN
    topic0_hex TEXT AS (CASE WHEN topic0 IS NOT NULL THEN '0x' || lower(hex(topic0)) END) VIRTUAL;
CREATE INDEX logs_topic0 ON logs (segment, chain_id, topic0_hex, block_number, log_index);

DROP VIEW v_logs;
CREATE VIEW v_logs AS SELECT
    chain_id,
    block_number,
    log_index,
    tx_index,
    address_hex AS address,
    topic0_hex AS topic0,
    CASE WHEN topic1 IS NOT NULL THEN '0x' || lower(hex(topic1)) END AS topic1,
    CASE WHEN topic2 IS NOT NULL THEN '0x' || lower(hex(topic2)) END AS topic2,
    CASE WHEN topic3 IS NOT NULL THEN '0x' || lower(hex(topic3)) END AS topic3,
    '0x' || lower(hex(data)) AS data,
    covered
FROM logs
WHERE address >= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 3, 1)) + instr('123456789abcdef', substr(address_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 5, 1)) + instr('123456789abcdef', substr(address_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 7, 1)) + instr('123456789abcdef', substr(address_hex, 8, 1)), 1) AS BLOB)
        AND address <= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 3, 1)) + instr('123456789abcdef', substr(address_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 5, 1)) + instr('123456789abcdef', substr(address_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(address_hex, 7, 1)) + instr('123456789abcdef', substr(address_hex, 8, 1)), 1)
            || x'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' AS BLOB);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('logs', 'logs_topic0', '30000000 100000 100000 1000 3 1');
ANALYZE sqlite_schema;
