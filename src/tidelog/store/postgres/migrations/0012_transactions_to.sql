-- See 0010.

DROP INDEX transactions_to;
CREATE INDEX transactions_to ON transactions (segment, to_address, block_number)
    WHERE to_address IS NOT NULL;

DROP INDEX transactions_contract;
CREATE INDEX transactions_contract ON transactions (segment, contract_address, block_number)
    WHERE contract_address IS NOT NULL;
