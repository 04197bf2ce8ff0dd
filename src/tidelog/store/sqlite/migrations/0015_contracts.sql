-- The contracts whose events have tables of their own. These are made, and removed, by the commit that says so here: the
-- tables of a contract are called e_NAME_EVENT, their views v_NAME_EVENT.

CREATE TABLE contracts (
    chain_id INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    address BLOB NOT NULL,
    abi TEXT NOT NULL,
    first_block INTEGER NOT NULL,
    filled_from INTEGER NOT NULL,
    leaving INTEGER NOT NULL,
    PRIMARY KEY (name, chain_id)
) STRICT, WITHOUT ROWID;
