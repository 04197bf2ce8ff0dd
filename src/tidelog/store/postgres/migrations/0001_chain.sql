-- What a chain's rows and every source's checkpoint are kept in. Columns stand in the order of
-- tidelog.batch. Text compares by its bytes (collation "C"), so that keys have one order everywhere.

CREATE TABLE checkpoints (
    source TEXT COLLATE "C" PRIMARY KEY,
    epoch BIGINT NOT NULL,
    commit_seq BIGINT NOT NULL,
    position TEXT COLLATE "C"
);

CREATE TABLE chains (
    chain_id BIGINT NOT NULL,
    genesis_hash BYTEA,
    profile TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (chain_id)
);

CREATE TABLE blocks (
    chain_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    parent_hash BYTEA NOT NULL,
    ommers_hash BYTEA NOT NULL,
    miner BYTEA NOT NULL,
    state_root BYTEA NOT NULL,
    transactions_root BYTEA NOT NULL,
    receipts_root BYTEA NOT NULL,
    logs_bloom BYTEA NOT NULL,
    difficulty NUMERIC(78, 0) NOT NULL,
    gas_limit BIGINT NOT NULL,
    gas_used BIGINT NOT NULL,
    timestamp BIGINT NOT NULL,
    extra_data BYTEA NOT NULL,
    mix_hash BYTEA,
    nonce BYTEA,
    base_fee_per_gas NUMERIC(78, 0),
    withdrawals_root BYTEA,
    blob_gas_used BIGINT,
    excess_blob_gas BIGINT,
    parent_beacon_block_root BYTEA,
    requests_hash BYTEA,
    block_access_list_hash BYTEA,
    slot_number BIGINT,
    uncles BYTEA NOT NULL,
    transaction_count BIGINT NOT NULL,
    log_count BIGINT NOT NULL,
    withdrawal_count BIGINT,
    proof TEXT COLLATE "C" NOT NULL,
    extra TEXT COLLATE "C",
    endpoint TEXT COLLATE "C" NOT NULL,
    ingested_at BIGINT NOT NULL,
    rows_digest BYTEA NOT NULL,
    PRIMARY KEY (chain_id, number),
    UNIQUE (chain_id, hash)
);

CREATE TABLE transactions (
    chain_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    tx_index BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    type BIGINT NOT NULL,
    from_address BYTEA NOT NULL,
    to_address BYTEA,
    nonce BIGINT,
    value NUMERIC(78, 0),
    gas BIGINT,
    gas_price NUMERIC(78, 0),
    max_fee_per_gas NUMERIC(78, 0),
    max_priority_fee_per_gas NUMERIC(78, 0),
    max_fee_per_blob_gas NUMERIC(78, 0),
    input BYTEA,
    signed_chain_id BIGINT,
    access_list BYTEA,
    blob_versioned_hashes BYTEA,
    authorization_list BYTEA,
    v BIGINT,
    r BYTEA,
    s BYTEA,
    source_hash BYTEA,
    mint NUMERIC(78, 0),
    is_system_tx BIGINT,
    status BIGINT,
    root BYTEA,
    cumulative_gas_used BIGINT NOT NULL,
    gas_used BIGINT NOT NULL,
    effective_gas_price NUMERIC(78, 0),
    contract_address BYTEA,
    log_count BIGINT NOT NULL,
    deposit_nonce BIGINT,
    deposit_receipt_version BIGINT,
    covered BIGINT NOT NULL,
    extra TEXT COLLATE "C",
    PRIMARY KEY (chain_id, block_number, tx_index)
) PARTITION BY LIST (chain_id);

CREATE TABLE logs (
    chain_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index BIGINT NOT NULL,
    tx_index BIGINT NOT NULL,
    address BYTEA NOT NULL,
    topic0 BYTEA,
    topic1 BYTEA,
    topic2 BYTEA,
    topic3 BYTEA,
    data BYTEA NOT NULL,
    covered BIGINT NOT NULL,
    PRIMARY KEY (chain_id, block_number, log_index)
) PARTITION BY LIST (chain_id);

CREATE TABLE withdrawals (
    chain_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    withdrawal_index BIGINT NOT NULL,
    validator_index BIGINT NOT NULL,
    address BYTEA NOT NULL,
    amount_gwei BIGINT NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
);

CREATE TABLE changes (
    chain_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    parent_hash BYTEA NOT NULL,
    PRIMARY KEY (chain_id, seq)
);

CREATE TABLE reorgs (
    chain_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    fork_number BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    old_head BIGINT NOT NULL,
    old_head_hash BYTEA NOT NULL,
    new_head BIGINT NOT NULL,
    new_head_hash BYTEA NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (chain_id, seq)
);

CREATE TABLE gaps (
    source TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    PRIMARY KEY (source, scope, first)
);

-- Every index costs ingest time: these and no others. A transaction hash is not unique: duplicates exist
-- on chains that do not cover some transactions by their roots.
CREATE INDEX transactions_hash ON transactions (chain_id, hash);
CREATE INDEX logs_address ON logs (chain_id, address, block_number, log_index);
CREATE INDEX logs_topic0 ON logs (chain_id, topic0, block_number, log_index);

-- For people at a SQL prompt: hashes as 0x-hex text, 256-bit integers as decimal text, times as ISO 8601
-- text. Each comparison with these texts reads the whole table: query the table itself with
-- '\x..'::bytea where it matters.

CREATE VIEW v_blocks AS SELECT
    chain_id,
    number,
    '0x' || encode(hash, 'hex') AS hash,
    '0x' || encode(parent_hash, 'hex') AS parent_hash,
    '0x' || encode(ommers_hash, 'hex') AS ommers_hash,
    '0x' || encode(miner, 'hex') AS miner,
    '0x' || encode(state_root, 'hex') AS state_root,
    '0x' || encode(transactions_root, 'hex') AS transactions_root,
    '0x' || encode(receipts_root, 'hex') AS receipts_root,
    '0x' || encode(logs_bloom, 'hex') AS logs_bloom,
    difficulty::text AS difficulty,
    gas_limit,
    gas_used,
    timestamp,
    CASE WHEN timestamp < 253402300800
        THEN to_char(to_timestamp(timestamp) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END AS time,
    '0x' || encode(extra_data, 'hex') AS extra_data,
    '0x' || encode(mix_hash, 'hex') AS mix_hash,
    '0x' || encode(nonce, 'hex') AS nonce,
    base_fee_per_gas::text AS base_fee_per_gas,
    '0x' || encode(withdrawals_root, 'hex') AS withdrawals_root,
    blob_gas_used,
    excess_blob_gas,
    '0x' || encode(parent_beacon_block_root, 'hex') AS parent_beacon_block_root,
    '0x' || encode(requests_hash, 'hex') AS requests_hash,
    '0x' || encode(block_access_list_hash, 'hex') AS block_access_list_hash,
    slot_number,
    '0x' || encode(uncles, 'hex') AS uncles,
    transaction_count,
    log_count,
    withdrawal_count,
    proof,
    extra,
    endpoint,
    ingested_at,
    '0x' || encode(rows_digest, 'hex') AS rows_digest
FROM blocks;

CREATE VIEW v_transactions AS SELECT
    chain_id,
    block_number,
    tx_index,
    '0x' || encode(hash, 'hex') AS hash,
    type,
    '0x' || encode(from_address, 'hex') AS from_address,
    '0x' || encode(to_address, 'hex') AS to_address,
    nonce,
    value::text AS value,
    gas,
    gas_price::text AS gas_price,
    max_fee_per_gas::text AS max_fee_per_gas,
    max_priority_fee_per_gas::text AS max_priority_fee_per_gas,
    max_fee_per_blob_gas::text AS max_fee_per_blob_gas,
    '0x' || encode(input, 'hex') AS input,
    signed_chain_id,
    '0x' || encode(access_list, 'hex') AS access_list,
    '0x' || encode(blob_versioned_hashes, 'hex') AS blob_versioned_hashes,
    '0x' || encode(authorization_list, 'hex') AS authorization_list,
    v,
    '0x' || encode(r, 'hex') AS r,
    '0x' || encode(s, 'hex') AS s,
    '0x' || encode(source_hash, 'hex') AS source_hash,
    mint::text AS mint,
    is_system_tx,
    status,
    '0x' || encode(root, 'hex') AS root,
    cumulative_gas_used,
    gas_used,
    effective_gas_price::text AS effective_gas_price,
    '0x' || encode(contract_address, 'hex') AS contract_address,
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
    '0x' || encode(address, 'hex') AS address,
    '0x' || encode(topic0, 'hex') AS topic0,
    '0x' || encode(topic1, 'hex') AS topic1,
    '0x' || encode(topic2, 'hex') AS topic2,
    '0x' || encode(topic3, 'hex') AS topic3,
    '0x' || encode(data, 'hex') AS data,
    covered
FROM logs;
