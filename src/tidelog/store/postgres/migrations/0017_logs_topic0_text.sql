-- Logs are found by their first topic as v_logs shows it, too: the index is over that text alone, and serves both. See 0010.

DROP INDEX logs_topic0;
CREATE INDEX logs_topic0 ON logs (segment, ('0x' || encode(topic0, 'hex')), block_number);
