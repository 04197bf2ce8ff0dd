-- See 0010.

DROP INDEX logs_topic0;
CREATE INDEX logs_topic0 ON logs (segment, topic0, block_number);
