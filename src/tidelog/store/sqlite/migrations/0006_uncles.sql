-- The headers of uncles, which a block's ommers hash is over. Blocks that were stored before keep their hashes alone.

CREATE TABLE uncles (
    chain_id INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    header BLOB NOT NULL,
    PRIMARY KEY (chain_id, block_number, position)
) STRICT, WITHOUT ROWID;
