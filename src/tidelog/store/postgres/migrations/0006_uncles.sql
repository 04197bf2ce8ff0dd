-- The headers of uncles, which a block's ommers hash is over. Blocks that were stored before keep their hashes alone.

CREATE TABLE uncles (
    chain_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    header BYTEA NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
);
