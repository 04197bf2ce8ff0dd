-- What the migrations make of an empty file, up to the one of this number. Made from them by
-- `python -m tests.store.schema`: what is here and why is said there.

ANALYZE; -- makes the tables of statistics

CREATE TABLE checkpoints (
    source TEXT PRIMARY KEY NOT NULL,
    epoch INTEGER NOT NULL,
    commit_seq INTEGER NOT NULL,
    position TEXT
, writer INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

CREATE TABLE chains (
    chain_id INTEGER NOT NULL,
    genesis_hash BLOB,
    profile TEXT NOT NULL, spec TEXT,
    PRIMARY KEY (chain_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
    chain_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parent_hash BLOB NOT NULL,
    ommers_hash BLOB NOT NULL,
    miner BLOB NOT NULL,
    state_root BLOB NOT NULL,
    transactions_root BLOB NOT NULL,
    receipts_root BLOB NOT NULL,
    logs_bloom BLOB NOT NULL,
    difficulty BLOB NOT NULL,
    gas_limit ANY NOT NULL,
    gas_used ANY NOT NULL,
    timestamp ANY NOT NULL,
    extra_data BLOB NOT NULL,
    mix_hash BLOB,
    nonce BLOB,
    base_fee_per_gas BLOB,
    withdrawals_root BLOB,
    blob_gas_used ANY,
    excess_blob_gas ANY,
    parent_beacon_block_root BLOB,
    requests_hash BLOB,
    block_access_list_hash BLOB,
    slot_number ANY,
    uncles BLOB NOT NULL,
    transaction_count INTEGER NOT NULL,
    log_count INTEGER NOT NULL,
    withdrawal_count INTEGER,
    proof TEXT NOT NULL,
    extra TEXT,
    endpoint TEXT NOT NULL,
    ingested_at INTEGER NOT NULL,
    rows_digest BLOB NOT NULL,
    hash_hex TEXT AS ('0x' || lower(hex(hash))) VIRTUAL,
    PRIMARY KEY (chain_id, number),
    UNIQUE (chain_id, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE transactions (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    tx_index INTEGER NOT NULL,
    hash BLOB NOT NULL,
    type INTEGER NOT NULL,
    from_address BLOB NOT NULL,
    to_address BLOB,
    nonce ANY,
    value BLOB,
    gas ANY,
    gas_price BLOB,
    max_fee_per_gas BLOB,
    max_priority_fee_per_gas BLOB,
    max_fee_per_blob_gas BLOB,
    input BLOB,
    signed_chain_id ANY,
    access_list BLOB,
    blob_versioned_hashes BLOB,
    authorization_list BLOB,
    v ANY,
    r BLOB,
    s BLOB,
    source_hash BLOB,
    mint BLOB,
    is_system_tx INTEGER,
    status INTEGER,
    root BLOB,
    cumulative_gas_used ANY NOT NULL,
    gas_used ANY NOT NULL,
    effective_gas_price BLOB,
    contract_address BLOB,
    log_count INTEGER NOT NULL,
    deposit_nonce ANY,
    deposit_receipt_version ANY,
    covered INTEGER NOT NULL,
    extra TEXT,
    hash_hex TEXT AS ('0x' || lower(hex(hash))) VIRTUAL,
    from_address_hex TEXT AS ('0x' || lower(hex(from_address))) VIRTUAL, segment INTEGER NOT NULL DEFAULT 0, to_address_hex TEXT AS (CASE WHEN to_address IS NOT NULL THEN '0x' || lower(hex(to_address)) END) VIRTUAL,
    PRIMARY KEY (chain_id, block_number, tx_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    tx_index INTEGER NOT NULL,
    address BLOB NOT NULL,
    topic0 BLOB,
    topic1 BLOB,
    topic2 BLOB,
    topic3 BLOB,
    data BLOB NOT NULL,
    covered INTEGER NOT NULL,
    address_hex TEXT AS ('0x' || lower(hex(address))) VIRTUAL, segment INTEGER NOT NULL DEFAULT 0, topic0_hex TEXT AS (CASE WHEN topic0 IS NOT NULL THEN '0x' || lower(hex(topic0)) END) VIRTUAL,
    PRIMARY KEY (chain_id, block_number, log_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE withdrawals (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    withdrawal_index ANY NOT NULL,
    validator_index ANY NOT NULL,
    address BLOB NOT NULL,
    amount_gwei ANY NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    chain_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parent_hash BLOB NOT NULL, writer INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chain_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE reorgs (
    chain_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fork_number INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    old_head INTEGER NOT NULL,
    old_head_hash BLOB NOT NULL,
    new_head INTEGER NOT NULL,
    new_head_hash BLOB NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (chain_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    source TEXT NOT NULL,
    scope TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    PRIMARY KEY (source, scope, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE instruments (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    status TEXT NOT NULL,
    price_precision INTEGER NOT NULL,
    qty_precision INTEGER NOT NULL,
    price_increment ANY NOT NULL,
    price_increment_scale INTEGER NOT NULL,
    qty_increment ANY NOT NULL,
    qty_increment_scale INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (source, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE trades (
    source TEXT NOT NULL,
    symbol TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    price ANY NOT NULL,
    qty ANY NOT NULL,
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
    open ANY NOT NULL,
    high ANY NOT NULL,
    low ANY NOT NULL,
    close ANY NOT NULL,
    price_scale INTEGER NOT NULL,
    volume BLOB NOT NULL,
    qty_scale INTEGER NOT NULL,
    turnover BLOB NOT NULL,
    trades INTEGER NOT NULL, complete INTEGER,
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

CREATE TABLE tokens (
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE uncles (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    header BLOB NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX changes_writer ON changes (chain_id, writer, seq);

CREATE TABLE segments (
    scope INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    rows INTEGER NOT NULL, fingerprints INTEGER NOT NULL DEFAULT -1,
    PRIMARY KEY (scope, first),
    UNIQUE (scope, segment)
) STRICT, WITHOUT ROWID;

CREATE INDEX transactions_hash ON transactions (segment, chain_id, hash, block_number, tx_index);

CREATE INDEX transactions_from ON transactions (segment, chain_id, from_address, block_number, tx_index);

CREATE INDEX transactions_contract ON transactions (segment, chain_id, contract_address, block_number, tx_index)
    WHERE contract_address IS NOT NULL;

CREATE INDEX logs_address ON logs (segment, chain_id, address, block_number, log_index);

CREATE TABLE contracts (
    chain_id INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    address BLOB NOT NULL,
    abi TEXT NOT NULL,
    first_block INTEGER NOT NULL,
    filled_from INTEGER NOT NULL,
    leaving INTEGER NOT NULL, evidence TEXT NOT NULL DEFAULT 'whole', created_by TEXT NOT NULL DEFAULT '', named_from INTEGER NOT NULL DEFAULT 0, keep_proof INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, chain_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE contract_coverage (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    evidence TEXT NOT NULL, endpoint TEXT,
    PRIMARY KEY (chain_id, contract, first)
) STRICT, WITHOUT ROWID;

CREATE INDEX logs_topic0 ON logs (segment, chain_id, topic0_hex, block_number, log_index);

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

CREATE TABLE log_faults (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    fault TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, block_number, log_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX transactions_to ON transactions (segment, chain_id, to_address_hex, block_number, tx_index)
    WHERE to_address_hex IS NOT NULL;

CREATE VIEW v_transactions AS SELECT
    chain_id,
    block_number,
    tx_index,
    hash_hex AS hash,
    type,
    from_address_hex AS from_address,
    to_address_hex AS to_address,
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

CREATE INDEX segments_fingerprints ON segments (scope, fingerprints, segment);

CREATE TABLE segment_fingerprints (
    scope INTEGER NOT NULL,
    part INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    fingerprints BLOB NOT NULL,
    PRIMARY KEY (scope, part, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE sections (
    scope INTEGER NOT NULL,
    section INTEGER NOT NULL,
    first INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    PRIMARY KEY (scope, section)
) STRICT, WITHOUT ROWID;

CREATE TABLE section_fingerprints (
    scope INTEGER NOT NULL,
    section INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    fingerprints BLOB NOT NULL,
    PRIMARY KEY (scope, section, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE merkle_proofs (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    tx_index INTEGER NOT NULL,
    first_log INTEGER NOT NULL,
    transaction_branch BLOB NOT NULL,
    receipt_branch BLOB NOT NULL,
    PRIMARY KEY (chain_id, block_number, tx_index)
) STRICT, WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('blocks', 'blocks', '1000000 1000000 1'),
    ('blocks', 'sqlite_autoindex_blocks_2', '1000000 1000000 1'),
    ('transactions', 'transactions', '10000000 10000000 100 1'),
    ('logs', 'logs', '30000000 30000000 300 1'),
    ('segments', 'segments', '300 300 1'),
    ('segments', 'sqlite_autoindex_segments_2', '300 300 1'),
    ('transactions', 'transactions_hash', '10000000 30000 30000 1 1 1'),
    ('transactions', 'transactions_from', '10000000 30000 30000 20 2 1'),
    ('transactions', 'transactions_contract', '100000 300 300 1 1 1'),
    ('logs', 'logs_address', '30000000 100000 100000 100 3 1'),
    ('logs', 'logs_topic0', '30000000 100000 100000 1000 3 1'),
    ('transactions', 'transactions_to', '10000000 30000 30000 100 2 1'),
    ('segments', 'segments_fingerprints', '300 300 100 1'),
    ('segment_fingerprints', 'segment_fingerprints', '100000 100000 300 1'),
    ('sections', 'sections', '300 300 1'),
    ('section_fingerprints', 'section_fingerprints', '20000000 20000000 65536 1');
ANALYZE sqlite_schema;
