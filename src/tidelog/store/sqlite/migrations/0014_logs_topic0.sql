-- See 0010.

DROP INDEX logs_topic0;
CREATE INDEX logs_topic0 ON logs (segment, chain_id, topic0, block_number, log_index);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('logs', 'logs_topic0', '30000000 100000 100000 1000 3 1');
ANALYZE sqlite_schema;
