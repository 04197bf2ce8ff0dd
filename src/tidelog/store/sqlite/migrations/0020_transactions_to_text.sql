-- Transactions are found by their recipient as v_transactions shows it, too: the index is over that text alone, and serves
-- both. See 0017.

DROP INDEX transactions_to;
ALTER TABLE transactions ADD COLUMN
    to_address_hex TEXT AS (CASE WHEN to_address IS NOT NULL THEN '0x' || lower(hex(to_address)) END) VIRTUAL;
CREATE INDEX transactions_to ON transactions (segment, chain_id, to_address_hex, block_number, tx_index)
    WHERE to_address_hex IS NOT NULL;

DROP VIEW v_transactions;
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

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('transactions', 'transactions_to', '10000000 30000 30000 100 2 1');
ANALYZE sqlite_schema;
