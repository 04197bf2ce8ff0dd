-- The contracts whose events have tables of their own. These are made, and removed, by the commit that says so here: the
-- tables of a contract are called e_NAME_EVENT, their views v_NAME_EVENT.

CREATE TABLE contracts (
    chain_id BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    address BYTEA NOT NULL,
    abi TEXT COLLATE "C" NOT NULL,
    first_block BIGINT NOT NULL,
    filled_from BIGINT NOT NULL,
    leaving BIGINT NOT NULL,
    PRIMARY KEY (name, chain_id)
);
