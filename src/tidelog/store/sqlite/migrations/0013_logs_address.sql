-- See 0010.

DROP INDEX logs_address;
CREATE INDEX logs_address ON logs (segment, chain_id, address, block_number, log_index);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('logs', 'logs_address', '30000000 100000 100000 100 3 1');
ANALYZE sqlite_schema;
