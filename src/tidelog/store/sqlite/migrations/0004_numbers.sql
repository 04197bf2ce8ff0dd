-- Numbers of any size that the rules admit, and views that mean the same on both backends.
--
-- 64 bits without a sign, and a market's numbers up to 256 bits, are INTEGER as long as they fit and 32 bytes,
-- big-endian, beyond that: SQLite sorts a BLOB behind every integer, and BLOBs by their bytes, so that the columns
-- sort as their numbers do. A column of a STRICT table that takes both is of type ANY. What is stored stays as it
-- is, so that only the text of the schema changes (https://sqlite.org/lang_altertable.html#otheralter).
--
-- The columns in _hex are computed when they are read, and stored nowhere. A view shows them, and says what always
-- holds: that the column itself begins with the three bytes that its text begins with. Where somebody asks a view for
-- one text (=, not IN), SQLite puts it in there, and has a range of an index. An index over the text itself would
-- cost each commit more than all of this costs a reader; `unhex` would be shorter, and came only with SQLite 3.41.

DROP VIEW v_blocks;
DROP VIEW v_transactions;
DROP VIEW v_logs;
DROP VIEW v_trades;
DROP VIEW v_candles;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(replace(replace(replace(replace(replace(sql,
    ' gas_limit INTEGER', ' gas_limit ANY'),
    ' gas_used INTEGER', ' gas_used ANY'),
    ' timestamp INTEGER', ' timestamp ANY'),
    ' blob_gas_used INTEGER', ' blob_gas_used ANY'),
    ' excess_blob_gas INTEGER', ' excess_blob_gas ANY'),
    ' slot_number INTEGER', ' slot_number ANY'),
    'PRIMARY KEY (', 'hash_hex TEXT AS (''0x'' || lower(hex(hash))) VIRTUAL,
    PRIMARY KEY (')
    WHERE type = 'table' AND name = 'blocks';
UPDATE sqlite_schema SET sql = replace(replace(replace(replace(replace(replace(replace(replace(replace(sql,
    ' nonce INTEGER', ' nonce ANY'),
    ' gas INTEGER', ' gas ANY'),
    ' signed_chain_id INTEGER', ' signed_chain_id ANY'),
    ' v INTEGER', ' v ANY'),
    ' cumulative_gas_used INTEGER', ' cumulative_gas_used ANY'),
    ' gas_used INTEGER', ' gas_used ANY'),
    ' deposit_nonce INTEGER', ' deposit_nonce ANY'),
    ' deposit_receipt_version INTEGER', ' deposit_receipt_version ANY'),
    'PRIMARY KEY (', 'hash_hex TEXT AS (''0x'' || lower(hex(hash))) VIRTUAL,
    from_address_hex TEXT AS (''0x'' || lower(hex(from_address))) VIRTUAL,
    PRIMARY KEY (')
    WHERE type = 'table' AND name = 'transactions';
UPDATE sqlite_schema SET sql = replace(sql,
    'PRIMARY KEY (', 'address_hex TEXT AS (''0x'' || lower(hex(address))) VIRTUAL,
    PRIMARY KEY (')
    WHERE type = 'table' AND name = 'logs';
UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    ' withdrawal_index INTEGER', ' withdrawal_index ANY'),
    ' validator_index INTEGER', ' validator_index ANY'),
    ' amount_gwei INTEGER', ' amount_gwei ANY')
    WHERE type = 'table' AND name = 'withdrawals';
UPDATE sqlite_schema SET sql = replace(replace(sql,
    ' price_increment INTEGER', ' price_increment ANY'),
    ' qty_increment INTEGER', ' qty_increment ANY')
    WHERE type = 'table' AND name = 'instruments';
UPDATE sqlite_schema SET sql = replace(replace(sql,
    ' price INTEGER', ' price ANY'),
    ' qty INTEGER', ' qty ANY')
    WHERE type = 'table' AND name = 'trades';
UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql,
    ' open INTEGER', ' open ANY'),
    ' high INTEGER', ' high ANY'),
    ' low INTEGER', ' low ANY'),
    ' close INTEGER', ' close ANY')
    WHERE type = 'table' AND name = 'candles';
PRAGMA writable_schema = RESET;


-- For people at a SQL prompt: hashes as 0x-hex text, numbers beyond 64 bits and those with decimals as decimal text,
-- times as ISO 8601 text. The long expressions divide by a billion until nothing is left: plain SQL, so that any
-- `sqlite3` shows what they say.

CREATE VIEW v_blocks AS SELECT
    chain_id,
    number,
    hash_hex AS hash,
    '0x' || lower(hex(parent_hash)) AS parent_hash,
    '0x' || lower(hex(ommers_hash)) AS ommers_hash,
    '0x' || lower(hex(miner)) AS miner,
    '0x' || lower(hex(state_root)) AS state_root,
    '0x' || lower(hex(transactions_root)) AS transactions_root,
    '0x' || lower(hex(receipts_root)) AS receipts_root,
    '0x' || lower(hex(logs_bloom)) AS logs_bloom,
    (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.difficulty), -8 * max(1, (length(ltrim(hex(blocks.difficulty), '0')) + 7) / 8)), 0, '', ''
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
    ) AS difficulty,
    CASE typeof(gas_limit) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.gas_limit), -8 * max(1, (length(ltrim(hex(blocks.gas_limit), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE gas_limit END AS gas_limit,
    CASE typeof(gas_used) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.gas_used), -8 * max(1, (length(ltrim(hex(blocks.gas_used), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE gas_used END AS gas_used,
    CASE typeof(timestamp) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.timestamp), -8 * max(1, (length(ltrim(hex(blocks.timestamp), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE timestamp END AS timestamp,
    CASE typeof(timestamp) WHEN 'integer' THEN strftime('%Y-%m-%dT%H:%M:%SZ', timestamp, 'unixepoch') END AS time,
    '0x' || lower(hex(extra_data)) AS extra_data,
    CASE WHEN mix_hash IS NOT NULL THEN '0x' || lower(hex(mix_hash)) END AS mix_hash,
    CASE WHEN nonce IS NOT NULL THEN '0x' || lower(hex(nonce)) END AS nonce,
    CASE WHEN base_fee_per_gas IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.base_fee_per_gas), -8 * max(1, (length(ltrim(hex(blocks.base_fee_per_gas), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS base_fee_per_gas,
    CASE WHEN withdrawals_root IS NOT NULL THEN '0x' || lower(hex(withdrawals_root)) END AS withdrawals_root,
    CASE typeof(blob_gas_used) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.blob_gas_used), -8 * max(1, (length(ltrim(hex(blocks.blob_gas_used), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE blob_gas_used END AS blob_gas_used,
    CASE typeof(excess_blob_gas) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.excess_blob_gas), -8 * max(1, (length(ltrim(hex(blocks.excess_blob_gas), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE excess_blob_gas END AS excess_blob_gas,
    CASE WHEN parent_beacon_block_root IS NOT NULL THEN '0x' || lower(hex(parent_beacon_block_root)) END AS parent_beacon_block_root,
    CASE WHEN requests_hash IS NOT NULL THEN '0x' || lower(hex(requests_hash)) END AS requests_hash,
    CASE WHEN block_access_list_hash IS NOT NULL THEN '0x' || lower(hex(block_access_list_hash)) END AS block_access_list_hash,
    CASE typeof(slot_number) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(blocks.slot_number), -8 * max(1, (length(ltrim(hex(blocks.slot_number), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE slot_number END AS slot_number,
    '0x' || lower(hex(uncles)) AS uncles,
    transaction_count,
    log_count,
    withdrawal_count,
    proof,
    extra,
    endpoint,
    ingested_at,
    '0x' || lower(hex(rows_digest)) AS rows_digest
FROM blocks
WHERE hash >= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 3, 1)) + instr('123456789abcdef', substr(hash_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 5, 1)) + instr('123456789abcdef', substr(hash_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 7, 1)) + instr('123456789abcdef', substr(hash_hex, 8, 1)), 1) AS BLOB)
        AND hash <= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 3, 1)) + instr('123456789abcdef', substr(hash_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 5, 1)) + instr('123456789abcdef', substr(hash_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 7, 1)) + instr('123456789abcdef', substr(hash_hex, 8, 1)), 1)
            || x'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' AS BLOB);

CREATE VIEW v_transactions AS SELECT
    chain_id,
    block_number,
    tx_index,
    hash_hex AS hash,
    type,
    from_address_hex AS from_address,
    CASE WHEN to_address IS NOT NULL THEN '0x' || lower(hex(to_address)) END AS to_address,
    CASE typeof(nonce) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.nonce), -8 * max(1, (length(ltrim(hex(transactions.nonce), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE nonce END AS nonce,
    CASE WHEN value IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.value), -8 * max(1, (length(ltrim(hex(transactions.value), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS value,
    CASE typeof(gas) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.gas), -8 * max(1, (length(ltrim(hex(transactions.gas), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE gas END AS gas,
    CASE WHEN gas_price IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.gas_price), -8 * max(1, (length(ltrim(hex(transactions.gas_price), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS gas_price,
    CASE WHEN max_fee_per_gas IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.max_fee_per_gas), -8 * max(1, (length(ltrim(hex(transactions.max_fee_per_gas), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS max_fee_per_gas,
    CASE WHEN max_priority_fee_per_gas IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.max_priority_fee_per_gas), -8 * max(1, (length(ltrim(hex(transactions.max_priority_fee_per_gas), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS max_priority_fee_per_gas,
    CASE WHEN max_fee_per_blob_gas IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.max_fee_per_blob_gas), -8 * max(1, (length(ltrim(hex(transactions.max_fee_per_blob_gas), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS max_fee_per_blob_gas,
    CASE WHEN input IS NOT NULL THEN '0x' || lower(hex(input)) END AS input,
    CASE typeof(signed_chain_id) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.signed_chain_id), -8 * max(1, (length(ltrim(hex(transactions.signed_chain_id), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE signed_chain_id END AS signed_chain_id,
    CASE WHEN access_list IS NOT NULL THEN '0x' || lower(hex(access_list)) END AS access_list,
    CASE WHEN blob_versioned_hashes IS NOT NULL THEN '0x' || lower(hex(blob_versioned_hashes)) END AS blob_versioned_hashes,
    CASE WHEN authorization_list IS NOT NULL THEN '0x' || lower(hex(authorization_list)) END AS authorization_list,
    CASE typeof(v) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.v), -8 * max(1, (length(ltrim(hex(transactions.v), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE v END AS v,
    CASE WHEN r IS NOT NULL THEN '0x' || lower(hex(r)) END AS r,
    CASE WHEN s IS NOT NULL THEN '0x' || lower(hex(s)) END AS s,
    CASE WHEN source_hash IS NOT NULL THEN '0x' || lower(hex(source_hash)) END AS source_hash,
    CASE WHEN mint IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.mint), -8 * max(1, (length(ltrim(hex(transactions.mint), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS mint,
    is_system_tx,
    status,
    CASE WHEN root IS NOT NULL THEN '0x' || lower(hex(root)) END AS root,
    CASE typeof(cumulative_gas_used) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.cumulative_gas_used), -8 * max(1, (length(ltrim(hex(transactions.cumulative_gas_used), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE cumulative_gas_used END AS cumulative_gas_used,
    CASE typeof(gas_used) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.gas_used), -8 * max(1, (length(ltrim(hex(transactions.gas_used), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE gas_used END AS gas_used,
    CASE WHEN effective_gas_price IS NOT NULL THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.effective_gas_price), -8 * max(1, (length(ltrim(hex(transactions.effective_gas_price), '0')) + 7) / 8)), 0, '', ''
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
    ) END AS effective_gas_price,
    CASE WHEN contract_address IS NOT NULL THEN '0x' || lower(hex(contract_address)) END AS contract_address,
    log_count,
    CASE typeof(deposit_nonce) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.deposit_nonce), -8 * max(1, (length(ltrim(hex(transactions.deposit_nonce), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE deposit_nonce END AS deposit_nonce,
    CASE typeof(deposit_receipt_version) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(transactions.deposit_receipt_version), -8 * max(1, (length(ltrim(hex(transactions.deposit_receipt_version), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE deposit_receipt_version END AS deposit_receipt_version,
    covered,
    extra
FROM transactions
WHERE hash >= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 3, 1)) + instr('123456789abcdef', substr(hash_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 5, 1)) + instr('123456789abcdef', substr(hash_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 7, 1)) + instr('123456789abcdef', substr(hash_hex, 8, 1)), 1) AS BLOB)
        AND hash <= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 3, 1)) + instr('123456789abcdef', substr(hash_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 5, 1)) + instr('123456789abcdef', substr(hash_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(hash_hex, 7, 1)) + instr('123456789abcdef', substr(hash_hex, 8, 1)), 1)
            || x'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' AS BLOB)
    AND from_address >= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 3, 1)) + instr('123456789abcdef', substr(from_address_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 5, 1)) + instr('123456789abcdef', substr(from_address_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 7, 1)) + instr('123456789abcdef', substr(from_address_hex, 8, 1)), 1) AS BLOB)
        AND from_address <= CAST(substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 3, 1)) + instr('123456789abcdef', substr(from_address_hex, 4, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 5, 1)) + instr('123456789abcdef', substr(from_address_hex, 6, 1)), 1)
            || substr(x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
                1 + 16 * instr('123456789abcdef', substr(from_address_hex, 7, 1)) + instr('123456789abcdef', substr(from_address_hex, 8, 1)), 1)
            || x'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' AS BLOB);

CREATE VIEW v_logs AS SELECT
    chain_id,
    block_number,
    log_index,
    tx_index,
    address_hex AS address,
    CASE WHEN topic0 IS NOT NULL THEN '0x' || lower(hex(topic0)) END AS topic0,
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

CREATE VIEW v_withdrawals AS SELECT
    chain_id,
    block_number,
    position,
    CASE typeof(withdrawal_index) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(withdrawals.withdrawal_index), -8 * max(1, (length(ltrim(hex(withdrawals.withdrawal_index), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE withdrawal_index END AS withdrawal_index,
    CASE typeof(validator_index) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(withdrawals.validator_index), -8 * max(1, (length(ltrim(hex(withdrawals.validator_index), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE validator_index END AS validator_index,
    '0x' || lower(hex(address)) AS address,
    CASE typeof(amount_gwei) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(withdrawals.amount_gwei), -8 * max(1, (length(ltrim(hex(withdrawals.amount_gwei), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE amount_gwei END AS amount_gwei
FROM withdrawals;

CREATE VIEW v_trades AS SELECT
    source,
    symbol,
    strftime('%Y-%m-%dT%H:%M:%S', time_us / 1000000, 'unixepoch') || printf('.%06dZ', time_us % 1000000) AS time,
    side,
    (
        SELECT CASE price_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (price_scale)) || '.' || substr(padded, -(price_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, price_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(trades.price) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(trades.price), -8 * max(1, (length(ltrim(hex(trades.price), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE cast(trades.price AS TEXT) END AS whole))
    ) AS price,
    (
        SELECT CASE qty_scale WHEN 0 THEN padded
            ELSE substr(padded, 1, length(padded) - (qty_scale)) || '.' || substr(padded, -(qty_scale)) END
        FROM (SELECT substr('0000000000000000000000000000000000000000000000000000000000000000000000000', 1, max(0, qty_scale + 1 - length(whole))) || whole AS padded
            FROM (SELECT CASE typeof(trades.qty) WHEN 'blob' THEN (
        WITH RECURSIVE digits (src, v, dst, text) AS (
            SELECT substr(hex(trades.qty), -8 * max(1, (length(ltrim(hex(trades.qty), '0')) + 7) / 8)), 0, '', ''
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
    ) ELSE cast(trades.qty AS TEXT) END AS whole))
    ) AS qty,
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
    trades
FROM candles;
