-- What a chain's rows and every source's checkpoint are kept in. Columns stand in the order of
-- tidelog.batch; 256-bit integers are BLOBs of 32 bytes, big-endian, so that they sort as numbers do.

CREATE TABLE checkpoints (
    source TEXT PRIMARY KEY NOT NULL,
    epoch INTEGER NOT NULL,
    commit_seq INTEGER NOT NULL,
    position TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE chains (
    chain_id INTEGER NOT NULL,
    genesis_hash BLOB,
    profile TEXT NOT NULL,
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
    gas_limit INTEGER NOT NULL,
    gas_used INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    extra_data BLOB NOT NULL,
    mix_hash BLOB,
    nonce BLOB,
    base_fee_per_gas BLOB,
    withdrawals_root BLOB,
    blob_gas_used INTEGER,
    excess_blob_gas INTEGER,
    parent_beacon_block_root BLOB,
    requests_hash BLOB,
    block_access_list_hash BLOB,
    slot_number INTEGER,
    uncles BLOB NOT NULL,
    transaction_count INTEGER NOT NULL,
    log_count INTEGER NOT NULL,
    withdrawal_count INTEGER,
    proof TEXT NOT NULL,
    extra TEXT,
    endpoint TEXT NOT NULL,
    ingested_at INTEGER NOT NULL,
    rows_digest BLOB NOT NULL,
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
    nonce INTEGER,
    value BLOB,
    gas INTEGER,
    gas_price BLOB,
    max_fee_per_gas BLOB,
    max_priority_fee_per_gas BLOB,
    max_fee_per_blob_gas BLOB,
    input BLOB,
    signed_chain_id INTEGER,
    access_list BLOB,
    blob_versioned_hashes BLOB,
    authorization_list BLOB,
    v INTEGER,
    r BLOB,
    s BLOB,
    source_hash BLOB,
    mint BLOB,
    is_system_tx INTEGER,
    status INTEGER,
    root BLOB,
    cumulative_gas_used INTEGER NOT NULL,
    gas_used INTEGER NOT NULL,
    effective_gas_price BLOB,
    contract_address BLOB,
    log_count INTEGER NOT NULL,
    deposit_nonce INTEGER,
    deposit_receipt_version INTEGER,
    covered INTEGER NOT NULL,
    extra TEXT,
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
    PRIMARY KEY (chain_id, block_number, log_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE withdrawals (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    withdrawal_index INTEGER NOT NULL,
    validator_index INTEGER NOT NULL,
    address BLOB NOT NULL,
    amount_gwei INTEGER NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    chain_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parent_hash BLOB NOT NULL,
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

-- Every index costs ingest time: these and no others. A transaction hash is not unique: duplicates exist
-- on chains that do not cover some transactions by their roots.
CREATE INDEX transactions_hash ON transactions (chain_id, hash);
CREATE INDEX logs_address ON logs (chain_id, address, block_number, log_index);
CREATE INDEX logs_topic0 ON logs (chain_id, topic0, block_number, log_index);

-- What the planner is to believe of these tables (https://sqlite.org/fileformat2.html#the_sqlite_stat1_table):
-- rows, then rows per value of the index's first column, of its first two, and so on. Without it, SQLite
-- takes the address of a log for hardly selective and reads the whole range of blocks by the key.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('blocks', 'blocks', '1000000 1000000 1'),
    ('blocks', 'sqlite_autoindex_blocks_2', '1000000 1000000 1'),
    ('transactions', 'transactions', '100000000 100000000 100 1'),
    ('transactions', 'transactions_hash', '100000000 100000000 1'),
    ('logs', 'logs', '300000000 300000000 300 1'),
    ('logs', 'logs_address', '300000000 300000000 3000 3 1'),
    ('logs', 'logs_topic0', '300000000 300000000 30000 3 1');
ANALYZE sqlite_schema;

-- For people at a SQL prompt: hashes as 0x-hex text, times as ISO 8601 text. 256-bit integers are 0x-hex
-- too: decimal text would need a function of ours, which a plain `sqlite3` does not have. Each comparison
-- with these texts reads the whole table: query the table itself with x'..' where it matters.

CREATE VIEW v_blocks AS SELECT
    chain_id,
    number,
    '0x' || lower(hex(hash)) AS hash,
    '0x' || lower(hex(parent_hash)) AS parent_hash,
    '0x' || lower(hex(ommers_hash)) AS ommers_hash,
    '0x' || lower(hex(miner)) AS miner,
    '0x' || lower(hex(state_root)) AS state_root,
    '0x' || lower(hex(transactions_root)) AS transactions_root,
    '0x' || lower(hex(receipts_root)) AS receipts_root,
    '0x' || lower(hex(logs_bloom)) AS logs_bloom,
    '0x' || coalesce(nullif(lower(ltrim(hex(difficulty), '0')), ''), '0') AS difficulty,
    gas_limit,
    gas_used,
    timestamp,
    strftime('%Y-%m-%dT%H:%M:%SZ', timestamp, 'unixepoch') AS time,
    '0x' || lower(hex(extra_data)) AS extra_data,
    CASE WHEN mix_hash IS NOT NULL THEN '0x' || lower(hex(mix_hash)) END AS mix_hash,
    CASE WHEN nonce IS NOT NULL THEN '0x' || lower(hex(nonce)) END AS nonce,
    CASE WHEN base_fee_per_gas IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(base_fee_per_gas), '0')), ''), '0') END AS base_fee_per_gas,
    CASE WHEN withdrawals_root IS NOT NULL THEN '0x' || lower(hex(withdrawals_root)) END AS withdrawals_root,
    blob_gas_used,
    excess_blob_gas,
    CASE WHEN parent_beacon_block_root IS NOT NULL THEN '0x' || lower(hex(parent_beacon_block_root)) END AS parent_beacon_block_root,
    CASE WHEN requests_hash IS NOT NULL THEN '0x' || lower(hex(requests_hash)) END AS requests_hash,
    CASE WHEN block_access_list_hash IS NOT NULL THEN '0x' || lower(hex(block_access_list_hash)) END AS block_access_list_hash,
    slot_number,
    '0x' || lower(hex(uncles)) AS uncles,
    transaction_count,
    log_count,
    withdrawal_count,
    proof,
    extra,
    endpoint,
    ingested_at,
    '0x' || lower(hex(rows_digest)) AS rows_digest
FROM blocks;

CREATE VIEW v_transactions AS SELECT
    chain_id,
    block_number,
    tx_index,
    '0x' || lower(hex(hash)) AS hash,
    type,
    '0x' || lower(hex(from_address)) AS from_address,
    CASE WHEN to_address IS NOT NULL THEN '0x' || lower(hex(to_address)) END AS to_address,
    nonce,
    '0x' || coalesce(nullif(lower(ltrim(hex(value), '0')), ''), '0') AS value,
    gas,
    CASE WHEN gas_price IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(gas_price), '0')), ''), '0') END AS gas_price,
    CASE WHEN max_fee_per_gas IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(max_fee_per_gas), '0')), ''), '0') END AS max_fee_per_gas,
    CASE WHEN max_priority_fee_per_gas IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(max_priority_fee_per_gas), '0')), ''), '0') END AS max_priority_fee_per_gas,
    CASE WHEN max_fee_per_blob_gas IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(max_fee_per_blob_gas), '0')), ''), '0') END AS max_fee_per_blob_gas,
    '0x' || lower(hex(input)) AS input,
    signed_chain_id,
    CASE WHEN access_list IS NOT NULL THEN '0x' || lower(hex(access_list)) END AS access_list,
    CASE WHEN blob_versioned_hashes IS NOT NULL THEN '0x' || lower(hex(blob_versioned_hashes)) END AS blob_versioned_hashes,
    CASE WHEN authorization_list IS NOT NULL THEN '0x' || lower(hex(authorization_list)) END AS authorization_list,
    v,
    CASE WHEN r IS NOT NULL THEN '0x' || lower(hex(r)) END AS r,
    CASE WHEN s IS NOT NULL THEN '0x' || lower(hex(s)) END AS s,
    CASE WHEN source_hash IS NOT NULL THEN '0x' || lower(hex(source_hash)) END AS source_hash,
    CASE WHEN mint IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(mint), '0')), ''), '0') END AS mint,
    is_system_tx,
    status,
    CASE WHEN root IS NOT NULL THEN '0x' || lower(hex(root)) END AS root,
    cumulative_gas_used,
    gas_used,
    CASE WHEN effective_gas_price IS NOT NULL THEN '0x' || coalesce(nullif(lower(ltrim(hex(effective_gas_price), '0')), ''), '0') END AS effective_gas_price,
    CASE WHEN contract_address IS NOT NULL THEN '0x' || lower(hex(contract_address)) END AS contract_address,
    log_count,
    deposit_nonce,
    deposit_receipt_version,
    covered,
    extra
FROM transactions;

CREATE VIEW v_logs AS SELECT
    chain_id,
    block_number,
    log_index,
    tx_index,
    '0x' || lower(hex(address)) AS address,
    CASE WHEN topic0 IS NOT NULL THEN '0x' || lower(hex(topic0)) END AS topic0,
    CASE WHEN topic1 IS NOT NULL THEN '0x' || lower(hex(topic1)) END AS topic1,
    CASE WHEN topic2 IS NOT NULL THEN '0x' || lower(hex(topic2)) END AS topic2,
    CASE WHEN topic3 IS NOT NULL THEN '0x' || lower(hex(topic3)) END AS topic3,
    '0x' || lower(hex(data)) AS data,
    covered
FROM logs;
