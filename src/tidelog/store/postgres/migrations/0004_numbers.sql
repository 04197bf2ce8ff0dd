-- Numbers of any size that the rules admit, and views that mean the same on both backends.
-- 64 bits without a sign are NUMERIC(20, 0), a market's numbers, up to 256 bits, NUMERIC(78, 0).

DROP VIEW v_blocks;
DROP VIEW v_transactions;
DROP VIEW v_logs;
DROP VIEW v_trades;
DROP VIEW v_candles;

ALTER TABLE blocks
    ALTER COLUMN gas_limit TYPE NUMERIC(20, 0),
    ALTER COLUMN gas_used TYPE NUMERIC(20, 0),
    ALTER COLUMN timestamp TYPE NUMERIC(20, 0),
    ALTER COLUMN blob_gas_used TYPE NUMERIC(20, 0),
    ALTER COLUMN excess_blob_gas TYPE NUMERIC(20, 0),
    ALTER COLUMN slot_number TYPE NUMERIC(20, 0);
ALTER TABLE transactions
    ALTER COLUMN nonce TYPE NUMERIC(20, 0),
    ALTER COLUMN gas TYPE NUMERIC(20, 0),
    ALTER COLUMN signed_chain_id TYPE NUMERIC(20, 0),
    ALTER COLUMN v TYPE NUMERIC(20, 0),
    ALTER COLUMN cumulative_gas_used TYPE NUMERIC(20, 0),
    ALTER COLUMN gas_used TYPE NUMERIC(20, 0),
    ALTER COLUMN deposit_nonce TYPE NUMERIC(20, 0),
    ALTER COLUMN deposit_receipt_version TYPE NUMERIC(20, 0);
ALTER TABLE withdrawals
    ALTER COLUMN withdrawal_index TYPE NUMERIC(20, 0),
    ALTER COLUMN validator_index TYPE NUMERIC(20, 0),
    ALTER COLUMN amount_gwei TYPE NUMERIC(20, 0);
ALTER TABLE instruments
    ALTER COLUMN price_increment TYPE NUMERIC(78, 0),
    ALTER COLUMN qty_increment TYPE NUMERIC(78, 0);
ALTER TABLE trades
    ALTER COLUMN price TYPE NUMERIC(78, 0),
    ALTER COLUMN qty TYPE NUMERIC(78, 0);
ALTER TABLE candles
    ALTER COLUMN open TYPE NUMERIC(78, 0),
    ALTER COLUMN high TYPE NUMERIC(78, 0),
    ALTER COLUMN low TYPE NUMERIC(78, 0),
    ALTER COLUMN close TYPE NUMERIC(78, 0);

-- What people ask the views for is found by an index over the text that these show. All rows of an address share one
-- entry, which is small; of hashes, which are all different, a hash index is.
CREATE INDEX blocks_hash_hex ON blocks USING hash (('0x' || encode(hash, 'hex')));
CREATE INDEX transactions_hash_hex ON transactions USING hash (('0x' || encode(hash, 'hex')));
CREATE INDEX transactions_from_address_hex ON transactions (('0x' || encode(from_address, 'hex')));
CREATE INDEX logs_address_hex ON logs (('0x' || encode(address, 'hex')));

-- For people at a SQL prompt: hashes as 0x-hex text, 256-bit numbers and those with decimals as decimal text, times as
-- ISO 8601 text.

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
        THEN to_char(to_timestamp(timestamp::float8) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END AS time,
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

CREATE VIEW v_withdrawals AS SELECT
    chain_id,
    block_number,
    position,
    withdrawal_index,
    validator_index,
    '0x' || encode(address, 'hex') AS address,
    amount_gwei
FROM withdrawals;

CREATE VIEW v_trades AS SELECT
    source,
    symbol,
    to_char(to_timestamp(time_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '.' || lpad((time_us % 1000000)::text, 6, '0') || 'Z' AS time,
    side,
    (price::text || 'e-' || (price_scale))::numeric::text AS price,
    (qty::text || 'e-' || (qty_scale))::numeric::text AS qty,
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
    (open::text || 'e-' || (price_scale))::numeric::text AS open,
    (high::text || 'e-' || (price_scale))::numeric::text AS high,
    (low::text || 'e-' || (price_scale))::numeric::text AS low,
    (close::text || 'e-' || (price_scale))::numeric::text AS close,
    (volume::text || 'e-' || (qty_scale))::numeric::text AS volume,
    (turnover::text || 'e-' || (price_scale + qty_scale))::numeric::text AS turnover,
    trades
FROM candles;
