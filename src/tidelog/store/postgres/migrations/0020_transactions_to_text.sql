-- Transactions are found by their recipient as v_transactions shows it, too: the index is over that text alone, and serves
-- both. See 0010.

DROP INDEX transactions_to;
CREATE INDEX transactions_to ON transactions (segment, ('0x' || encode(to_address, 'hex')), block_number);
